"""Standardisation of audio and vision features, fitted on the training split's real frames.

What lies far outside of the training frames is clipped: pooled COVAREP of MOSI reaches 151
standard deviations, which no layer behind it has use for.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hscl.data.ragged import Ragged

__all__ = ["BOUND", "Scaler", "fit_scaler"]

BOUND = 10.0
"""Standard deviations that a standardised feature may lie from the mean."""

# Rows read at a time, so that a memory-mapped file of any size is fitted in bounded memory.
_CHUNK = 8192
# A feature whose deviation is below this share of its size is constant up to rounding.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Scaler:
    """x -> (x − mean) / scale, feature by feature, clipped to ± bound.

    Attributes:
        mean: (width,) float32.
        scale: (width,) float32, the standard deviation; 1 where a feature is constant.
        bound: Infinite for models of versions that clipped nothing.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    bound: float = math.inf

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardised frames (total, width), a new array."""
        with np.errstate(over="ignore"):  # what is infinite here is clipped
            scaled = (values - self.mean) / self.scale
        clipped: NDArray[np.float32] = np.clip(scaled, -self.bound, self.bound)
        return clipped.astype(np.float32, copy=False)


def fit_scaler(frames: Ragged) -> Scaler:
    """Mean and deviation of every feature over all frames.

    A ragged column holds real frames only, so no padding is counted; frames that are zero inside
    a sequence are part of it and are.

    Args:
        frames: Sequences of frames, values (total, width).

    Returns:
        The scaler; mean 0 and scale 1 where there is no frame at all.
    """
    width = frames.width
    count = int(frames.offsets[-1])
    if not count:
        return Scaler(np.zeros(width, np.float32), np.ones(width, np.float32), BOUND)
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in frames.blocks) / count
    squares = np.zeros(width)
    for block in frames.blocks:
        for start in range(0, len(block), _CHUNK):
            squares += np.square(block[start : start + _CHUNK] - mean).sum(axis=0)
    deviation = np.sqrt(squares / count)
    constant = deviation <= _CONSTANT * np.maximum(np.abs(mean), _CONSTANT)
    scale = np.where(constant, 1.0, deviation)
    return Scaler(mean.astype(np.float32), scale.astype(np.float32), BOUND)
