"""Intervals for a mean difference: over seeds alone, and over seeds and videos together.

Two questions are kept apart. *On this test set* only seeds vary, and Student's t over the seeds'
means answers. *On videos like these* seeds and videos vary: the utterances of one video are alike,
so that the columns are videos, never utterances.
"""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "CrossedVariance",
    "Interval",
    "crossed_variance",
    "student_interval",
    "t_interval",
    "two_level_bootstrap",
    "video_cells",
    "videos_interval",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it, in the metric's own units.

    Attributes:
        estimate: The point estimate.
        low: Lower end.
        high: Upper end.
        level: How often such intervals hold the truth, such as 0.95.
        standard_error: Standard error of the estimate; NaN for percentile intervals.
        degrees_of_freedom: Of Student's t; NaN for percentile intervals.
    """

    estimate: float
    low: float
    high: float
    level: float
    standard_error: float = float("nan")
    degrees_of_freedom: float = float("nan")

    def excludes(self, value: float = 0.0) -> bool:
        """Whether a value lies outside the interval."""
        return value < self.low or value > self.high

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies inside ± margin."""
        return -margin < self.low and self.high < margin

    def at(self, level: float) -> "Interval":
        """The same estimate at another level (Student's t only)."""
        return student_interval(self.estimate, self.standard_error, self.degrees_of_freedom, level)

    def p_value(self) -> float:
        """Two-sided p value of the hypothesis that the truth is 0 (Student's t only)."""
        if self.standard_error == 0.0:
            return 1.0 if self.estimate == 0.0 else 0.0
        ratio = abs(self.estimate) / self.standard_error
        return float(2.0 * special.stdtr(self.degrees_of_freedom, -ratio))

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON; what is not a number becomes None."""
        return {k: float(v) if np.isfinite(v) else None for k, v in asdict(self).items()}


def student_interval(
    estimate: float, standard_error: float, degrees_of_freedom: float, level: float
) -> Interval:
    """The interval estimate ± t · standard_error.

    Args:
        estimate: Centre of the interval.
        standard_error: Zero gives an interval without width.
        degrees_of_freedom: Of Student's t; need not be whole.
        level: Such as 0.95.
    """
    half = 0.0
    if standard_error > 0.0:
        quantile = special.stdtrit(degrees_of_freedom, 0.5 + level / 2.0)
        half = float(quantile) * standard_error
    return Interval(
        estimate, estimate - half, estimate + half, level, standard_error, degrees_of_freedom
    )


def t_interval(differences: FloatArray, level: float = 0.95) -> Interval:
    """Student's t interval of the mean: only seeds vary, the utterances stay.

    Args:
        differences: (n,) one paired difference per seed, n ≥ 2.
        level: Such as 0.95.

    Raises:
        ValueError: There are fewer than two differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"a t interval needs two or more differences, got shape {values.shape}")
    error = float(values.std(ddof=1)) / values.size**0.5
    return student_interval(float(values.mean()), error, values.size - 1.0, level)


@dataclass(frozen=True)
class CrossedVariance:
    """Two-way random effects without replication: seeds × videos.

    Source: Searle, Casella, McCulloch, Variance Components (1992), ch. 4, on the linearised ratio
    mean (Cochran, Sampling Techniques, ch. 6).

    Attributes:
        mean: Mean difference over seeds and utterances.
        seeds: n, rows.
        videos: K, columns.
        ms_seed: Mean square between seeds, n − 1 degrees of freedom.
        ms_video: Mean square between videos, K − 1 degrees of freedom.
        ms_error: Residual mean square, (n − 1)(K − 1) degrees of freedom.
        effective_videos: How many equally long videos would say as much (Kish's U² / Σ n_v²);
            K where not given. Long videos dominate the mean, so that `ms_video` has fewer degrees
            of freedom than K − 1: with 8 videos of 10 to 40 utterances false claims were 6.6 to
            7.2 % without this and 5.5 to 6.2 % with it; with 31 it hardly matters.
    """

    mean: float
    seeds: int
    videos: int
    ms_seed: float
    ms_video: float
    ms_error: float
    effective_videos: float | None = None

    @property
    def seed_component(self) -> float:
        """Variance between seeds, beyond the residual; never negative."""
        return max(self.ms_seed - self.ms_error, 0.0) / self.videos

    @property
    def video_component(self) -> float:
        """Variance between videos, beyond the residual; never negative."""
        return max(self.ms_video - self.ms_error, 0.0) / self.seeds

    @property
    def error_component(self) -> float:
        """Variance of one seed on one video beyond both effects."""
        return self.ms_error

    @property
    def _scaled(self) -> float:
        return max(self.ms_seed + self.ms_video - self.ms_error, self.ms_error)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over new seeds and new videos."""
        return float((self._scaled / (self.seeds * self.videos)) ** 0.5)

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's approximation from the three mean squares; at least 1."""
        rows, columns = self.seeds - 1.0, self.videos - 1.0
        effective = columns if self.effective_videos is None else self.effective_videos - 1.0
        spread = (
            self.ms_seed**2 / rows
            + self.ms_video**2 / max(effective, 1.0)
            + self.ms_error**2 / (rows * columns)
        )
        if spread == 0.0:
            return min(rows, columns)
        return max(self._scaled**2 / spread, 1.0)

    def interval(self, level: float = 0.95) -> Interval:
        """The interval of the mean for new seeds and new videos of the same kind."""
        return student_interval(self.mean, self.standard_error, self.degrees_of_freedom, level)


