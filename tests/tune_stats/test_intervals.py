"""Intervals against scipy, a literal two-way analysis of variance, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tune.stats.intervals import (
    CrossedVariance,
    Interval,
    crossed_variance,
    student_interval,
    t_interval,
    two_level_bootstrap,
    video_cells,
    videos_interval,
)


def _differences(
    seed: int, n: int = 6, sizes: tuple[int, ...] = (3, 5, 2, 7)
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    videos = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    effects = rng.normal(0, 0.5, len(sizes))[videos] + rng.normal(0, 0.3, (n, 1))
    return 0.1 + effects + rng.normal(0, 0.4, (n, videos.size)), videos


def _literal_mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Two-way analysis of variance, one number a cell, written as three plain loops."""
    n, k = table.shape
    mean = sum(table[s, v] for s in range(n) for v in range(k)) / (n * k)
    rows = [sum(table[s, v] for v in range(k)) / k for s in range(n)]
    columns = [sum(table[s, v] for s in range(n)) / n for v in range(k)]
    between_rows = k * sum((r - mean) ** 2 for r in rows) / (n - 1)
    between_columns = n * sum((c - mean) ** 2 for c in columns) / (k - 1)
    residual = 0.0
    for s in range(n):
        for v in range(k):
            residual += (table[s, v] - rows[s] - columns[v] + mean) ** 2
    return between_rows, between_columns, residual / ((n - 1) * (k - 1))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.975])
def test_t_interval_is_that_of_scipy(level: float) -> None:
    values = np.random.default_rng(1).normal(0.1, 1.0, 9)
    mine = t_interval(values, level)
    theirs = stats.ttest_1samp(values, 0.0)
    low, high = theirs.confidence_interval(level)
    assert (mine.low, mine.high) == pytest.approx((low, high), abs=1e-12)
    assert mine.p_value() == pytest.approx(theirs.pvalue, abs=1e-12)


def test_t_interval_refuses_a_single_difference() -> None:
    with pytest.raises(ValueError, match="two or more"):
        t_interval(np.array([0.3]))


def test_equal_differences_give_an_interval_without_width() -> None:
    interval = t_interval(np.full(5, 0.25))
    assert (interval.low, interval.high) == (0.25, 0.25)
    assert interval.p_value() == 0.0
    assert t_interval(np.zeros(5)).p_value() == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_mean_of_the_video_cells_is_the_mean_over_utterances(seed: int) -> None:
    d, videos = _differences(seed)
    assert video_cells(d, videos).mean() == pytest.approx(d.mean(), abs=1e-12)


def test_video_cells_is_the_ratio_mean_linearised_term_by_term() -> None:
    d, videos = _differences(3)
    cells = video_cells(d, videos)
    k, total = 4, d.shape[1]
    for s in range(d.shape[0]):
        for v in range(k):
            members = [d[s, u] for u in range(total) if videos[u] == v]
            expected = (k / total) * (sum(members) - d.mean() * len(members)) + d.mean()
            assert cells[s, v] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_mean_squares_are_those_of_a_literal_analysis_of_variance(seed: int, n: int) -> None:
    d, videos = _differences(seed, n)
    crossed = crossed_variance(d, videos, by_weight=False)
    expected = _literal_mean_squares(video_cells(d, videos))
    mine = (crossed.ms_seed, crossed.ms_video, crossed.ms_error)
    assert mine == pytest.approx(expected, rel=1e-9)


def test_equally_long_videos_are_analysed_the_same_by_weight_or_not() -> None:
    d, videos = np.random.default_rng(1).normal(size=(5, 24)), np.repeat(np.arange(6), 4)
    one, other = (crossed_variance(d, videos, by_weight=some) for some in (True, False))
    assert one.ms_video == pytest.approx(other.ms_video)
    assert one.ms_error == pytest.approx(other.ms_error)


def test_by_weight_the_expected_mean_square_of_uneven_videos_is_the_variance_of_the_mean() -> None:
    """By the quadratic form's trace: with equal variances of the videos' means it is exact."""
    sizes = np.array([40, 3, 9, 1, 17])
    videos, weights = np.repeat(np.arange(5), sizes), sizes / sizes.sum()
    true = (weights**2).sum()  # of the mean, if each video's mean has variance 1
    for by_weight, holds in ((True, True), (False, False)):
        total = 0.0
        for one in np.eye(5):  # E[x'Mx] of independent x is the sum over unit vectors
            found = crossed_variance(np.stack([one[videos]] * 2), videos, by_weight=by_weight)
            total += found.ms_video / (found.seeds * found.videos)
        assert (abs(total - true) < 1e-9) == holds


