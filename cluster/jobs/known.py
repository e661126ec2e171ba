"""A study on a cluster, found by its job or, where Ray has forgotten that, by its output."""

from dataclasses import dataclass
from typing import Any

from cluster.connect.connection import Connection
from cluster.connect.uris import Location, checked_location
from cluster.jobs.records import JobRequest, JobSetup, SearchJob
from cluster.jobs.searches import find_job, search_jobs
from cluster.jobs.shipping import pack
from hscl.errors import InputError

__all__ = ["KnownStudy", "find_study", "status_text"]


@dataclass(frozen=True)
class KnownStudy:
    """A study and how to ask about it.

    Attributes:
        connection: The cluster.
        setup: How its tasks are started.
        out: Where it is written.
        job: Its job, None where Ray has forgotten it.
    """

    connection: Connection
    setup: JobSetup
    out: Location
    job: SearchJob | None

    def needs_job(self) -> SearchJob:
        """Its job.

        Raises:
            InputError: Ray has forgotten it.
        """
        if self.job is None:
            message = (
                f"the job that wrote {self.out.uri} must still be known to Ray for this, but "
                "Ray forgets jobs when its head restarts; `--trial ID` shows a trial's log"
            )
            raise InputError(message)
        return self.job

    def request(self, data: str | None) -> JobRequest:
        """What resumes the search.

        Args:
            data: Where the data are, needed where the job is forgotten.

        Raises:
            InputError: It is needed and missing.
        """
        if data is None and self.job is not None:
            data = self.job.data
        if data is None:
            message = (
                f"--data must be given to resume {self.out.uri}, as Ray has forgotten its job; "
                "the study file is taken from there"
            )
            raise InputError(message)
        where = checked_location("--data", data)
        name = self.job.name if self.job else self.out.uri.rpartition("/")[2]
        return JobRequest(self.setup, name, where, self.out, frozen=self.job is None)


def find_study(
    connection: Connection,
    job_id: str | None,
    out: str | None,
    python: str | None,
    *,
    ship_code: bool,
) -> KnownStudy:
    """Find a study.

    Args:
        connection: The cluster.
        job_id: Its job's id; None takes the one that runs, else the newest.
        out: Its output; then Ray need not know its job.
        python: The nodes' Python; None takes the job's, and `python` where Ray does not know it.
        ship_code: Whether to send the packages, where Ray does not know the job.

    Returns:
        The study.

    Raises:
        InputError: There is no such job, or id and output contradict each other.
    """
    place = checked_location("--out", out) if out is not None else None
    if place is not None:
        jobs = [job for job in search_jobs(connection) if job.out == place.uri]
        job = next((j for j in jobs if job_id in {None, j.id}), None)
        if job_id is not None and job is None and jobs:
            message = f"{job_id} must write to {place.uri}, but only {jobs[0].id} does"
            raise InputError(message)
    else:
        job = find_job(connection, job_id)
        place = checked_location("--out", job.out)
    if job is None:
        setup = JobSetup(pack("", with_code=ship_code), python or JobSetup.python)
        return KnownStudy(connection, setup, place, None)
    shipment = pack(job.study, with_code=job.ships_code or ship_code)
    setup = JobSetup(shipment, python or job.python, job.stop_wait_s)
    return KnownStudy(connection, setup, place, job)


def status_text(answer: dict[str, Any]) -> str:
    """Lines for the terminal.

    Args:
        answer: What the task `status` says, with `job` added.

    Returns:
        The job, the cluster, and what `hscl status` says of the tables.
    """
    job, there = answer["job"], answer["cluster"]
    lines = []
    if job is not None:
        lines.append(f"job        {job['id']}  {job['status']}  {job['study']}  {job['out']}")
        if job["status"] == "FAILED" and job["message"]:
            lines.append(f"           {job['message'].splitlines()[-1]}")
    used = "".join(
        f", {there['used'][name]:g} of {there['total'][name]:g} {name}s in use"
        for name in there["total"]
    )
    lines.append(f"cluster    {there['nodes']} nodes{used}")
    lines.append(answer["text"] or "study      nothing is written yet; see `hscl cluster logs`")
    return "\n".join(lines)
