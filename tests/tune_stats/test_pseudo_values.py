"""Pseudo-values against golden metrics, scikit-learn with weights, and literal derivatives."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hscl.metrics import evaluate, metrics_of
from tune.stats.pseudo_values import pseudo_values, run_scores

METRICS = ("mae", "corr", "acc7", "acc5", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0")


def _runs(seed: int, runs: int = 3, utterances: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.round(rng.normal(-0.3, 1.5, utterances).clip(-3, 3) * 5) / 5
    labels[:5] = 0.0
    return labels, labels + rng.normal(0, 1.0, (runs, utterances))


def _weighted(metric: str, y: np.ndarray, p: np.ndarray, w: np.ndarray) -> float:
    """The metric of a weighted sample, from numpy and scikit-learn alone."""
    if metric == "corr":
        cov = np.cov(y, p, aweights=w, ddof=0)
        return float(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    if metric == "f1_has0":
        return float(f1_score(y >= 0, p >= 0, average="weighted", sample_weight=w))
    keep = y != 0
    if metric == "f1_non0":
        truth, guess = y[keep] > 0, p[keep] > 0
        return float(f1_score(truth, guess, average="weighted", sample_weight=w[keep]))
    if metric == "acc2_non0":
        return float(np.average((y[keep] > 0) == (p[keep] > 0), weights=w[keep]))
    return float(np.average(np.abs(y - p), weights=w))


def test_mean_of_the_pseudo_values_is_the_golden_metric(shared: Path) -> None:
    golden = json.loads((shared / "golden" / "metrics.json").read_text())
    checked = 0
    for case in golden["cases"]:
        labels, predictions = np.array(case["labels"]), np.array(case["predictions"])
        expected = {_plain(k): v for k, v in case["expected"].items()}
        for metric in METRICS:
            value = expected.get(metric)
            if value is None or not np.isfinite(value):
                continue
            mine = pseudo_values(metric, labels, predictions).mean()
            assert mine == pytest.approx(value, abs=5.1e-5), (case["name"], metric)
            checked += 1
    assert checked >= 16


@pytest.mark.parametrize("metric", metrics_of(1.0))
def test_metrics_of_ch_sims_are_means_of_pseudo_values_too(metric: str) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(-5, 6, 60) / 5
    predictions = (labels + rng.normal(0, 0.4, (3, 60))).clip(-1, 1)
    predictions[0, :5] = -0.1, 0.1, 0.0, 0.7, -0.7  # a class holds its upper end
    mine = run_scores(pseudo_values(metric, labels, predictions))
    expected = [evaluate(labels, run, 1.0)[metric] for run in predictions]
    assert mine == pytest.approx(expected)


def _plain(name: str) -> str:
    """MMSA's names of the metrics in ours."""
    table = {
        "MAE": "mae",
        "Corr": "corr",
        "Mult_acc_7": "acc7",
        "Mult_acc_5": "acc5",
        "Has0_acc_2": "acc2_has0",
        "Non0_acc_2": "acc2_non0",
        "Has0_F1_score": "f1_has0",
        "Non0_F1_score": "f1_non0",
    }
    return table.get(name, name)


@pytest.mark.parametrize("metric", ["mae", "corr", "acc2_non0", "f1_has0", "f1_non0"])
def test_pseudo_values_are_the_derivative_along_each_utterances_weight(metric: str) -> None:
    labels, predictions = _runs(2)
    mine = pseudo_values(metric, labels, predictions)
    utterances, step = labels.size, 1e-5
    for run in range(predictions.shape[0]):
        whole = _weighted(metric, labels, predictions[run], np.ones(utterances))
        for u in (0, 3, 7, 20, 41, 79):
            up, down = np.ones(utterances), np.ones(utterances)
            up[u] += step
            down[u] -= step
            slope = _weighted(metric, labels, predictions[run], up) - _weighted(
                metric, labels, predictions[run], down
            )
            influence = utterances * slope / (2 * step)
            assert mine[run, u] == pytest.approx(whole + influence, abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_mean_of_the_pseudo_values_is_the_products_own_metric(metric: str) -> None:
    metrics = pytest.importorskip("hscl.metrics")
    labels, predictions = _runs(5, utterances=123)
    mine = pseudo_values(metric, labels, predictions).mean(axis=1)
    for run in range(3):
        theirs = metrics.evaluate(labels, predictions[run])[metric]
        assert mine[run] == pytest.approx(theirs, abs=1e-12)


def test_corr_of_a_constant_run_is_missing_and_leaves_the_others() -> None:
    labels, predictions = _runs(6)
    predictions[1] = 0.4
    mine = pseudo_values("corr", labels, predictions)
    assert np.isnan(mine[1]).all()
    assert np.isfinite(mine[[0, 2]]).all()
    assert np.isnan(pseudo_values("corr", np.ones(4), np.arange(4.0))).all()


def test_corr_of_a_run_that_is_constant_up_to_rounding_is_missing() -> None:
    labels, predictions = _runs(6)
    predictions[1] = 0.4 + 1e-8 * labels
    assert np.isnan(run_scores(pseudo_values("corr", labels, predictions))).tolist() == [
        False,
        True,
        False,
    ]


def test_without_non_zero_labels_the_non_zero_metrics_are_missing() -> None:
    values = pseudo_values("acc2_non0", np.zeros(4), np.arange(4.0))
    assert np.isnan(values).all()


def test_non_zero_metrics_have_the_video_sums_of_the_non_zero_utterances_alone() -> None:
    labels, predictions = _runs(7)
    mine = pseudo_values("acc2_non0", labels, predictions)
    videos = np.arange(labels.size) % 9
    keep = labels != 0
    for run in range(3):
        right = (predictions[run] > 0) == (labels > 0)
        metric = right[keep].mean()
        for v in range(9):
            inside = right[keep & (videos == v)]
            deviation = (inside - metric).sum() * labels.size / keep.sum()
            assert (mine[run] - metric)[videos == v].sum() == pytest.approx(deviation)


def test_one_guessed_class_alone_still_has_an_f1() -> None:
    labels = np.array([1.0, -1.0, 2.0, 1.0])
    values = pseudo_values("f1_has0", labels, np.ones(4))
    expected = f1_score(labels >= 0, np.ones(4) >= 0, average="weighted")
    assert values.mean() == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("lacking", [slice(None), slice(3, 4)])
def test_a_run_that_lacks_predictions_has_no_value_on_any_metric(
    metric: str, lacking: slice
) -> None:
    labels, predictions = _runs(8)
    whole = pseudo_values(metric, labels, predictions)
    predictions[1, lacking] = np.nan
    mine = pseudo_values(metric, labels, predictions)
    assert np.isnan(mine[1]).all()
    np.testing.assert_array_equal(mine[[0, 2]], whole[[0, 2]])
    assert np.isnan(run_scores(mine)).tolist() == [False, True, False]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("runs", [0, 3])
def test_without_utterances_no_run_has_a_score(metric: str, runs: int) -> None:
    values = pseudo_values(metric, np.zeros(0), np.zeros((runs, 0)))
    assert values.shape == (runs, 0)
    assert np.isnan(run_scores(values)).tolist() == [True] * runs
