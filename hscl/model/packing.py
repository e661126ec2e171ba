"""Encode only real tokens: the rows of a batch one behind the other, without padding.

All of a BERT but its attention looks at one token at a time. In random batches of MOSI two of
three tokens are padding, which linear layers, feed-forward and norms then never see; attention
alone puts its rows side by side again, those of like lengths together. Results and gradients are
those of the padded batch; what dropout draws has the same distribution, in another order.
"""

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from hscl.model.batch import moved
from hscl.model.length_groups import rows_at_a_time

__all__ = ["Packing", "encode_packed", "packing_for", "prepare_for_packing"]

_ATTENTION = "hscl_packed"
_PADDING = 2048
"""Padded places that must go for a GPU to pack: it launches some fifteen more kernels a layer, in
which it could compute about a thousand tokens of a BERT-base (an estimate: no GPU was at hand)."""


@dataclass(frozen=True)
class _Group:
    """Rows of like lengths, one behind the other in the packing.

    Attributes:
        tokens: Which of the packed tokens are theirs.
        places: (t,) where each of these tokens stands in the padded rows, counted through.
        mask: (b, 1, 1, l) bool, True for real tokens.
    """

    tokens: slice
    places: Tensor
    mask: Tensor

    def pad(self, packed: Tensor) -> Tensor:
        """(T, heads, w) of all rows -> (b, heads, l, w) of these."""
        rows, _, _, longest = self.mask.shape
        padded = packed.new_zeros(rows * longest, *packed.shape[1:])
        padded = padded.index_copy(0, self.places, packed[self.tokens])
        return padded.view(rows, longest, *packed.shape[1:]).transpose(1, 2)

    def pack(self, padded: Tensor) -> Tensor:
        """(b, heads, l, w) -> (t, heads, w)."""
        return padded.transpose(1, 2).flatten(0, 1).index_select(0, self.places)


@dataclass(frozen=True)
class Packing:
    """Where the T real tokens of B padded rows lie.

    Attributes:
        places: (T,) each token's place in the padded rows, counted through all B·L.
        positions: (T,) its position within its row.
        groups: The rows by length, a few at a time.
    """

    places: Tensor
    positions: Tensor
    groups: tuple[_Group, ...]

    @classmethod
    def of(cls, lengths: Tensor, longest: int, rows: int) -> "Packing":
        """Pack B rows, shortest first.

        Args:
            lengths: (B,) real tokens of each, at least 1.
            longest: L, places of a padded row.
            rows: Rows that attend at a time.
        """
        lengths, order = lengths.sort(stable=True)
        row, positions = _mask(lengths, longest).nonzero(as_tuple=True)
        groups, start = [], 0
        for part in lengths.split(rows):  # type: ignore[no-untyped-call]
            mask = _mask(part, int(part[-1]))
            places = mask.flatten().nonzero().squeeze(1)
            groups.append(
                _Group(slice(start, start + len(places)), places, mask[:, None, None, :])
            )
            start += len(places)
        return cls(order[row] * longest + positions, positions, tuple(groups))

    def to(self, device: torch.device) -> "Packing":
        """The same on a device."""
        groups = (
            _Group(group.tokens, moved(group.places, device), moved(group.mask, device))
            for group in self.groups
        )
        return Packing(moved(self.places, device), moved(self.positions, device), tuple(groups))


def packing_for(lengths: Tensor, longest: int, device: torch.device) -> Packing | None:
    """How to pack B rows for a device.

    Args:
        lengths: (B,) real tokens of each, at least 1.
        longest: L, places of a padded row.
        device: Where they are encoded.

    Returns:
        The packing, on a CPU in groups of like lengths, else in one; None where the padded batch
        is as good, or a GPU would have to be waited for to know the lengths.
    """
    if torch.compiler.is_compiling() or lengths.device.type != "cpu":
        return None
    rows = rows_at_a_time(device)
    if rows is None and len(lengths) * longest - int(lengths.sum()) < _PADDING:
        return None
    return Packing.of(lengths, longest, rows or len(lengths)).to(device)


def _mask(lengths: Tensor, longest: int) -> Tensor:
    """(B, L) True for real tokens."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def prepare_for_packing(model: nn.Module) -> bool:
    """Let a model attend within packed rows, if it is one that can.

    BERT's tokens know their position by number and meet in its attention alone; relatives of it
    that count positions otherwise or bias attention by distance can't be packed.

    Returns:
        Whether `encode_packed` takes the model.
    """
    if not isinstance(model, transformers.BertModel) or model.config.is_decoder:
        return False
    from transformers.masking_utils import sdpa_mask  # noqa: PLC0415 - takes a second

    transformers.AttentionInterface.register(_ATTENTION, _attention)
    transformers.AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)
    return True


def encode_packed(model: nn.Module, token_ids: Tensor, packing: Packing) -> Tensor:
    """Encode the real tokens of B rows.

    Args:
        model: Prepared.
        token_ids: (B, L).
        packing: Of the same rows.

    Returns:
        (B, L, d), zeros at padded places.
    """
    states = model(
        input_ids=token_ids.flatten()[packing.places][None],
        position_ids=packing.positions[None],
        packing=packing,
    ).last_hidden_state[0]
    padded = states.new_zeros(token_ids.numel(), states.shape[1])
    out: Tensor = padded.index_copy(0, packing.places, states).view(*token_ids.shape, -1)
    return out


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: Packing | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: (1, heads, T, w) when packed, else padded rows."""
    if packing is None:
        from transformers.integrations.sdpa_attention import (  # noqa: PLC0415 - takes a second
            sdpa_attention_forward,
        )

        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    queries, keys, values = (part[0].transpose(0, 1) for part in (query, key, value))
    attended = [
        group.pack(
            functional.scaled_dot_product_attention(
                group.pad(queries),
                group.pad(keys),
                group.pad(values),
                attn_mask=group.mask,
                dropout_p=settings["dropout"],
                scale=settings["scaling"],
            )
        )
        for group in packing.groups
    ]
    return torch.cat(attended)[None], None
