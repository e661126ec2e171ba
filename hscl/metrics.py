"""The field's metrics: how people write them, and how they are computed.

Computed unrounded, as MMSA, MMIM and the HSCL authors do. All that differs between metrics in
output (name, direction, percent, digits) stands in one row of `METRIC`. Eight are for labels from
−3 to 3; CH-SIMS, whose labels lie between −1 and 1, has six, of which it shares MAE and Corr.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CHART_DIGITS",
    "DIGITS",
    "METRIC",
    "METRICS",
    "Metric",
    "clipped",
    "evaluate",
    "is_constant",
    "metrics_of",
    "why_undefined",
]

DIGITS = 4
"""Decimals of unscaled metrics and of their differences, in sentences and tables."""

CHART_DIGITS = 3
"""Decimals of unscaled metrics beside a chart's pointer."""


@dataclass(frozen=True)
class Metric:
    """What tells one metric from the others.

    Attributes:
        name: As papers write it, such as "Acc-2 (Has0)".
        mode: Whether less or more of it is better.
        percent: People see it as a percentage.
        bound: Labels and predictions are clipped to ± this and rounded to classes; infinite
            where the metric has no such classes.
        cuts: Where CH-SIMS's classes end, each with its end; empty for all other metrics.
    """

    name: str
    mode: Literal["min", "max"] = "max"
    percent: bool = True
    bound: float = math.inf
    cuts: tuple[float, ...] = ()

    @property
    def lower_wins(self) -> bool:
        """Whether smaller values are better."""
        return self.mode == "min"

    @property
    def wanted(self) -> str:
        """Which values are wanted: "lower" or "higher"."""
        return "lower" if self.lower_wins else "higher"

    @property
    def direction(self) -> str:
        """What every axis says: "lower is better" or "higher is better"."""
        return f"{self.wanted} is better"

    @property
    def head(self) -> str:
        """The name above a column of values, with an arrow where less is better."""
        return f"{self.name} ↓" if self.lower_wins else self.name

    @property
    def scale(self) -> float:
        """What a value is multiplied with for people."""
        return 100.0 if self.percent else 1.0

    @property
    def digits(self) -> int:
        """Decimals of a value for people, after scaling."""
        return 1 if self.percent else 3

    def worsened(self, value: float, by: float) -> float:
        """A value moved by an amount to the side that is worse."""
        return value + by if self.lower_wins else value - by

    def value_text(self, value: float) -> str:
        """A value for people: shares in percent; a dash where there is none."""
        return "–" if math.isnan(value) else f"{self.scale * value:.{self.digits}f}"


METRIC = {
    "mae": Metric("MAE", mode="min", percent=False),
    "corr": Metric("Corr", percent=False),
    "acc7": Metric("Acc-7", bound=3.0),
    "acc5": Metric("Acc-5", bound=2.0),
    "acc2_has0": Metric("Acc-2 (Has0)"),
    "acc2_non0": Metric("Acc-2 (Non0)"),
    "f1_has0": Metric("F1 (Has0)"),
    "f1_non0": Metric("F1 (Non0)"),
    "acc5_sims": Metric("Acc-5", cuts=(-0.7, -0.1, 0.1, 0.7)),
    "acc3_sims": Metric("Acc-3", cuts=(-0.1, 0.1)),
    "acc2_sims": Metric("Acc-2", cuts=(0.0,)),
    "f1_sims": Metric("F1", cuts=(0.0,)),
}
"""Each metric by its name in files, tables and options."""

METRICS = tuple(name for name, metric in METRIC.items() if not metric.cuts)
"""Those of labels from −3 to 3, in the order in which they are shown."""

_ROUNDING = 1e-6
_SIMS_RANGE = 1.0
_SIMS = ("mae", "corr", *(name for name, metric in METRIC.items() if metric.cuts))


def metrics_of(label_range: float) -> tuple[str, ...]:
    """The metrics of labels between − and + this (3 or 1), in the order of showing them."""
    return _SIMS if label_range == _SIMS_RANGE else METRICS


def clipped(values: NDArray[np.float64], label_range: float) -> NDArray[np.float64]:
    """Labels or predictions as their metrics count them: CH-SIMS's within their range.

    MMSA clips both there (`metricsTop.py`, `__eval_sims_regression`), and neither elsewhere.

    Args:
        values: Any shape; NaN stays.
        label_range: Labels lie between − and + this.
    """
    return np.clip(values, -label_range, label_range) if label_range == _SIMS_RANGE else values


def is_constant(predictions: ArrayLike) -> NDArray[np.bool_]:
    """Which runs predict the same for everyone: what differs is no more than float32's rounding.

    Args:
        predictions: (…, N), one run a row.

    Returns:
        (…,), never true of a single utterance.
    """
    p = np.asarray(predictions, dtype=np.float64)
    if p.shape[-1] < 2:
        return np.zeros(p.shape[:-1], dtype=np.bool_)
    largest = np.maximum(np.abs(p).max(axis=-1), 1.0)
    return np.asarray(np.ptp(p, axis=-1) <= _ROUNDING * largest)


