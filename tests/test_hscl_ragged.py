"""Sequences of unequal length in one flat array."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.ragged import Ragged


def _ragged(lengths: list[int]) -> tuple[Ragged, list[list[int]]]:
    rows = [[100 * i + k for k in range(n)] for i, n in enumerate(lengths)]
    return Ragged.from_rows([np.array(row, dtype=np.int64) for row in rows]), rows


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.data())
def test_taking_rows_is_like_indexing_a_list_of_lists(
    lengths: list[int], data: st.DataObject
) -> None:
    ragged, rows = _ragged(lengths)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))

    taken = ragged.take(chosen)

    assert [taken.row(i).tolist() for i in range(len(taken))] == [rows[i] for i in chosen]
    assert taken.lengths.tolist() == [len(rows[i]) for i in chosen]


def test_frames_keep_their_width() -> None:
    rows = [np.ones((2, 3)), np.zeros((0, 3)), np.full((1, 3), 7.0)]

    ragged = Ragged.from_rows(rows)

    assert len(ragged) == 3
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.row(1).shape == (0, 3)
    assert ragged.take([2]).values.tolist() == [[7.0, 7.0, 7.0]]


@pytest.mark.parametrize("index", [-1, 2])
def test_a_row_that_is_not_there_is_an_index_error(index: int) -> None:
    ragged, _ = _ragged([1, 2])
    with pytest.raises(IndexError):
        ragged.row(index)
