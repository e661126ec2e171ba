"""Multi-head attention of every place of one sequence over the places of another.

Dropout takes whole value vectors away, for each utterance and head: see
`hscl.model.sequence_encoder`, whose reasons hold here too, as for head widths padded on GPUs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.model.sequence_encoder import drop_vectors, head_padding

__all__ = ["Attention", "lengths_mask"]


class Attention(nn.Module):
    """MultiHead(Q, K, V), scores over √(head width).

    Source: Vaswani et al., NeurIPS 2017, section 3.2.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Make the attention.

        Args:
            width: Of query, memory and result; a multiple of `heads`.
            heads: Number of heads.
            dropout: Dropout of the attention weights.
        """
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # softmax would ignore its bias
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            query: (B, L, width).
            memory: (B, S, width).
            mask: (B, S), True where there is something to look at.

        Returns:
            (B, L, width); 0 for a row whose memory is empty.
        """
        something = mask.any(dim=1)
        mask = mask | ~something[:, None]  # no softmax over nothing
        asked, keys, values = (
            self._by_head(layer(sequence))
            for layer, sequence in ((self.query, query), (self.key, memory), (self.value, memory))
        )
        values = drop_vectors(values, self.dropout)
        head_width = query.shape[-1] // self.heads
        answered = functional.scaled_dot_product_attention(
            asked, keys, values, attn_mask=mask[:, None, None, :], scale=head_width**-0.5
        )
        joined = answered[..., :head_width].transpose(1, 2).reshape(query.shape)
        out: Tensor = self.out(joined) * something[:, None, None]
        return out

    def _by_head(self, projected: Tensor) -> Tensor:
        """(B, heads, L, head width, on a GPU padded to a multiple of 8)."""
        batch, length, width = projected.shape
        head_width = width // self.heads
        split = projected.view(batch, length, self.heads, head_width).transpose(1, 2)
        padding = head_padding(projected.device, head_width)
        return functional.pad(split, (0, padding)) if padding else split


def lengths_mask(lengths: Tensor, longest: int) -> Tensor:
    """(B, longest) bool, True at the first `lengths` places of each row."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
