"""Where the real frames of padded sequences lie: told by their content, or as recorded.

A zero row is a frame whose numbers are all exactly 0. Real sequences have such rows inside, where
no face was found, so that neither counting zero rows nor stopping at the first one gives a
length. What can be told is the side of the padding: over all utterances of a file, nearly all
zero rows at the ends lie at one end. The frames from there to the other end are the sequence.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.data.readers.sources import FieldError, Side

__all__ = ["ZeroRuns", "bounds", "padding_side", "side_by_lengths", "zero_runs"]

# A side that holds at least this share of all zero rows at the ends is the padding's.
_CLEAR_SHARE = 0.95
_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class ZeroRuns:
    """Zero rows at the ends of N sequences of T rows.

    Attributes:
        leading: (N,) number before the first row that is not zero; T where all are.
        trailing: (N,) number behind the last row that is not zero; T where all are.
        rows: T.
    """

    leading: npt.NDArray[np.int64]
    trailing: npt.NDArray[np.int64]
    rows: int

    @property
    def empty(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a sequence has zero rows only."""
        empty: npt.NDArray[np.bool_] = self.leading == self.rows
        return empty


def zero_runs(values: npt.NDArray[Any]) -> ZeroRuns:
    """Count the zero rows at both ends of each sequence, a part of the array at a time.

    Args:
        values: (N, T, width) numbers; NaN and infinity are no zeros.
    """
    count, rows = values.shape[:2]
    leading = np.full(count, rows, dtype=np.int64)
    trailing = leading.copy()
    step = max(1, _CHUNK_BYTES // max(1, values.nbytes // max(1, count)))
    for start in range(0, count, step):
        real = (values[start : start + step] != 0).any(axis=2)
        some = real.any(axis=1)
        part = slice(start, start + step)
        leading[part] = np.where(some, real.argmax(axis=1), rows)
        trailing[part] = np.where(some, real[:, ::-1].argmax(axis=1), rows)
    return ZeroRuns(leading, trailing, rows)


def padding_side(name: str, field: str, runs: list[ZeroRuns]) -> Side:
    """Tell the side of the padding from all sequences of one modality of one file.

    Args:
        name: The file, for the message.
        field: The modality's name in it, likewise.
        runs: Of all splits.

    Returns:
        "front", "back", or "none" where no sequence begins or ends with a zero row.

    Raises:
        FieldError: If both ends have many zero rows.
    """
    leading = sum(int(part.leading[~part.empty].sum()) for part in runs)
    trailing = sum(int(part.trailing[~part.empty].sum()) for part in runs)
    total = leading + trailing
    if not total:
        return "none"
    if leading >= _CLEAR_SHARE * total:
        return "front"
    if trailing >= _CLEAR_SHARE * total:
        return "back"
    raise FieldError(
        name,
        field,
        f"the side of the padding can't be told: {leading} zero rows lead and {trailing} trail, "
        f"where one side must have {_CLEAR_SHARE:.0%} of them; say --padding front or back",
    )


def side_by_lengths(runs: list[ZeroRuns], recorded: list[npt.NDArray[np.int64]]) -> Side | None:
    """Tell the side from recorded lengths, where frames are zero at both ends.

    In aligned files the frame of [CLS] is zero, and so is that of [SEP].

    Args:
        runs: Of all splits.
        recorded: (N,) of all splits.

    Returns:
        The one side from which the recorded lengths hold nearly all frames that are not zero;
        "none" where they fill all rows; None where that is neither side, or both.
    """
    if all((lengths == part.rows).all() for part, lengths in zip(runs, recorded, strict=True)):
        return "none"
    fits: dict[Side, bool] = {}
    for side in ("front", "back"):
        inside = [
            part.rows - (part.leading if side == "front" else part.trailing) <= lengths
            for part, lengths in zip(runs, recorded, strict=True)
        ]
        fits[side] = bool(np.concatenate(inside).mean() >= _CLEAR_SHARE)
    found = [side for side, fit in fits.items() if fit]
    return found[0] if len(found) == 1 else None


def bounds(
    runs: ZeroRuns, side: Side, recorded: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First real frame of each sequence and one past its last.

    Args:
        runs: What `zero_runs` counted.
        side: Of the padding; "none" takes whole sequences.
        recorded: (N,) lengths to believe instead of the content's.

    Returns:
        `begin` and `end`, both (N,); equal for a sequence of zero rows only.
    """
    begin = np.zeros(len(runs.leading), dtype=np.int64)
    end = np.full(len(runs.leading), runs.rows, dtype=np.int64)
    if side == "front":
        begin = runs.leading.copy() if recorded is None else runs.rows - recorded
    elif recorded is not None:
        end = recorded.copy()
    elif side == "back":
        end = runs.rows - runs.trailing
    end[runs.empty] = begin[runs.empty] = 0
    return begin, end
