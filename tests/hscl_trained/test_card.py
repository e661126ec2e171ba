"""The model card."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import CardData, ModelCard, ModelCardData

from hscl.config import Config
from hscl.metrics import METRICS
from hscl.trained.card import model_card
from hscl.trained.record import ModelRecord, SeedRun


@pytest.fixture
def record() -> ModelRecord:
    valid = {**dict.fromkeys(METRICS, 0.5), "mae": 0.7}
    runs = [SeedRun(s, 4, {**valid, "mae": 0.6 + s / 10}, [], "cpu", "fp32") for s in (1, 2)]
    return ModelRecord(
        config_id="0123456789ab",
        digest="d" * 64,
        fit="train",
        metric="mae",
        seeds=[1, 2, 3],
        widths={"text": 384, "audio": 5, "vision": None},
        splits={"train": 1284, "valid": 229},
        missing={"audio": 2},
        versions={"hscl": "0.1.0", "torch": "2.13.0"},
        runs=runs,
    )


def test_the_card_names_data_versions_and_every_seed(record: ModelRecord) -> None:
    card = model_card(Config(), record)
    for part in ("d" * 64, "0123456789ab", "torch 2.13.0", "1,284 utterances of train"):
        assert part in card
    assert "| 1 | 4 | 0.700 | 0.500 | 50.0 |" in card
    assert "0.750 ± 0.071" in card
    assert "2 of\n3 seeds are finished" in card
    assert "audio (2)" in card


def test_a_card_before_the_first_seed_is_finished_can_be_written(record: ModelRecord) -> None:
    card = model_card(Config(), replace(record, runs=[]))
    assert "0 of\n3 seeds" in card


def test_the_card_of_a_deployed_model_claims_no_result(record: ModelRecord) -> None:
    runs = [replace(run, valid={}) for run in record.runs]
    card = model_card(Config(), replace(record, fit="train+valid", runs=runs))
    assert "nothing is left to measure on" in card
    assert "0.700" not in card


def test_the_card_tells_no_path_of_the_machine_that_trained(record: ModelRecord) -> None:
    config = Config().with_overrides({"model.text.encoder": "/home/somebody/encoders/bert"})
    card = model_card(config, record)
    assert "somebody" not in card
    assert "bert, fine-tuned" in card


def test_text_alone_misses_nothing(record: ModelRecord) -> None:
    config = Config().with_overrides({"model.modalities": "text"})
    assert "lacked a modality" not in model_card(config, record)


def _read_back(card: str) -> tuple[dict[str, Any], ModelCardData]:
    """The header as YAML, and as huggingface_hub's own classes have it."""
    head = yaml.safe_load(card.split("---\n")[1])
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    return head, data


def _told(data: CardData) -> dict[str, Any]:
    told: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]
    return told


def test_the_header_is_read_back_by_huggingface_hub_and_says_mean_and_sd(
    record: ModelRecord, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text(model_card(Config(), record), encoding="utf-8")
    card = ModelCard.load(tmp_path / "README.md")
    head, data = _read_back(model_card(Config(), record))
    assert _told(card.data) == _told(data) == head
    assert (data.license, data.language, data.library_name) == ("mit", "en", "hscl")
    assert data.datasets == ["cmu-mosi"]
    assert data.metrics == ["mae", "pearsonr", "accuracy", "f1"]
    found = {result.metric_name: result for result in data.eval_results or []}
    mae = found["MAE (mean of 2 seeds, sd 0.0707)"]
    assert (mae.metric_type, mae.metric_value) == ("mae", pytest.approx(0.75))
    assert mae.metric_args == {"seeds": 2, "sd": 0.0707}
    assert (mae.dataset_name, mae.dataset_split) == ("CMU-MOSI", "validation")
    assert mae.dataset_revision == "d" * 64
    assert len(found) == len(METRICS)
    # What the hub's own class makes of these results is what stands there.
    again = ModelCardData(model_name=data.model_name, eval_results=data.eval_results)
    assert _told(again)["model-index"] == head["model-index"]


def test_a_mean_over_some_seeds_alone_says_of_how_many_it_is(record: ModelRecord) -> None:
    """A seed that predicts the same of all has no correlation."""
    runs = [replace(run, valid={**run.valid, "corr": math.nan}) for run in record.runs]
    three = [*runs, replace(record.runs[0], seed=3)]
    card = model_card(Config(), replace(record, runs=three))
    _, data = _read_back(card)
    found = {result.metric_name: result for result in data.eval_results or []}
    assert found["Corr (mean of 1 of 3 seeds)"].metric_args == {"seeds": 1}
    assert "MAE (mean of 3 seeds, sd 0.0577)" in found
    assert "| mean ± sd |  | 0.733 ± 0.058 | 0.500 ± – (1 of 3) | 50.0 ± 0.0 |" in card


def test_a_header_claims_no_result_that_there_is_none_of(record: ModelRecord) -> None:
    undefined = replace(record.runs[0], valid={"mae": 0.7, "corr": math.nan})
    head, data = _read_back(model_card(Config(), replace(record, runs=[undefined])))
    assert [result.metric_name for result in data.eval_results or []] == ["MAE (one seed)"]
    assert head["metrics"] == ["mae"]
    empty = replace(record, runs=[replace(run, valid={}) for run in record.runs])
    for without in (replace(record, runs=[]), replace(empty, fit="train+valid")):
        head, data = _read_back(model_card(Config(), without))
        assert "model-index" not in head
        assert data.eval_results is None


def test_data_that_are_not_known_are_not_named_and_sims_is_chinese(record: ModelRecord) -> None:
    own, _ = _read_back(model_card(Config(), replace(record, splits={"train": 41, "valid": 12})))
    assert "datasets" not in own
    assert own["model-index"][0]["results"][0]["dataset"]["name"] == "own data"
    sims = replace(record, splits={"train": 1368, "valid": 456}, label_range=1.0)
    head, _ = _read_back(model_card(Config(), sims))
    assert (head["language"], head["datasets"]) == ("zh", ["ch-sims"])
