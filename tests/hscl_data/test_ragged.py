"""Sequences of unequal length behind each other, in one array or several."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.ragged import Ragged


def _of_rows(rows: list[npt.NDArray[Any]]) -> Ragged:
    ends = list(itertools.accumulate(len(row) for row in rows))
    return Ragged(np.concatenate(rows), np.array([0, *ends], dtype=np.int64))


def _ragged(lengths: list[int], cuts: list[int] | None = None) -> tuple[Ragged, list[list[int]]]:
    """Known rows; a block ends before each row in `cuts`."""
    rows = [[100 * i + k for k in range(n)] for i, n in enumerate(lengths)]
    ragged = _of_rows([np.array(row, dtype=np.int64) for row in rows])
    blocks = np.split(ragged.values, ragged.offsets[sorted(cuts or [])])
    return Ragged(blocks, ragged.offsets), rows


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.data())
def test_taking_rows_is_like_indexing_a_list_of_lists(
    lengths: list[int], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(lengths)), max_size=4))
    ragged, rows = _ragged(lengths, cuts)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))

    taken = ragged.take(chosen)

    assert [taken.row(i).tolist() for i in range(len(taken))] == [rows[i] for i in chosen]
    assert taken.lengths.tolist() == [len(rows[i]) for i in chosen]
    assert [ragged.row(i).tolist() for i in range(len(rows))] == rows
    assert ragged.values.tolist() == [value for row in rows for value in row]


def test_frames_keep_their_width() -> None:
    rows = [np.ones((2, 3)), np.zeros((0, 3)), np.full((1, 3), 7.0)]

    ragged = _of_rows(rows)

    assert len(ragged) == 3
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.row(1).shape == (0, 3)
    assert ragged.take([2]).values.tolist() == [[7.0, 7.0, 7.0]]


@pytest.mark.parametrize("index", [-1, 2])
def test_a_row_that_is_not_there_is_an_index_error(index: int) -> None:
    ragged, _ = _ragged([1, 2])
    with pytest.raises(IndexError):
        ragged.row(index)


def test_rows_of_several_blocks_are_views() -> None:
    ragged, _ = _ragged([2, 3, 1], [2])
    assert [len(block) for block in ragged.blocks] == [5, 1]
    assert all(np.shares_memory(ragged.row(i), ragged.blocks[i // 2]) for i in range(3))
