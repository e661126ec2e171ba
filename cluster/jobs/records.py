"""What is known of a search as a job: how it is started, asked for, named, and described."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from cluster.connect.uris import Location
from cluster.jobs.shipping import Shipment
from tune.study.toml import STUDY_FILE

__all__ = [
    "ACTIVE",
    "KIND",
    "JobRequest",
    "JobSetup",
    "SearchJob",
    "job_of",
    "submission_id",
]

ACTIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
KIND = "hscl"  # the metadata key that marks our jobs


@dataclass(frozen=True)
class JobSetup:
    """How `python -m cluster.job_entry` is started on the head.

    Attributes:
        shipment: What travels.
        python: The Python of the nodes.
        stop_wait_s: How long a stopped job may take to save before Ray kills it; fixed at
            submission.
    """

    shipment: Shipment
    python: str = "python"
    stop_wait_s: int = 120


@dataclass(frozen=True)
class JobRequest:
    """A search to be submitted.

    Attributes:
        setup: How it is started.
        name: The study's name.
        data: Where every node reads the data.
        out: Where the study is written.
        frozen: Go on with the study file in `out` instead of a shipped one.
    """

    setup: JobSetup
    name: str
    data: Location
    out: Location
    frozen: bool = False

    @property
    def arguments(self) -> list[str]:
        """The arguments of `python -m cluster.job_entry` that run the search."""
        study = ["--frozen"] if self.frozen else ["--study", STUDY_FILE]
        return ["search", *study, "--data", self.data.uri, "--out", self.out.uri]


@dataclass(frozen=True)
class SearchJob:
    """A search that the cluster knows.

    Attributes:
        id: The submission id.
        status: Ray's status.
        name: The study's name.
        data: Where its data are.
        out: Where its results go.
        study: The study file's text.
        python: The Python of the nodes.
        ships_code: Whether the packages travelled with it.
        stop_wait_s: Seconds between a stop and the kill.
        started: When it was submitted.
        ended: When it ended, None while it runs.
        host: The address of the node that its driver runs on, "" before it started.
        message: What Ray says about its state.
    """

    id: str
    status: JobStatus
    name: str
    data: str
    out: str
    study: str
    python: str
    ships_code: bool
    stop_wait_s: int
    started: datetime | None
    ended: datetime | None
    host: str
    message: str

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.status in ACTIVE

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "id": self.id,
            "status": self.status.value,
            "study": self.name,
            "data": self.data,
            "out": self.out,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "driver_host": self.host or None,
            "message": self.message or None,
        }


def submission_id(out: Location, taken: Iterable[str]) -> str:
    """The next free id for a study that is written to a place.

    Args:
        out: The place.
        taken: All ids that the cluster knows.

    Returns:
        `hscl-<10 hex digits of the place>-<running number>`.
    """
    stem = f"hscl-{hashlib.sha256(out.uri.encode()).hexdigest()[:10]}-"
    numbers = [
        int(rest) for name in taken if (rest := name.removeprefix(stem)) != name and rest.isdigit()
    ]
    return f"{stem}{max(numbers, default=0) + 1}"


def job_of(details: JobDetails) -> SearchJob:
    """A search as Ray describes it; what is missing in its metadata is left empty."""
    kept = details.metadata or {}
    driver = details.driver_info
    return SearchJob(
        id=details.submission_id or "",
        status=details.status,
        name=kept.get("study", ""),
        data=kept.get("data", ""),
        out=kept.get("out", ""),
        study=kept.get("study_toml", ""),
        python=kept.get("python", "python"),
        ships_code=kept.get("ships_code") == "yes",
        stop_wait_s=int(kept.get("stop_wait_s", "120")),
        started=_moment(details.start_time),
        ended=_moment(details.end_time),
        host=driver.node_ip_address if driver else "",
        message=(details.message or "").strip(),
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
