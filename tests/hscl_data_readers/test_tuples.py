"""Tuple pickles of MMIM, HSCL, MISA and MAG-BERT: read where each keeps its words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import known_rows, tuples

from hscl.data.ids import Key
from hscl.data.readers.sources import FieldError
from hscl.data.readers.tuples import read_tuples

ROWS = known_rows()[:4]
PATH = Path("x.pkl")


def test_a_fold_of_mmim_is_read() -> None:
    source = read_tuples(PATH, "valid", tuples(ROWS))

    assert source.keys == [Key(row.video, row.utterance) for row in ROWS]
    assert source.labels == [row.label for row in ROWS]
    assert source.words == [row.text for row in ROWS]
    assert source.splits == ["valid"] * 4
    assert source.audio is not None
    assert source.vision is not None
    for row, audio, vision in zip(ROWS, source.audio, source.vision, strict=True):
        assert np.array_equal(audio, row.audio)  # type: ignore[arg-type]
        assert np.array_equal(vision, row.vision)  # type: ignore[arg-type]


VISION, AUDIO = np.ones((3, 4)), np.ones((5, 2))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (([3, 4, 5], VISION, AUDIO, ["so", "so"]), "so so"),  # MISA
        ((np.array([3, 4]), VISION, AUDIO, np.array(["so", "so"])), "so so"),
        ((["so", "so"], VISION, AUDIO), "so so"),  # MAG-BERT
        (([b"so", b"so"], VISION, AUDIO), "so so"),  # Python 2
        (([], VISION, AUDIO, [], 3, 5), None),
        (([3], VISION, AUDIO), None),
        (([" ", ""], VISION, AUDIO), None),
    ],
)
def test_words_are_taken_from_where_they_are(features: Any, words: str | None) -> None:
    source = read_tuples(PATH, "train", [(features, np.array([[0.5]]), "v[7]")])
    assert source.words == [words]
    assert source.keys == [Key("v", "7")]
    assert source.order == [7.0]


def test_sentiment_comes_before_six_emotions() -> None:
    label = np.array([[1.5, 9, 9, 9, 9, 9, 9]])
    assert read_tuples(PATH, "train", [(([], VISION, AUDIO), label, "v_1")]).labels == [1.5]


def test_a_modality_that_is_none_or_empty_is_missing() -> None:
    items: list[Any] = [(([], None, np.zeros((0, 2))), 0.0, "v_1")]
    source = read_tuples(PATH, "train", items)
    assert source.vision is not None
    assert list(source.vision) == [None]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (3, r"field 'tuple', utterance number 2: must be \(\(words"),
        ((([], VISION, AUDIO), 0.0), "field 'tuple', utterance number 2"),
        ((([], VISION), 0.0, "v_2"), r"field 'features', utterance number 2: must be \(words"),
        ((5, 0.0, "v_2"), "field 'features', utterance number 2"),
        ((([], VISION, AUDIO), 0.0, "v"), "field 'id', utterance number 2: must be VIDEO_CLIP"),
        ((([], VISION, AUDIO), 0.0, 2), "field 'id', utterance number 2: must be text"),
        (
            (([], VISION, AUDIO), 3.5, "v_2"),
            "field 'label', video v, utterance 2: a label must be",
        ),
        (
            (([], VISION, AUDIO), np.array([1.0, 2.0]), "v_2"),
            "field 'label', video v, utterance 2",
        ),
        (
            (([], VISION[0], AUDIO), 0.0, "v_2"),
            "field 'vision', video v, utterance 2: must be an arr",
        ),
        (
            (([], VISION, "loud"), 0.0, "v_2"),
            "field 'audio', video v, utterance 2: must be an array",
        ),
        ((([], VISION.astype("U"), AUDIO), 0.0, "v_2"), "field 'vision', video v, utterance 2"),
        ((([], VISION, AUDIO, [], 4, 5), 0.0, "v_2"), "field 'vision length', .*frames, 3, is 4"),
        ((([], VISION, AUDIO, [], 3, 6), 0.0, "v_2"), "field 'audio length', .*frames, 5, is 6"),
    ],
)
def test_what_does_not_fit_is_named(item: Any, message: str) -> None:
    items = [(([], VISION, AUDIO), 0.0, "v_1"), item]
    with pytest.raises(FieldError, match=message):
        read_tuples(PATH, "train", items)


def test_an_empty_fold_is_an_error() -> None:
    with pytest.raises(FieldError, match="at least one utterance"):
        read_tuples(PATH, "train", [])
