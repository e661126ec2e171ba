"""Opening a test set leaves a trace."""

import json
import math
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import hscl
from hscl.data.convert import from_arrays
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo
from hscl.data.schema import arrow_schema, digest_of, file_metadata, write_utterances
from hscl.errors import InputError, RunError
from hscl.metrics import METRICS, evaluate
from hscl.trained.evaluate import evaluate_model
from hscl.trained.predict import TrainedModel


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> TrainedModel:
    return hscl.load(shutil.copytree(tiny_model, tmp_path / "model"), device="cpu")


def test_training_and_prediction_leave_no_trace(model: TrainedModel, tiny_file: Path) -> None:
    model.predict(tiny_file, split="test")
    assert not (model.folder / "evaluations.jsonl").exists()


def test_every_seed_is_measured_on_test(model: TrainedModel, tiny_file: Path) -> None:
    dataset = Dataset.open(tiny_file)
    evaluation = evaluate_model(model, dataset)
    rows = dataset.table.to_pylist()
    labels = [row["label"] for row in rows if row["split"] == "test"]
    predictions = model.predict(dataset, split="test")
    assert list(evaluation.by_seed) == [11, 12]
    for values, found in zip(predictions.by_seed, evaluation.by_seed.values(), strict=True):
        assert found == pytest.approx(evaluate(labels, values), nan_ok=True)
    assert evaluation.ensemble == pytest.approx(evaluate(labels, predictions.mean))
    maes = [found["mae"] for found in evaluation.by_seed.values()]
    assert evaluation.summary["mae"]["mean"] == pytest.approx(np.mean(maes))
    assert evaluation.summary["mae"]["sd"] == pytest.approx(np.std(maes, ddof=1))
    assert evaluation.utterances == len(labels)
    assert evaluation.same_data
    assert tuple(evaluation.summary) == METRICS


def test_who_when_and_which_data_are_appended(model: TrainedModel, tiny_file: Path) -> None:
    dataset = Dataset.open(tiny_file)
    first = evaluate_model(model, dataset)
    second = evaluate_model(model, dataset)
    assert (first.earlier, second.earlier) == (0, 1)
    text = (model.folder / "evaluations.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert line["digest"] == dataset.digest
        assert "@" in line["who"]
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
        assert line["seeds"]["11"]["mae"] == first.by_seed[11]["mae"]


def test_data_that_it_was_not_trained_on_are_told_apart(
    model: TrainedModel, tmp_path: Path
) -> None:
    write_demo(tmp_path / "other.arrow", seed=5, utterances=60)
    evaluation = evaluate_model(model, Dataset.open(tmp_path / "other.arrow"))
    assert not evaluation.same_data


def test_without_labelled_test_utterances_nothing_is_recorded(
    model: TrainedModel, tiny_file: Path, tmp_path: Path
) -> None:
    table = Dataset.open(tiny_file).table
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["label"] = [None] * 60
    from_arrays(tmp_path / "new.arrow", columns)
    with pytest.raises(InputError, match="label"):
        evaluate_model(model, Dataset.open(tmp_path / "new.arrow"))
    assert not (model.folder / "evaluations.jsonl").exists()


def test_where_it_cannot_be_recorded_nothing_is_shown(
    model: TrainedModel, tiny_file: Path
) -> None:
    (model.folder / "evaluations.jsonl").mkdir()
    with pytest.raises(RunError, match="recorded"):
        evaluate_model(model, Dataset.open(tiny_file))


def _written_by_another_program(tiny_file: Path, path: Path, **more: object) -> Dataset:
    """The test utterances of a set, the second with a NaN that nobody cleaned."""
    rows = [row for row in Dataset.open(tiny_file).all_rows() if row.split == "test"]
    assert rows[1].audio is not None
    audio = rows[1].audio.copy()
    audio[0, 2] = np.nan
    rows[1] = replace(rows[1], audio=audio)
    metadata = file_metadata(
        digest=digest_of(rows), source="t", audio_width=5, vision_width=20, **more
    )
    write_utterances(path, rows, arrow_schema(5, 20, metadata))
    return Dataset.open(path)


def test_predictions_that_are_not_finite_have_no_metric_beside_them(
    model: TrainedModel, tiny_file: Path, tmp_path: Path
) -> None:
    dataset = _written_by_another_program(tiny_file, tmp_path / "old.arrow")
    evaluation = evaluate_model(model, dataset)
    assert "1 of 16 are not (seeds 11, 12), the first that of video" in str(evaluation.failure)
    for values in (*evaluation.by_seed.values(), evaluation.ensemble):
        assert all(math.isnan(value) for value in values.values())
    assert all(math.isnan(part["mean"]) for part in evaluation.summary.values())
    (line,) = (model.folder / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["failure"] == evaluation.failure
    assert json.loads(line)["ensemble"]["mae"] is None


def test_labels_of_another_range_than_in_training_are_refused(
    model: TrainedModel, tiny_file: Path, tmp_path: Path
) -> None:
    dataset = _written_by_another_program(tiny_file, tmp_path / "old.arrow", label_range=1.0)
    with pytest.raises(InputError, match=r"must have labels between ±3 .* but has a range of 1"):
        evaluate_model(model, dataset)
    assert not (model.folder / "evaluations.jsonl").exists()
