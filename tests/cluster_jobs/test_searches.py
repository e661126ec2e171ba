"""Searches as jobs: one a place at a time, found again, stopped like Ctrl-C."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_head import RayHead
from ray.job_submission import JobStatus

from cluster.connect.connection import Connection, asked, connect
from cluster.connect.uris import checked_location
from cluster.jobs.records import ACTIVE, JobRequest, JobSetup, submission_id
from cluster.jobs.searches import find_job, search_jobs, start_job, stop_job, submit_search
from cluster.jobs.shipping import pack
from hscl.errors import InputError

pytestmark = pytest.mark.cluster
DATA = checked_location("--data", "/data/mosi.arrow")
# A stand-in for a search that takes long: Python, so that signals end it as they would the driver.
# The log has the command too, so that the word it prints must not stand in it.
WAITS = 'python -c \'import time; print("be" "gun", flush=True); time.sleep(600)\' #'


@pytest.fixture(scope="module")
def connection(ray_head: RayHead) -> Connection:
    return connect(ray_head.address, ray_head.environment())


@pytest.fixture
def request_for(connection: Connection, tmp_path: Path) -> Iterator[JobRequest]:
    """A search of its own place that runs until it is stopped."""
    out = checked_location("--out", str(tmp_path / "out"))
    setup = JobSetup(pack("[study]\n", with_code=False), python=WAITS, stop_wait_s=5)
    yield JobRequest(setup, "mine", DATA, out)
    for job in search_jobs(connection):
        if job.active and job.out == out.uri:
            stop_job(connection, job)


def test_a_search_is_submitted_found_refused_twice_and_stopped(
    connection: Connection, request_for: JobRequest
) -> None:
    job_id = submit_search(connection, request_for)
    assert job_id.endswith("-1")
    found = find_job(connection, job_id)
    assert (found.name, found.data, found.out) == ("mine", DATA.uri, request_for.out.uri)
    assert found.study == "[study]\n"
    assert found.stop_wait_s == 5
    assert find_job(connection, None) == find_job(connection, job_id)
    with pytest.raises(InputError, match=f"{job_id} does; follow it") as caught:
        submit_search(connection, request_for)
    assert f"hscl cluster stop {job_id} --address {connection.address}`" in str(caught.value)
    deadline = time.monotonic() + 60
    while "begun" not in asked(connection.client.get_job_logs, job_id):
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
    connection: Connection, request_for: JobRequest
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
    connection: Connection, request_for: JobRequest
) -> None:
    job_id = submit_search(connection, request_for)
    with pytest.raises(InputError, match=f"did you mean '{job_id}'.*--out URI instead"):
        find_job(connection, job_id + "0")


def test_a_job_runs_in_token_mode_and_stops_by_sigint(
    connection: Connection, request_for: JobRequest, ray_head: RayHead
) -> None:
    job_id = submit_search(connection, request_for)
    details = asked(connection.client.get_job_info, job_id)
    assert details.runtime_env is not None
    variables = details.runtime_env["env_vars"]
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert variables["RAY_JOB_STOP_WAIT_TIME_S"] == "5"
    assert ray_head.token not in str(details)
