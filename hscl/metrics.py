"""The field's eight metrics, unrounded, as MMSA, MMIM and the HSCL authors compute them."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["METRICS", "MODE", "evaluate"]

METRICS = ("mae", "corr", "acc7", "acc5", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0")
"""Names in the order in which they are shown."""

MODE: dict[str, Literal["min", "max"]] = {
    name: "min" if name == "mae" else "max" for name in METRICS
}
"""Whether less or more of a metric is better."""


def evaluate(labels: ArrayLike, predictions: ArrayLike) -> dict[str, float]:
    """Compare predictions with the truth.

    Args:
        labels: (N,) sentiment, about −3 … 3.
        predictions: (N,) in the order of `labels`; not clipped.

    Returns:
        Every metric of `METRICS`; shares lie in [0, 1]. NaN says that a metric is undefined:
        `corr` where labels or predictions are constant, the Non0 pair where every label is 0.

    Raises:
        ValueError: The two differ in length or are empty.
    """
    y = np.asarray(labels, dtype=np.float64).reshape(-1)
    p = np.asarray(predictions, dtype=np.float64).reshape(-1)
    if len(y) != len(p) or not len(y):
        raise ValueError(
            f"labels and predictions must be of one length above 0, but got {len(y)} and {len(p)}"
        )
    signed = y != 0
    return {
        "mae": float(np.abs(p - y).mean()),
        "corr": _correlation(y, p),
        "acc7": float((_classes(p, 3.0) == _classes(y, 3.0)).mean()),
        "acc5": float((_classes(p, 2.0) == _classes(y, 2.0)).mean()),
        "acc2_has0": _accuracy(y >= 0, p >= 0),
        "acc2_non0": _accuracy(y[signed] > 0, p[signed] > 0),
        "f1_has0": _weighted_f1(y >= 0, p >= 0),
        "f1_non0": _weighted_f1(y[signed] > 0, p[signed] > 0),
    }


def _classes(values: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Clipped first, then rounded, halves to even."""
    return np.rint(np.clip(values, -bound, bound))


def _correlation(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Pearson's r, or NaN where one side is constant."""
    dy, dp = y - y.mean(), p - p.mean()
    length_y, length_p = np.linalg.norm(dy), np.linalg.norm(dp)
    # Rounding of the mean leaves constants a small deviation, squaring leaves tiny ones none.
    if np.ptp(y) == 0 or np.ptp(p) == 0 or length_y == 0 or length_p == 0:
        return float("nan")
    return float((dy / length_y) @ (dp / length_p))


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
