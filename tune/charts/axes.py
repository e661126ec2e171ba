"""Where values lie on an axis: a hyperparameter's from 0 to 1, and where the metric's ends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hscl.metrics import METRIC
from tune.display import setting
from tune.study.space import Distribution, Value
from tune.tables.records import TrialRecord

__all__ = ["INACTIVE", "Axis", "Settings", "axis_of", "decided_between"]

Settings = Mapping[str, Mapping[str, Value]]
"""For each config_id the values of its active searched parameters."""

INACTIVE = -0.08
"""Where a parameter lies that is inactive: just below its axis."""


_MOST_TICKS = 16  # more would run into each other


@dataclass(frozen=True)
class Axis:
    """A parameter's axis, from 0 to 1.

    Attributes:
        name: The parameter's dotted name.
        options: Its values where they are few or have no order; else None.
        low: Lower end (the logarithm where `log`).
        high: Upper end.
        log: Whether distances are ratios.
    """

    name: str
    options: tuple[Value, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def place(self, value: Value | None) -> float:
        """Where a value lies; slightly below the axis where there is none."""
        if value is None:
            return INACTIVE
        if self.options is not None:
            at = next((i for i, option in enumerate(self.options) if option == value), 0)
            return at / max(len(self.options) - 1, 1)
        known = math.log(float(value)) if self.log else float(value)
        return (known - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels to write beside the axis."""
        if self.options is not None:
            step = -(-len(self.options) // _MOST_TICKS)
            return [(self.place(option), setting(option)) for option in self.options[::step]]
        middle = (self.low + self.high) / 2
        return [
            (place, setting(math.exp(at) if self.log else at))
            for place, at in ((0.0, self.low), (0.5, middle), (1.0, self.high))
        ]


def axis_of(name: str, distribution: Distribution, values: Sequence[Value]) -> Axis:
    """The axis of a parameter: its range, widened by known points that lie outside.

    Args:
        name: Dotted name.
        distribution: Its distribution in the study's space.
        values: The values that configurations have.
    """
    options = distribution.options()
    if options is not None and (distribution.kind == "choice" or len(options) <= 8):
        extra = tuple(dict.fromkeys(v for v in values if v not in options))
        return Axis(name, options=(*options, *extra))
    low, high = distribution.bounds
    numbers = [float(v) for v in values if not isinstance(v, str)]
    low, high = min([low, *numbers]), max([high, *numbers])
    log = distribution.kind == "log_uniform" and low > 0
    return Axis(
        name,
        low=math.log(low) if log else low,
        high=math.log(high) if log else high,
        log=log,
    )


def decided_between(
    own: Sequence[TrialRecord], rungs: Iterable[int], metric: str, seed_sd: float | None
) -> tuple[float, float]:
    """The ends of the metric's axis: around what was decided on, outliers cut by Tukey's fence.

    Args:
        own: The trials drawn on it; one at least has a report.
        rungs: Epochs at which trials were stopped; beside them the second half counts.
        metric: The study's metric.
        seed_sd: The noise floor, which stays inside.
    """
    half, lower_wins = max(curve.epoch for curve in own) / 2, METRIC[metric].lower_wins
    asked = set(rungs)
    decided = np.array(
        [
            value
            for curve in own
            for epoch, value in curve.best.items()
            if math.isfinite(value) and (epoch in asked or epoch > half)
        ]
        or [value for curve in own for value in curve.best.values() if math.isfinite(value)]
        or [0.0]
    )
    if not lower_wins:
        decided = -decided
    low, high = np.quantile(decided, [0.25, 0.75])
    best = float(decided.min())
    worst = max(
        float(decided[decided <= high + 1.5 * (high - low)].max()), best + (seed_sd or 0.0)
    )
    room = 0.08 * (worst - best) or 0.01
    ends = best - room, worst + room
    return ends if lower_wins else (-ends[1], -ends[0])
