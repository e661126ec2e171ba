"""Simulated runs have the layout, the truths and the spreads that they were asked for."""

import numpy as np
import pytest

from tune.evidence.pair import Rules, compare_pair
from tune.simulate.runs import (
    RandomEffects,
    draw_labels,
    draw_latent_runs,
    draw_linear_runs,
    video_layout,
)
from tune.states import TrialState

LAYOUT = video_layout()
RULES = Rules(margin=0.02)


def test_the_layout_is_like_mosis_test_set() -> None:
    sizes = np.bincount(LAYOUT)
    assert (sizes.size, sizes.sum()) == (31, 686)
    assert (sizes.min(), sizes.max()) == (10, 42)
    assert (np.diff(LAYOUT) >= 0).all()


@pytest.mark.parametrize(
    ("videos", "utterances"), [(1, 1), (8, 8), (8, 100), (31, 32), (300, 5000)]
)
def test_any_layout_has_as_many_videos_and_utterances_as_asked(
    videos: int, utterances: int
) -> None:
    sizes = np.bincount(video_layout(videos, utterances))
    assert (sizes.size, sizes.sum()) == (videos, utterances)
    assert sizes.min() >= 1


def test_labels_are_like_mosis() -> None:
    labels = draw_labels(np.random.default_rng(0), video_layout(400, 9000))
    assert labels.mean() == pytest.approx(-0.3, abs=0.1)
    assert labels.std() == pytest.approx(1.5, abs=0.1)
    assert np.allclose(labels * 5, np.rint(labels * 5))
    assert 0.01 < np.mean(labels == 0) < 0.1


def test_linear_runs_have_the_true_difference_and_the_spread_asked_for() -> None:
    rng = np.random.default_rng(1)
    effects = RandomEffects(seed=0.05, video=0.1, utterance=0.1, error=0.3)
    gaps, errors, seeds = [], [], []
    for _ in range(300):
        runs, here = draw_linear_runs(rng, effects, seeds=6, layout=LAYOUT, gap=0.04)
        pair = compare_pair(runs, ("a", "b"), "mae", RULES)
        gaps.append(np.mean(pair.differences))
        errors.append(gaps[-1] - here)
        seeds.append(np.var(pair.differences, ddof=1))
    assert np.mean(gaps) == pytest.approx(0.04, abs=0.006)
    # On these utterances only seeds and single runs are left.
    expected = (0.05**2 + 0.3**2 / 686) / 6
    assert np.var(errors) == pytest.approx(expected, rel=0.35)
    assert np.mean(seeds) == pytest.approx(0.05**2 + 0.3**2 / 686, rel=0.15)


@pytest.mark.parametrize("metric", ["mae", "corr", "acc2_non0", "f1_has0", "acc7"])
def test_latent_runs_differ_in_no_metric_on_average_unless_asked(metric: str) -> None:
    rng = np.random.default_rng(2)
    equal: list[float] = []
    harmed: list[float] = []
    for _ in range(60):
        for worse_by, gaps in ((0.0, equal), (0.5, harmed)):
            runs = draw_latent_runs(
                rng, RandomEffects(video=0.1), seeds=5, layout=LAYOUT, worse_by=worse_by
            )
            pair = compare_pair(runs, ("a", "b"), metric, RULES)
            gaps.append(float(np.mean(pair.differences)) * (1 if metric == "mae" else -1))
    assert abs(np.mean(equal)) < 4 * np.std(equal) / 60**0.5
    assert np.mean(harmed) > 10 * np.std(harmed) / 60**0.5


def test_values_look_like_those_of_real_models() -> None:
    runs = draw_latent_runs(np.random.default_rng(3), RandomEffects(), seeds=5, layout=LAYOUT)
    mae = compare_pair(runs, ("a", "b"), "mae", RULES)
    corr = compare_pair(runs, ("a", "b"), "corr", RULES)
    assert 0.5 < mae.means[0] < 0.9
    assert 0.7 < corr.means[0] < 0.95


@pytest.mark.parametrize("shape", ["normal", "heavy", "skewed"])
def test_every_shape_has_the_standard_deviation_asked_for(shape: str) -> None:
    rng = np.random.default_rng(4)
    effects = RandomEffects(seed=0.2, video=0.0, utterance=0.0, error=0.0, shape=shape)  # type: ignore[arg-type]
    runs, _ = draw_linear_runs(rng, effects, seeds=20_000, layout=np.array([0, 1]))
    pair = np.abs(runs.predictions - runs.labels).mean(axis=2)
    assert np.std(pair[0] - pair[1]) == pytest.approx(0.2, rel=0.15)


def test_failed_runs_have_a_state_and_no_predictions() -> None:
    effects = RandomEffects(failure_rate=0.3)
    runs, _ = draw_linear_runs(np.random.default_rng(5), effects, seeds=200, layout=LAYOUT)
    failed = np.isnan(runs.predictions.mean(axis=2))
    assert failed.mean() == pytest.approx(0.3, abs=0.1)
    assert runs.failures("a") == failed[0].sum()
    assert (np.array(runs.states) == TrialState.FAILED).sum() == failed.sum()


def test_equal_generators_give_equal_runs() -> None:
    one = draw_latent_runs(np.random.default_rng(6), RandomEffects(), seeds=3, layout=LAYOUT)
    same = draw_latent_runs(np.random.default_rng(6), RandomEffects(), seeds=3, layout=LAYOUT)
    other = draw_latent_runs(np.random.default_rng(7), RandomEffects(), seeds=3, layout=LAYOUT)
    assert np.array_equal(one.predictions, same.predictions)
    assert not np.array_equal(one.predictions, other.predictions)