def why_undefined(metric: str, labels: ArrayLike, label_range: float = 3.0) -> str | None:
    """Why no predictions whatever have this metric on these labels; None where some have.

    Args:
        metric: Of `METRIC`.
        labels: (N,), at least one.
        label_range: They lie between − and + this.
    """
    y = np.asarray(labels, dtype=np.float64).reshape(-1)
    if metric not in metrics_of(label_range):
        return (
            f"labels between {-label_range:g} and {label_range:g} have the metrics "
            f"{', '.join(metrics_of(label_range))}"
        )
    if metric == "corr" and np.ptp(y) == 0:
        return f"it needs labels that differ, and all {len(y)} are {y[0]:g}"
    if metric.endswith("_non0") and not y.any():
        return f"it needs labels other than 0, and all {len(y)} are 0"
    return None


def evaluate(
    labels: ArrayLike, predictions: ArrayLike, label_range: float = 3.0
) -> dict[str, float]:
    """Compare predictions with the truth.

    Args:
        labels: (N,) sentiment, about −3 … 3.
        predictions: (N,) in the order of `labels`; not clipped.
        label_range: Labels lie between − and + this. With 1 both sides are clipped to it first,
            as MMSA does for CH-SIMS (`metricsTop.py`, `__eval_sims_regression`).

    Returns:
        Every metric of `metrics_of(label_range)`; shares lie in [0, 1]. NaN says that a metric is
        undefined: `corr` where labels or (up to rounding) predictions are constant, the Non0 pair
        where every label is 0.

    Raises:
        ValueError: The two differ in length or are empty, or a number is not finite.
    """
    y = np.asarray(labels, dtype=np.float64).reshape(-1)
    p = np.asarray(predictions, dtype=np.float64).reshape(-1)
    if len(y) != len(p) or not len(y):
        raise ValueError(
            f"labels and predictions must be of one length above 0, but got {len(y)} and {len(p)}"
        )
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise ValueError("labels and predictions must be finite, but some are not")
    if label_range == _SIMS_RANGE:
        return _evaluate_sims(clipped(y, label_range), clipped(p, label_range))
    signed = y != 0
    return {
        "mae": float(np.abs(p - y).mean()),
        "corr": _correlation(y, p),
        "acc7": float((_classes(p, "acc7") == _classes(y, "acc7")).mean()),
        "acc5": float((_classes(p, "acc5") == _classes(y, "acc5")).mean()),
        "acc2_has0": _accuracy(y >= 0, p >= 0),
        "acc2_non0": _accuracy(y[signed] > 0, p[signed] > 0),
        "f1_has0": _weighted_f1(y >= 0, p >= 0),
        "f1_non0": _weighted_f1(y[signed] > 0, p[signed] > 0),
    }


def _evaluate_sims(y: NDArray[np.float64], p: NDArray[np.float64]) -> dict[str, float]:
    found = {"mae": float(np.abs(p - y).mean()), "corr": _correlation(y, p)}
    for name in _SIMS[2:]:
        # A class holds its upper end: (−1.01, −0.1], (−0.1, 0.1], (0.1, 1.01].
        truth, guess = (np.digitize(x, METRIC[name].cuts, right=True) for x in (y, p))
        if name == "f1_sims":
            found[name] = _weighted_f1(truth == 1, guess == 1)
        else:
            found[name] = float((truth == guess).mean())
    return found


def _classes(values: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Clipped first, then rounded, halves to even."""
    bound = METRIC[metric].bound
    return np.rint(np.clip(values, -bound, bound))


def _correlation(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Pearson's r, or NaN where one side is constant."""
    dy, dp = y - y.mean(), p - p.mean()
    length_y = np.linalg.norm(dy)
    # Rounding of the mean leaves constants a small deviation, squaring leaves tiny ones none.
    if np.ptp(y) == 0 or length_y == 0 or is_constant(p):
        return float("nan")
    return float((dy / length_y) @ (dp / np.linalg.norm(dp)))


def _accuracy(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> float:
    return float((truth == guess).mean()) if len(truth) else float("nan")


def _weighted_f1(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> float:
    """F1 of each of the two classes, weighted by how often the truth has it."""
    if not len(truth):
        return float("nan")
    total = 0.0
    for side in (False, True):
        in_truth, in_guess = truth == side, guess == side
        hits = np.sum(in_truth & in_guess)
        found = np.sum(in_truth) + np.sum(in_guess)
        if found:
            total += float(np.sum(in_truth) * 2.0 * hits / found)
    return total / len(truth)
