"""Pickles with one tuple per utterance, unpadded: `((words, vision, audio, …), label, id)`.

What follows differs: MMIM and HSCL have an empty list first and the words as fourth, then both
lengths; MISA has word numbers first and the words as fourth; MAG-BERT has the words first. The
words are taken from where they are.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hscl.data.ids import Key, as_text, parse_id
from hscl.data.readers.sources import (
    FieldError,
    Frames,
    Listed,
    Source,
    agreed_size,
    is_missing,
    label_of,
    words_of,
)

__all__ = ["read_tuples"]


def read_tuples(path: Path, split: str, items: list[Any]) -> Source:
    """Read one fold.

    Args:
        path: The file, for messages.
        split: Which split it is; the file does not say.
        items: Its content.

    Raises:
        FieldError: If a tuple holds something else.
    """
    name = f"{path}, split {split!r}"
    agreed_size(name, [("list of utterances", len(items))])
    keys: list[Key] = []
    order: list[float] = []
    labels: list[float | None] = []
    words: list[str | None] = []
    audio: list[Frames | None] = []
    vision: list[Frames | None] = []
    for number, item in enumerate(items, start=1):
        features, label, identity = _parts(name, item, number)
        try:
            key, running = parse_id(as_text(identity))
        except ValueError as error:
            raise FieldError(name, "id", str(error), f"utterance number {number}") from None
        keys.append(key)
        order += [float(key.utterance)] if running else []
        labels.append(label_of(name, "label", _sentiment(label), key))
        words.append(_words(features))
        vision.append(_frames(name, "vision", features[1], key))
        audio.append(_frames(name, "audio", features[2], key))
        _check_lengths(name, features, key)
    return Source(
        name=name,
        keys=keys,
        splits=[split] * len(keys),
        labels=labels,
        words=words,
        audio=Listed(audio),
        vision=Listed(vision),
        order=order if len(order) == len(keys) else None,
        path=path,
    )


def _parts(name: str, item: Any, number: int) -> tuple[Any, Any, Any]:
    place = f"utterance number {number}"
    if not isinstance(item, list | tuple) or len(item) != 3:
        raise FieldError(name, "tuple", "must be ((words, vision, audio, …), label, id)", place)
    features, label, identity = item
    if not isinstance(features, list | tuple) or len(features) < 3:
        raise FieldError(name, "features", "must be (words, vision, audio, …)", place)
    return features, label, identity


# Sentiment first, where six emotions follow.
def _sentiment(label: Any) -> Any:
    if isinstance(label, np.ndarray) and label.size == 7:
        return label.reshape(-1)[0]
    return label


def _words(features: Any) -> str | None:
    for candidate in (*features[3:4], features[0]):
        if isinstance(candidate, list | tuple | np.ndarray) and len(candidate):
            try:
                words = (as_text(word) for word in candidate if not is_missing(word))
                return words_of(" ".join(words))
            except ValueError:
                continue  # word numbers
    return None


def _frames(name: str, field: str, value: Any, key: Key) -> Frames | None:
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "fiu":
        found = f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else type(value)
        raise FieldError(
            name, field, f"must be an array of numbers (frames, width), is {found}", key
        )
    return value


def _check_lengths(name: str, features: Any, key: Key) -> None:
    if len(features) != 6:
        return
    for field, length, frames in (
        ("vision length", features[4], features[1]),
        ("audio length", features[5], features[2]),
    ):
        if isinstance(length, int | np.integer) and frames is not None and length != len(frames):
            raise FieldError(
                name, field, f"must be the number of frames, {len(frames)}, is {length}", key
            )
