"""Sequences of unequal length in one flat array: the form in which all later steps see them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Ragged"]


@dataclass(frozen=True)
class Ragged:
    """N sequences stored one after the other, without padding.

    A sequence of length 0 is a missing one.

    Attributes:
        values: (total,) tokens or (total, width) frames. Often a read-only view of a mapped file.
        offsets: (N + 1,) int64; sequence i is `values[offsets[i] : offsets[i + 1]]`.
    """

    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: list[npt.NDArray[Any]]) -> Self:
        """Put separate sequences, at least one, behind each other (copies them)."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.concatenate(rows), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) number of frames or tokens of each sequence."""
        return np.diff(self.offsets)

    def row(self, index: int) -> npt.NDArray[Any]:
        """Sequence `index` (from 0), a view of `values`.

        Raises:
            IndexError: If there is no such sequence.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, indices: npt.ArrayLike) -> Self:
        """The sequences at `indices`, in that order, repeats allowed (copies them)."""
        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Position p of the result lies in its sequence as far behind that sequence's start.
        positions = np.arange(offsets[-1]) + np.repeat(
            self.offsets[:-1][chosen] - offsets[:-1], lengths
        )
        return type(self)(self.values[positions], offsets)
