"""Sequences of unequal length behind each other: the form in which all later steps see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Ragged"]


@dataclass(frozen=True, init=False)
class Ragged:
    """N sequences stored one after the other, without padding.

    A sequence of length 0 is a missing one.

    Attributes:
        blocks: The tokens or frames in one array or several, none of which ends inside a
            sequence; (n,) tokens or (n, width) frames each. Often read-only views of a mapped
            file, whose record batches they are.
        offsets: (N + 1,) int64; sequence i is `values[offsets[i] : offsets[i + 1]]`.
    """

    blocks: tuple[npt.NDArray[Any], ...]
    offsets: npt.NDArray[np.int64]

    def __init__(
        self,
        values: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        offsets: npt.NDArray[np.int64],
    ) -> None:
        """Wrap arrays.

        Args:
            values: One array, or at least one in a sequence.
            offsets: As the attribute.
        """
        blocks = (values,) if isinstance(values, np.ndarray) else tuple(values)
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "offsets", offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def values(self) -> npt.NDArray[Any]:
        """(total,) tokens or (total, width) frames; a copy where there are several blocks."""
        return self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)

    @property
    def width(self) -> int:
        """Numbers in a frame."""
        return int(self.blocks[0].shape[1])

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) number of frames or tokens of each sequence."""
        return np.diff(self.offsets)

    def row(self, index: int) -> npt.NDArray[Any]:
        """Sequence `index` (from 0), a view.

        Raises:
            IndexError: If there is no such sequence.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        begin, end = self.offsets[index : index + 2]
        starts = self._starts()
        block = np.searchsorted(starts[1:-1], begin, side="right") if begin < end else 0
        return self.blocks[block][begin - starts[block] : end - starts[block]]

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
        return type(self)(self._at(positions), offsets)

    def _at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        # values[positions], without putting the blocks together.
        if len(self.blocks) == 1:
            return self.blocks[0][positions]
        starts = self._starts()
        owners = np.searchsorted(starts[1:-1], positions, side="right")
        first = self.blocks[0]
        found = np.empty((len(positions), *first.shape[1:]), first.dtype)
        for owner in np.unique(owners):
            here = owners == owner
            found[here] = self.blocks[owner][positions[here] - starts[owner]]
        return found

    def _starts(self) -> npt.NDArray[np.int64]:
        # (blocks + 1,) position of each block's first value, and their number.
        return np.cumsum([0, *map(len, self.blocks)])
