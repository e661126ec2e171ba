"""Predictions as JSON lines or CSV."""

import csv
import io
import json

import numpy as np
import pytest

from hscl.prediction import Predictions
from hscl.prediction_output import formatted


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
