"""What every reader returns: the utterances of one file, frames not yet cleaned or copied."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from hscl.data.ids import Key, printable
from hscl.errors import InputError

__all__ = [
    "FieldError",
    "Frames",
    "Listed",
    "Notes",
    "Padded",
    "ReadOptions",
    "Reading",
    "Sequences",
    "Side",
    "Source",
    "agreed_size",
    "is_missing",
    "label_of",
    "words_of",
]

Side = Literal["front", "back", "none"]

Frames = npt.NDArray[Any]


class FieldError(InputError):
    """Something is wrong in one field of a file and, where one can be named, in one utterance."""

    def __init__(self, name: str, field: str, message: str, key: object = None) -> None:
        """Compose the message.

        Args:
            name: The file and perhaps split.
            field: The field's name in that file.
            message: What must hold and what came.
            key: The utterance.
        """
        place = f"{name}, field {field!r}" + ("" if key is None else f", {key}")
        super().__init__(printable(f"{place}: {message}."))


class Sequences(Protocol):
    """One modality of all utterances, readable from the start as often as wanted."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frames | None]:
        """Each utterance's frames (L, width) in any number type; None where missing."""
        ...


@dataclass(frozen=True)
class Listed:
    """Sequences that are held one by one."""

    rows: list[Frames | None]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Frames | None]:
        return iter(self.rows)


@dataclass(frozen=True)
class Padded:
    """Sequences in one padded array.

    Attributes:
        values: (N, T, width).
        begin: (N,) the first real frame of each.
        end: (N,) one past the last real frame; equal to `begin` where there is none.
    """

    values: Frames
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Frames | None]:
        for row, begin, end in zip(self.values, self.begin, self.end, strict=True):
            yield row[begin:end]


@dataclass(frozen=True)
class ReadOptions:
    """How padded files are to be read.

    Attributes:
        lengths: Tell lengths from the content, or believe those recorded in the file.
        padding: The padding's side for all modalities; None: told from the content.
        text_vectors: Whether a file's own text vectors are kept.
        label_range: Labels lie between − and + this; None: told from the content.
    """

    lengths: Literal["content", "recorded"] = "content"
    padding: Literal["front", "back"] | None = None
    text_vectors: bool = True
    label_range: float | None = None


class Reading(TypedDict, total=False):
    """The same as keywords."""

    lengths: Literal["content", "recorded"]
    padding: Literal["front", "back"] | None
    text_vectors: bool
    label_range: float | None


@dataclass(frozen=True)
class Notes:
    """What a reader found out about a file, lengths by modality where it is padded.

    Attributes:
        padding: The side of the padding.
        full: Number of utterances without any padding; they may have been cut.
        beyond: Number of utterances with real frames beyond the recorded length.
        remarks: Sentences on what was left out.
        label_range: The range that a data set of our own says its labels have.
        unimodal: Whether there are labels of single modalities, too, as in CH-SIMS.
    """

    padding: dict[str, Side] = field(default_factory=dict)
    full: dict[str, int] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    label_range: float | None = None
    unimodal: bool = False


@dataclass(frozen=True)
class Source:
    """The utterances of one file, or of one split of a file, in its order.

    Attributes:
        name: For messages: the file and, where it has them, the split.
        keys: (N,) names of the utterances.
        splits: (N,) "train", "valid", "test" or None.
        labels: (N,) sentiment, None where the file has none.
        words: (N,) the words, None where the file has none.
        audio: N sequences; None if the file has no audio.
        vision: Likewise.
        text_vectors: Likewise, one vector a token, from the file's own text encoder.
        order: (N,) where the ids hold no clip: what sorts a video's utterances (start in seconds,
            or a running number). None where the ids hold the clip.
        notes: What the reader found out about lengths.
        path: The file; None for Python values.
        speakers: (N,) who speaks, None where that is not known; None if the file says it of none.
    """

    name: str
    keys: list[Key]
    splits: list[str | None]
    labels: list[float | None]
    words: list[str | None]
    audio: Sequences | None = None
    vision: Sequences | None = None
    text_vectors: Sequences | None = None
    order: list[float] | None = None
    notes: Notes = field(default_factory=Notes)
    path: Path | None = None
    speakers: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.keys)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, or the NaN that pandas puts in its place."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def words_of(text: str) -> str | None:
    """An utterance's words; None where there is nothing to see, so that a label file fills it."""
    return text if text.strip() else None


def label_of(name: str, field: str, value: Any, key: object) -> float:
    """A label with the digits that the file's number type really has.

    float32's −0.6 becomes −0.6, not −0.6000000238418579; so it is the same label as the −0.6 of
    a file in double precision.

    Args:
        name: The file and perhaps split, for the message.
        field: The field of the labels, likewise.
        value: The number.
        key: The utterance.

    Raises:
        FieldError: If it is no number, not finite, or outside of [-3, 3].
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise FieldError(name, field, f"a label must be a number, is {str(value)[:40]!r}", key)
    label = float(str(value)) if isinstance(value, np.float32 | np.float16) else float(value)
    if not -3.0 <= label <= 3.0:
        raise FieldError(
            name, field, f"a label must be finite and between -3 and 3, is {label:g}", key
        )
    return label + 0.0  # no negative zero


def agreed_size(name: str, sizes: Iterable[tuple[str, int]]) -> int:
    """The number of utterances, in which all fields must agree.

    Args:
        name: The file and perhaps split.
        sizes: Field and number of utterances that it speaks of; the first one is believed.

    Raises:
        FieldError: If they differ, or there is none.
    """
    (first, expected), *others = sizes
    for other, size in others:
        if size != expected:
            raise FieldError(
                name, other, f"must speak of {expected} utterances as {first!r} does, has {size}"
            )
    if not expected:
        raise FieldError(name, first, "must hold at least one utterance, is empty")
    return expected
