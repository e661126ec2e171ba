"""Encode rows of like lengths together, so that short ones don't compute long ones' padding.

Who is in a batch matters to a contrastive loss, so batches are drawn at random; but an encoder
looks at one row at a time, and may take the batch in parts. In random batches of MOSI two of three
frames are padding, and nearly all of it goes when rows are sorted by length and encoded a dozen
at a time. Results and gradients are those of the whole batch.

Attention over many frames, which this makes cheaper with the square of the length, is most of a
sequence encoder's work. A BERT's is in what looks at one token: see `hscl.model.packing`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ROWS", "in_length_groups", "rows_at_a_time"]

ROWS = {"cpu": 12}
"""Rows encoded at a time, by device. A GPU is faster with the whole batch than with many parts."""


def rows_at_a_time(device: torch.device) -> int | None:
    """Rows to encode at a time on a device; None: the whole batch."""
    return None if torch.compiler.is_compiling() else ROWS.get(device.type)


def in_length_groups(
    encode: Callable[[Tensor, Tensor], Tensor], padded: Tensor, lengths: Tensor
) -> Tensor:
    """Encode B sequences in groups of like lengths.

    Args:
        encode: (rows (b, l, …), lengths (b,)) -> (b, l, d), each row by itself.
        padded: (B, L, …), padded at the end.
        lengths: (B,), at least 1 each.

    Returns:
        (B, L, d), with zeros beyond the longest row of each row's group.
    """
    rows = rows_at_a_time(padded.device)
    if rows is None or len(padded) <= rows:
        return encode(padded, lengths)
    order = lengths.argsort(stable=True)
    longest = padded.shape[1]
    parts = []
    for chosen in order.split(rows):  # type: ignore[no-untyped-call]
        part_lengths = lengths[chosen]
        encoded = encode(padded[chosen, : int(part_lengths[-1])], part_lengths)
        parts.append(functional.pad(encoded, (0, 0, 0, longest - encoded.shape[1])))
    return torch.cat(parts)[order.argsort()]
