"""A network and a prepared split -> one prediction an utterance."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hscl.config import Config
from hscl.data.schema import LABEL_RANGE
from hscl.metrics import is_constant
from hscl.model.batch import Batch
from hscl.model.contract import ModelOutput
from hscl.seeding import torch_stream
from hscl.training.batches import Absent, collate, evaluation_batches
from hscl.training.prepared import PreparedSplit
from hscl.training.scaling import Scaler

__all__ = ["Feed", "is_collapsed", "predict"]

_EVALUATION_BATCH = 128


@dataclass(frozen=True)
class Feed:
    """How a network wants its batches.

    Attributes:
        modalities: Which of "audio" and "vision" it uses.
        scalers: Standardisation for each of them, empty where there is none.
        device: Where the batches go.
        inputs: Of "audio" and "vision" that are not each utterance's own, which: "shuffled",
            "hidden".
        limit: Predictions are clipped to ± this, as CH-SIMS's are in every metric; infinite for
            labels from −3 to 3, whose predictions the field leaves as they are.
    """

    modalities: frozenset[str]
    scalers: Mapping[str, Scaler]
    device: torch.device
    inputs: Mapping[str, str]
    limit: float = math.inf

    @classmethod
    def of(
        cls,
        config: Config,
        scalers: Mapping[str, Scaler],
        device: torch.device,
        label_range: float = LABEL_RANGE,
    ) -> "Feed":
        """What a configuration asks for, out of the scalers that were fitted."""
        used = frozenset(config.model.modalities.split("+")) - {"text"}
        chosen = {m: s for m, s in scalers.items() if m in used and config.train.standardize}
        model = config.model
        inputs = {"audio": model.audio_input, "vision": model.vision_input}
        return cls(
            modalities=used,
            scalers=chosen,
            device=device,
            inputs={name: given for name, given in inputs.items() if given != "own"},
            limit=math.inf if label_range == LABEL_RANGE else label_range,
        )

    def batch(
        self, split: PreparedSplit, rows: NDArray[np.int64], absent: Absent | None = None
    ) -> Batch:
        """Some rows of a split, on the device."""
        collated = collate(
            split,
            rows,
            modalities=self.modalities,
            scalers=self.scalers,
            absent=absent,
            inputs=self.inputs,
        )
        return collated.to(self.device)

    def costs(self, split: PreparedSplit) -> NDArray[np.int64]:
        """(N,) tokens and frames of each utterance that the network looks at."""
        total = split.text.lengths.copy()
        for name, ragged in (("audio", split.audio), ("vision", split.vision)):
            if name in self.modalities and ragged is not None:
                total += ragged.lengths
        return total


def predict(
    forward: Callable[[Batch], ModelOutput],
    split: PreparedSplit,
    feed: Feed,
    *,
    batch_size: int = 0,
) -> NDArray[np.float64]:
    """Predictions for all utterances of a split, in its order.

    Args:
        forward: A network in evaluation mode.
        split: The utterances; their labels are not looked at.
        feed: How the network wants its batches.
        batch_size: Most utterances at a time; 0 is 128. No prediction depends on it but those of
            the released form, which draws its CLS vectors anew in every forward pass.

    Returns:
        (N,) float64, NaN where a prediction is none.
    """
    predictions = np.empty(len(split), dtype=np.float64)
    # Only the released form draws anything in evaluation: always the same, whoever calls.
    with torch.inference_mode(), torch_stream(0, "evaluation", device=feed.device):
        for rows in evaluation_batches(feed.costs(split), batch_size or _EVALUATION_BATCH):
            output = forward(feed.batch(split, rows))
            predictions[rows] = output.prediction.double().cpu().numpy()
    return np.clip(predictions, -feed.limit, feed.limit)


def is_collapsed(predictions: NDArray[np.float64]) -> bool:
    """Whether a model predicts the same for everyone, up to rounding (never so for one alone)."""
    return bool(is_constant(predictions))
