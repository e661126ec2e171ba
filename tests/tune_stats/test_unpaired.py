"""Unpaired groups: Welch's interval is SciPy's, and new videos are counted once."""

import numpy as np
import pytest
from scipy import stats

from tune.stats.intervals import crossed_variance
from tune.stats.unpaired import crossed_difference, welch_interval


def test_over_seeds_alone_it_is_scipys_welch_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(1.0, 0.1, 7), rng.normal(1.1, 0.3, 10)
    found = welch_interval(first, second, 0.9)
    expected = stats.ttest_ind(first, second, equal_var=False)
    low, high = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert found.p_value() == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_variance_is_that_of_a_literal_computation() -> None:
    rng = np.random.default_rng(1)
    videos = np.repeat(np.arange(9), 4)  # equally long: a cell is a video's mean
    first, second = rng.normal(size=(6, 36)), rng.normal(size=(4, 36))
    cells = [group.reshape(len(group), 9, 4).mean(axis=2) for group in (first, second)]
    seeds = videos_part = twice = 0.0
    gap = cells[0].mean(axis=0) - cells[1].mean(axis=0)
    videos_part = gap.var(ddof=1) / 9
    for group in cells:
        n = len(group)
        seeds += group.mean(axis=1).var(ddof=1) / n
        rest = group - group.mean(axis=1)[:, None] - group.mean(axis=0) + group.mean()
        twice += (rest**2).sum() / ((n - 1) * 8) / (n * 9)
    found = crossed_difference(first, second, videos)
    assert found.estimate == pytest.approx(first.mean() - second.mean())
    assert found.standard_error**2 == pytest.approx(max(seeds + videos_part - twice, twice))


def test_pairing_by_seed_cancels_what_seeds_share_and_this_does_not() -> None:
    rng = np.random.default_rng(2)
    videos = np.repeat(np.arange(20), 5)
    shared = rng.normal(0, 0.5, (8, 1))
    first = shared + rng.normal(0, 0.1, (8, 100))
    second = shared + rng.normal(0, 0.1, (8, 100))
    paired = crossed_variance(first - second, videos).interval()
    unpaired = crossed_difference(first, second, videos)
    assert unpaired.estimate == pytest.approx(paired.estimate)
    assert unpaired.high - unpaired.low > 5 * (paired.high - paired.low)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    videos = np.repeat(np.arange(20), 3)
    held = 0
    for _ in range(400):
        sides = [
            rng.normal(0, 0.3, (n, 1)) + rng.normal(0, 0.4, (1, 20))[:, videos]
            + rng.normal(0, 0.5, (n, 60))
            for n in (6, 9)
        ]  # fmt: skip
        held += not crossed_difference(sides[0], sides[1], videos).excludes()
    assert 0.92 <= held / 400 <= 0.985


def test_equal_groups_have_an_interval_without_width() -> None:
    ones = np.ones((3, 8))
    found = crossed_difference(ones, ones, np.arange(8) // 2)
    assert (found.low, found.high, found.p_value()) == (0.0, 0.0, 1.0)
