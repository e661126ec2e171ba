"""Fixtures that several test modules share."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # torch is loaded by the tests that need it
    pass

_MISSING = "the shared folder with real data is missing (set HSCL_SHARED)"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real CMU-MOSI files and golden numbers, or a skip where it is missing."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HSCL_SHARED", beside))
    if not (folder / "golden").is_dir():
        pytest.skip(_MISSING)
    return folder


def _start_s3() -> tuple[str, "subprocess.Popen[bytes]"]:
    """A local S3 interface (moto): its requests, not its consistency or speed."""
    pytest.importorskip("moto.server", reason="moto[server] is missing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    return address, server


def _point_to(address: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", address)
    environment.setenv("AWS_ACCESS_KEY_ID", "test")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a local S3 interface that tests share."""
    address, server = _start_s3()
    yield address
    server.kill()
    server.wait()


@pytest.fixture
def start_s3(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts an S3 interface that a test may kill; the environment points to it."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        address, server = _start_s3()
        started.append(server)
        _point_to(address, monkeypatch)
        return server

    yield start
    for server in started:
        server.kill()
        server.wait()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket on the local S3 interface; the environment points there."""
    _point_to(s3_server, monkeypatch)
    name = f"bucket-{uuid.uuid4().hex}"
    request = urllib.request.Request(f"{s3_server}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()
    return f"s3://{name}"
