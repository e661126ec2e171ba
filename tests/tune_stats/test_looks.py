"""Looks at confirm against published boundaries, against simulation, and against themselves."""

import numpy as np
import pytest
from scipy import special, stats

from tune.stats.intervals import t_interval
from tune.stats.looks import (
    Look,
    chance_later,
    false_claims,
    look_after,
    plan_looks,
    seeds_that_decide,
)
from tune.stats.power import Spread, pairs_that_decide, power_for_new_videos

EQUAL = range(1, 6)


def looks(pairs: range | list[int], bounds: list[float]) -> list[Look]:
    levels = 2.0 * special.ndtr(-np.array(bounds))
    return [Look(n, float(level)) for n, level in zip(pairs, levels, strict=True)]


@pytest.mark.parametrize(
    ("count", "pocock", "obrien_fleming", "wang_tsiatis"),
    [
        (2, 2.178, 1.977, 2.038),
        (3, 2.289, 2.004, 2.083),
        (4, 2.361, 2.024, 2.113),
        (5, 2.413, 2.040, 2.136),
    ],
)
def test_published_boundaries_claim_five_per_cent(
    count: int, pocock: float, obrien_fleming: float, wang_tsiatis: float
) -> None:
    """Jennison and Turnbull (1999), tables 2.1, 2.3 and 2.9: two-sided, equally spaced."""
    parts = np.arange(1, count + 1) / count
    for last, shape in ((pocock, 0.0), (obrien_fleming, -0.5), (wang_tsiatis, -0.25)):
        bounds = (last * parts**shape).tolist()
        assert false_claims(looks(EQUAL[:count], bounds)) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("size", [(7, 1), (10, 1), (20, 1), (50, 1), (10, 2), (6, 3), (3, 4)])
def test_all_looks_together_claim_five_per_cent_and_each_order_its_share(
    size: tuple[int, int],
) -> None:
    seeds, orders = size
    planned = plan_looks(seeds, orders)
    for order in range(1, orders + 1):
        judged = [look for look in planned if 5 <= look.pairs <= seeds * order]
        share = 0.05 * order / orders
        if judged:
            assert 0.97 * share < false_claims(judged) <= share
    assert [look.pairs for look in planned] == sorted({look.pairs for look in planned})


def test_simulated_sums_cross_as_often_as_integrated() -> None:
    rng, planned = np.random.default_rng(0), plan_looks(20)
    sums = rng.normal(size=(100_000, 20)).cumsum(axis=1)
    crossed = np.zeros(len(sums), dtype=bool)
    for look in planned:
        z = sums[:, look.pairs - 1] / look.pairs**0.5
        crossed |= 2.0 * special.ndtr(-np.abs(z)) < look.level
    assert crossed.mean() == pytest.approx(false_claims(planned), abs=0.003)


def test_levels_hold_for_t_tests_of_few_pairs() -> None:
    """The boundaries are normal; what is compared with the levels are p values of Student's t."""
    rng, planned = np.random.default_rng(1), plan_looks(20)
    values = rng.normal(size=(50_000, 20))
    crossed = np.zeros(len(values), dtype=bool)
    for n, level in planned:
        first = values[:, :n]
        t = first.mean(axis=1) / (first.std(axis=1, ddof=1) / n**0.5)
        crossed |= 2.0 * special.stdtr(n - 1.0, -np.abs(t)) < level
    assert crossed.mean() == pytest.approx(0.05, abs=0.004)


def test_what_all_looks_share_makes_false_claims_fewer() -> None:
    rng, planned = np.random.default_rng(2), plan_looks(20)
    seeds = rng.normal(size=(50_000, 20)).cumsum(axis=1)
    videos = rng.normal(size=(50_000, 1)) * 0.5  # of each study's mean, as often as one looks
    crossed = np.zeros(len(seeds), dtype=bool)
    for n, level in planned:
        z = (seeds[:, n - 1] / n + videos[:, 0]) / (1.0 / n + 0.25) ** 0.5
        crossed |= 2.0 * special.ndtr(-np.abs(z)) < level
    assert 0.02 < crossed.mean() < 0.045


@pytest.mark.parametrize(
    ("seeds", "orders", "pairs"),
    [
        (3, 1, [3]),
        (6, 1, [6]),
        (8, 1, [6, 8]),
        (10, 1, [6, 8, 10]),
        (20, 1, [6, 8, 12, 20]),
        (30, 1, [6, 8, 12, 20, 30]),
        (10, 2, [6, 8, 10, 12, 20]),
        (6, 3, [6, 8, 12, 18]),
        (2, 3, [2, 4, 6]),
    ],
)
def test_looks_are_after_few_pairs_and_at_the_end_of_each_order(
    seeds: int, orders: int, pairs: list[int]
) -> None:
    planned = plan_looks(seeds, orders)
    assert [look.pairs for look in planned] == pairs
    assert look_after(seeds, seeds, orders) in planned
    ends = [seeds * order for order in range(1, orders + 1)]
    assert [look.pairs for look in plan_looks(seeds, orders, early=False)] == ends


def test_one_look_has_it_all_and_looks_without_a_verdict_take_nothing() -> None:
    assert plan_looks(6) == (Look(6, 0.05),)
    assert plan_looks(10, early=False) == (Look(10, 0.05),)
    assert [look.level for look in plan_looks(2, 3)] == [0.05] * 3


def test_levels_are_finite_numbers_for_any_study() -> None:
    for size in ((5, 20), (200, 1), (5_000, 1), (10**6, 1)):
        assert all(0.0 < look.level <= 0.05 for look in plan_looks(*size))


def test_the_seeds_that_decide_pay_for_their_looks() -> None:
    spread = Spread(seed=0.03**2, video=0.01**2, error=0.05**2)
    seeds = seeds_that_decide(0.02, spread, 31)
    fixed = pairs_that_decide(0.02, spread, 31)
    assert seeds is not None
    assert fixed is not None
    assert fixed < seeds < 1.3 * fixed
    level = look_after(seeds, seeds).level
    assert power_for_new_videos(0.02, spread, seeds, 31, level) == pytest.approx(0.8, abs=0.03)
    assert seeds_that_decide(0.001, spread, 31) is None


@pytest.mark.parametrize(("mean", "wide", "narrow"), [(0.3, 1.0, 0.2), (0.9, 1.0, -0.1)])
def test_the_chance_of_an_answer_is_that_of_drawn_seeds(
    mean: float, wide: float, narrow: float
) -> None:
    """Posterior draws of the true mean and variance, then the seeds to come, one by one."""
    rng, n, later = np.random.default_rng(3), 6, 12
    values = rng.normal(size=n)
    values = mean + (values - values.mean()) / values.std(ddof=1)
    draws = 200_000
    variance = (n - 1) / stats.chi2.rvs(n - 1, size=draws, random_state=rng)
    centre = rng.normal(mean, np.sqrt(variance / n))
    more = rng.normal(centre[:, None], np.sqrt(variance)[:, None], (draws, later - n))
    end = np.abs((values.sum() + more.sum(axis=1)) / later)
    expected = float(((end > wide) | (end < narrow)).mean())
    assert chance_later(t_interval(values), later, wide, narrow) == pytest.approx(
        expected, abs=0.005
    )


def test_without_any_scatter_the_answer_is_known() -> None:
    same = t_interval(np.full(6, 0.5))
    assert chance_later(same, 8, 0.4, 0.1) == 1.0
    assert chance_later(same, 8, 0.6, 0.1) == 0.0
    assert chance_later(same, 8, 2.0, 0.6) == 1.0
