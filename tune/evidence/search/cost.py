"""What a study has cost: trainings and epochs by phase, the time that passed, device hours."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from tune.display import duration_text
from tune.states import Kind, Phase, TrialState
from tune.tables.history import History

__all__ = ["PhaseCost", "StudyCost", "cost_of", "cost_text"]


@dataclass(frozen=True)
class PhaseCost:
    """What one phase has cost.

    Attributes:
        phase: Which.
        trainings: Trials that were started.
        epochs: Recorded epochs of them.
        seconds: Their training time, summed over parallel trials.
    """

    phase: Phase
    trainings: int
    epochs: int
    seconds: float


@dataclass(frozen=True)
class StudyCost:
    """What a study has cost so far.

    Attributes:
        phases: In order; only those that began.
        wall_s: Time in which at least one trial ran: pauses between two starts do not count.
        device: "GPU" or "CPU"; empty where the tables do not tell.
        hours: Of that device: training time × devices a trial.
    """

    phases: tuple[PhaseCost, ...]
    wall_s: float
    device: str
    hours: float

    @property
    def trainings(self) -> int:
        """Of all phases."""
        return sum(phase.trainings for phase in self.phases)

    @property
    def epochs(self) -> int:
        """Of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def seconds(self) -> float:
        """Training time of all phases, summed over parallel trials."""
        return sum(phase.seconds for phase in self.phases)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sums = {"trainings": self.trainings, "epochs": self.epochs, "seconds": self.seconds}
        return asdict(self) | sums | {"phases": [asdict(phase) for phase in self.phases]}


def cost_of(history: History, tables: Mapping[str, pa.Table]) -> StudyCost:
    """Add up what ran.

    Args:
        history: The study's rows.
        tables: `trials` with every event, and `reports`.
    """
    phases = []
    for phase in Phase:
        trials = [trial for trial in history.trials.values() if trial.phase is phase]
        if trials:
            epochs = sum(len(trial.curve) for trial in trials)
            seconds = sum(trial.seconds for trial in trials)
            phases.append(PhaseCost(phase, len(trials), epochs, seconds))
    device, each = _device(history, tables["trials"])
    hours = sum(phase.seconds for phase in phases) / 3600 * each
    return StudyCost(tuple(phases), _wall_s(tables), device, hours)


def _wall_s(tables: Mapping[str, pa.Table]) -> float:
    """Length of the union of all attempts, each from its start to its end."""
    trained: dict[tuple[str, int], float] = defaultdict(float)
    columns = [tables["reports"][name].to_pylist() for name in ("trial_id", "attempt", "seconds")]
    for trial_id, attempt, seconds in zip(*columns, strict=True):
        trained[trial_id, attempt or 1] += seconds or 0.0
    begun: dict[tuple[str, int], datetime] = {}
    spans: list[tuple[datetime, datetime]] = []
    columns = [
        tables["trials"][name].to_pylist() for name in ("trial_id", "attempt", "state", "time")
    ]
    for trial_id, attempt, state, time in zip(*columns, strict=True):
        if time is None:
            continue
        run = trial_id, attempt or 1
        if state == TrialState.STARTED:
            begun[run] = time
        elif run in begun:
            spans.append((begun.pop(run), time))
    # A killed driver wrote no end: the attempt took at least its epochs.
    spans += [(start, start + timedelta(seconds=trained[run])) for run, start in begun.items()]
    return _covered(spans)


def _covered(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that at least one of the spans covers."""
    total, until = 0.0, None
    for start, end in sorted(spans):
        if until is None or start > until:
            total += (end - start).total_seconds()
            until = end
        elif end > until:
            total += (end - until).total_seconds()
            until = end
    return total


def _device(history: History, trials: pa.Table) -> tuple[str, float]:
    """What a trial ran on, as far as the tables tell, and how many of them it had."""
    wanted = history.spec.resources
    had = {float(row["value"]) for row in history.plan_rows(Kind.DEVICES)}
    if len(had) > 1:  # a start had others than the one before
        return "", 1.0
    if had:
        return ("GPU", had.pop()) if any(had) else ("CPU", wanted.cpus)
    # Of studies before 0.2, or simulated ones, only what was asked for is known.
    if wanted.gpus:
        return "GPU", wanted.gpus
    if wanted.gpus == 0.0:
        return "CPU", wanted.cpus
    # Not given: one where there are any. bf16 by default, and not by a CPU, is a GPU's.
    by_default = history.spec.base.run.precision == "auto" and history.cpu_precision == "fp32"
    if by_default and "bf16" in trials["precision"].to_pylist():
        return "GPU", 1.0
    return "", 1.0


def cost_text(cost: StudyCost) -> str:
    """How long the study took, and its trainings together, in a sentence."""
    if not cost.phases:
        return "It has cost nothing yet."
    devices = f" ({cost.hours:.2g} {cost.device} hours)" if cost.device else ""
    return (
        f"The study took {duration_text(cost.wall_s)}; its trainings add up to "
        f"{duration_text(cost.seconds)}{devices}."
    )
