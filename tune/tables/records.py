"""What the tables say about one configuration, one trial, one point of an earlier study."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tune.display import count
from tune.states import NODE_BROKE, Origin, Phase, TrialState
from tune.study.space import Point, Value

__all__ = [
    "DEFAULT_NAME",
    "FEW_FAILURES",
    "MANY_FAILURES",
    "BrokenNodes",
    "ConfigRecord",
    "Ending",
    "FailureStreak",
    "Observation",
    "PlannedLook",
    "TrialRecord",
    "TrialReports",
    "config_label",
    "trial_id_of",
]

FEW_FAILURES = 5
"""So many failures and not one success, and the study gives up."""
MANY_FAILURES = 20
"""So many failures in a row, of at least `FEW_FAILURES` configurations, and the study gives up."""


DEFAULT_NAME = "default"
"""What all output calls configuration 0."""


def config_label(number: int, name: str | None, default: str = DEFAULT_NAME) -> str:
    """What all output calls a configuration.

    Args:
        number: Its place in the order of proposal.
        name: From its row.
        default: What number 0 is called: in a sentence with its article, else the plain word.

    Returns:
        The default's name, a known or grid point's own name, or "configuration 7".
    """
    if number == 0:
        return default
    # What a sampler proposed has no name; earlier versions wrote "sampled 7".
    return f"configuration {number}" if name in {None, "", f"sampled {number}"} else str(name)


@dataclass(frozen=True)
class ConfigRecord:
    """One configuration of the study.

    Attributes:
        config_id: 12 hex digits.
        number: Its place in the order of proposal; the default has 0.
        origin: Default, known or sampler.
        name: What people call it.
        params: Values of the active searched parameters by dotted name.
        config: The resolved tree as JSON.
    """

    config_id: str
    number: int
    origin: Origin
    name: str
    params: Point
    config: str


@dataclass(frozen=True)
class TrialReports:
    """All that a trial has reported.

    Attributes:
        curve: Valid metric by epoch, rising; NaN where it was missing.
        best: Best valid metric up to each epoch; NaN before the first finite one.
        stop: The scheduler's decision on its last report.
        finished: Ended by its own patience or after all epochs.
        collapsed: Its last epoch predicted one constant.
        seconds: Training time over all reports.
    """

    curve: Mapping[int, float]
    best: Mapping[int, float]
    stop: bool
    finished: bool
    collapsed: bool
    seconds: float


@dataclass
class TrialRecord:
    """One configuration on one seed, as far as the tables tell: the one record that all read.

    Attributes:
        trial_id: "<config_id>-<seed>".
        config_id: The configuration.
        phase: What it was started for.
        seed: Its seed.
        state: `STARTED` as long as no end is recorded.
        attempt: The last attempt that was started, from 1.
        error: Why it failed.
        curve: Valid metric by epoch; NaN where it was missing.
        best: Best valid metric up to each epoch; NaN before the first finite one.
        stop: The scheduler's decision on its last report.
        finished: Ended by its own patience or after all epochs.
        collapsed: Its last epoch predicted one constant.
        seconds: Training time over all reports.
    """

    trial_id: str
    config_id: str
    phase: Phase
    seed: int
    state: TrialState = TrialState.STARTED
    attempt: int = 1
    error: str | None = None
    curve: dict[int, float] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    stop: bool = False
    finished: bool = False
    collapsed: bool = False
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """The last recorded epoch; 0 before the first."""
        return next(reversed(self.curve), 0)

    @property
    def value(self) -> float | None:
        """Best valid metric so far, or None without a finite one."""
        best = self.best.get(self.epoch, math.nan)
        return None if math.isnan(best) else best

    def best_at(self, epoch: int) -> float:
        """Best valid metric up to an epoch; NaN before the first finite one."""
        seen = self.best.get(epoch)
        if seen is not None:
            return seen
        return next((v for e, v in reversed(self.best.items()) if e <= epoch), math.nan)

    @property
    def ended(self) -> bool:
        """Whether its end is recorded."""
        return self.state is not TrialState.STARTED


@dataclass(frozen=True)
class Observation:
    """A point that the search ran of the study that this one was warm-started from.

    Attributes:
        values: Its whole configuration by dotted name.
        state: How its trial ended.
        curve: Best valid metric up to each epoch.
    """

    values: dict[str, Value]
    state: TrialState
    curve: dict[int, float]


@dataclass
class BrokenNodes:
    """Nodes on which starts broke, or whose workers differed from the driver.

    Attributes:
        starts: How many, by the node's address.
        why: What the last one said.
    """

    starts: Counter[str] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str | None) -> None:
        """Take why a trial was started again."""
        kind, _, said = (reason or "").partition(": ")
        if kind == NODE_BROKE:
            node, _, why = said.partition(": ")
            self.why[node] = why
            self.starts[node] += 1

    def lines(self) -> tuple[str, ...]:
        """Such as "10.77.0.2 broke 7 starts: ImportError: …", one a node."""
        return tuple(
            f"{node} broke {count(starts, 'start')}: {self.why[node]}"
            for node, starts in self.starts.items()
        )


@dataclass
class FailureStreak:
    """How trials have been ending lately.

    Attributes:
        succeeded: Trials that ended well since the count began.
        last: The failures since the last trial that ended well, oldest first.
    """

    succeeded: int = 0
    last: list[TrialRecord] = field(default_factory=list)

    def add(self, trial: TrialRecord) -> None:
        """Take a trial that ended."""
        if trial.state is TrialState.FAILED:
            self.last.append(trial)
        else:
            self.succeeded += 1
            self.last.clear()

    def is_hopeless(self, few: int = FEW_FAILURES) -> bool:
        """Whether the study has to give up: everything fails, or all of late.

        Args:
            few: So many failures are enough where nothing has succeeded.
        """
        if not self.succeeded and len(self.last) >= few:
            return True
        many = len(self.last) >= MANY_FAILURES
        return many and len({trial.config_id for trial in self.last}) >= FEW_FAILURES


class PlannedLook(NamedTuple):
    """A look at confirm, fixed before the first.

    Attributes:
        seeds: What it adds to those of the looks before it.
        level: A difference is claimed where p is below it.
    """

    seeds: tuple[int, ...]
    level: float


@dataclass(frozen=True)
class Ending:
    """How a study ended.

    Attributes:
        note: Why, where that isn't plain.
        gave_up: It is over because everything failed.
    """

    note: str = ""
    gave_up: bool = False


def trial_id_of(config_id: str, seed: int) -> str:
    """The name of one configuration on one seed."""
    return f"{config_id}-{seed}"
