"""Power and seed numbers against scipy's noncentral t, published figures, and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tune.stats.intervals import crossed_variance, t_interval
from tune.stats.power import (
    Spread,
    detectable_difference,
    detectable_in_seed_sds,
    pairs_range,
    pairs_that_decide,
    power_for_new_videos,
    power_on_this_test_set,
    videos_range,
    videos_that_decide,
)

MOSI_LIKE = Spread(seed=0.02**2, video=0.1**2, error=0.3**2 / 22)


@pytest.mark.parametrize("pairs", [5, 8, 10, 20])
@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0, 2.5])
def test_power_on_this_test_set_is_that_of_the_noncentral_t(pairs: int, gap: float) -> None:
    critical = stats.t.ppf(0.975, pairs - 1)
    shifted = stats.nct(pairs - 1, gap * math.sqrt(pairs))
    expected = shifted.sf(critical) + (shifted.cdf(-critical) if gap < 2 else 0.0)
    mine = power_on_this_test_set(gap, 1.0, pairs, 0.05)
    assert mine == pytest.approx(expected, abs=1e-6)


def test_ten_pairs_see_a_gap_of_one_seed_sd_in_four_of_five_studies() -> None:
    assert power_on_this_test_set(1.0, 1.0, 10, 0.05) == pytest.approx(0.80, abs=0.01)
    assert detectable_in_seed_sds(10) == pytest.approx(1.0, abs=0.01)


def test_more_pairs_show_smaller_gaps_and_stricter_levels_larger_ones() -> None:
    gaps = [detectable_in_seed_sds(n) for n in (5, 6, 10, 20, 40)]
    assert gaps == sorted(gaps, reverse=True)
    assert detectable_in_seed_sds(10, 0.025) > detectable_in_seed_sds(10)


def test_power_on_this_test_set_is_what_simulated_t_intervals_find() -> None:
    rng = np.random.default_rng(0)
    found = np.mean([t_interval(rng.normal(1.0, 1.0, 8)).excludes() for _ in range(1500)])
    assert found == pytest.approx(power_on_this_test_set(1.0, 1.0, 8, 0.05), abs=0.06)


@pytest.mark.parametrize(("pairs", "gap"), [(6, 0.06), (10, 0.06), (10, 0.03)])
def test_power_for_new_videos_is_what_simulated_crossed_intervals_find(
    pairs: int, gap: float
) -> None:
    rng = np.random.default_rng(1)
    videos = np.arange(31)
    found = 0
    for _ in range(800):
        table = (
            gap
            + rng.normal(0, 0.02, (pairs, 1))
            + rng.normal(0, 0.1, 31)
            + rng.normal(0, math.sqrt(MOSI_LIKE.error), (pairs, 31))
        )
        found += crossed_variance(table, videos).interval().excludes()
    expected = power_for_new_videos(gap, MOSI_LIKE, pairs, 31)
    assert found / 800 == pytest.approx(expected, abs=0.08)


def test_the_detectable_difference_is_found_in_four_of_five_studies() -> None:
    gap = detectable_difference(MOSI_LIKE, 10, 31)
    assert power_for_new_videos(gap, MOSI_LIKE, 10, 31) == pytest.approx(0.8, abs=1e-6)
    # What was measured on MOSI: gaps from about .05 to .08.
    assert 0.045 < gap < 0.085


def test_no_number_of_seeds_shows_a_margin_that_the_videos_hide() -> None:
    assert pairs_that_decide(0.02, MOSI_LIKE, 31) is None
    videos = videos_that_decide(0.02, MOSI_LIKE, 10)
    assert videos is not None
    assert power_for_new_videos(0.02, MOSI_LIKE, 10, videos) >= 0.8
    assert power_for_new_videos(0.02, MOSI_LIKE, 10, videos - 1) < 0.8


def test_the_number_of_seeds_that_decides_is_the_fewest() -> None:
    spread = Spread(seed=0.05**2, video=0.02**2, error=0.05**2)
    pairs = pairs_that_decide(0.02, spread, 31)
    assert pairs is not None
    assert power_for_new_videos(0.02, spread, pairs, 31) >= 0.8
    assert power_for_new_videos(0.02, spread, pairs - 1, 31) < 0.8


def test_no_number_of_videos_helps_where_seeds_alone_hide_the_difference() -> None:
    assert videos_that_decide(0.02, Spread(seed=0.2**2, video=0.0, error=0.01), 6) is None


def test_without_any_spread_everything_is_seen() -> None:
    nothing = Spread(0.0, 0.0, 0.0)
    assert power_for_new_videos(0.01, nothing, 5, 8) == 1.0
    assert detectable_difference(nothing, 5, 8) == 0.0
    assert pairs_that_decide(0.01, nothing, 8) == 5


def test_components_of_an_analysis_are_those_expected_back() -> None:
    expected = MOSI_LIKE.expected(10, 31)
    back = Spread.of(expected)
    assert back.seed == pytest.approx(MOSI_LIKE.seed)
    assert back.video == pytest.approx(MOSI_LIKE.video)
    assert back.error == pytest.approx(MOSI_LIKE.error)


def test_a_range_holds_the_point_and_shrinks_with_what_is_known() -> None:
    spread = Spread(seed=0.02**2, video=0.0, error=0.065**2, evenness=0.84)
    point = pairs_that_decide(0.02, spread, 31)
    low, high = pairs_range(0.02, spread, (6, 31))
    assert point is not None
    assert low is not None
    assert high is not None
    assert low <= point <= high
    known = pairs_range(0.02, spread, (200, 31))
    assert known[0] is not None
    assert known[1] is not None
    assert known[1] - known[0] < high - low
    assert pairs_range(0.02, spread, (6, 31)) == (low, high)  # the same whenever it is asked


def test_a_range_has_no_end_where_no_number_is_enough() -> None:
    spread = Spread(seed=0.0, video=0.11**2, error=0.065**2, evenness=0.84)
    assert pairs_range(0.02, spread, (10, 31)) == (None, None)
    low, _ = videos_range(0.02, spread, (10, 31), 10)
    assert low is not None
    assert low > 31
    wide = Spread(seed=0.05**2, video=0.0, error=0.01, evenness=1.0)
    assert videos_range(0.02, wide, (6, 31), 6)[1] is None


def test_nine_of_ten_ranges_have_an_upper_end_above_the_true_number() -> None:
    """From mean squares drawn around true components, as an analysis of variance finds them."""
    true = Spread(seed=0.03**2, video=0.01**2, error=0.065**2)
    needed = pairs_that_decide(0.02, true, 31)
    expected, rng = true.expected(8, 31), np.random.default_rng(1)
    assert needed is not None
    inside = 0
    for _ in range(200):
        drawn = replace(
            expected,
            ms_seed=expected.ms_seed * rng.chisquare(7) / 7,
            ms_video=expected.ms_video * rng.chisquare(30) / 30,
            ms_error=expected.ms_error * rng.chisquare(210) / 210,
        )
        low, high = pairs_range(0.02, Spread.of(drawn), (8, 31))
        inside += low is not None and low <= needed and (high is None or needed <= high)
    assert 0.7 <= inside / 200 <= 0.92
