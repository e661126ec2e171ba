"""Runs that fell: a constant prediction, or far worse than the configuration's other seeds.

The rule stands before any result is known. Such a run is no failure: it has a value, which
counts. But a few of them decide a mean, and where none was seen none is ruled out.
"""

import numpy as np
import numpy.typing as npt

from hscl.metrics import is_constant

__all__ = ["collapse_rate_bound", "fallen_runs", "far_from_others"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_NORMAL = 1.4826  # median absolute deviations of a normal distribution in a standard deviation


def far_from_others(values: FloatArray, margin: float) -> FloatArray:
    """How far each value lies beyond what is usual around the median; 0 where it does not.

    Usual is what lies within ``4.3 + 230/n²`` robust standard deviations (1.4826 median absolute
    deviations) and within the margin. Of n normal values, 5 to 40, the largest lies beyond in 0.5
    to 1.5 % of samples; fewer than four are never far from each other.

    Args:
        values: (n,) finite.
        margin: What counts as no difference, ≥ 0.

    Returns:
        (n,) the signed distance from the median, 0 for usual values.

    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), for the measure; the
    bound is fitted to simulated samples.
    """
    if values.size < 4:
        return np.zeros(values.size)
    distance = values - np.median(values)
    bound = (4.3 + 230.0 / values.size**2) * _NORMAL * float(np.median(np.abs(distance)))
    far: FloatArray = np.where(np.abs(distance) > max(bound, margin), distance, 0.0)
    return far


def fallen_runs(
    scores: FloatArray, predictions: FloatArray, margin: float, *, lower_wins: bool
) -> BoolArray:
    """Which of a configuration's runs collapsed or had bad luck.

    Args:
        scores: (n,) the metric of each run; NaN where it has none: such a run is not looked at.
        predictions: (n, U) its predictions; a constant one is a collapse, whatever its metric.
        margin: What counts as no difference, ≥ 0.
        lower_wins: True where smaller values of the metric are wanted.
    """
    known = np.isfinite(scores)
    fallen = np.zeros(scores.size, dtype=np.bool_)
    if not known.any():
        return fallen
    far = far_from_others(scores[known], margin)
    fallen[known] = ((far > 0.0) if lower_wins else (far < 0.0)) | is_constant(predictions[known])
    return fallen


def collapse_rate_bound(runs: int) -> float:
    """The largest rate of collapses under which none in so many runs happens in 5 % of cases.

    Args:
        runs: n ≥ 1.
    """
    return float(1.0 - 0.05 ** (1.0 / runs))
