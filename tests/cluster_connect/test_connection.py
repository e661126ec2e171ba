"""Connecting checks everything before it sends anything."""

import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import ray
from cluster_head import RayHead

from cluster.connect.connection import RefusalError, asked, connect, job_address
from hscl.errors import InputError, RunError

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://head:8265", "http://head:8265"),
        ("http://head:8265/", "http://head:8265"),
        ("head:8265", "http://head:8265"),
        ("https://ray.example.org/cluster", "https://ray.example.org/cluster"),
        ("http://[::1]:8265", "http://[::1]:8265"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert job_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "auto",
        "http://head",
        "ftp://head:1",
        "",
        "http://:8265",
        "a:b",
        "http://[::1",
        "ray://[::1",
    ],
)
def test_another_kind_of_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="http://HEAD:8265"):
        job_address(text)


def test_ray_client_is_refused_with_the_address_to_use() -> None:
    with pytest.raises(InputError, match="--address http://head:8265"):
        job_address("ray://head:10001")


@pytest.mark.parametrize("host", ["head:8265", "[::1"])
def test_a_password_in_the_address_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(InputError, match="without a user name or password") as caught:
        job_address(f"http://me:sesame@{host}")
    assert "sesame" not in str(caught.value)


def test_the_right_token_connects(ray_head: RayHead) -> None:
    found = connect(ray_head.address, ray_head.environment())
    assert found.authenticated
    assert found.warning is None
    assert found.ray_version == ray.__version__
    assert ray_head.token not in repr(found)


def test_no_token_is_refused(ray_head: RayHead, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this machine has none; copy the head's"):
        connect(ray_head.address, {"HOME": str(tmp_path)})


def test_a_wrong_token_is_refused_and_not_repeated(ray_head: RayHead) -> None:
    with pytest.raises(InputError, match="refused the one from RAY_AUTH_TOKEN") as caught:
        connect(ray_head.address, {"RAY_AUTH_TOKEN": "f" * 64})
    assert "f" * 64 not in str(caught.value)


def test_a_head_that_is_not_there_is_named_with_the_tunnel() -> None:
    with pytest.raises(InputError, match=r"connection refused.*ssh -N -L 9:127.0.0.1:8265"):
        connect("http://127.0.0.1:9", {})


def test_one_of_rays_grpc_ports_is_told_from_the_dashboard() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    said = r"is not the dashboard.*usually at port 8265: --address http://127\.0\.0\.1:8265"
    with pytest.raises(InputError, match=said):
        connect(f"http://127.0.0.1:{port}", {})
    server.stop(0)


def test_an_answer_of_the_server_becomes_an_error_without_its_traceback(ray_head: RayHead) -> None:
    client = connect(ray_head.address, ray_head.environment()).client
    with pytest.raises(RefusalError, match="404") as caught:
        asked(client.get_job_info, "unknown")
    assert caught.value.status == 404
    asked(client.submit_job, entrypoint="true", submission_id="twice")
    with pytest.raises(RefusalError, match="already exists") as caught:
        asked(client.submit_job, entrypoint="true", submission_id="twice")
    assert "Traceback" not in str(caught.value)


class _Dashboard(http.server.BaseHTTPRequestHandler):
    """Something that answers like a dashboard of another version, and remembers what came."""

    version = "1.13.0"
    seen: list[str] = []  # noqa: RUF012 - one server at a time

    def do_GET(self) -> None:
        self.seen.append(str(self.headers))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ray_version": self.version}).encode())

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture
def open_dashboard() -> Iterator[str]:
    """The address of a server that asks for no token."""
    _Dashboard.seen.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dashboard) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_another_version_is_refused_with_the_line_that_installs_it(open_dashboard: str) -> None:
    with pytest.raises(InputError, match=r"pip install 'ray\[default,tune\]==1.13.0'"):
        connect(open_dashboard, {})


def test_a_cluster_without_authentication_is_warned_about_and_never_gets_the_token(
    open_dashboard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Dashboard, "version", ray.__version__)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    found = connect(open_dashboard)
    assert not found.authenticated
    assert "WARNING" in str(found.warning)
    assert len(_Dashboard.seen) > 1
    assert not any("a" * 64 in headers for headers in _Dashboard.seen)


def test_something_else_behind_the_address_is_named(tmp_path: Path) -> None:
    handler = http.server.SimpleHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match="must be a Ray dashboard"):
            connect(f"http://127.0.0.1:{server.server_port}", {})
        server.shutdown()


def test_a_cluster_that_goes_away_says_that_the_search_goes_on(open_dashboard: str) -> None:
    def gone() -> None:
        raise ConnectionError("connection reset")

    with pytest.raises(RunError, match="goes on"):
        asked(gone)
