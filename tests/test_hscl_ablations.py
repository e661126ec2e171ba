"""Each row of the ablation tables trains, and what it switches off stays as it was initialised."""

from typing import Any

import pytest
import torch

from hscl.config import Config
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData

LOW = {"projections.text", "projections.audio", "projections.vision"}
HIGH = {"fused_projections.audio", "fused_projections.vision"}
AUDIO = {"encoders.audio", "fusions.audio", "projections.audio", "fused_projections.audio"}
VISION = {part.replace("audio", "vision") for part in AUDIO}

# Row: changes to the configuration, parts that the network lacks, parts that are not trained,
# terms of the loss that are 0.
ROWS: dict[str, tuple[dict[str, Any], set[str], set[str], set[str]]] = {
    "T+A+V, full, SupCR": ({}, set(), set(), set()),
    "T+A": ({"model.modalities": "text+audio"}, VISION, set(), {"low_tv", "sim_tv"}),
    "T+V": ({"model.modalities": "text+vision"}, AUDIO, set(), {"low_ta", "sim_ta"}),
    "T": (
        {"model.modalities": "text", "loss.omega1": 0.0, "loss.omega2": 0.0},
        AUDIO | VISION | {"projections.text"},
        set(),
        {"low_ta", "low_tv", "sim_ta", "sim_tv", "high"},
    ),
    "audio shuffled": ({"model.audio_input": "shuffled"}, set(), set(), set()),
    "audio hidden": ({"model.audio_input": "hidden"}, set(), set(), set()),
    "- low": ({"loss.omega1": 0.0}, set(), LOW, {"low_ta", "low_tv", "sim_ta", "sim_tv"}),
    "- high": ({"loss.omega2": 0.0}, set(), HIGH, {"high"}),
    "- high, by its switch": ({"loss.high": False}, set(), HIGH, {"high"}),
    "- both": (
        {"loss.omega1": 0.0, "loss.omega2": 0.0},
        set(),
        LOW | HIGH,
        {"low_ta", "low_tv", "sim_ta", "sim_tv", "high"},
    ),
    "- similarity": ({"loss.alpha": 0.0}, set(), set(), {"sim_ta", "sim_tv"}),
    "- similarity, by its switch": (
        {"loss.similarity": False},
        set(),
        set(),
        {"sim_ta", "sim_tv"},
    ),
    "similarity only": ({"loss.low": False}, set(), set(), {"low_ta", "low_tv"}),
    "classes only": ({"loss.labels": "supcon"}, set(), set(), set()),
    "no labels": ({"loss.labels": "none"}, set(), set(), set()),
}


def _part(parameter: str) -> str:
    """`encoders.audio.layers.0.….weight` -> `encoders.audio`."""
    return ".".join(parameter.split(".")[:2])


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_switches_off_is_missing_or_keeps_its_first_weights(
    tiny_config: Config, tiny_data: TrainingData, row: str
) -> None:
    changes, lacking, silent, zero = ROWS[row]
    config = tiny_config.with_overrides({"train.epochs": 1, **changes})
    training = Training(config, tiny_data, seed=1)
    # Nobody here lacks words, so that their stand-in is not trained in any row.
    before = {
        n: p.detach().clone() for n, p in training.network.named_parameters() if n != "no_words"
    }
    assert not lacking & {_part(name) for name in before}

    (report,) = list(training)

    after = dict(training.network.named_parameters())
    moved = {_part(name) for name in before if not torch.equal(before[name], after[name])}
    still = {_part(name) for name in before} - moved
    assert still == silent
    assert all(after[name].grad is None for name in before if _part(name) in silent)
    terms = {name: value for name, value in report.losses.items() if name != "total"}
    assert {name for name, value in terms.items() if value == 0.0} == zero


def test_rows_that_share_a_network_differ_in_what_they_learn(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    # The same seed: the same first weights, batches and dropout; only the loss differs.
    learned = {}
    for row, (changes, *_) in ROWS.items():
        if "model.modalities" in changes or row.endswith("switch"):
            continue
        config = tiny_config.with_overrides(
            {"train.epochs": 1, "loss.omega1": 1.0, "loss.omega2": 1.0, **changes}
        )
        training = Training(config, tiny_data, seed=1)
        list(training)
        weight = training.network.get_parameter("encoders.audio.cls")
        learned[row] = tuple(weight.tolist())
    assert len(set(learned.values())) == len(learned)
