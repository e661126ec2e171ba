"""Cleaning: float32, finite, one width; and all that was done is counted."""

from dataclasses import replace

import numpy as np
import pytest

from hscl.data.cleaning import Cleaning
from hscl.data.ids import Key
from hscl.data.readers.sources import FieldError, Frames, Listed, Source


def _source(audio: list[Frames | None], words: list[str | None] | None = None) -> Source:
    count = len(audio)
    return Source(
        name="f",
        keys=[Key("v", str(k)) for k in range(count)],
        splits=[None] * count,
        labels=[None] * count,
        words=words or [None] * count,
        audio=Listed(audio),
    )


def test_values_are_float32_and_finite_and_counted() -> None:
    largest = float(np.finfo(np.float32).max)
    frames = np.array([[1e300, -np.inf], [np.nan, 0.1], [largest, 9e9]])
    cleaning = Cleaning()

    (row,) = cleaning.rows([_source([frames])])

    assert row.audio is not None
    assert row.audio.dtype == np.float32
    assert row.audio.tolist() == [[0, 0], [0, np.float32(0.1)], [0, np.float32(9e9)]]
    assert cleaning.replaced == {"audio": 4}
    assert np.isinf(frames[0, 1]), "the source is left as it was"


def test_sequences_without_any_number_are_missing() -> None:
    cleaning = Cleaning()

    rows = list(
        cleaning.rows(
            [
                _source(
                    [
                        None,
                        np.zeros((0, 2)),
                        np.zeros((4, 0)),
                        np.zeros((4, 2)),
                        np.full((1, 2), np.nan),
                    ]
                )
            ]
        )
    )

    assert [row.audio for row in rows] == [None] * 5
    assert cleaning.missing == {"text": 5, "audio": 5, "vision": 5, "text_vectors": 5}
    assert cleaning.widths == {"audio": 2}
    assert cleaning.zeroed == {"audio": 2}


def test_another_width_names_the_utterance() -> None:
    with pytest.raises(FieldError, match="field 'audio', video v, utterance 1: must be 3 wide"):
        list(Cleaning().rows([_source([np.ones((2, 3)), np.ones((2, 4))])]))


def test_words_are_stripped_and_blank_ones_missing() -> None:
    rows = Cleaning().rows([_source([None, None, None], [" a b ", "  ", None])])
    assert [row.text for row in rows] == ["a b", None, None]


@pytest.mark.parametrize(
    ("key", "field"), [(Key("\udce9", "1"), "video"), (Key("v", "\udce9"), "utterance")]
)
def test_names_that_are_no_unicode_are_named(key: Key, field: str) -> None:
    source = replace(_source([None]), keys=[key])
    with pytest.raises(FieldError, match=rf"field '{field}', .*: must be text, is '\\udce9'"):
        list(Cleaning().rows([source]))


def test_text_that_is_no_unicode_is_named() -> None:
    with pytest.raises(FieldError, match="field 'text', video v, utterance 0"):
        list(Cleaning().rows([_source([None], ["\ud800"])]))


def test_finite_values_that_are_no_measurement_become_zero_and_are_named() -> None:
    lowest = float(np.finfo(np.float32).min)
    one, other = np.array([[1.0, lowest / 2], [1e30, 9.9e9]]), np.array([[-1e10, 3.0]])
    cleaning = Cleaning()
    first, second, *_ = cleaning.rows([_source([one, other] * 3)])
    assert first.audio is not None
    assert second.audio is not None
    assert first.audio.tolist() == [[1.0, 0.0], [0.0, np.float32(9.9e9)]]
    assert second.audio.tolist() == [[0.0, 3.0]]
    assert cleaning.too_large_named["audio"][:3] == [
        "video v, utterance 0, feature 1: -1.70141e+38",
        "video v, utterance 0, feature 0: 1e+30",
        "video v, utterance 1, feature 0: -1e+10",
    ]
    assert cleaning.too_large == {"audio": 9}
    assert len(cleaning.too_large_named["audio"]) == 5, "a few stand for all"
    assert cleaning.replaced == {}
