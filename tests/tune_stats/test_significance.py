"""Sign flips against enumeration, Holm against a literal loop, equivalence against statsmodels."""

import gc
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from tune.states import Verdict
from tune.stats.intervals import Interval, student_interval, t_interval
from tune.stats.significance import (
    equivalence_p,
    find_verdict,
    holm,
    probability_of_improvement,
    sign_flip_p,
)

tenths = st.integers(-30, 30).map(lambda k: k / 10)


def _enumerated(values: list[float]) -> float:
    """All sign patterns, one after another."""
    extreme = 0
    for signs in itertools.product((1, -1), repeat=len(values)):
        total = abs(math.fsum(s * v for s, v in zip(signs, values, strict=True)))
        extreme += total >= abs(math.fsum(values)) - 1e-9
    return extreme / math.pow(2, len(values))


@settings(max_examples=60, deadline=None)
@given(st.lists(tenths, min_size=1, max_size=9))
def test_sign_flip_is_the_share_of_enumerated_patterns(values: list[float]) -> None:
    assert sign_flip_p(np.array(values)) == pytest.approx(_enumerated(values), abs=1e-12)


@pytest.mark.parametrize("pairs", [5, 8, 11])
def test_sign_flip_is_that_of_scipy(pairs: int) -> None:
    values = np.random.default_rng(pairs).normal(0.4, 1.0, pairs)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(values) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_five_pairs_never_reach_five_percent_and_six_do() -> None:
    assert sign_flip_p(np.arange(1.0, 6.0)) == 0.0625
    assert sign_flip_p(np.arange(1.0, 7.0)) == 0.03125
    assert sign_flip_p(np.arange(1.0, 11.0)) == pytest.approx(0.00195, abs=1e-5)


def test_zero_differences_give_p_one() -> None:
    assert sign_flip_p(np.zeros(7)) == 1.0


def test_many_pairs_are_drawn_and_agree_with_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.35, 1.0, 40)
    drawn = sign_flip_p(values, np.random.default_rng(1), draws=40_000)
    assert drawn == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.01)
    assert drawn == sign_flip_p(values, np.random.default_rng(1), draws=40_000)
    assert drawn != sign_flip_p(values, np.random.default_rng(2), draws=40_000)


def test_a_drawn_p_value_is_never_zero() -> None:
    p = sign_flip_p(np.full(30, 1.0), np.random.default_rng(0), draws=999)
    assert p == pytest.approx(1 / 1000)


def test_sign_flip_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="generator"):
        sign_flip_p(np.ones(21))
    with pytest.raises(ValueError, match="needs differences"):
        sign_flip_p(np.ones(0))


@pytest.fixture(scope="module")
def spared() -> None:
    """Statsmodels collects garbage in every call: spare it what is there."""
    gc.freeze()


some_equal = st.sampled_from([0.0, 1e-300, 0.01, 0.02, 0.5, 1.0])


@pytest.mark.usefixtures("spared")
@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1) | some_equal, min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_and_of_a_plain_loop(values: list[float]) -> None:
    theirs = multipletests(values, method="holm")[1]
    order = sorted(range(len(values)), key=lambda i: values[i])
    plain, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[i]))
        plain[i] = largest
    assert holm(values) == pytest.approx(list(theirs), abs=1e-12)
    assert holm(values) == pytest.approx(plain, abs=1e-12)


@pytest.mark.usefixtures("spared")
@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=12))
def test_holm_of_some_is_that_of_statsmodels_on_those_that_are_known(values: list[float]) -> None:
    known = [p for p in values if not math.isnan(p)]
    theirs = iter(multipletests(known, method="holm")[1] if known else ())
    expected = [p if math.isnan(p) else next(theirs) for p in values]
    assert holm(values) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_holm_leaves_out_what_could_not_be_computed() -> None:
    corrected = holm([0.02, float("nan"), 0.03])
    assert corrected[0] == pytest.approx(0.04)
    assert math.isnan(corrected[1])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("comparisons", "pairs"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (12, 9)]
)
def test_fewest_pairs_under_holm_are_the_published_ones(comparisons: int, pairs: int) -> None:
    smallest, larger = sign_flip_p(np.ones(pairs)), sign_flip_p(np.ones(pairs - 1))
    assert max(holm([smallest] * comparisons)) < 0.05
    assert max(holm([larger] * comparisons)) >= 0.05


