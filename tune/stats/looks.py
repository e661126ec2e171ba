"""Looks at confirm: after how many pairs, at which levels, and what a later one may still show.

All looks together make no more than 5 % of false claims. The levels are for the case in which
looks differ most from each other: only seeds vary, so that the mean after n pairs is that of n
independent differences and two looks are correlated by √(nᵢ/nⱼ). What belongs to the videos is the
same at every look: it makes looks more alike, and false claims fewer.

Source: Wang and Tsiatis, Approximately optimal one-parameter boundaries for group sequential
trials (1987); Jennison and Turnbull, Group Sequential Methods (1999), ch. 2, and ch. 19 for the
recursion.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from tune.stats.intervals import Interval
from tune.stats.power import FEWEST_PAIRS, Spread, pairs_that_decide

__all__ = [
    "FALSE_CLAIMS",
    "Look",
    "chance_later",
    "false_claims",
    "look_after",
    "plan_looks",
    "seeds_that_decide",
]

FloatArray = npt.NDArray[np.float64]

FALSE_CLAIMS = 0.05
"""What all looks of a study may claim falsely together."""

_EARLY = (6, 8, 12, 20)
_SHAPE = 0.25
"""Between 0 (O'Brien and Fleming: next to nothing at the first look) and 0.5 (Pocock: the same
level at each). Measured on simulated confirms of 10 and 20 pairs (a MOSI-like test set, a gap of
three margins): 0.25 costs 5 points of power against one look at the end, Pocock's levels 8 to 11,
a plain split of 5 % 15 to 18; Pocock's would save half a pair to two pairs more."""

_ROUNDS = 3
_HIGHEST = 8.0  # a critical value beyond which normal tails are of no use

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


class Look(NamedTuple):
    """One look at confirm.

    Attributes:
        pairs: After how many pairs in all.
        level: Two-sided: a difference is claimed where p is below it.
    """

    pairs: int
    level: float


@lru_cache(maxsize=256)
def plan_looks(seeds: int, orders: int = 1, *, early: bool = True) -> tuple[Look, ...]:
    """When confirm is looked at, and what each look may claim.

    Looks are after 6, 8, 12, 20 pairs as far as all orders together go, and at the end of each
    order. Each order spends an equal share of the false claims, with what earlier ones left over;
    within an order the critical values fall with the fourth root of the pairs. A look at too few
    pairs for any verdict spends nothing; its intervals are 95 % ones.

    Args:
        seeds: Pairs of one order: `confirm.seeds`, ≥ 1.
        orders: How often a person may order them: `confirm.looks`.
        early: Look before the end of an order.

    Returns:
        The looks in order; levels rounded down to four digits, or to two that count.
    """
    ends = [seeds * order for order in range(1, orders + 1)]
    extra = {n for n in _EARLY if early and n < ends[-1]}
    looks: list[Look] = []
    for share, end in enumerate(ends, start=1):
        pairs = sorted({n for n in extra if end - seeds < n < end} | {end})
        silent = [Look(n, FALSE_CLAIMS) for n in pairs if n < FEWEST_PAIRS]
        judged = np.array([n for n in pairs if n >= FEWEST_PAIRS])
        looks += silent
        if judged.size:
            before = [look for look in looks if look.pairs >= FEWEST_PAIRS]
            levels = _levels(before, judged, FALSE_CLAIMS * share / orders)
            looks += [Look(int(n), a) for n, a in zip(judged, levels, strict=True)]
    return tuple(looks)


def _levels(before: Sequence[Look], pairs: npt.NDArray[np.int64], total: float) -> list[float]:
    """Levels of further looks with which all looks so far claim falsely in a share `total`."""
    shape: FloatArray = (pairs / pairs[-1]) ** (_SHAPE - 0.5)

    def looks(last: float) -> list[Look]:
        levels = 2.0 * special.ndtr(-np.minimum(last * shape, _HIGHEST))
        return [*before, *(Look(int(n), float(a)) for n, a in zip(pairs, levels, strict=True))]

    last = optimize.brentq(lambda last: false_claims(looks(last)) - total, 1.0, _HIGHEST)
    return [_rounded_down(look.level) for look in looks(last)[len(before) :]]


