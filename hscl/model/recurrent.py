"""Frames -> the end state of an LSTM: one vector a sequence.

bf16 on a CPU stays out of it, as of the sequence encoders: where a CPU has no instructions for it,
torch has no LSTM in it at all.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

__all__ = ["EndState"]


class EndState(nn.Module):
    """The hidden state of every layer and direction after a sequence's last real frame.

    Attributes:
        width: Of the result: layers × directions × hidden.
    """

    def __init__(
        self, frame_width: int, hidden: int, *, layers: int = 1, bidirectional: bool = False
    ) -> None:
        """Make the LSTM.

        Args:
            frame_width: Features of a frame.
            hidden: Width of a hidden state.
            layers: Stacked layers.
            bidirectional: Whether each layer reads forwards and backwards.
        """
        super().__init__()
        self.lstm = nn.LSTM(
            frame_width, hidden, layers, batch_first=True, bidirectional=bidirectional
        )
        self.width = layers * (2 if bidirectional else 1) * hidden

    def forward(self, frames: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """Read B sequences.

        Args:
            frames: (B, L, d), padded at the end; L may be 0.
            lengths: (B,) real frames of each.
            known: The same on the CPU, where they are known there: a GPU need not be asked.

        Returns:
            (B, width), the first layer's states first; 0 for a sequence without frames.
        """
        if not frames.shape[1]:
            frames = functional.pad(frames, (0, 0, 0, 1))
        counts = lengths if known is None else known
        packed = pack_padded_sequence(
            frames, counts.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        with torch.autocast("cpu", enabled=False):  # a GPU's goes on
            _, (hidden, _) = self.lstm(packed)
        states = hidden.transpose(0, 1).flatten(1)
        return torch.where(lengths[:, None] > 0, states, 0.0)