@pytest.mark.parametrize("shift", [0.0, 0.01, -0.03])
def test_equivalence_is_the_two_one_sided_tests_of_statsmodels(shift: float) -> None:
    values = np.random.default_rng(3).normal(shift, 0.03, 12)
    theirs = DescrStatsW(values).ttost_mean(-0.02, 0.02)[0]
    assert equivalence_p(t_interval(values), 0.02) == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.05, 0.05), st.floats(0.001, 0.05), st.floats(2, 40))
def test_equivalence_p_is_below_a_twentieth_where_ninety_percent_are_inside(
    estimate: float, error: float, freedom: float
) -> None:
    interval = student_interval(estimate, error, freedom, 0.95)
    p = equivalence_p(interval, 0.02)
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == interval.at(0.9).within(0.02)


def test_equivalence_without_spread_follows_the_estimate() -> None:
    assert equivalence_p(student_interval(0.01, 0.0, 5, 0.95), 0.02) == 0.0
    assert equivalence_p(student_interval(0.03, 0.0, 5, 0.95), 0.02) == 1.0


def _verdict(
    interval: Interval, *, lower_wins: bool = True, alpha: float = 0.05
) -> tuple[Verdict, bool]:
    """With a margin of 0.02."""
    equal = equivalence_p(interval, 0.02)
    return find_verdict(
        interval.estimate, interval.p_value(), equal, lower_wins=lower_wins, alpha=alpha
    )


@pytest.mark.parametrize(
    ("estimate", "error", "expected"),
    [
        (-0.05, 0.01, (Verdict.BETTER, False)),
        (0.05, 0.01, (Verdict.WORSE, False)),
        (-0.006, 0.002, (Verdict.BETTER, True)),
        (0.001, 0.004, (Verdict.EQUIVALENT, True)),
        (-0.015, 0.01, (Verdict.UNDECIDED, False)),
    ],
)
def test_verdict_follows_its_order(
    estimate: float, error: float, expected: tuple[Verdict, bool]
) -> None:
    interval = student_interval(estimate, error, 30.0, 0.95)
    assert _verdict(interval) == expected


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.05))
def test_verdict_turns_around_with_the_sides_and_with_the_metric(
    estimate: float, error: float
) -> None:
    opposite = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    one = _verdict(student_interval(estimate, error, 9.0, 0.95))
    mirrored = student_interval(-estimate, error, 9.0, 0.95)
    other = _verdict(mirrored)
    upward = _verdict(mirrored, lower_wins=False)
    assert other[0] == opposite.get(one[0], one[0])
    assert upward == one


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.05))
def test_verdict_is_what_the_two_intervals_say(estimate: float, error: float) -> None:
    interval = student_interval(estimate, error, 9.0, 0.95)
    verdict, small = _verdict(interval)
    assert (verdict in {Verdict.BETTER, Verdict.WORSE}) == interval.excludes(0.0)
    assert small == interval.at(0.9).within(0.02)
    assert (verdict is Verdict.EQUIVALENT) == (small and not interval.excludes(0.0))


def test_two_looks_ask_for_more_at_each() -> None:
    interval = student_interval(-0.0212, 0.01, 30.0, 0.95)
    assert _verdict(interval)[0] is Verdict.BETTER
    assert _verdict(interval, alpha=0.025)[0] is Verdict.UNDECIDED


def test_probability_of_improvement_is_the_share_of_wins_with_ties_as_halves() -> None:
    wins = probability_of_improvement(np.array([-1.0, -2.0, 0.0, 3.0]), lower_wins=True)
    assert wins.estimate == pytest.approx(2.5 / 4)
    assert probability_of_improvement(
        np.array([-1.0, -2.0, 0.0, 3.0]), lower_wins=False
    ).estimate == pytest.approx(1.5 / 4)


@pytest.mark.parametrize(("wins", "pairs"), [(0, 6), (3, 10), (7, 7)])
def test_its_interval_is_clopper_and_pearsons(wins: int, pairs: int) -> None:
    values = np.concatenate([-np.ones(wins), np.ones(pairs - wins)])
    mine = probability_of_improvement(values, lower_wins=True)
    theirs = stats.binomtest(wins, pairs).proportion_ci(0.95, "exact")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