def _rounded_down(level: float) -> float:
    digits = max(4, 1 - math.floor(math.log10(level)))
    scale: float = 10.0**digits
    return math.floor(level * scale + 1e-9) / scale


def look_after(pairs: int, seeds: int, orders: int = 1, *, early: bool = True) -> Look:
    """The planned look after so many pairs."""
    looks = plan_looks(seeds, orders, early=early)
    return next(look for look in looks if look.pairs == pairs)


def seeds_that_decide(
    difference: float,
    spread: Spread,
    videos: int,
    orders: int = 1,
    *,
    early: bool = True,
    sharing: int = 1,
) -> int | None:
    """The fewest seeds whose last look finds a true difference in 80 % of studies.

    Args:
        difference: True mean difference over all seeds and all videos of the kind.
        spread: The variance components.
        videos: K ≥ 2.
        orders: How often a person may order so many seeds.
        early: Looks before the end of an order.
        sharing: Pairs that share the false claims, of which this one is judged first (Holm).

    Returns:
        Confirm seeds; None where videos alone make it impossible, however many seeds.
    """
    level = FALSE_CLAIMS / sharing
    for _ in range(_ROUNDS):  # the level depends on the seeds, and they hardly on it
        seeds = pairs_that_decide(difference, spread, videos, level)
        if seeds is None:
            return None
        level = look_after(seeds, seeds, orders, early=early).level / sharing
    return seeds


def false_claims(looks: Sequence[Look]) -> float:
    """Share of studies without any difference that claim one at some look, if only seeds vary.

    The sum of n differences takes independent steps from look to look: the density of the sums
    that have claimed nothing so far is carried on by integration.

    Args:
        looks: One or more, by rising number of pairs.
    """
    pairs = [look.pairs for look in looks]
    ends = -special.ndtri(np.array([look.level for look in looks]) / 2.0) * np.sqrt(pairs)
    claimed = float(looks[0].level)
    sums = ends[0] * _NODES
    mass = ends[0] * _WEIGHTS * _density(sums, float(pairs[0]))
    for (before, now), end in zip(pairwise(pairs), ends[1:], strict=True):
        step = float(now - before)
        beyond = special.ndtr((-end - sums) / step**0.5) + special.ndtr((sums - end) / step**0.5)
        claimed += float(beyond @ mass)
        onwards = end * _NODES
        mass = end * _WEIGHTS * (_density(onwards[:, None] - sums, step) @ mass)
        sums = onwards
    return claimed


def _density(values: FloatArray, variance: float) -> FloatArray:
    density: FloatArray = np.exp(-(values**2) / (2.0 * variance)) / (2.0 * np.pi * variance) ** 0.5
    return density


def chance_later(over_seeds: Interval, later: int, wide: float, narrow: float) -> float:
    """The chance that the mean after more pairs answers a question, given the pairs so far.

    The later mean scatters around the present one with variance s² (1/n − 1/n'), s² that of a
    seed's difference, as n − 1 degrees of freedom know it (a flat prior on the true mean).

    Args:
        over_seeds: The t interval over the n seeds so far.
        later: n' > n pairs.
        wide: The mean answers where it is farther from 0 than this.
        narrow: And where it is nearer to 0 than this; not above 0: never.
    """
    n, mean = over_seeds.degrees_of_freedom + 1.0, over_seeds.estimate
    scatter = over_seeds.standard_error * (1.0 - n / later) ** 0.5
    if scatter == 0.0:
        return float(abs(mean) > wide or abs(mean) < narrow)

    def below(value: float) -> float:
        return float(special.stdtr(n - 1.0, (value - mean) / scatter))

    inside = below(narrow) - below(-narrow) if narrow > 0.0 else 0.0
    return below(-wide) + 1.0 - below(wide) + inside
