"""The model card."""

from dataclasses import replace

import pytest

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
