"""Where the real frames lie: the side of the padding, and zero frames inside that stay."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.readers import padding
from hscl.data.readers.padding import bounds, padding_side, side_by_lengths, zero_runs
from hscl.data.readers.sources import FieldError


def _literal_runs(row: npt.NDArray[Any]) -> tuple[int, int]:
    zero = [all(number == 0 for number in frame) for frame in row]
    leading = 0
    while leading < len(zero) and zero[leading]:
        leading += 1
    trailing = 0
    while trailing < len(zero) and zero[-1 - trailing]:
        trailing += 1
    return leading, trailing


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.0, 1.0, -1.0, float("nan")]), min_size=10, max_size=10),
        min_size=1,
        max_size=6,
    )
)
def test_runs_of_zero_rows_are_those_of_a_plain_loop(rows: list[list[float]]) -> None:
    values = np.array(rows).reshape(len(rows), 5, 2)
    runs = zero_runs(values)
    expected = [_literal_runs(row) for row in values]
    assert list(zip(runs.leading, runs.trailing, strict=True)) == expected
    assert runs.empty.tolist() == [leading == 5 for leading, _ in expected]


def test_a_row_that_sums_to_zero_is_no_zero_row() -> None:
    runs = zero_runs(np.array([[[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]]]))
    assert (runs.leading[0], runs.trailing[0]) == (1, 1)


def test_a_part_at_a_time_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 2, (37, 6, 2))
    whole = zero_runs(values)
    monkeypatch.setattr(padding, "_CHUNK_BYTES", 1)
    part = zero_runs(values)
    assert np.array_equal(whole.leading, part.leading)
    assert np.array_equal(whole.trailing, part.trailing)


def _padded(lengths: list[int], side: str, rows: int = 100) -> npt.NDArray[np.float64]:
    values = np.zeros((len(lengths), rows, 2))
    for target, length in zip(values, lengths, strict=True):
        target[rows - length :] = 1 if side == "front" else 0
        target[:length] = 1 if side == "back" else target[:length]
    return values


@pytest.mark.parametrize("side", ["front", "back"])
def test_the_side_is_told_although_some_real_frames_are_zero(side: str) -> None:
    values = _padded([20, 30, 99, 100], side)
    values[0, 90] = values[1, 2] = values[3, 50] = values[3, 0] = values[3, 99] = 0

    runs = zero_runs(values)

    assert padding_side("f", "audio", [runs]) == side
    begin, end = bounds(runs, side)
    assert (end - begin).tolist() == [20, 30, 99, 99]


def test_no_zero_row_at_any_end_means_no_padding() -> None:
    runs = zero_runs(_padded([100, 100], "back"))
    assert padding_side("f", "audio", [runs]) == "none"
    assert bounds(runs, "none")[1].tolist() == [100, 100]


def test_utterances_of_zeros_only_say_nothing_about_the_side_and_are_empty() -> None:
    values = np.concatenate([_padded([40], "front"), np.zeros((50, 100, 2))])
    runs = zero_runs(values)
    assert padding_side("f", "vision", [runs]) == "front"
    begin, end = bounds(runs, "front")
    assert (end - begin).tolist() == [40] + [0] * 50


@pytest.mark.parametrize(("trailing", "clear"), [(5, True), (6, False)])
def test_the_side_is_clear_from_95_percent_on(trailing: int, clear: bool) -> None:  # noqa: FBT001
    values = np.ones((1, 200, 1))
    values[0, :95] = 0
    values[0, 200 - trailing :] = 0
    if clear:
        assert padding_side("f", "vision", [zero_runs(values)]) == "front"
        return
    with pytest.raises(FieldError, match="field 'vision': the side of the padding can't be told"):
        padding_side("f", "vision", [zero_runs(values)])


def test_recorded_lengths_count_from_the_padding_away() -> None:
    runs = zero_runs(_padded([20, 30], "back"))
    begin, end = bounds(runs, "back", np.array([25, 10]))
    assert (begin.tolist(), end.tolist()) == ([0, 0], [25, 10])
    runs = zero_runs(_padded([20, 30], "front"))
    begin, end = bounds(runs, "front", np.array([25, 10]))
    assert (begin.tolist(), end.tolist()) == ([75, 90], [100, 100])


def test_recorded_lengths_tell_the_side_where_zeros_lie_at_both_ends() -> None:
    # Aligned: 20 rows, the frames of [CLS] and [SEP] are zero, then padding.
    values = np.zeros((40, 20, 2))
    lengths = np.arange(40) % 12 + 4
    for row, length in zip(values, lengths, strict=True):
        row[1 : length - 1] = 1.0
    for found, side in ((values, "back"), (values[:, ::-1], "front")):
        runs = [zero_runs(found[:15]), zero_runs(found[15:])]
        assert side_by_lengths(runs, [lengths[:15], lengths[15:]]) == side
    runs = [zero_runs(values)]
    assert side_by_lengths(runs, [np.full(40, 20)]) == "none"
    assert side_by_lengths(runs, [np.full(40, 1)]) is None, "they hold nothing"
    assert side_by_lengths(runs, [np.full(40, 19)]) is None, "from both sides they hold all"
