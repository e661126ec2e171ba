"""Metrics against golden values, scikit-learn and cases worked out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from hscl.metrics import METRIC, METRICS, evaluate, is_constant, metrics_of, why_undefined

_GOLDEN_NAMES = {
    "mae": "MAE",
    "corr": "Corr",
    "acc7": "Mult_acc_7",
    "acc5": "Mult_acc_5",
    "acc2_has0": "Has0_acc_2",
    "acc2_non0": "Non0_acc_2",
    "f1_has0": "Has0_F1_score",
    "f1_non0": "Non0_F1_score",
}


def test_every_metric_equals_the_golden_value_to_four_digits(shared: Path) -> None:
    for case in json.loads((shared / "golden/metrics.json").read_text())["cases"]:
        found = evaluate(case["labels"], case["predictions"])
        for ours, theirs in _GOLDEN_NAMES.items():
            assert round(found[ours], 4) == pytest.approx(case["expected"][theirs], abs=1e-9), (
                case["name"],
                ours,
            )


def test_metrics_are_not_rounded() -> None:
    assert evaluate([0.0, 1.0, 2.0], [0.1, 1.0, 2.0])["mae"] == pytest.approx(0.1 / 3, rel=1e-12)


def test_two_class_metrics_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    y = np.round(rng.uniform(-3, 3, 200), 1)
    y[:30] = 0.0
    p = y + rng.normal(0, 1.5, 200)
    signed = y != 0
    found = evaluate(y, p)
    assert found["acc2_has0"] == pytest.approx(accuracy_score(y >= 0, p >= 0))
    assert found["f1_has0"] == pytest.approx(f1_score(y >= 0, p >= 0, average="weighted"))
    assert found["acc2_non0"] == pytest.approx(accuracy_score(y[signed] > 0, p[signed] > 0))
    assert found["f1_non0"] == pytest.approx(
        f1_score(y[signed] > 0, p[signed] > 0, average="weighted")
    )


def test_f1_weighs_a_class_that_only_the_predictions_have_by_nothing() -> None:
    found = evaluate([1.0, 2.0, 3.0], [1.0, -1.0, 1.0])
    assert found["f1_has0"] == pytest.approx(2 * 2 / (3 + 2))


@pytest.mark.parametrize(
    ("label", "prediction", "seven", "five"),
    [
        (0.5, 0.0, 1, 1),  # halves go to even
        (0.5, 1.0, 0, 0),
        (1.5, 2.5, 1, 1),
        (-2.5, -1.6, 1, 1),
        (-3.0, -9.0, 1, 1),  # clipped first
        (2.6, 3.4, 1, 1),
        (2.4, 3.0, 0, 1),
    ],
)
def test_classes_are_clipped_first_and_round_halves_to_even(
    label: float, prediction: float, seven: int, five: int
) -> None:
    found = evaluate([label], [prediction])
    assert (found["acc7"], found["acc5"]) == (seven, five)


def test_correlation_is_missing_where_a_side_is_constant() -> None:
    assert math.isnan(evaluate([1.0, 2.0], [0.5, 0.5])["corr"])
    assert math.isnan(evaluate([1.0, 1.0], [0.5, 0.7])["corr"])
    assert math.isnan(evaluate([1.0], [0.5])["corr"])


@pytest.mark.parametrize("label_range", [3.0, 1.0])
def test_correlation_of_a_collapsed_run_is_not_made_of_its_rounding(label_range: float) -> None:
    labels = np.linspace(-1, 1, 60)
    predictions = np.full(60, 0.3173828, np.float32)
    predictions[::7] = np.nextafter(predictions[0], np.float32(1))
    assert 0 < np.ptp(predictions) < 1e-7
    assert math.isnan(evaluate(labels, predictions, label_range)["corr"])
    assert math.isfinite(evaluate(labels, predictions + 1e-4 * labels, label_range)["corr"])


def test_a_run_is_constant_up_to_rounding_and_one_utterance_never_is() -> None:
    runs = [[0.3, 0.3, 0.3], [0.3, 0.3 + 1e-7, 0.3], [0.3, 0.3 + 1e-4, 0.3], [1e8, 1e8 + 1, 1e8]]
    assert is_constant(runs).tolist() == [True, True, False, True]
    assert is_constant(runs[0]).tolist() is True
    assert is_constant([[0.3], [0.4]]).tolist() == [False, False]


def test_non0_metrics_are_missing_where_every_label_is_0() -> None:
    found = evaluate([0.0, 0.0], [1.0, -1.0])
    assert math.isnan(found["acc2_non0"])
    assert math.isnan(found["f1_non0"])
    assert found["acc2_has0"] == 0.5


def _mmsa_sims(labels: Any, predictions: Any) -> dict[str, float]:
    """MMSA's `__eval_sims_regression`, written out."""
    p, y = (np.clip(np.asarray(x, float), -1.0, 1.0) for x in (predictions, labels))

    def classes(values: Any, ends: list[float]) -> list[int]:
        return [
            next(i for i in range(len(ends) - 1) if ends[i] < value <= ends[i + 1])
            for value in values
        ]

    found = {"mae": np.mean(np.abs(p - y)), "corr": np.corrcoef(p, y)[0][1]}
    for name, ends in (
        ("acc2_sims", [-1.01, 0.0, 1.01]),
        ("acc3_sims", [-1.01, -0.1, 0.1, 1.01]),
        ("acc5_sims", [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01]),
    ):
        pairs = list(zip(classes(y, ends), classes(p, ends), strict=True))
        found[name] = np.mean([a == b for a, b in pairs])
        if name == "acc2_sims":
            found["f1_sims"] = 0.0
            for side in (0, 1):
                hits = sum(a == b == side for a, b in pairs)
                truth, guess = (sum(pair[k] == side for pair in pairs) for k in (0, 1))
                f1 = 2 * hits / (truth + guess) if truth + guess else 0.0
                found["f1_sims"] += truth / len(pairs) * f1
    return {name: float(value) for name, value in found.items()}


