"""What seeds and videos can show: before a study runs, and what would decide it afterwards.

Everything is computed for a true difference that is asked about (such as one margin) and from the
variance components, never from the difference that was observed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from tune.stats.intervals import CrossedVariance

__all__ = [
    "FEWEST_PAIRS",
    "FEWEST_VIDEOS",
    "POWER",
    "Range",
    "Spread",
    "detectable_difference",
    "detectable_in_seed_sds",
    "pairs_range",
    "pairs_that_decide",
    "power_for_new_videos",
    "power_on_this_test_set",
    "videos_range",
    "videos_that_decide",
]

FloatArray = npt.NDArray[np.float64]

Range = tuple[int | None, int | None]
"""The 10 % and the 90 % end of a number that is needed; None where none is enough."""

FEWEST_PAIRS = 5
"""Fewer complete pairs than these give no verdict."""

FEWEST_VIDEOS = 8
"""Fewer videos than these give no claim about new videos."""

POWER = 0.8
"""A difference "can be seen" where it is found in this share of studies."""

_ENDLESS = 10**7
_MOST_VIDEOS = 10**5
_DRAWS = 40  # of the variances that the data leave open


@dataclass(frozen=True)
class Spread:
    """Variance components of the difference of one seed on one video.

    Attributes:
        seed: Variance between seeds (of the paired difference).
        video: Variance between videos.
        error: Variance of one seed on one video beyond both.
        evenness: How many equally long videos one video counts for; 1 where all are equally long,
            about 0.84 in MOSI.
    """

    seed: float
    video: float
    error: float
    evenness: float = 1.0

    @classmethod
    def of(cls, crossed: CrossedVariance) -> "Spread":
        """The components that an analysis of variance estimated."""
        effective = crossed.effective_videos or crossed.videos
        return cls(
            crossed.seed_component,
            crossed.video_component,
            crossed.error_component,
            effective / crossed.videos,
        )

    def expected(self, pairs: int, videos: int) -> CrossedVariance:
        """The mean squares to be expected with so many pairs and videos."""
        return CrossedVariance(
            mean=0.0,
            seeds=pairs,
            videos=videos,
            ms_seed=videos * self.seed + self.error,
            ms_video=pairs * self.video + self.error,
            ms_error=self.error,
            effective_videos=max(self.evenness * videos, 2.0),
        )


def _two_sided_power(ratio: float, freedom: float, alpha: float) -> float:
    """Power of a two-sided t test whose true difference is `ratio` standard errors."""
    critical = special.stdtrit(freedom, 1.0 - alpha / 2.0)
    # Beyond a million degrees of freedom Student's t is the normal curve, and nctdtr loses digits.
    if freedom > 1e6 or ratio > 35.0:
        return float(special.ndtr(ratio - critical) + special.ndtr(-ratio - critical))
    above = 1.0 - special.nctdtr(freedom, ratio, critical)
    # The wrong side: below 3e-7 beyond a ratio of 5, and NaN in nctdtr beyond 7.5.
    below = special.nctdtr(freedom, ratio, -critical) if ratio < 5.0 else 0.0
    return float(above + below)


def power_on_this_test_set(difference: float, seed_sd: float, pairs: int, alpha: float) -> float:
    """Share of studies in which a true difference is found on this very test set.

    Args:
        difference: True mean difference over all seeds.
        seed_sd: Standard deviation of the paired difference between seeds, > 0.
        pairs: n ≥ 2.
        alpha: Such as 0.05.
    """
    return _two_sided_power(abs(difference) / seed_sd * pairs**0.5, pairs - 1.0, alpha)


def power_for_new_videos(
    difference: float, spread: Spread, pairs: int, videos: int, alpha: float = 0.05
) -> float:
    """Share of studies in which a true difference is found for videos like these.

    Args:
        difference: True mean difference over all seeds and all videos of the kind.
        spread: The variance components.
        pairs: n ≥ 2.
        videos: K ≥ 2.
        alpha: The level of the look: 0.05 where it is the only one.
    """
    crossed = spread.expected(pairs, videos)
    if crossed.standard_error == 0.0:
        return 1.0 if difference else alpha
    return _two_sided_power(
        abs(difference) / crossed.standard_error, crossed.degrees_of_freedom, alpha
    )


def detectable_in_seed_sds(pairs: int, alpha: float = 0.05) -> float:
    """The gap found in 80 % of studies on this test set, in sd of the paired seed difference."""

    def missing(gap: float) -> float:
        return power_on_this_test_set(gap, 1.0, pairs, alpha) - POWER

    return float(optimize.brentq(missing, 1e-6, 30.0))


def detectable_difference(spread: Spread, pairs: int, videos: int, alpha: float = 0.05) -> float:
    """The true difference that is found in 80 % of studies for videos like these."""
    error = spread.expected(pairs, videos).standard_error
    if error == 0.0:
        return 0.0

    def missing(ratio: float) -> float:
        return power_for_new_videos(ratio * error, spread, pairs, videos, alpha) - POWER

    return float(optimize.brentq(missing, 1e-6, 1e4)) * error


def pairs_that_decide(
    difference: float, spread: Spread, videos: int, alpha: float = 0.05
) -> int | None:
    """The fewest seeds that find a true difference in 80 % of studies on so many videos.

    Returns:
        The number of pairs, at least `FEWEST_PAIRS`; None where videos alone make it impossible,
        however many seeds.
    """

    def enough(pairs: int) -> bool:
        return power_for_new_videos(difference, spread, pairs, videos, alpha) >= POWER

    return _fewest(enough, FEWEST_PAIRS, _ENDLESS)


def videos_that_decide(
    difference: float, spread: Spread, pairs: int, alpha: float = 0.05
) -> int | None:
    """The fewest videos that find a true difference in 80 % of studies with so many seeds.

    Returns:
        The number of videos, at least `FEWEST_VIDEOS`; None where seeds alone make it impossible.
    """

    def enough(videos: int) -> bool:
        return power_for_new_videos(difference, spread, pairs, videos, alpha) >= POWER

    return _fewest(enough, FEWEST_VIDEOS, _MOST_VIDEOS)


def pairs_range(
    difference: float, spread: Spread, size: tuple[int, int], alpha: float = 0.05
) -> Range:
    """Between which numbers of seeds the one lies that finds a difference in 80 % of studies.

    The components are known from few seeds and videos. Mean squares are drawn as these leave them
    open, each times its degrees of freedom over a χ², and the number is worked out for each draw.

    Args:
        difference: True mean difference over all seeds and all videos of the kind.
        spread: The components as estimated.
        size: The seeds and videos that they were estimated from; the videos stay.
        alpha: The level of the last look.

    Returns:
        Ends of which 10 % of the draws lie below and above.
    """
    drawn, videos = _drawn(spread, size), float(size[1])

    def enough(pairs: FloatArray) -> npt.NDArray[np.bool_]:
        return _found(difference, drawn, pairs, videos, alpha)

    return _ends(enough, FEWEST_PAIRS, _ENDLESS)


def videos_range(
    difference: float, spread: Spread, size: tuple[int, int], pairs: int, alpha: float = 0.05
) -> Range:
    """The same of test videos like these.

    Args:
        difference: True mean difference over all seeds and all videos of the kind.
        spread: The components as estimated.
        size: The seeds and videos that they were estimated from.
        pairs: The seeds of the study that is asked about.
        alpha: The level of the last look.
    """
    drawn, seeds = _drawn(spread, size), float(pairs)

    def enough(videos: FloatArray) -> npt.NDArray[np.bool_]:
        return _found(difference, drawn, seeds, videos, alpha)

    return _ends(enough, FEWEST_VIDEOS, _MOST_VIDEOS)


class _Drawn(NamedTuple):
    """Components as in `Spread`, one of each a draw."""

    seed: FloatArray
    video: FloatArray
    error: FloatArray
    evenness: float


def _drawn(spread: Spread, size: tuple[int, int]) -> _Drawn:
    pairs, videos = size
    expected = spread.expected(pairs, videos)
    rng = np.random.default_rng(0)  # the same answer whenever it is asked
    effective = (expected.effective_videos or videos) - 1.0
    squares = (
        (expected.ms_seed, pairs - 1.0),
        (expected.ms_video, max(effective, 1.0)),
        (expected.ms_error, (pairs - 1.0) * (videos - 1.0)),
    )
    of_seed, of_video, error = (
        square * degrees / rng.chisquare(degrees, _DRAWS) for square, degrees in squares
    )
    return _Drawn(
        np.maximum(of_seed - error, 0.0) / videos,
        np.maximum(of_video - error, 0.0) / pairs,
        error,
        spread.evenness,
    )


def _found(
    difference: float,
    drawn: _Drawn,
    pairs: FloatArray | float,
    videos: FloatArray | float,
    alpha: float,
) -> npt.NDArray[np.bool_]:
    """For which draws a study of this size finds the difference in 80 %.

    As `power_for_new_videos` for one; the claims of the wrong side are left out.

    Source: for the noncentral t, Abramowitz and Stegun (1964), 26.7.10.
    """
    squares = (videos * drawn.seed + drawn.error, pairs * drawn.video + drawn.error, drawn.error)
    scaled = np.maximum(squares[0] + squares[1] - squares[2], squares[2])
    effective = np.maximum(np.maximum(drawn.evenness * videos, 2.0) - 1.0, 1.0)
    degrees = (pairs - 1.0, effective, (pairs - 1.0) * (videos - 1.0))
    total = sum(square**2 / of for square, of in zip(squares, degrees, strict=True))
    freedom = np.clip(scaled**2 / np.maximum(total, 1e-300), 1.0, 1e6)
    ratio = abs(difference) / np.sqrt(scaled / (pairs * videos) + 1e-300)
    critical = special.stdtrit(freedom, 1.0 - alpha / 2.0)
    shrunk = critical * (1.0 - 0.25 / freedom) - ratio
    missed = special.ndtr(shrunk / np.sqrt(1.0 + critical**2 / (2.0 * freedom)))
    found: npt.NDArray[np.bool_] = missed <= 1.0 - POWER
    return found


def _ends(enough: Callable[[FloatArray], npt.NDArray[np.bool_]], fewest: int, most: int) -> Range:
    """The 10 % and 90 % points of the smallest numbers that are enough, by halving."""
    low, high = np.full(_DRAWS, fewest - 1.0), np.full(_DRAWS, float(most))
    endless = ~enough(high)
    for _ in range(most.bit_length()):
        middle = np.floor((low + high) / 2.0)
        does = enough(np.maximum(middle, fewest))
        low, high = np.where(does, low, middle), np.where(does, middle, high)
    needed = np.sort(np.where(endless, np.inf, np.maximum(high, fewest)))
    ends = needed[[_DRAWS // 10, _DRAWS - 1 - _DRAWS // 10]]
    first, last = (None if np.isinf(end) else int(end) for end in ends)
    return first, last


def _fewest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number that is enough, by halving; None where not even `high` is."""
    if enough(low):
        return low
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
