"""A study is found by its job, and by its output once Ray has forgotten the job."""

from pathlib import Path
from typing import Any

import pytest
from cluster_head import RayHead

from cluster.connect.connection import Connection, connect
from cluster.connect.uris import Location, checked_location
from cluster.jobs.known import find_study, status_text
from cluster.jobs.records import JobRequest, JobSetup, submission_id
from cluster.jobs.searches import find_job, start_job
from cluster.jobs.shipping import pack
from hscl.errors import InputError

pytestmark = pytest.mark.cluster
DATA = checked_location("--data", "s3://bucket/mosi.arrow")


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


def _ended(connection: Connection, out: Location) -> str:
    """A search that Ray knows, and that has ended at once."""
    setup = JobSetup(pack("[study]\n", with_code=False), python="true #")
    request = JobRequest(setup, "mine", DATA, out)
    metadata = {
        "hscl": "search", "study": "mine", "study_toml": "[study]\n", "data": DATA.uri,
        "out": out.uri, "python": "true #", "ships_code": "no", "stop_wait_s": "7",
    }  # fmt: skip
    name = submission_id(out, [])
    return start_job(connection, request.setup, request.arguments, name, metadata)


def test_by_its_job_it_is_resumed_with_what_it_was_sent_with(
    connection: Connection, tmp_path: Path
) -> None:
    out = checked_location("--out", str(tmp_path))
    job_id = _ended(connection, out)
    study = find_study(connection, job_id, None, None, ship_code=False)
    assert study.needs_job().id == job_id
    request = study.request(None)
    assert (request.data, request.out, request.name) == (DATA, out, "mine")
    assert request.setup.shipment.study == "[study]\n"
    assert request.setup.python == "true #"
    assert request.setup.stop_wait_s == 7
    assert not request.frozen


def test_the_python_that_is_given_replaces_the_jobs(
    connection: Connection, tmp_path: Path
) -> None:
    job_id = _ended(connection, checked_location("--out", str(tmp_path)))
    study = find_study(connection, job_id, None, "/opt/venv/bin/python", ship_code=False)
    assert study.request(None).setup.python == "/opt/venv/bin/python"


def test_by_its_output_it_is_the_same(connection: Connection, tmp_path: Path) -> None:
    out = checked_location("--out", str(tmp_path))
    job_id = _ended(connection, out)
    study = find_study(connection, None, f"{tmp_path}/", "python", ship_code=False)
    assert study.job == find_job(connection, job_id)
    with pytest.raises(InputError, match=f"but only {job_id} does"):
        find_study(connection, "hscl-other-1", str(tmp_path), "python", ship_code=False)


def test_forgotten_it_goes_on_from_its_own_study_file(
    connection: Connection, tmp_path: Path
) -> None:
    study = find_study(connection, None, str(tmp_path / "run"), "python3", ship_code=False)
    assert study.job is None
    with pytest.raises(InputError, match="Ray forgets jobs when its head restarts"):
        study.needs_job()
    with pytest.raises(InputError, match="--data must be given"):
        study.request(None)
    request = study.request(DATA.uri)
    assert request.frozen
    assert request.name == "run"
    assert request.setup.python == "python3"
    unnamed = find_study(connection, None, str(tmp_path / "run"), None, ship_code=False)
    assert unnamed.setup.python == "python"


def test_a_relative_output_is_refused(connection: Connection) -> None:
    with pytest.raises(InputError, match="absolute path on the nodes"):
        find_study(connection, None, "runs/mosi", "python", ship_code=False)


JOB = {
    "id": "hscl-0123456789-1",
    "status": "RUNNING",
    "study": "mosi",
    "out": "s3://bucket/run",
    "message": None,
}
CLUSTER = {"nodes": 3, "total": {"CPU": 8.0, "GPU": 2.0}, "used": {"CPU": 5.0, "GPU": 1.75}}


def _answer(**changed: Any) -> dict[str, Any]:
    return {"job": JOB, "cluster": CLUSTER, "study": {}, "text": "mosi: unfinished"} | changed


def test_job_cluster_and_tables_each_have_their_lines() -> None:
    first, second, third = status_text(_answer()).splitlines()
    assert "hscl-0123456789-1  RUNNING  mosi  s3://bucket/run" in first
    assert "3 nodes, 5 of 8 CPUs in use, 1.75 of 2 GPUs in use" in second
    assert third == "mosi: unfinished"


def test_before_the_first_table_it_says_so() -> None:
    assert "nothing is written yet" in status_text(_answer(study=None, text=""))


def test_a_forgotten_job_leaves_its_line_out() -> None:
    assert status_text(_answer(job=None)).startswith("cluster")


@pytest.mark.parametrize("message", ["several\nlines\nOSError: disk full"])
def test_a_failed_job_says_why(message: str) -> None:
    lines = status_text(_answer(job=JOB | {"status": "FAILED", "message": message}))
    assert "OSError: disk full" in lines
    assert "several" not in lines
