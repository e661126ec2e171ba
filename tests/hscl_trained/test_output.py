"""The result of `hscl evaluate` in the terminal."""

import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hscl.metrics import METRICS, metrics_of
from hscl.trained.evaluate import Evaluation
from hscl.trained.output import evaluation_lines, formatted
from hscl.trained.predict import Predictions
from hscl.trained.record import mean_sd


@pytest.fixture
def evaluation() -> Evaluation:
    by_seed = {
        seed: {**dict.fromkeys(METRICS, 0.8), "mae": 0.7 + seed / 10, "corr": math.nan}
        for seed in (1, 2)
    }
    return Evaluation(
        by_seed=by_seed,
        summary={n: mean_sd([v[n] for v in by_seed.values()]) for n in METRICS},
        ensemble={**dict.fromkeys(METRICS, 0.8), "mae": 0.75},
        utterances=686,
        digest="abcdef0123456789",
        same_data=True,
        earlier=0,
        warnings=[],
    )


def test_each_seed_mean_and_deviation_have_a_line(evaluation: Evaluation) -> None:
    lines = evaluation_lines(evaluation)
    assert lines[0].split()[:2] == ["test", "MAE"]
    firsts = [line.split("  ")[0] for line in lines[:6]]
    assert firsts[1:] == ["seed 1", "seed 2", "mean", "± sd", "mean prediction"]
    assert lines[1].split() == ["seed", "1", "0.800", "–", *["80.0"] * 6]
    assert lines[3].split() == ["mean", "0.850", "–", *["80.0"] * 6]
    assert lines[4].split()[2] == "0.071"
    assert len({len(line) for line in lines[:6]}) == 1


def test_a_mean_over_some_seeds_alone_says_of_how_many_it_is(evaluation: Evaluation) -> None:
    by_seed = {**evaluation.by_seed, 3: dict.fromkeys(METRICS, 0.8)}
    summary = {n: mean_sd([v[n] for v in by_seed.values()]) for n in METRICS}
    lines = evaluation_lines(replace(evaluation, by_seed=by_seed, summary=summary))
    assert lines[4].split()[:6] == ["mean", "0.833", "0.800", "(1", "of", "3)"]
    assert lines[4].count("of") == 1
    assert len({len(line) for line in lines[:7]}) == 1


def test_one_seed_has_no_mean(evaluation: Evaluation) -> None:
    single = replace(evaluation, by_seed={1: evaluation.by_seed[1]})
    assert not [line for line in evaluation_lines(single) if line.startswith("mean")]


def test_it_says_on_what_and_how_often_before(evaluation: Evaluation) -> None:
    text = "\n".join(evaluation_lines(evaluation))
    assert "686 utterances of data set abcdef012345." in text
    assert "The first test evaluation" in text
    again = "\n".join(evaluation_lines(replace(evaluation, same_data=False, earlier=3)))
    assert "not the one it was trained on" in again
    assert "opened 3 times before" in again
    assert "do not choose by it" in again


@pytest.fixture
def predictions() -> Predictions:
    by_seed = np.array([[1.0, -2.0], [2.0, -2.0]])
    return Predictions(["v", 'w "quoted"'], ["1", "2,3"], [7, 8], by_seed, [])


def test_json_lines_hold_one_object_an_utterance(predictions: Predictions) -> None:
    rows = [json.loads(line) for line in formatted(predictions, "jsonl").splitlines()]
    assert rows == [
        {
            "video": "v",
            "utterance": "1",
            "prediction": 1.5,
            "spread": pytest.approx(0.5**0.5),
            "seeds": 2,
        },
        {"video": 'w "quoted"', "utterance": "2,3", "prediction": -2.0, "spread": 0.0, "seeds": 2},
    ]


def test_csv_says_the_same(predictions: Predictions) -> None:
    rows = list(csv.DictReader(io.StringIO(formatted(predictions, "csv"))))
    assert [row["video"] for row in rows] == ["v", 'w "quoted"']
    assert [row["utterance"] for row in rows] == ["1", "2,3"]
    assert [float(row["prediction"]) for row in rows] == [1.5, -2.0]
    assert list(rows[0]) == ["video", "utterance", "prediction", "spread", "seeds"]


def test_a_single_seed_has_no_spread() -> None:
    single = Predictions(["v"], ["1"], [7], np.array([[0.5]]), [])
    assert json.loads(formatted(single, "jsonl"))["spread"] is None
    assert formatted(single, "csv").splitlines()[1] == "v,1,0.5,,1"


def test_bare_texts_stand_for_themselves() -> None:
    text = "schön,\nund neu"
    bare = Predictions([""], [text], [7], np.array([[0.5]]), [])
    assert json.loads(formatted(bare, "jsonl", text=True))["text"] == text
    (row,) = csv.DictReader(io.StringIO(formatted(bare, "csv", text=True)))
    assert row["text"] == text


def test_metrics_of_ch_sims_have_columns_of_their_own(evaluation: Evaluation) -> None:
    values = dict.fromkeys(metrics_of(1.0), 0.5)
    summary = {name: {"mean": 0.5, "sd": 0.1} for name in values}
    sims = replace(evaluation, by_seed={1: values, 2: values}, summary=summary, ensemble=values)
    lines = evaluation_lines(sims)
    assert lines[0].split() == ["test", "MAE", "↓", "Corr", "Acc-5", "Acc-3", "Acc-2", "F1"]
    assert lines[1].split() == ["seed", "1", "0.500", "0.500", *["50.0"] * 4]
    assert "MMSA's for CH-SIMS" in lines[-2]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_is_null_or_empty(bad: float) -> None:
    by_seed = np.array([[0.5, bad], [1.0, 2.0]])
    predictions = Predictions(["v", "w"], ["1", "2"], [7, 8], by_seed, [])
    good, null = (json.loads(line) for line in formatted(predictions, "jsonl").splitlines())
    assert (good["prediction"], null["prediction"], null["spread"]) == (0.75, None, None)
    rows = list(csv.DictReader(io.StringIO(formatted(predictions, "csv"))))
    assert (rows[1]["prediction"], rows[1]["spread"]) == ("", "")
    assert "1 of 2 are not (seeds 7), the first that of video w" in str(predictions.failure)
    assert replace(predictions, by_seed=by_seed[1:], seeds=[8]).failure is None


def test_six_decimals_are_written_and_split_and_label_where_there_are_any(
    predictions: Predictions,
) -> None:
    many = replace(predictions, by_seed=predictions.by_seed + 1 / 3)
    (first, _) = csv.DictReader(io.StringIO(formatted(many, "csv")))
    assert first["prediction"] == "1.833333"
    known = replace(predictions, splits=["test", None], labels=[0.4, None])
    first, second = csv.DictReader(io.StringIO(formatted(known, "csv")))
    assert list(first)[:4] == ["video", "utterance", "split", "label"]
    assert (first["split"], first["label"]) == ("test", "0.4")
    assert (second["split"], second["label"]) == ("", "")
    bare = replace(predictions, splits=[None, None], labels=[None, None])
    assert formatted(bare, "csv") == formatted(predictions, "csv")