@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.one_of(st.floats(-2, 2), st.sampled_from([-0.7, 0.1]))),
        min_size=3,
        max_size=40,
    )
)
def test_metrics_of_ch_sims_are_mmsas(pairs: list[tuple[int, float]]) -> None:
    labels, predictions = [k / 5 for k, _ in pairs], [p for _, p in pairs]
    found = evaluate(labels, predictions, 1.0)
    assert tuple(found) == metrics_of(1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = _mmsa_sims(labels, predictions)
    if math.isnan(found["corr"]):
        clipped = np.clip(predictions, -1, 1)
        assert len(set(labels)) == 1 or np.ptp(clipped) <= 1e-6
        del found["corr"], expected["corr"]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("label_range", [3.0, 1.0])
def test_numbers_that_are_not_finite_have_no_metrics(label_range: float) -> None:
    for labels, predictions in (([0.0, 1.0], [0.0, math.nan]), ([0.0, math.inf], [0.0, 1.0])):
        with pytest.raises(ValueError, match="must be finite"):
            evaluate(labels, predictions, label_range)


def test_why_a_metric_exists_for_no_predictions() -> None:
    assert [why_undefined(name, [0.0, 1.0]) for name in METRICS] == [None] * 8
    assert [why_undefined(name, [0.0, 1.0], 1.0) for name in metrics_of(1.0)] == [None] * 6
    assert why_undefined("corr", [0.4, 0.4]) == ("it needs labels that differ, and all 2 are 0.4")
    assert why_undefined("f1_non0", [0.0] * 3) == "it needs labels other than 0, and all 3 are 0"
    assert "have the metrics mae, corr, acc5_sims" in str(why_undefined("acc7", [0.2], 1.0))
    assert "have the metrics mae, corr, acc7" in str(why_undefined("f1_sims", [0.2]))


def test_only_the_error_should_fall() -> None:
    assert [name for name in METRICS if METRIC[name].mode == "min"] == ["mae"]
    assert [name for name in METRICS if METRIC[name].lower_wins] == ["mae"]
    assert METRIC["mae"].direction == "lower is better"
    assert {METRIC[name].direction for name in METRICS[1:]} == {"higher is better"}


def test_the_worse_side_is_up_for_errors_and_down_for_all_else() -> None:
    assert METRIC["mae"].worsened(0.5, 0.25) == 0.75
    assert METRIC["corr"].worsened(0.5, 0.25) == 0.25


def test_every_metric_has_a_name_and_a_form_for_people() -> None:
    assert METRIC["mae"].name == "MAE"
    assert METRIC["acc2_has0"].name == "Acc-2 (Has0)"
    assert len({METRIC[name].name for name in METRICS}) == len(METRICS)
    assert [name for name in METRICS if METRIC[name].head != METRIC[name].name] == ["mae"]
    assert METRIC["mae"].value_text(0.70049) == "0.700"
    assert METRIC["acc7"].value_text(0.4567) == "45.7"
    assert METRIC["corr"].value_text(math.nan) == "–"


def test_classes_reach_as_far_as_their_metric_says() -> None:
    assert [(name, METRIC[name].bound) for name in METRICS if METRIC[name].bound < math.inf] == [
        ("acc7", 3.0),
        ("acc5", 2.0),
    ]
    # Clipped to ± 2, the two are one class; to ± 3 they are two.
    found = evaluate([3.0, -1.0], [2.0, -1.0])
    assert (found["acc5"], found["acc7"]) == (1.0, 0.5)


def test_unequal_lengths_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        evaluate([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="0 and 0"):
        evaluate([], [])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(-5, 5)),
        min_size=2,
        max_size=30,
    )
)
def test_every_share_lies_between_0_and_1_and_perfect_predictions_are_perfect(
    pairs: list[tuple[float, float]],
) -> None:
    y = [pair[0] for pair in pairs]
    found = evaluate(y, [pair[1] for pair in pairs])
    shares = [found[name] for name in METRICS if name not in {"mae", "corr"}]
    assert all(math.isnan(share) or 0.0 <= share <= 1.0 for share in shares)
    perfect = evaluate(y, y)
    assert perfect["mae"] == 0.0
    assert all(
        math.isnan(perfect[name]) or perfect[name] == pytest.approx(1.0) for name in METRICS[1:]
    )


def test_correlation_equals_numpys() -> None:
    rng = np.random.default_rng(5)
    y, p = rng.normal(size=(2, 100))
    assert evaluate(y, p)["corr"] == pytest.approx(np.corrcoef(y, p)[0, 1], rel=1e-12)
