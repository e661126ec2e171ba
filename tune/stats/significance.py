"""Sign-flip tests, Holm's correction, equivalence, and the one order that finds a verdict."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from tune.states import Verdict
from tune.stats.intervals import Interval

__all__ = [
    "EXACT_PAIRS",
    "equivalence_p",
    "find_verdict",
    "holm",
    "probability_of_improvement",
    "sign_flip_p",
]

FloatArray = npt.NDArray[np.float64]

EXACT_PAIRS = 20
"""Up to so many pairs every one of the 2ⁿ sign patterns is looked at."""

_TIE = 1e-9


def sign_flip_p(
    differences: FloatArray, rng: np.random.Generator | None = None, *, draws: int = 100_000
) -> float:
    """Two-sided p value of a paired sign-flip test on the absolute mean difference.

    Exact up to `EXACT_PAIRS` pairs; beyond, sign patterns are drawn and p = (b + 1)/(B + 1).
    Under the null the differences are symmetric around 0.

    Args:
        differences: (n,) one paired difference per seed, n ≥ 1.
        rng: The source of the draws; needed above `EXACT_PAIRS` pairs only.
        draws: B, used above `EXACT_PAIRS` pairs only.

    Raises:
        ValueError: No differences, or draws are needed and no generator was given.

    Source: Phipson and Smyth, Permutation p-values should never be zero (2010).
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"a sign-flip test needs differences, got shape {values.shape}")
    observed = abs(values.sum()) - _TIE * np.abs(values).sum()
    if values.size <= EXACT_PAIRS:
        if observed <= 0.0:
            return 1.0
        # All sums of two halves, counted from one sorted half instead of written out.
        half = values.size // 2
        one, other = _signed_sums(values[:half]), np.sort(_signed_sums(values[half:]))
        above = other.size - np.searchsorted(other, observed - one, side="left")
        below = np.searchsorted(other, -observed - one, side="right")
        return float((above + below).sum() / (one.size * other.size))
    if rng is None:
        raise ValueError(f"more than {EXACT_PAIRS} pairs need a generator for the draws")
    extreme = 0
    left = draws
    while left:
        chunk = min(left, 20_000)
        signs = rng.integers(0, 2, size=(chunk, values.size)) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= observed))
        left -= chunk
    return (extreme + 1) / (draws + 1)


def _signed_sums(values: FloatArray) -> FloatArray:
    """All 2ⁿ sums of ± values; one zero for none."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for testing several hypotheses together.

    The k-th smallest of m is multiplied by m − k + 1, and none may be below the one before it.

    Args:
        p_values: One per hypothesis; NaN stays NaN and does not count.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    stepped = values[order] * np.arange(len(order), 0, -1)
    corrected = np.full(values.shape, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in corrected]


def equivalence_p(interval: Interval, margin: float) -> float:
    """P value of two one-sided tests against ± margin (Schuirmann 1987).

    Below 0.05 exactly where the 90 % interval lies inside ± margin.

    Args:
        interval: Any Student interval; its estimate, standard error and degrees of freedom count.
        margin: The largest difference that still counts as none, > 0.
    """
    nearest = margin - abs(interval.estimate)
    if interval.standard_error == 0.0:
        return 0.0 if nearest > 0.0 else 1.0
    return float(special.stdtr(interval.degrees_of_freedom, -nearest / interval.standard_error))


def find_verdict(
    estimate: float, p: float, equivalence: float, *, lower_wins: bool, alpha: float = 0.05
) -> tuple[Verdict, bool]:
    """The one order of verdicts on A against B, for a pair alone and for several by Holm.

    First: a difference, where `p` is below alpha (so the 1 − alpha interval excludes 0). Then:
    equivalence, where `equivalence` is (so the 1 − 2·alpha interval is inside ± margin). Else
    undecided.

    Args:
        estimate: A − B.
        p: P value of no difference, corrected where several pairs are judged.
        equivalence: P value of a difference of the margin or more, corrected likewise.
        lower_wins: True where smaller values of the metric are wanted.
        alpha: The level of the look: 0.05 where it is the only one.

    Returns:
        The verdict, and whether the difference is smaller than the margin for sure.
    """
    small = equivalence < alpha
    if p < alpha:
        wins = (estimate < 0.0) == lower_wins
        return (Verdict.BETTER if wins else Verdict.WORSE), small
    return (Verdict.EQUIVALENT if small else Verdict.UNDECIDED), small


def probability_of_improvement(
    differences: FloatArray, *, lower_wins: bool, level: float = 0.95
) -> Interval:
    """Share of pairs in which A wins, ties counting half, with its Clopper–Pearson interval.

    Args:
        differences: (n,) A − B per seed, n ≥ 1.
        lower_wins: True where smaller values of the metric are wanted.
        level: Such as 0.95.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.size
    wins = np.count_nonzero(values < 0.0 if lower_wins else values > 0.0)
    successes = wins + 0.5 * np.count_nonzero(values == 0.0)
    tail = 0.5 - level / 2.0
    low = 0.0 if successes == 0 else special.betaincinv(successes, n - successes + 1, tail)
    high = 1.0 if successes == n else special.betaincinv(successes + 1, n - successes, 1 - tail)
    return Interval(successes / n, float(low), float(high), level)
