"""Two groups of runs that share videos but no seeds: intervals for the difference of their means.

As in `tune.stats.intervals`, two questions are kept apart: on this test set only seeds vary, and
on videos like these seeds and videos do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tune.stats.intervals import CrossedVariance, Interval, crossed_variance, student_interval

__all__ = ["crossed_difference", "welch_interval"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def welch_interval(first: FloatArray, second: FloatArray, level: float = 0.95) -> Interval:
    """The interval of mean(first) − mean(second): only seeds vary.

    Args:
        first: (n,) one score a run, n ≥ 2.
        second: (m,) likewise.
        level: Such as 0.95.

    Source: Welch, Biometrika 34 (1947).
    """
    parts = [_Part(float(s.var(ddof=1)) / s.size, s.size - 1.0) for s in (first, second)]
    return _interval(float(first.mean() - second.mean()), parts, 0.0, level)


def crossed_difference(
    first: FloatArray, second: FloatArray, videos: IntArray, level: float = 0.95
) -> Interval:
    """The interval of the difference for new seeds and new videos.

    Both groups are seeds × videos with random effects of both; the videos are the same, the seeds
    are not. The variance of the difference is that of each group's seed means, plus that of the
    videos' differences, less what either counts twice:
    ``S_A/n + S_B/m + V/K − E_A/(nK) − E_B/(mK)``. With Satterthwaite's degrees of freedom.

    Args:
        first: (n, U) the metric's value of each run on each utterance, n ≥ 2.
        second: (m, U) likewise, on the same utterances.
        videos: (U,) number of each utterance's video, 0 … K − 1, each present; K ≥ 2.
        level: Such as 0.95.

    Source: Searle, Casella, McCulloch, Variance Components (1992), ch. 4.
    """
    groups = [crossed_variance(values, videos) for values in (first, second)]
    # One row alone has no seeds to vary: its columns are the videos' mean differences.
    mean_rows = np.stack([first.mean(axis=0) - second.mean(axis=0)] * 2)
    of_videos = crossed_variance(mean_rows, videos)
    columns = max((of_videos.effective_videos or of_videos.videos) - 1.0, 1.0)
    parts = [
        *(_Part(g.ms_seed / (g.seeds * g.videos), g.seeds - 1.0) for g in groups),
        _Part(of_videos.ms_video / (of_videos.seeds * of_videos.videos), columns),
        *(_Part(-_error(g), (g.seeds - 1.0) * (g.videos - 1.0)) for g in groups),
    ]
    estimate = groups[0].mean - groups[1].mean
    return _interval(estimate, parts, sum(_error(g) for g in groups), level)


@dataclass(frozen=True)
class _Part:
    """A part of the variance of the difference, and its degrees of freedom."""

    variance: float
    degrees: float


def _error(group: CrossedVariance) -> float:
    """Variance of a group's mean that neither seeds nor videos explain."""
    return group.ms_error / (group.seeds * group.videos)


def _interval(estimate: float, parts: list[_Part], least: float, level: float) -> Interval:
    variance = max(sum(part.variance for part in parts), least)
    spread = sum(part.variance**2 / part.degrees for part in parts)
    fewest = min(part.degrees for part in parts)
    degrees = max(variance**2 / spread, 1.0) if spread else fewest
    return student_interval(estimate, variance**0.5, degrees, level)
