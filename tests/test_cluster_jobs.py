"""Searches as jobs: one a place at a time, found again, stopped like Ctrl-C."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_head import RayHead
from hypothesis import given
from hypothesis import strategies as st
from ray.job_submission import JobStatus

from cluster.connection import Connection, asked, connect
from cluster.jobs import (
    ACTIVE,
    JobSetup,
    SearchJob,
    SearchRequest,
    find_job,
    search_jobs,
    start_job,
    stop_job,
    submission_id,
    submit_search,
)
from cluster.shipping import STUDY_FILE, pack
from cluster.uris import checked_location
from hscl.errors import InputError

pytestmark = pytest.mark.cluster
DATA = checked_location("--data", "/data/mosi.arrow")
# A stand-in for a search that takes long: Python, so that signals end it as they would the driver.
WAITS = "python -c 'import time; print(\"up\", flush=True); time.sleep(600)' #"


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


@pytest.fixture
def request_for(connection: Connection, tmp_path: Path) -> Iterator[SearchRequest]:
    """A search of its own place that runs until it is stopped."""
    out = checked_location("--out", str(tmp_path / "out"))
    setup = JobSetup(pack("[study]\n", with_code=False), python=WAITS, stop_wait_s=5)
    yield SearchRequest(setup, "mine", DATA, out)
    for job in search_jobs(connection):
        if job.active and job.out == out.uri:
            stop_job(connection, job)


@given(st.sets(st.integers(1, 50)), st.sets(st.integers(1, 50)))
def test_the_next_id_is_free_and_belongs_to_the_place(mine: set[int], other: set[int]) -> None:
    out, elsewhere = (checked_location("--out", f"/runs/{name}") for name in ("one", "two"))
    stem = submission_id(out, []).removesuffix("1")
    taken = {f"{stem}{n}" for n in mine}
    taken |= {f"{submission_id(elsewhere, []).removesuffix('1')}{n}" for n in other}
    new = submission_id(out, taken | {"raysubmit_x", f"{stem}note"})
    assert new not in taken
    assert new.startswith(stem)
    assert submission_id(out, taken | {new}) != new


def test_a_search_is_submitted_found_refused_twice_and_stopped(
    connection: Connection, request_for: SearchRequest
) -> None:
    job_id = submit_search(connection, request_for)
    assert job_id.endswith("-1")
    found = find_job(connection, job_id)
    assert (found.name, found.data, found.out) == ("mine", DATA.uri, request_for.out.uri)
    assert found.study == "[study]\n"
    assert found.stop_wait_s == 5
    assert find_job(connection, None) == find_job(connection, job_id)
    with pytest.raises(InputError, match=f"{job_id} does; follow it"):
        submit_search(connection, request_for)
    deadline = time.monotonic() + 60
    while "up" not in asked(connection.client.get_job_logs, job_id):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert stop_job(connection, found) is JobStatus.STOPPED
    assert "KeyboardInterrupt" in asked(connection.client.get_job_logs, job_id)  # SIGINT
    stopped = find_job(connection, job_id)
    assert not stopped.active
    assert stopped.ended is not None
    second = submit_search(connection, request_for)
    assert second == job_id.removesuffix("1") + "2"


def test_two_machines_that_submit_at_once_get_one_search(
    connection: Connection, request_for: SearchRequest
) -> None:
    """The second asks for the id that the first has just got; Ray refuses it."""
    name = submission_id(request_for.out, [])
    start_job(connection, request_for.setup, request_for.arguments, name, {"hscl": "other"})
    with pytest.raises(InputError, match="one search at a time"):
        submit_search(connection, request_for)
    asked(connection.client.stop_job, name)
    while asked(connection.client.get_job_status, name) in ACTIVE:
        time.sleep(0.2)


def test_an_unknown_id_names_what_is_known_and_what_ray_forgets(
    connection: Connection, request_for: SearchRequest
) -> None:
    job_id = submit_search(connection, request_for)
    with pytest.raises(InputError, match=f"did you mean '{job_id}'.*--out URI instead"):
        find_job(connection, job_id + "0")


def test_a_job_runs_in_token_mode_and_stops_by_sigint(
    connection: Connection, request_for: SearchRequest, ray_head: RayHead
) -> None:
    job_id = submit_search(connection, request_for)
    details = asked(connection.client.get_job_info, job_id)
    assert details.runtime_env is not None
    variables = details.runtime_env["env_vars"]
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert variables["RAY_JOB_STOP_WAIT_TIME_S"] == "5"
    assert ray_head.token not in str(details)


def test_the_entrypoint_survives_a_shell(request_for: SearchRequest) -> None:
    odd = checked_location("--out", "/runs/it's; rm -rf $HOME")
    request = SearchRequest(request_for.setup, "mine", DATA, odd)
    assert request.arguments == [
        *("search", "--study", STUDY_FILE, "--data", DATA.uri, "--out", odd.uri)
    ]
    again = SearchRequest(request.setup, "mine", DATA, odd, frozen=True)
    assert "--frozen" in again.arguments
    assert "--study" not in again.arguments


def test_what_is_printed_as_json_names_times_and_host() -> None:
    job = SearchJob(
        "hscl-1-1", JobStatus.FAILED, "mine", "/d", "/o", "", "python",
        ships_code=False, stop_wait_s=1, started=None, ended=None, host="", message=" why ",
    )  # fmt: skip
    told = job.to_dict()
    assert told["status"] == "FAILED"
    assert told["driver_host"] is None
    assert told["started"] is None
