"""What one epoch says, and which epoch was the best."""

from dataclasses import dataclass

import torch

__all__ = ["BestEpoch", "EpochReport"]


@dataclass(frozen=True)
class EpochReport:
    """What one epoch says.

    Attributes:
        epoch: From 1.
        losses: Every loss term, mean over the training utterances of this epoch.
        valid: Every metric on valid, unrounded; empty where there is no valid split. A metric
            that is not defined (correlation of a constant) is NaN.
        collapsed: The model predicts the same for every valid utterance.
        best: The chosen metric is better than in every epoch before.
        finished: No epoch follows: all are done, or patience is over.
        seconds: Wall time of training and validating.
        steps: Optimizer steps of this epoch.
        peak_memory: Bytes: allocated on the GPU in this epoch, or held by the process so far.
    """

    epoch: int
    losses: dict[str, float]
    valid: dict[str, float]
    collapsed: bool
    best: bool
    finished: bool
    seconds: float
    steps: int
    peak_memory: int


@dataclass(frozen=True)
class BestEpoch:
    """The epoch that the valid metric chose.

    Attributes:
        epoch: From 1.
        value: Its metric; NaN where none was defined so far, or there is no valid split.
        weights: The network's state dict at its end, on the CPU.
    """

    epoch: int
    value: float
    weights: dict[str, torch.Tensor]