def video_cells(differences: FloatArray, videos: IntArray) -> FloatArray:
    """Per-utterance differences as cells, seeds × videos, whose mean is the overall mean.

    Args:
        differences: (n, U) difference of seed s on utterance u.
        videos: (U,) number of each utterance's video, 0 … K − 1, each present.

    Returns:
        (n, K) ``x_sv = (K / U) (S_sv − m n_v) + m``, S the sum over a video's utterances, n_v
        their number, m the overall mean: the ratio mean, linearised.
    """
    values = np.asarray(differences, dtype=np.float64)
    counts = np.bincount(videos)
    sums = _video_sums(values, videos, counts)
    mean = values.mean()
    cells: FloatArray = (counts.size / values.shape[1]) * (sums - mean * counts) + mean
    return cells


def _video_sums(values: FloatArray, videos: IntArray, counts: IntArray) -> FloatArray:
    """(n, K) sums over each video's utterances."""
    order = np.argsort(videos, kind="stable")
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    sums: FloatArray = np.add.reduceat(values[:, order], starts, axis=1)
    return sums


def crossed_variance(
    differences: FloatArray, videos: IntArray, *, by_weight: bool = True
) -> CrossedVariance:
    """Mean squares of seeds, videos and residual from per-utterance differences.

    A long video pulls the mean towards itself, so that its own deviation is too small: with
    ``w_v = n_v / U`` the variance of ``d_v − m`` is ``1 − 2 w_v + Σ w²`` times that of ``d_v``.
    Squares are divided by that. Without, lognormal(1) lengths made 7.0 % of false claims, with it
    5.9 %; on MOSI's lengths it costs 0.6 points of power (30,000 and 8,000 simulated studies).

    Args:
        differences: (n, U) difference of seed s on utterance u, n ≥ 2.
        videos: (U,) number of each utterance's video, 0 … K − 1, each present; K ≥ 2.
        by_weight: Divide by that; else by (K − 1) / K for all, as older studies declared.

    Raises:
        ValueError: Fewer than two seeds or two videos.

    Source: for the weights MacKinnon and White, J. Econometrics 29 (1985), their HC2.
    """
    cells = video_cells(differences, videos)
    n, k = cells.shape
    if n < 2 or k < 2:
        raise ValueError(f"seeds × videos need two or more of each, got {n} × {k}")
    mean = cells.mean()
    rows = cells.mean(axis=1)
    columns = cells.mean(axis=0)
    weights = np.bincount(videos) / videos.size
    squared = float((weights**2).sum())
    kept = 1.0 - 2.0 * weights + squared if by_weight else np.full(k, 1.0 - 1.0 / k)
    residual = cells - rows[:, None] - columns[None, :] + mean
    return CrossedVariance(
        mean=float(mean),
        seeds=n,
        videos=k,
        ms_seed=float(k * rows.var(ddof=1)),
        ms_video=float(n * ((columns - mean) ** 2 / kept).sum() / k),
        ms_error=float((residual**2 / kept).sum() / ((n - 1) * k)),
        effective_videos=1.0 / squared,
    )


def videos_interval(values: FloatArray, videos: IntArray, level: float = 0.95) -> Interval:
    """The interval of one set of predictions' mean for new videos: only videos vary.

    Args:
        values: (U,) the metric's value on each utterance.
        videos: (U,) number of each utterance's video, 0 … K − 1, each present; K ≥ 2.
        level: Such as 0.95.
    """
    of = crossed_variance(np.stack([values, values]), videos)
    error = (of.ms_video / (of.seeds * of.videos)) ** 0.5
    return student_interval(of.mean, error, max((of.effective_videos or 2.0) - 1.0, 1.0), level)


def two_level_bootstrap(
    differences: FloatArray,
    videos: IntArray,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Percentile interval from drawing seeds and videos again; shown beside, it decides nothing.

    It holds the truth more often than it says where seeds dominate.

    Args:
        differences: (n, U) difference of seed s on utterance u.
        videos: (U,) number of each utterance's video, 0 … K − 1, each present.
        rng: The source of the draws.
        level: Such as 0.95.
        draws: How many times both are drawn.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.shape[0]
    counts = np.bincount(videos)
    k = counts.size
    sums = _video_sums(values, videos, counts)
    seed_weights = rng.multinomial(n, np.full(n, 1.0 / n), size=draws)
    video_weights = rng.multinomial(k, np.full(k, 1.0 / k), size=draws)
    numerators = ((seed_weights @ sums) * video_weights).sum(axis=1)
    means = numerators / (n * (video_weights @ counts))
    low, high = np.quantile(means, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(float(values.mean()), float(low), float(high), level)
