"""Text asks, audio or vision answers: the fusion block, at the one query that is used.

R_mt is the block's output at one place of the text, and of its three sublayers only the attentions
look at other places: at E_t and E_m themselves, never at another place's result. So the block is
computed for that query alone, with the same result as for all of them. A single query also allows
(W_k·e)·q = e·(W_kᵀ·q): keys and values are never built, which for 500 frames of width 5 and
768-wide heads is most of the work. Biases of keys and values are left out, as they change nothing:
softmax ignores the first, and the output's own bias contains the second.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import FusionConfig
from hscl.model.sequence_encoder import check_heads

__all__ = ["FusionBlock", "QueryAttention"]


class QueryAttention(nn.Module):
    """Multi-head attention of one query an utterance over a memory, scores over √(head width)."""

    def __init__(
        self, width: int, memory_width: int, heads: int, dropout: float, *, stacked: bool
    ) -> None:
        """Make the attention, initialised as torch's `MultiheadAttention` under Xavier-normal.

        Args:
            width: Width of query and result; a multiple of `heads`.
            memory_width: Width of what is attended to.
            heads: Number of heads.
            dropout: Dropout of the attention weights.
            stacked: Whether query, key and value projections count as one matrix (self-attention),
                which makes their initial values smaller.
        """
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.value = nn.Linear(memory_width, width, bias=False)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_normal_(layer.weight, gain=0.5**0.5 if stacked else 1.0)
        nn.init.xavier_normal_(self.out.weight)
        nn.init.zeros_(self.query.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            query: (B, width).
            memory: (B, L, memory width).
            mask: (B, L), True where the query may look, somewhere in each row; None: everywhere.

        Returns:
            (B, width).
        """
        batch, width = query.shape
        by_head = (self.heads, width // self.heads, memory.shape[-1])
        # Products by head, (heads, B, …): what einsum would do after looking at its letters.
        asked = self.query(query).view(batch, *by_head[:2]) * by_head[1] ** -0.5
        asked = (asked.transpose(0, 1) @ self.key.weight.view(by_head)).transpose(0, 1)
        scores = asked @ memory.transpose(1, 2)  # (B, heads, L)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, :], -torch.inf)
        answered = self.dropout(scores.softmax(dim=-1)).to(memory.dtype) @ memory
        values = self.value.weight.view(by_head).transpose(1, 2)
        answered = (answered.transpose(0, 1) @ values).transpose(0, 1)
        out: Tensor = self.out(answered.reshape(batch, width))
        return out


class FusionBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward, each followed by Add & Norm.

    Source: HSCL (MMM 2024), fusion block; `released` repeats departure 8 of the published code.
    """

    def __init__(
        self, config: FusionConfig, text_width: int, memory_width: int, *, released: bool = False
    ) -> None:
        """Make the block.

        Args:
            config: Heads, feed-forward width, dropout.
            text_width: d_t.
            memory_width: d_m of audio or vision.
            released: Leave self-attention's result out of the cross-attention's residual.

        Raises:
            InputError: The number of heads does not divide the text width.
        """  # noqa: DOC502 - raised by check_heads
        super().__init__()
        check_heads("model.fusion.heads", config.heads, "text encoder", text_width)
        heads, dropout = config.heads, config.dropout
        self.released = released
        self.self_attention = QueryAttention(text_width, text_width, heads, dropout, stacked=True)
        self.cross_attention = QueryAttention(
            text_width, memory_width, heads, dropout, stacked=False
        )
        self.widen = nn.Linear(text_width, config.ffn)
        self.narrow = nn.Linear(config.ffn, text_width)
        self.norms = nn.ModuleList(nn.LayerNorm(text_width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Tensor,
        text: Tensor,
        text_mask: Tensor | None,
        memory: Tensor,
        memory_mask: Tensor,
    ) -> Tensor:
        """Fuse, R_mt.

        Args:
            query: (B, d_t), the place of the text that asks: E_t[:, 0].
            text: (B, L_t, d_t), E_t.
            text_mask: (B, L_t), True for real tokens; None lets padding be attended to.
            memory: (B, 1 + L_m, d_m), E_m.
            memory_mask: (B, 1 + L_m), True for CLS and real frames.

        Returns:
            (B, d_t), Y_mt[:, 0].
        """
        asked = self.dropout(self.self_attention(query, text, text_mask))
        asked = self.norms[0](query + asked)
        answered = self.dropout(self.cross_attention(asked, memory, memory_mask))
        fused = self.norms[1]((query if self.released else asked) + answered)
        inner = self.dropout(functional.relu(self.widen(fused)))
        out: Tensor = self.norms[2](fused + self.dropout(self.narrow(inner)))
        return out
