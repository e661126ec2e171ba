"""Which modalities utterances lack, and what there is to say about it."""

from dataclasses import replace

import numpy as np
import pytest

from hscl.config import Config
from hscl.data.ragged import Ragged
from hscl.trained.missing import count_missing, unseen_warnings
from hscl.training.prepared import PreparedSplit, TrainingData


@pytest.fixture
def split(tiny_data: TrainingData) -> PreparedSplit:
    """Four utterances: complete, without audio, without audio and vision, without words."""

    def ragged(lengths: list[int]) -> Ragged:
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Ragged(np.zeros((offsets[-1], 2), np.float32), offsets)

    return replace(
        tiny_data.train,
        videos=["v"] * 4,
        utterances=list("abcd"),
        labels=None,
        text=ragged([1, 2, 3, 0]),
        audio=ragged([5, 0, 0, 2]),
        vision=ragged([1, 1, 0, 4]),
    )


def test_each_set_of_missing_modalities_is_counted(split: PreparedSplit) -> None:
    assert count_missing(split, Config()) == {"audio": 1, "audio+vision": 1, "text": 1}


def test_what_a_model_does_not_use_is_not_missed(split: PreparedSplit) -> None:
    config = Config().with_overrides({"model.modalities": "text+vision"})
    assert count_missing(split, config) == {"text": 1, "vision": 1}
    assert count_missing(replace(split, audio=None), config) == {"text": 1, "vision": 1}


def test_a_modality_that_the_whole_set_lacks_is_missed_by_all(split: PreparedSplit) -> None:
    assert count_missing(replace(split, vision=None), Config()) == {
        "audio+vision": 2,
        "text+vision": 1,
        "vision": 1,
    }


def test_only_what_training_never_lacked_is_warned_of(split: PreparedSplit) -> None:
    warnings = unseen_warnings(split, Config(), {"audio": 3, "text": 1})
    assert len(warnings) == 1
    assert "1 of 4 utterances lack audio and vision" in warnings[0]
    assert "train.modality_dropout" in warnings[0]


def test_modality_dropout_has_shown_a_model_all_but_missing_words(split: PreparedSplit) -> None:
    config = Config().with_overrides({"train.modality_dropout": 0.1})
    (warning,) = unseen_warnings(split, config, {})
    assert "lack text" in warning
    assert "modality_dropout" not in warning


def test_complete_utterances_give_no_warning(split: PreparedSplit) -> None:
    whole = replace(
        split,
        utterances=["a"],
        text=split.text.take([0]),
        audio=split.audio.take([0]) if split.audio else None,
        vision=split.vision.take([0]) if split.vision else None,
    )
    assert unseen_warnings(whole, Config(), {}) == []
