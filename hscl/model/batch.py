"""What a network reads: `Batch`, and the `Widths` that follow from data and text encoder."""

from dataclasses import dataclass, replace
from typing import Any

import torch

__all__ = ["Batch", "Widths"]


@dataclass(frozen=True)
class Batch:
    """B utterances, ready for the network. A length of 0 says that the modality is missing.

    Attributes:
        rows: (B,) int64, the utterances' positions in their split.
        text: (B, L) int64 token ids, or (B, L, d_t) float32 frozen features; zero padded.
        text_lengths: (B,) int64, real tokens of each utterance.
        audio: (B, L_a, d_a) float32 zero padded, or None where the modality is not used.
        audio_lengths: (B,) int64, or None.
        vision: (B, L_v, d_v) float32 zero padded, or None.
        vision_lengths: (B,) int64, or None.
        labels: (B,) float32, or None.
    """

    rows: torch.Tensor
    text: torch.Tensor
    text_lengths: torch.Tensor
    audio: torch.Tensor | None = None
    audio_lengths: torch.Tensor | None = None
    vision: torch.Tensor | None = None
    vision_lengths: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; copied once, from pinned memory where that helps."""
        device = torch.device(device)
        if device == self.text.device:
            return self
        pinned = device.type == "cuda" and self.text.device.type == "cpu"

        def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
            if tensor is None:
                return None
            source = tensor.pin_memory() if pinned else tensor
            return source.to(device, non_blocking=pinned)

        changes: dict[str, Any] = {name: moved(value) for name, value in vars(self).items()}
        return replace(self, **changes)


@dataclass(frozen=True)
class Widths:
    """Sizes that follow from text encoder and data.

    Attributes:
        text: d_t, width of a text vector.
        audio: d_a, features of an audio frame; None where the data set has no audio.
        vision: d_v, features of a vision frame; None where the data set has no vision.
    """

    text: int
    audio: int | None
    vision: int | None
