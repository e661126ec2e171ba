"""Encode rows of like lengths together, so that short ones don't compute long ones' padding.

Who is in a batch matters to a contrastive loss, so batches are drawn at random; but an encoder
looks at one row at a time, and may take the batch in parts. In random batches of MOSI two of three
frames are padding, and nearly all of it goes when rows are sorted by length and cut where the
padding that is saved is worth another pass. Results and gradients are those of the whole batch.

Attention over many frames, which this makes cheaper with the square of the length, is most of a
sequence encoder's work. A BERT's is in what looks at one token: see `hscl.model.packing`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ROWS", "group_sizes", "in_length_groups", "rows_at_a_time"]

ROWS = {"cpu": 12}
"""Rows that attend at a time, by device. A GPU is faster with the whole batch than with parts."""
_PASS = 24
# A place costs 1 + length / 250: attention reaches the rest of the work at 250 frames (measured on
# one thread, 5 to 74 features wide, forwards and backwards).
_ATTENTION = 250.0


def rows_at_a_time(device: torch.device) -> int | None:
    """Rows to encode at a time on a device; None: the whole batch."""
    return None if torch.compiler.is_compiling() else ROWS.get(device.type)


def in_length_groups(
    encode: Callable[[Tensor, Tensor], Tensor],
    padded: Tensor,
    lengths: Tensor,
    *,
    a_pass: float = _PASS,
) -> Tensor:
    """Encode B sequences in groups of like lengths.

    Args:
        encode: (rows (b, l, …), lengths (b,)) -> (b, l, d), each row by itself.
        padded: (B, L, …), padded at the end.
        lengths: (B,), at least 1 each.
        a_pass: What a pass of `encode` costs by itself, in places that it could compute instead.

    Returns:
        (B, L, d), with zeros beyond the longest row of each row's group.
    """
    if rows_at_a_time(padded.device) is None:
        return encode(padded, lengths)
    order = lengths.argsort(stable=True)
    sizes = group_sizes(lengths[order].tolist(), a_pass)
    if len(sizes) < 2:
        return encode(padded, lengths)
    longest = padded.shape[1]
    parts = []
    for chosen in order.split(sizes):  # type: ignore[no-untyped-call]
        part_lengths = lengths[chosen]
        encoded = encode(padded[chosen, : int(part_lengths[-1])], part_lengths)
        parts.append(functional.pad(encoded, (0, 0, 0, longest - encoded.shape[1])))
    return torch.cat(parts)[order.argsort()]


def group_sizes(lengths: Sequence[int], a_pass: float) -> list[int]:
    """Where to cut rows so that all passes together cost least.

    Args:
        lengths: Of the rows, rising.
        a_pass: What a pass costs by itself, in places.

    Returns:
        How many rows each group has, shortest rows first.
    """
    cost = np.array([length * (1.0 + length / _ATTENTION) for length in lengths])
    # What the first i rows cost at least, and where the last of their groups then begins.
    least, start = np.zeros(len(lengths) + 1), np.zeros(len(lengths) + 1, dtype=np.int64)
    for i, longest in enumerate(cost, 1):
        total = least[:i] + longest * np.arange(i, 0, -1)
        start[i] = total.argmin()
        least[i] = total[start[i]] + a_pass
    sizes: list[int] = []
    end = len(lengths)
    while end:
        sizes.append(end - int(start[end]))
        end = int(start[end])
    return sizes[::-1]
