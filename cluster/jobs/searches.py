"""Searches as jobs of a Ray cluster: submitted, listed, found again, stopped.

The job's metadata carry the study, so that it can be resumed from another machine. Its id is
derived from where the results go and a running number: two machines that submit the same study at
once ask for the same id, and Ray refuses the second.
"""

import shlex
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from ray.job_submission import JobDetails, JobStatus

from cluster.connect.connection import Connection, RefusalError, asked, command_text
from cluster.connect.uris import Location
from cluster.jobs.records import (
    ACTIVE,
    KIND,
    JobRequest,
    JobSetup,
    SearchJob,
    job_of,
    submission_id,
)
from hscl.errors import InputError, RunError, did_you_mean

__all__ = [
    "find_job",
    "refuse_second",
    "search_jobs",
    "start_job",
    "stop_job",
    "submit_search",
]

_AGENT_WAIT_S = 60.0  # just after a head's start no agent takes jobs


def search_jobs(connection: Connection) -> list[SearchJob]:
    """All searches that the cluster knows, the newest first."""
    details: list[JobDetails] = asked(connection.client.list_jobs)
    jobs = [job_of(d) for d in details if (d.metadata or {}).get(KIND) == "search"]
    never = datetime.fromtimestamp(0, UTC)
    return sorted(jobs, key=lambda job: job.started or never, reverse=True)


def find_job(connection: Connection, job_id: str | None) -> SearchJob:
    """One search.

    Args:
        connection: The cluster.
        job_id: Its id; None takes the one that runs, else the newest.

    Returns:
        The search.

    Raises:
        InputError: There is no such search.
    """
    jobs = search_jobs(connection)
    forgotten = "Ray forgets jobs when its head restarts: then give --out URI instead"
    if not jobs:
        message = f"a search must have been submitted to {connection.address}, but it knows none; "
        raise InputError(message + forgotten)
    if job_id is None:
        return next((job for job in jobs if job.active), jobs[0])
    for job in jobs:
        if job.id == job_id:
            return job
    message = f"the id must be that of a search on {connection.address}, but got {job_id!r}; "
    raise InputError(message + f"{did_you_mean(job_id, [j.id for j in jobs])} {forgotten}")


def refuse_second(connection: Connection, out: Location) -> list[SearchJob]:
    """Refuse to write to a place that a search writes to now.

    Args:
        connection: The cluster.
        out: The place.

    Returns:
        All searches that the cluster knows.

    Raises:
        InputError: A search waits or runs that writes there.
    """
    jobs = search_jobs(connection)
    running = [job.id for job in jobs if job.active and job.out == out.uri]
    if running:
        raise InputError(_already(connection, out.uri, running[0]))
    return jobs


def submit_search(connection: Connection, request: JobRequest) -> str:
    """Start a search as a job of the cluster.

    Args:
        connection: The cluster.
        request: The search.

    Returns:
        The submission id.

    Raises:
        InputError: A search that writes there runs already.
        RefusalError: The cluster cannot take it.
    """
    jobs = refuse_second(connection, request.out)
    name = submission_id(request.out, [job.id for job in jobs])
    metadata = {
        KIND: "search",
        "study": request.name,
        "study_toml": request.setup.shipment.study,
        "data": request.data.uri,
        "out": request.out.uri,
        "python": request.setup.python,
        "ships_code": "yes" if request.setup.shipment.code else "no",
        "stop_wait_s": str(request.setup.stop_wait_s),
    }
    try:
        return start_job(connection, request.setup, request.arguments, name, metadata)
    except RefusalError as error:
        if "already" not in str(error) and "exists" not in str(error):
            raise
        raise InputError(_already(connection, request.out.uri, name)) from None


def start_job(
    connection: Connection,
    setup: JobSetup,
    arguments: list[str],
    name: str,
    metadata: dict[str, str],
) -> str:
    """Run `python -m cluster.job_entry` on the head.

    Args:
        connection: The cluster.
        setup: How it is started.
        arguments: The entry's arguments.
        name: The submission id.
        metadata: Stored with the job.

    Returns:
        The submission id.

    Raises:
        RunError: The cluster takes no jobs.
        RefusalError: It refuses this one.
    """
    variables = {
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": str(setup.stop_wait_s),
    }
    if connection.authenticated:
        variables["RAY_AUTH_MODE"] = "token"  # in the driver and in every worker
    # exec: the signal that stops a job should reach one process, not a shell before it.
    entrypoint = f"exec {setup.python} -m cluster.job_entry {shlex.join(arguments)}"
    deadline = time.monotonic() + _AGENT_WAIT_S
    with tempfile.TemporaryDirectory(prefix="hscl-ship-") as folder:
        environment = setup.shipment.stage(Path(folder)) | {"env_vars": variables}
        while True:
            try:
                return asked(
                    connection.client.submit_job,
                    entrypoint=entrypoint,
                    submission_id=name,
                    runtime_env=environment,
                    metadata=metadata,
                )
            except RefusalError as error:
                if "No available agent" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    message = (
                        "the head must run a dashboard agent that takes jobs, but had none for "
                        "a minute; is port 52365 (--dashboard-agent-listen-port) taken by "
                        "another Ray on the head?"
                    )
                    raise RunError(message) from None
                time.sleep(2)


def stop_job(connection: Connection, job: SearchJob) -> JobStatus:
    """Stop a search as Ctrl-C would, and wait until it has saved.

    Args:
        connection: The cluster.
        job: The search.

    Returns:
        Its status at the end.

    Raises:
        RunError: It does not end.
    """
    if job.active:
        asked(connection.client.stop_job, job.id)
    deadline = time.monotonic() + job.stop_wait_s + 30
    while True:
        status: JobStatus = asked(connection.client.get_job_status, job.id)
        if status not in ACTIVE:
            return status
        if time.monotonic() > deadline:
            message = (
                f"{job.id} must end within {job.stop_wait_s} s of the stop, but has not; look at "
                f"`{command_text(connection, f'logs {job.id}')}`"
            )
            raise RunError(message)
        time.sleep(0.5)


def _already(connection: Connection, out: str, running: str) -> str:
    follow = command_text(connection, f"logs {running} -f")
    stop = command_text(connection, f"stop {running}")
    return (
        f"one search at a time must write to {out}, but {running} does; follow it with "
        f"`{follow}`, or stop it with `{stop}`"
    )
