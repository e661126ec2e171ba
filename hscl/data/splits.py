"""Opens one split of a data set; the only place that can open test.

Training and search call `open_split`, which refuses test by its type and by its code. Who may
call `open_test` is listed in a test that reads the whole source.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.data.dataset import Dataset
from hscl.data.ragged import Ragged
from hscl.errors import InputError, did_you_mean

__all__ = ["Split", "open_inputs", "open_split", "open_test"]


@dataclass(frozen=True)
class Split:
    """The utterances of one split (or of all), in the file's order.

    Attributes:
        name: "train", "valid", "test", or "all".
        videos: (N,) name of each utterance's video.
        utterances: (N,) name of each utterance within its video.
        labels: (N,) float64 sentiment in ± the set's label range; None when opened without labels.
        words: (N,) the words, None where they are missing.
        audio: N sequences (L, d_a) float32, length 0 where missing; None if no utterance of the
            whole set has audio. Read-only.
        vision: Likewise.
        text_vectors: Likewise, (L, d_t): the source's own text vectors.
        speakers: (N,) who speaks, None where that is not known; None if the set says it of none.
    """

    name: str
    videos: list[str]
    utterances: list[str]
    labels: npt.NDArray[np.float64] | None
    words: list[str | None]
    audio: Ragged | None
    vision: Ragged | None
    text_vectors: Ragged | None = None
    speakers: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.videos)


def open_split(dataset: Dataset, name: Literal["train", "valid"]) -> Split:
    """Open train or valid with their labels.

    Raises:
        InputError: If the split has no utterances, or some without labels, or is test.
    """
    if name not in {"train", "valid"}:
        raise InputError(f"only train and valid are opened here, not {name!r}.")
    return _labelled(dataset, name)


def open_test(dataset: Dataset) -> Split:
    """Open test with its labels: for confirmed configurations and `hscl evaluate` alone.

    An `InputError` says where there are no test utterances, or some without labels.
    """
    return _labelled(dataset, "test")


def open_inputs(dataset: Dataset, split: str | None = None) -> Split:
    """Open the inputs of one split, or of all utterances, without any label.

    Raises:
        InputError: If there are no such utterances.
    """
    rows = dataset.table if split is None else _rows_of(dataset, split)
    if not len(rows):
        raise InputError(f"{dataset.path} must hold utterances; it holds none.")
    return _split(dataset, "all" if split is None else split, rows, labels=None)


def _labelled(dataset: Dataset, name: str) -> Split:
    rows = _rows_of(dataset, name)
    column = rows["label"]
    if column.null_count:
        first = column.is_null().to_pylist().index(True)
        raise InputError(
            f"every utterance of {name} must have a label; {column.null_count} of {len(rows)} "
            f"in {dataset.path} have none, the first is video {rows['video'][first]}, utterance "
            f"{rows['utterance'][first]}. Label them, or leave them out."
        )
    return _split(dataset, name, rows, labels=column.to_numpy())


def _rows_of(dataset: Dataset, name: str) -> pa.Table:
    # A view of the file where the rows lie together, as converted files have them.
    indices = np.flatnonzero(np.array(dataset.table["split"].to_pylist(), dtype=object) == name)
    if not len(indices):
        held = ", ".join(f"{key} ({n})" for key, n in dataset.split_sizes().items()) or "none"
        hint = "" if name in {"train", "valid", "test"} else " " + did_you_mean(name, _NAMES)
        raise InputError(f"{dataset.path} must have a split {name!r}; its splits: {held}.{hint}")
    if indices[-1] - indices[0] + 1 == len(indices):
        return dataset.table.slice(indices[0], len(indices))
    return dataset.table.take(pa.array(indices))


_NAMES = ("train", "valid", "test")


def _split(
    dataset: Dataset, name: str, rows: pa.Table, *, labels: npt.NDArray[np.float64] | None
) -> Split:
    return Split(
        name=name,
        videos=rows["video"].to_pylist(),
        utterances=rows["utterance"].to_pylist(),
        labels=labels,
        words=rows["text"].to_pylist(),
        audio=dataset.frames("audio", rows),
        vision=dataset.frames("vision", rows),
        text_vectors=dataset.frames("text_vectors", rows),
        speakers=rows["speaker"].to_pylist() if dataset.names_speakers else None,
    )