def test_the_interval_over_videos_alone_is_the_two_rows_crossed_one_without_seeds() -> None:
    rng = np.random.default_rng(2)
    values, videos = rng.normal(size=60), np.repeat(np.arange(10), 6)
    found = videos_interval(values, videos)
    means = values.reshape(10, 6).mean(axis=1)
    low, high = stats.t.interval(0.95, 9, means.mean(), means.std(ddof=1) / math.sqrt(10))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_standard_error_and_degrees_of_freedom_follow_the_equations() -> None:
    crossed = CrossedVariance(0.5, seeds=10, videos=31, ms_seed=3.0, ms_video=2.0, ms_error=1.0)
    assert crossed.standard_error == pytest.approx(math.sqrt((3.0 + 2.0 - 1.0) / 310))
    expected = 16.0 / (9.0 / 9 + 4.0 / 30 + 1.0 / 270)
    assert crossed.degrees_of_freedom == pytest.approx(expected)
    assert crossed.seed_component == pytest.approx(2.0 / 31)
    assert crossed.video_component == pytest.approx(1.0 / 10)
    low, high = stats.t.interval(0.95, expected, 0.5, crossed.standard_error)
    interval = crossed.interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_long_videos_leave_fewer_degrees_of_freedom_than_equal_ones() -> None:
    rng = np.random.default_rng(7)
    sizes = np.array([40, 10, 10, 10, 10, 10, 10, 10])
    videos = np.repeat(np.arange(8), sizes)
    d = rng.normal(0, 1.0, 8)[videos] + rng.normal(0, 0.01, (6, videos.size))
    crossed = crossed_variance(d, videos)
    assert crossed.effective_videos is not None
    assert crossed.effective_videos == pytest.approx(110**2 / (40**2 + 7 * 10**2))
    # Videos are nearly all of the variance, so that theirs are nearly all degrees of freedom.
    assert crossed.degrees_of_freedom == pytest.approx(crossed.effective_videos - 1, rel=0.01)
    equal = crossed_variance(rng.normal(0, 1.0, (6, 40)), np.repeat(np.arange(8), 5))
    assert equal.effective_videos == pytest.approx(8)


def test_variance_never_falls_below_the_residuals() -> None:
    crossed = CrossedVariance(0.0, seeds=6, videos=8, ms_seed=0.1, ms_video=0.2, ms_error=1.0)
    assert crossed.standard_error == pytest.approx(math.sqrt(1.0 / 48))
    assert crossed.seed_component == 0.0
    assert crossed.video_component == 0.0


def test_identical_runs_give_zero_and_no_width() -> None:
    interval = crossed_variance(np.zeros((5, 12)), np.repeat(np.arange(4), 3)).interval()
    assert (interval.estimate, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_crossed_interval_turns_around_with_its_sign() -> None:
    d, videos = _differences(8)
    one, other = crossed_variance(d, videos).interval(), crossed_variance(-d, videos).interval()
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_order_of_utterances_and_numbering_of_videos_do_not_matter() -> None:
    d, videos = _differences(9)
    shuffle = np.random.default_rng(0).permutation(videos.size)
    renamed = np.array([2, 0, 3, 1])[videos]
    one = crossed_variance(d, videos)
    assert crossed_variance(d[:, shuffle], renamed[shuffle]).ms_video == pytest.approx(
        one.ms_video
    )


def test_alike_utterances_of_a_video_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    videos = np.repeat(np.arange(10), 20)
    d = rng.normal(0, 0.3, 10)[videos] + rng.normal(0, 0.1, (8, 200))
    by_video = crossed_variance(d, videos)
    by_utterance = crossed_variance(d, np.arange(200))
    assert by_video.standard_error > 3 * by_utterance.standard_error


def test_seeds_and_videos_must_be_two_or_more() -> None:
    with pytest.raises(ValueError, match="1 × 2"):
        crossed_variance(np.ones((1, 4)), np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="3 × 1"):
        crossed_variance(np.ones((3, 4)), np.zeros(4, dtype=np.int64))


def test_bootstrap_draws_seeds_and_videos_as_a_literal_loop_does() -> None:
    d, videos = _differences(5, n=8, sizes=(4, 6, 3, 8, 5, 5))
    mine = two_level_bootstrap(d, videos, np.random.default_rng(0), draws=4000)
    rng = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        seeds = rng.integers(0, 8, 8)
        chosen = rng.integers(0, 6, 6)
        cells = [d[s][videos == v] for s in seeds for v in chosen]
        means.append(np.concatenate(cells).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert mine.low == pytest.approx(low, abs=0.04)
    assert mine.high == pytest.approx(high, abs=0.04)


def test_bootstrap_depends_on_its_generator_alone() -> None:
    d, videos = _differences(6)
    one = two_level_bootstrap(d, videos, np.random.default_rng(3))
    same = two_level_bootstrap(d, videos, np.random.default_rng(3))
    other = two_level_bootstrap(d, videos, np.random.default_rng(4))
    assert repr(one) == repr(same)  # with a NaN, which is not equal to itself
    assert repr(one) != repr(other)


def test_intervals_say_what_they_exclude_and_hold() -> None:
    interval = student_interval(0.01, 0.004, 20.0, 0.95)
    assert interval.excludes(0.0)
    assert interval.within(0.02)
    assert not interval.within(0.015)
    assert interval.at(0.999).low < interval.low
    percentile = Interval(0.0, -1.0, 1.0, 0.95)
    assert percentile.to_dict()["standard_error"] is None


@pytest.mark.parametrize("pairs", [6, 10, 20])
def test_crossed_interval_holds_the_truth_about_as_often_as_it_says(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    sizes = np.array([10, 12, 14, 16, 18, 22, 25, 31, 43] * 2)
    videos = np.repeat(np.arange(sizes.size), sizes)
    studies, held = 400, 0
    for _ in range(studies):
        d = (
            rng.normal(0, 0.02, (pairs, 1))
            + rng.normal(0, 0.1, sizes.size)[videos]
            + rng.normal(0, 0.1, videos.size)
            + rng.normal(0, 0.3, (pairs, videos.size))
        )
        held += not crossed_variance(d, videos).interval().excludes(0.0)
    # Five standard errors of a share of .95 over 400 studies; seeds alone hold it half the time.
    assert held / studies > 0.95 - 5 * math.sqrt(0.95 * 0.05 / studies)
