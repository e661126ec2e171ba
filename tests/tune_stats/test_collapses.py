"""Which runs fell: seldom a normal one, always one that is far away, never by a hair."""

import numpy as np
import pytest
from scipy import stats

from tune.stats.collapses import collapse_rate_bound, fallen_runs, far_from_others


@pytest.mark.parametrize("n", [5, 6, 8, 10, 20, 40])
def test_of_normal_samples_at_most_two_in_a_hundred_have_a_value_far_to_one_side(n: int) -> None:
    samples = np.random.default_rng(n).standard_normal((2000, n))
    assert np.mean([(far_from_others(one, 0.0) > 0.0).any() for one in samples]) < 0.02


def test_a_value_is_far_beyond_so_many_median_deviations_and_the_margin() -> None:
    usual = np.array([-0.02, -0.01, 0.0, 0.01, 0.02, 0.0, 0.0, 0.01, -0.01])
    values = np.append(usual, 0.3)
    scale = stats.median_abs_deviation(values, scale="normal")
    assert (4.3 + 230.0 / 100) * scale < 0.3
    far = far_from_others(values, 0.02)
    assert np.flatnonzero(far).tolist() == [9]
    assert far[9] == pytest.approx(0.3 - np.median(values))
    assert not far_from_others(values, 0.4).any()


def test_equal_values_make_no_tiny_difference_far() -> None:
    assert not far_from_others(np.array([0.7] * 9 + [0.701]), 0.02).any()
    assert not far_from_others(np.array([0.0, 0.0, 9.0]), 0.02).any()  # three know nothing usual


@pytest.mark.parametrize("lower_wins", [True, False])
def test_only_bad_luck_counts_as_a_fall(*, lower_wins: bool) -> None:
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(0.7, 0.01, 9), 1.4)
    predictions = rng.normal(size=(10, 5))
    fallen = fallen_runs(scores, predictions, 0.02, lower_wins=lower_wins)
    assert fallen.tolist() == [False] * 9 + [lower_wins]


def test_a_constant_prediction_is_a_fall_whatever_its_metric() -> None:
    rng = np.random.default_rng(1)
    predictions = rng.normal(size=(6, 5))
    predictions[2] = 0.4
    scores = np.full(6, 0.7)
    assert np.flatnonzero(fallen_runs(scores, predictions, 0.02, lower_wins=True)).tolist() == [2]
    scores[2] = np.nan  # without a value it is counted as one without a value
    assert not fallen_runs(scores, predictions, 0.02, lower_wins=True).any()


def test_the_bound_is_the_rate_at_which_none_in_n_happens_in_one_of_twenty_samples() -> None:
    for n, told in ((6, 0.39), (10, 0.26)):
        bound = collapse_rate_bound(n)
        assert bound == pytest.approx(told, abs=0.005)
        assert stats.binom.pmf(0, n, bound) == pytest.approx(0.05)
