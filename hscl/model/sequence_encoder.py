"""Audio or vision frames -> vectors of the same width, a CLS vector in front.

Notable choices, beside the paper's:

- CLS is a parameter. `learned=False` draws it anew from torch's global generator in every forward
  pass, as the released code does (departure 6).
- Dropout of attention weights takes scaled-dot-product attention off its fast path (it then builds
  every (L, L) matrix: 2 to 12 times slower on a CPU). Instead whole value vectors are dropped for
  each utterance, head and layer: each weight is still zeroed with the same probability and scaled
  by 1/(1 − p), but alike for all queries. For any one query, such as the CLS vector that stands
  for the sequence, the two are the same distribution.
- bf16 on a CPU stays out of it: frames are 5 to 74 wide, so that nothing is won, and attention
  over hundreds of them took four times as long.
- Head widths are padded with zeros to a multiple of 8 on GPUs, whose fused kernels ask for it
  (audio is 5 wide); it changes no result, and on a CPU would only cost time.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import SequenceConfig
from hscl.errors import InputError
from hscl.model.length_groups import in_length_groups

__all__ = [
    "SequenceEncoder",
    "check_heads",
    "drop_vectors",
    "head_padding",
    "sinusoidal_positions",
]

# Places that a pass costs by itself, whatever the number of layers: both grow with it.
_PASS = 150


class SequenceEncoder(nn.Module):
    """A post-norm ReLU Transformer encoder at the features' own width."""

    def __init__(
        self,
        config: SequenceConfig,
        width: int,
        *,
        modality: str,
        cls_std: float,
        learned: bool = True,
    ) -> None:
        """Make the encoder.

        Args:
            config: Heads, layers, feed-forward width, dropout.
            width: Features of a frame, d_m.
            modality: "audio" or "vision", for messages.
            cls_std: Standard deviation of the CLS vector, when initialised or drawn.
            learned: Whether CLS is a parameter; else it is noise in every forward pass.

        Raises:
            InputError: The number of heads does not divide the width.
        """  # noqa: DOC502 - raised by check_heads
        super().__init__()
        check_heads(f"model.{modality}.heads", config.heads, f"{modality} features", width)
        self.width = width
        self.cls_std = cls_std
        self.cls: nn.Parameter | None = (
            nn.Parameter(cls_std * torch.randn(width)) if learned else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(_Layer(config, width) for _ in range(config.layers))

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode B sequences.

        Args:
            frames: (B, L, d_m), padded at the end; L may be 0.
            lengths: (B,) real frames of each; 0 leaves the CLS vector alone.

        Returns:
            Encodings (B, 1 + L, d_m), the CLS vector's first, and their mask (B, 1 + L), True
            where there is something to attend to. What stands at masked places means nothing.
        """
        batch, longest, width = frames.shape
        cls = self.cls
        if cls is None:
            vector = self.cls_std * torch.randn(width, device=frames.device, dtype=frames.dtype)
        else:
            vector = cls.to(frames.dtype)
        sequence = torch.cat([vector.expand(batch, 1, width), frames], dim=1)
        places = torch.arange(1 + longest, device=frames.device)
        mask = places[None, :] <= lengths[:, None]
        known = sinusoidal_positions if torch.compiler.is_compiling() else _positions
        positions = known(1 + longest, width, frames.device).to(frames.dtype)
        hidden = self.dropout(sequence * math.sqrt(width) + positions)
        with torch.autocast("cpu", enabled=False):  # a GPU's goes on
            return in_length_groups(self._encode, hidden, 1 + lengths, a_pass=_PASS), mask

    def _encode(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        for layer in self.layers:
            hidden = layer(hidden, mask[:, None, None, :])
        return hidden


class _Layer(nn.Module):
    """Self-attention and feed-forward, each followed by Add & Norm."""

    def __init__(self, config: SequenceConfig, width: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.in_projection = nn.Linear(width, 3 * width)
        self.out_projection = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.ffn),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.ffn, width),
        )
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.zeros_(self.in_projection.bias)
        nn.init.zeros_(self.out_projection.bias)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = self.attention_norm(hidden + self.dropout(self._attention(hidden, mask)))
        out: Tensor = self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return out

    def _attention(self, hidden: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        head_width = width // self.heads
        projected = self.in_projection(hidden).view(batch, length, 3, self.heads, head_width)
        projected = projected.permute(2, 0, 3, 1, 4)  # (3, B, heads, L, head width)
        padding = head_padding(hidden.device, head_width)
        if padding:
            projected = functional.pad(projected, (0, padding))
        query, key, value = projected.unbind(0)
        value = drop_vectors(value, self.dropout)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=head_width**-0.5
        )
        attended = attended[..., :head_width].transpose(1, 2).reshape(batch, length, width)
        out: Tensor = self.out_projection(attended)
        return out


def head_padding(device: torch.device, width: int) -> int:
    """Zeros to add to each head's vectors: up to a multiple of 8 on a GPU."""
    return 0 if device.type == "cpu" else -width % 8


def drop_vectors(values: Tensor, dropout: nn.Dropout) -> Tensor:
    """Whole value vectors dropped, each with its own draw.

    Args:
        values: (B, heads, L, width).
        dropout: With the probability; in training mode or not.
    """
    if not (dropout.training and dropout.p):
        return values
    kept: Tensor = dropout(values.new_ones(*values.shape[:3], 1))
    return values * kept


@lru_cache(maxsize=256)
def _positions(length: int, width: int, device: torch.device) -> Tensor:
    # Later passes may need a gradient, whoever asks first.
    with torch.inference_mode(mode=False):
        return sinusoidal_positions(length, width, device)


def sinusoidal_positions(length: int, width: int, device: torch.device) -> Tensor:
    """Position vectors (length, width), sine on even and cosine on odd features; any width.

    Source: Vaswani et al., NeurIPS 2017, section 3.5.
    """
    place = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    feature = torch.arange(width, dtype=torch.float32, device=device)
    even = feature.div(2, rounding_mode="floor") * 2
    angle = place * torch.exp(even * (-math.log(10000.0) / width))
    return torch.where(feature % 2 == 0, angle.sin(), angle.cos())


def check_heads(key: str, heads: int, what: str, width: int) -> None:
    """Refuse a number of heads that does not divide a width.

    Args:
        key: The configuration's name for it.
        heads: Number of heads.
        what: What has the width, for the message.
        width: The width.

    Raises:
        InputError: It does not; the message names the numbers that do.
    """
    if width % heads:
        valid = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
        raise InputError(
            f"{key} must divide the width of the {what} ({width}), but got {heads}; "
            f"choose one of {valid}"
        )
