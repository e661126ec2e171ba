"""Utterances -> `Batch`: padded tensors and their lengths, cut to what the batch holds.

Nothing here is padded to a maximum of the whole corpus, and nothing loops over rows: padding
is one masked assignment for each modality. Which rows share a batch matters to a contrastive
loss, so the order is uniformly random unless the configuration asks for batches of like lengths.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hscl.data.ragged import Ragged
from hscl.model.batch import Batch
from hscl.seeding import numpy_stream
from hscl.training.prepared import PreparedSplit
from hscl.training.scaling import Scaler

__all__ = ["Absent", "collate", "draw_absent", "evaluation_batches", "training_batches"]

# A pool of this many batches is sorted by length at once: wide enough that most padding goes,
# narrow enough that who meets whom still changes from epoch to epoch.
_POOL_BATCHES = 16


@dataclass(frozen=True)
class Absent:
    """Which of B utterances are trained as if a modality were missing.

    Attributes:
        audio: (B,) bool, True where audio is hidden.
        vision: (B,) bool, True where vision is hidden.
    """

    audio: NDArray[np.bool_]
    vision: NDArray[np.bool_]

    def part(self, chosen: slice) -> "Absent":
        """The same for some of the utterances."""
        return Absent(self.audio[chosen], self.vision[chosen])


def draw_absent(count: int, share: float, generator: np.random.Generator) -> Absent | None:
    """Hide audio and vision of some utterances, each with its own draw.

    Args:
        count: Number of utterances in the batch.
        share: Probability that a modality of an utterance is hidden (`train.modality_dropout`).
        generator: Where the draws come from; not touched when the share is 0.

    Returns:
        What is hidden, or None where nothing can be.
    """
    if share <= 0.0:
        return None
    return Absent(generator.random(count) < share, generator.random(count) < share)


def collate(
    split: PreparedSplit,
    rows: NDArray[np.int64],
    *,
    modalities: frozenset[str],
    scalers: Mapping[str, Scaler] | None = None,
    absent: Absent | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Batch:
    """Put some rows of a split into one batch.

    Args:
        split: Where the utterances are; never written to.
        rows: (B,) positions in the split.
        modalities: Which of "audio" and "vision" the network uses; others stay None.
        scalers: For each modality the standardisation to apply to real frames, if any.
        absent: Utterances whose audio or vision is to be hidden.
        inputs: Which of "audio" and "vision" are shuffled among the split's utterances
            ("shuffled"), or as long as they are, but empty: zeros, the mean of what is
            standardised ("hidden").

    Returns:
        The batch, each modality as long as its longest utterance here (at least 1).
    """
    text, text_lengths = _padded(split.text.take(rows))
    fields: dict[str, Any] = {}
    for name, ragged, hidden in (
        ("audio", split.audio, None if absent is None else absent.audio),
        ("vision", split.vision, None if absent is None else absent.vision),
    ):
        if ragged is None or name not in modalities:
            continue
        given = (inputs or {}).get(name)
        lent = _lenders(len(split), split.name, name)[rows] if given == "shuffled" else rows
        taken = ragged.take(lent)
        if given == "hidden":
            taken = Ragged(np.zeros_like(taken.values), taken.offsets)
        elif scalers and name in scalers:
            taken = Ragged(scalers[name].apply(taken.values), taken.offsets)
        if hidden is not None and hidden.any():
            taken = _hide(taken, hidden)
        fields[name], fields[f"{name}_lengths"] = _padded(taken)
    if split.labels is not None:
        fields["labels"] = torch.from_numpy(split.labels[rows].astype(np.float32))
    return Batch(
        rows=torch.from_numpy(np.array(rows, dtype=np.int64)),
        text=text,
        text_lengths=text_lengths,
        **fields,
    )


@cache
def _lenders(count: int, split: str, modality: str) -> NDArray[np.int64]:
    """(N,) whose frames each is given, perhaps its own: the same in every training and process."""
    drawn = numpy_stream(0, f"shuffled {modality} of {split}").permutation(count)
    return drawn.astype(np.int64)


def _hide(ragged: Ragged, hidden: NDArray[np.bool_]) -> Ragged:
    """The same sequences, of length 0 where hidden."""
    lengths = np.diff(ragged.offsets)
    values = ragged.values[np.repeat(~hidden, lengths)]
    offsets = np.concatenate([[0], np.cumsum(np.where(hidden, 0, lengths))]).astype(np.int64)
    return Ragged(values, offsets)


def _padded(ragged: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded values (B, L[, width]) and lengths (B,); L is the longest, at least 1."""
    lengths = np.diff(ragged.offsets).astype(np.int64)
    longest = max(1, int(lengths.max(initial=0)))
    values = ragged.values
    dtype = np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32
    padded = np.zeros((len(lengths), longest, *values.shape[1:]), dtype=dtype)
    # A boolean mask is filled row by row, in the order in which the values lie.
    padded[np.arange(longest) < lengths[:, None]] = values
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def training_batches(
    lengths: NDArray[np.int64],
    batch_size: int,
    batching: str,
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Rows of each batch of one epoch; every row exactly once, the last batch may be smaller.

    Args:
        lengths: (N,) a cost for each utterance, such as its number of tokens and frames.
        batch_size: Rows in a batch.
        batching: "random" draws batches uniformly; "length" puts like lengths together, within
            pools of 16 batches of a random order, and shuffles the batches.
        generator: Where the order comes from.

    Returns:
        One array of rows for each batch.
    """
    order = generator.permutation(len(lengths))
    if batching == "length":
        pool = batch_size * _POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        order = np.concatenate([p[np.argsort(lengths[p], kind="stable")] for p in pools])
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if batching == "length":
        batches = [batches[i] for i in generator.permutation(len(batches))]
    return batches


def evaluation_batches(lengths: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Rows in batches of like lengths, for evaluating: always the same, least padding."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
