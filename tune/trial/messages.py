"""What driver and worker send each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from tune.states import Phase

__all__ = [
    "MESSAGE",
    "NODE_LOST",
    "Breakdown",
    "Message",
    "MessageKind",
    "TrialBrokeError",
    "TrialOrder",
]


class MessageKind(StrEnum):
    """Why a worker sends a message."""

    REPORT = "report"
    """An epoch is over: `row` has columns of the `reports` table."""
    DONE = "done"
    """The trial is complete: `predictions` holds what was asked for."""
    FAILED = "failed"
    """The trial's own `error`; another attempt would end the same way."""
    INTERRUPTED = "interrupted"
    """The study is stopping, and this trial's checkpoint is written."""


@dataclass(frozen=True)
class Message:
    """What a worker sends. An object and not a mapping, which Tune would flatten.

    Attributes:
        kind: Why it is sent.
        host: Where it runs.
        precision: "fp32" or "bf16", None where the training has none.
        row: With `REPORT`.
        predictions: With `DONE`: an Arrow stream with columns of the `predictions` table.
        error: With `FAILED`: one line.
        parameters: Numbers that the model trains outside the text encoder; None: not known.
        unsaved: Why a checkpoint could not be written since the last message; None: none failed.
    """

    kind: MessageKind
    host: str
    precision: str | None = None
    row: dict[str, Any] | None = None
    predictions: bytes | None = None
    error: str | None = None
    parameters: int | None = None
    unsaved: str | None = None


@dataclass(frozen=True, repr=False)
class TrialOrder:
    """Everything that a worker needs to run a trial, besides the prepared data.

    Attributes:
        trial_id: "<config_id>-<seed>".
        config: The resolved tree as JSON.
        seed: The trial's seed.
        phase: What it is for.
        attempt: From 1.
        metric: The valid metric that chooses the epoch.
        recorded: The last epoch that the tables have; the worker reports all later ones.
        splits: Which splits to predict at the end.
        study: The study's folder, as a path or URI.
        data: The data set's file, as a path or URI: for test, at the end.
        digest: The data set's digest.
        cpus: CPUs that it has.
        gpus: GPUs that it has, or a share of one; without any it computes on its CPUs.
        epoch_timeout_s: After so many seconds without a finished epoch the worker ends itself.
        checkpoint_s: Seconds of training below which a checkpoint is not worth it.
        stop_key: Set in Ray's key-value store once the study is stopping.
        code: What the driver computes with; see `tune.trial.code`. Empty: nobody compares.
        cpu_precision: What `run.precision = "auto"` means where it runs on a CPU.
    """

    trial_id: str
    config: str
    seed: int
    phase: Phase
    attempt: int
    metric: str
    recorded: int
    splits: tuple[str, ...]
    study: str
    data: str
    digest: str
    cpus: float
    gpus: float
    epoch_timeout_s: float
    checkpoint_s: float
    stop_key: bytes
    code: Mapping[str, str] = field(default_factory=dict)
    cpu_precision: str = "fp32"

    def __repr__(self) -> str:
        # Tune makes a trial's tag out of this, for every trial.
        return self.trial_id


MESSAGE: Final = "hscl"
"""The key under which a worker's message travels in Tune's result."""

NODE_LOST: Final = "node lost"

BreakdownKind = Literal[
    "node lost", "node broke", "worker", "timeout", "memory", "device", "system", "differs"
]


@dataclass(frozen=True)
class Breakdown:
    """A trial broke in a way that another attempt may get past.

    Attributes:
        kind: "node lost" and "node broke" are no trial's fault and never count; "differs" is a
            worker with other code or data than the driver's, which ends the run; the others use
            up retries.
        text: What happened, one line.
    """

    kind: BreakdownKind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class TrialBrokeError(Exception):
    """Raised where a worker's process is not fit for another trial, such as after a GPU error."""

    def __init__(self, kind: BreakdownKind, text: str) -> None:
        super().__init__(kind, text)
        self.breakdown = Breakdown(kind, text)
