"""What a network reads: `Batch`, and the `Widths` that follow from data and text encoder.

A batch goes to a GPU in one copy from one pinned buffer, which the CPU doesn't wait for, and keeps
the batch that it was made from: who has what decides how a step is computed, and would have to be
waited for if the GPU were asked.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch

__all__ = ["Batch", "Widths", "moved"]

_ALIGNED = 64  # bytes; more than any type asks for


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
        host: The same batch on the CPU, where this one was copied from there to a device.
    """

    rows: torch.Tensor
    text: torch.Tensor
    text_lengths: torch.Tensor
    audio: torch.Tensor | None = None
    audio_lengths: torch.Tensor | None = None
    vision: torch.Tensor | None = None
    vision_lengths: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    host: "Batch | None" = None

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; all of it in one copy."""
        device = torch.device(device)
        if device == self.text.device:
            return self
        there = {n: value for n, value in vars(self).items() if isinstance(value, torch.Tensor)}
        changes: dict[str, Any] = dict(
            zip(there, _in_one_copy([*there.values()], device), strict=True)
        )
        host = self if self.text.device.type == "cpu" else self.host
        return replace(self, **changes, host=host)

    def lengths(self, name: str) -> torch.Tensor | None:
        """(B,) of "text", "audio" or "vision", on the CPU where they are known there."""
        lengths: torch.Tensor | None = getattr(self.host or self, f"{name}_lengths")
        return lengths

    def has(self, name: str) -> torch.Tensor:
        """(B,) bool, who has a modality; on the CPU where that is known there."""
        lengths = self.lengths(name)
        known = (self.host or self).text_lengths
        return torch.zeros_like(known, dtype=torch.bool) if lengths is None else lengths > 0


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; from the CPU to a GPU without waiting for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _in_one_copy(tensors: list[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """Tensors on a device, views of one buffer there."""
    sizes = [tensor.nbytes for tensor in tensors]
    ends = [*accumulate(-(-size // _ALIGNED) * _ALIGNED for size in sizes)]
    starts = [0, *ends[:-1]]
    pinned = device.type == "cuda" and tensors[0].device.type == "cpu"
    source = tensors[0].new_empty(ends[-1], dtype=torch.uint8, pin_memory=pinned)

    def views(buffer: torch.Tensor) -> list[torch.Tensor]:
        return [
            buffer[start : start + size].view(tensor.dtype).view(tensor.shape)
            for tensor, start, size in zip(tensors, starts, sizes, strict=True)
        ]

    for view, tensor in zip(views(source), tensors, strict=True):
        view.copy_(tensor)
    return views(source.to(device, non_blocking=pinned))


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
