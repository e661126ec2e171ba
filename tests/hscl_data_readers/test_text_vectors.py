"""A file's own text vectors: real tokens told by the mask or by zero rows; else left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hscl.data.readers.text_vectors import text_vectors

PATH = Path("x.pkl")
LENGTHS = (3, 1, 5)


def _glove(side: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.zeros((3, 6, 4))
    for row, length in zip(values, LENGTHS, strict=True):
        row[slice(-length, None) if side == "front" else slice(length)] = length
    return values


def _splits(**fields: Any) -> dict[str, dict[str, Any]]:
    return {"train": {"id": ["v_1", "v_2", "v_3"], **fields}}


@pytest.mark.parametrize("side", ["front", "back"])
def test_zero_rows_at_the_ends_are_padding(side: str) -> None:
    found, remarks = text_vectors(PATH, _splits(text=_glove(side)), set())
    for vectors, length in zip(found["train"], LENGTHS, strict=True):
        assert vectors is not None
        assert vectors.tolist() == [[length] * 4] * length
    assert remarks == []


def test_the_tokenizers_mask_tells_where_nothing_is_zero() -> None:
    bert = np.ones((3, 3, 6))
    for row, length in zip(bert, LENGTHS, strict=True):
        row[1, length:] = 0
    text = np.random.default_rng(0).normal(size=(3, 6, 768))
    found, _ = text_vectors(PATH, _splits(text=text, text_bert=bert), set())
    for vectors, row, length in zip(found["train"], text, LENGTHS, strict=True):
        assert vectors is not None
        assert np.array_equal(vectors, row[:length])


def test_an_utterance_without_any_vector_has_none() -> None:
    text = _glove("front")
    text[1] = 0
    found, _ = text_vectors(PATH, _splits(text=text), set())
    assert [len(v) for v in found["train"] if v is not None] == [3, 0, 5]


def test_words_that_glove_lacks_at_both_ends_leave_the_side_to_audio_and_vision() -> None:
    text = _glove("front")
    text[2, -2:] = 0  # the last words
    found, _ = text_vectors(PATH, _splits(text=text), {"front"})
    assert [len(v) for v in found["train"] if v is not None] == [3, 1, 5]
    none, (remark,) = text_vectors(PATH, _splits(text=text), set())
    assert none == {}
    assert remark == (
        "x.pkl: the vectors in the field 'text' are left out, as they must be padded on one side."
    )


@pytest.mark.parametrize(
    "text",
    [np.ones((3, 6)), np.ones((3, 6, 4), int), np.ones((3, 6, 0)), [1, 2, 3], np.ones((2, 6, 4))],
)
def test_what_is_no_vectors_is_left_out_and_said(text: Any) -> None:
    found, remarks = text_vectors(PATH, _splits(text=text), {"back"})
    assert found == {}
    assert len(remarks) == 1


def test_a_file_without_the_field_has_nothing_to_say() -> None:
    assert text_vectors(PATH, _splits(), {"back"}) == ({}, [])


def test_every_split_needs_vectors_of_one_width() -> None:
    splits = {
        **_splits(text=np.ones((3, 6, 4))),
        "test": _splits(text=np.ones((3, 6, 5)))["train"],
    }
    assert text_vectors(PATH, splits, {"back"})[0] == {}
    del splits["test"]["text"]
    assert text_vectors(PATH, splits, {"back"})[0] == {}
