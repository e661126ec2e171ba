"""What seeds and videos can show: before a study runs, and what would decide it afterwards.

Everything is computed for a true difference that is asked about (such as one margin) and from the
variance components, never from the difference that was observed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, special

from tune.stats.intervals import CrossedVariance

__all__ = [
    "FEWEST_PAIRS",
    "FEWEST_VIDEOS",
    "POWER",
    "Spread",
    "detectable_difference",
    "detectable_in_seed_sds",
    "pairs_that_decide",
    "power_for_new_videos",
    "power_on_this_test_set",
    "videos_that_decide",
]

FEWEST_PAIRS = 5
"""Fewer complete pairs than these give no verdict."""

FEWEST_VIDEOS = 8
"""Fewer videos than these give no claim about new videos."""

POWER = 0.8
"""A difference "can be seen" where it is found in this share of studies."""

_ENDLESS = 10**7
_MOST_VIDEOS = 10**5


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
