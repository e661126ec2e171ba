"""The numbers of a comparison against plain scipy and numpy on the same runs."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats

from hscl.metrics import METRICS, evaluate
from tune.evidence.pair import (
    Judgement,
    PairComparison,
    Role,
    Rules,
    _flip_equivalence,
    compare_pair,
)
from tune.evidence.pairing import Runs
from tune.states import TrialState
from tune.stats.intervals import crossed_variance

RULES = Rules(margin=0.02)
D, F = TrialState.DONE, TrialState.FAILED


def make_runs(
    seeds: int = 8, videos: int = 12, gap: float = 0.1, failed: tuple[int, ...] = ()
) -> Runs:
    """Two configurations "aa" and "bb"; "aa" failed on the seeds in `failed`."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(videos), rng.integers(3, 9, videos))
    labels = rng.normal(0, 1.5, codes.size)
    noise = rng.normal(0, 0.6, (2, seeds, codes.size)) + rng.normal(0, 0.1, (2, seeds, 1))
    noise[0] *= 1.0 - gap
    predictions = labels + noise
    states = [[D] * seeds, [D] * seeds]
    for s in failed:
        predictions[0, s] = np.nan
        states[0][s] = F
    return Runs(
        split="test",
        config_ids=("aa", "bb"),
        seeds=tuple(range(100, 100 + seeds)),
        utterances=tuple(str(i) for i in range(codes.size)),
        videos=codes,
        labels=labels,
        predictions=predictions,
        states=(tuple(states[0]), tuple(states[1])),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_seed_scores_are_the_metric_of_each_run(metric: str) -> None:
    runs = make_runs()
    pair = compare_pair(runs, ("aa", "bb"), metric, RULES)
    scores = np.array(
        [
            [evaluate(runs.labels, runs.predictions[c, s])[metric] for s in range(8)]
            for c in range(2)
        ]
    )
    assert pair.means == pytest.approx(np.mean(scores, axis=1))
    assert pair.sds == pytest.approx(np.std(scores, axis=1, ddof=1))
    differences = scores[0] - scores[1]
    assert pair.differences == pytest.approx(differences)
    interval = stats.ttest_rel(*scores).confidence_interval(0.95)
    assert pair.this_test_set is not None
    assert (pair.this_test_set.low, pair.this_test_set.high) == pytest.approx(tuple(interval))
    assert pair.seed_correlation == pytest.approx(np.corrcoef(scores[0], scores[1])[0, 1])


def test_new_videos_are_judged_by_the_crossed_interval_of_absolute_errors() -> None:
    runs = make_runs()
    pair = compare_pair(runs, ("aa", "bb"), "mae", RULES)
    error = np.abs(runs.predictions - runs.labels)
    assert pair.new_videos == crossed_variance(error[0] - error[1], runs.videos).interval()
    assert pair.new_videos_narrow is not None
    assert pair.new_videos_narrow.level == pytest.approx(0.9)
    assert pair.new_videos_narrow.high < pair.new_videos.high


def test_both_questions_have_the_same_estimate() -> None:
    for metric in METRICS:
        pair = compare_pair(make_runs(), ("aa", "bb"), metric, RULES)
        assert pair.this_test_set is not None
        assert pair.new_videos is not None
        assert pair.this_test_set.estimate == pytest.approx(pair.new_videos.estimate)


@pytest.mark.parametrize("metric", METRICS)
def test_a_failed_seed_leaves_the_pair_but_is_counted(metric: str) -> None:
    pair = compare_pair(make_runs(failed=(1, 4)), ("aa", "bb"), metric, RULES)
    assert pair.seeds == (100, 102, 103, 105, 106, 107)
    assert pair.planned == 8
    assert pair.failures == (2, 0)
    assert pair.missing == (0, 0)
    whole = compare_pair(make_runs(), ("aa", "bb"), metric, RULES)
    kept = [d for s, d in zip(whole.seeds, whole.differences, strict=True) if s in pair.seeds]
    assert list(pair.differences) == pytest.approx(kept)


@pytest.mark.parametrize("metric", METRICS)
def test_a_pair_without_any_predictions_has_no_seeds_and_no_values(metric: str) -> None:
    some = make_runs(seeds=3)
    none = replace(
        some,
        utterances=(),
        videos=some.videos[:0],
        labels=some.labels[:0],
        predictions=some.predictions[:, :, :0],
    )
    pair = compare_pair(none, ("aa", "bb"), metric, RULES)
    assert pair.seeds == ()
    assert (pair.planned, pair.missing, pair.videos) == (3, (0, 0), 0)
    assert np.isnan(pair.means).all()
    assert pair.this_test_set is None
    assert pair.new_videos is None


def test_a_constant_prediction_has_no_corr_but_all_else() -> None:
    runs = make_runs()
    runs.predictions[1, 3] = 0.7
    corr = compare_pair(runs, ("aa", "bb"), "corr", RULES)
    assert corr.missing == (0, 1)
    assert 103 not in corr.seeds
    assert compare_pair(runs, ("aa", "bb"), "mae", RULES).missing == (0, 0)


def test_few_videos_leave_the_second_question_open_and_one_seed_both() -> None:
    few = compare_pair(make_runs(videos=7), ("aa", "bb"), "mae", RULES)
    assert few.new_videos is None
    assert few.this_test_set is not None
    one = compare_pair(make_runs(seeds=1), ("aa", "bb"), "mae", RULES)
    assert one.this_test_set is None
    assert one.means[0] > 0
    assert np.isnan(one.sds[0])


def test_swapping_the_sides_turns_every_number_around() -> None:
    one = compare_pair(make_runs(), ("aa", "bb"), "mae", RULES)
    other = compare_pair(make_runs(), ("bb", "aa"), "mae", RULES)
    assert one.new_videos is not None
    assert other.new_videos is not None
    assert one.new_videos.low == pytest.approx(-other.new_videos.high)
    assert one.sign_flip_p == other.sign_flip_p
    assert one.ahead is not None
    assert other.ahead is not None
    assert one.ahead.estimate == 1.0 - other.ahead.estimate


def test_more_looks_widen_the_intervals() -> None:
    pair = compare_pair(make_runs(), ("aa", "bb"), "mae", Rules(margin=0.02, alpha=0.025))
    assert pair.new_videos is not None
    assert pair.new_videos_narrow is not None
    assert pair.new_videos.level == pytest.approx(0.975)
    assert pair.new_videos_narrow.level == pytest.approx(0.95)


def test_the_bootstrap_needs_a_generator_and_decides_nothing() -> None:
    without = compare_pair(make_runs(), ("aa", "bb"), "mae", RULES)
    pair = compare_pair(make_runs(), ("aa", "bb"), "mae", RULES, rng=np.random.default_rng(0))
    assert without.bootstrap is None
    assert pair.bootstrap is not None
    assert pair.new_videos == without.new_videos


def test_json_holds_plain_values_only() -> None:
    pair = compare_pair(make_runs(seeds=1), ("aa", "bb"), "corr", RULES, role=Role.METRIC)
    whole = PairComparison.of(pair, Judgement(reason="one seed"))
    text = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    assert text["sds"] == [None, None]
    assert text["role"] == "metric"
    assert text["mode"] == "max"
    assert (text["verdict"], text["below_margin"], text["reason"]) == (None, False, "one seed")
    assert {text["outlook"], text["p_holm"], text["sign_flip_p_holm"]} == {None}
    assert "judgement" not in text


def test_collapsed_runs_are_named_by_their_seeds_and_their_values_count() -> None:
    runs = make_runs(gap=0.0)
    predictions = runs.predictions.copy()
    predictions[0, 2] = 0.0  # constant
    predictions[1, 4] = runs.labels + 3.0 * (predictions[1, 4] - runs.labels)  # far worse
    pair = compare_pair(replace(runs, predictions=predictions), ("aa", "bb"), "mae", RULES)
    assert pair.fallen == ((102,), (104,))
    assert pair.spoiled == (1, 1)
    assert pair.runs == (8, 8)
    assert len(pair.seeds) == 8
    assert pair.far_from_normal
    assert pair.worst[0] == pytest.approx(np.abs(runs.labels).mean())
    assert pair.flip_equivalence_p is not None


def test_runs_like_each_other_are_neither_collapsed_nor_far_from_normal() -> None:
    pair = compare_pair(make_runs(), ("aa", "bb"), "mae", RULES)
    assert pair.fallen == ((), ())
    assert not pair.far_from_normal
    assert pair.flip_equivalence_p is None


def test_equivalence_by_sign_flips_is_the_share_of_patterns_as_far_from_the_margin() -> None:
    d = np.array([0.01, -0.03, 0.02, 0.005, -0.01, 0.3])
    margin = 0.1
    signs = np.array(list(product((-1.0, 1.0), repeat=6)))
    below = np.mean(signs @ (d - margin) <= (d - margin).sum() + 1e-12)
    above = np.mean(signs @ (d + margin) >= (d + margin).sum() - 1e-12)
    expected = max(below, above)
    assert _flip_equivalence(d, margin, None) == pytest.approx(expected)
    assert _flip_equivalence(d + 1.0, margin, None) == 1.0
