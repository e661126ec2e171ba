"""Pickles with one padded array per modality and split: MulT's and MMSA's layouts.

Sources: yaohungt/Multimodal-Transformer `src/dataset.py` (padded in front; no words, no lengths)
and thuiar/MMSA `data_loader.py` (padded behind; words and lengths). Which side a file is padded
on is told from its content, not from its layout.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.data.ids import Key, as_text, parse_id
from hscl.data.readers.padding import (
    ZeroRuns,
    bounds,
    padding_side,
    side_by_lengths,
    zero_runs,
)
from hscl.data.readers.sources import (
    FieldError,
    Frames,
    Notes,
    Padded,
    ReadOptions,
    Side,
    Source,
    agreed_size,
    is_missing,
    label_of,
    words_of,
)
from hscl.data.readers.text_vectors import TEXT_FIELD, text_vectors

__all__ = ["MMSA_LABELS", "MULT_LABELS", "read_padded"]

MULT_LABELS = "labels"
MMSA_LABELS = "regression_labels"
_MODALITIES = ("audio", "vision")
_UNIMODAL = tuple(f"{MMSA_LABELS}_{letter}" for letter in "TAV")  # CH-SIMS
_READ = {
    "id", MULT_LABELS, MMSA_LABELS, "raw_text", "text_bert", TEXT_FIELD, *_MODALITIES,
    *(f"{name}_lengths" for name in _MODALITIES),
}  # fmt: skip
# Known to hold nothing that is needed.
_NEEDLESS = {
    "annotations", "classification_labels", "align", "glove", "index", *_UNIMODAL,
    *(f"classification_labels_{letter}" for letter in "TAV"),
}  # fmt: skip


@dataclass(frozen=True)
class _FileSplit:
    """One split of a file.

    Attributes:
        path: The file, for messages.
        split: Its name.
        fields: Its content by name.
        has_clips: Whether the file's ids name video and clip, not the video alone.
        vectors: The file's own text vectors of these utterances.
    """

    path: Path
    split: str
    fields: dict[str, Any]
    has_clips: bool
    vectors: Padded | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.path}, split {self.split!r}"


@dataclass(frozen=True)
class _PaddedFrames:
    """One modality of a split.

    Attributes:
        values: (utterances, frames, width).
        runs: Where they are 0.
        side: Where their padding is.
    """

    values: Frames
    runs: ZeroRuns
    side: Side


def read_padded(
    path: Path, splits: dict[str, dict[str, Any]], options: ReadOptions
) -> list[Source]:
    """Read MulT's or MMSA's layout.

    Args:
        path: The file, for messages.
        splits: Its content: for each split the fields by name.
        options: How lengths are told.

    Returns:
        One source for each split, in the order of `splits`.
    """
    features = {name: _features(path, splits, name) for name in _MODALITIES}
    runs = {
        name: {split: zero_runs(values) for split, values in by_split.items()}
        for name, by_split in features.items()
    }
    sides: dict[str, Side] = {
        name: options.padding or _side(path, name, splits, by_split)
        for name, by_split in runs.items()
        if by_split
    }
    has_clips = _ids_have_clips(path, splits)
    vectors, remarks = (
        text_vectors(path, splits, set(sides.values())) if options.text_vectors else ({}, [])
    )
    unread = dict.fromkeys(str(f) for fields in splits.values() for f in fields)
    ignored = [name for name in unread if name not in _READ | _NEEDLESS]
    if ignored:
        remarks = [*remarks, f"{path.name}: fields that are not read: {', '.join(ignored)}."]
    sources = [
        _read_split(
            _FileSplit(path, split, fields, has_clips, vectors.get(split)),
            {
                name: _PaddedFrames(features[name][split], runs[name][split], side)
                for name, side in sides.items()
            },
            options,
        )
        for split, fields in splits.items()
    ]
    sources[0].notes.remarks.extend(remarks)
    return sources


def _side(
    path: Path, modality: str, splits: dict[str, dict[str, Any]], runs: dict[str, ZeroRuns]
) -> Side:
    try:
        return padding_side(str(path), modality, list(runs.values()))
    except FieldError:
        recorded = [
            lengths
            for split, fields in splits.items()
            if (lengths := _recorded(f"{path}, split {split!r}", modality, fields, runs[split]))
            is not None
        ]
        if len(recorded) < len(runs):
            raise
        side = side_by_lengths(list(runs.values()), recorded)
        if side is None:
            raise
        return side


def _features(path: Path, splits: dict[str, dict[str, Any]], modality: str) -> dict[str, Frames]:
    present = {split: fields.get(modality) for split, fields in splits.items()}
    if all(values is None for values in present.values()):
        return {}
    width: int | None = None
    checked: dict[str, Frames] = {}
    for split, values in present.items():
        name = f"{path}, split {split!r}"
        if values is None:
            raise FieldError(name, modality, "must be in every split or in none, is missing")
        if not _is_numeric(values) or values.ndim != 3:
            raise FieldError(
                name, modality, f"must be an array of numbers (utterances, frames, width), "
                f"is {_described(values)}",
            )  # fmt: skip
        if 0 in values.shape[1:] or width not in {None, values.shape[2]}:
            raise FieldError(
                name, modality, f"must have the same width, not 0, in every split; "
                f"has the shape {values.shape}, another split the width {width}",
            )  # fmt: skip
        width = values.shape[2]
        checked[split] = values
    return checked


def _read_split(
    one: _FileSplit, features: dict[str, _PaddedFrames], options: ReadOptions
) -> Source:
    name, fields = one.name, one.fields
    label_field = MMSA_LABELS if MMSA_LABELS in fields else MULT_LABELS
    ids = _listed(name, "id", fields)
    labels = _labels(name, label_field, fields)
    words = _listed(name, "raw_text", fields) if "raw_text" in fields else None
    sizes = [("id", len(ids)), (label_field, len(labels))]
    sizes += [] if words is None else [("raw_text", len(words))]
    sizes += [(modality, len(padded.values)) for modality, padded in features.items()]
    agreed_size(name, sizes)
    keys, order = _keys(name, ids, has_clips=one.has_clips)
    notes = Notes(unimodal=any(fields.get(name) is not None for name in _UNIMODAL))
    sequences = {}
    for modality, padded in features.items():
        runs, side = padded.runs, padded.side
        recorded = _recorded(name, modality, fields, runs)
        if recorded is None and options.lengths == "recorded":
            raise FieldError(
                name, f"{modality}_lengths", "must be there for --lengths recorded, is missing; "
                "use --lengths content",
            )  # fmt: skip
        begin, end = bounds(runs, side, recorded if options.lengths == "recorded" else None)
        sequences[modality] = Padded(padded.values, begin, end)
        notes.padding[modality] = side
        notes.full[modality] = int(((end - begin) == runs.rows).sum())
        if recorded is not None:
            found = runs.rows - (runs.leading if side == "front" else runs.trailing)
            notes.beyond[modality] = int((found > recorded).sum())
    return Source(
        name=name,
        keys=keys,
        splits=[one.split] * len(keys),
        labels=[label_of(name, label_field, *pair) for pair in zip(labels, keys, strict=True)],
        words=[None] * len(keys) if words is None else _words(name, words, keys),
        audio=sequences.get("audio"),
        vision=sequences.get("vision"),
        text_vectors=one.vectors,
        order=order,
        notes=notes,
        path=one.path,
    )


def _listed(name: str, field: str, fields: dict[str, Any]) -> list[Any]:
    values = fields.get(field)
    if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim):
        return list(values)
    raise FieldError(name, field, f"must be a list or an array, is {_described(values)}")


# MulT's labels are (N, 1, 1), or (N, 1, 7) with six emotions behind the sentiment.
def _labels(name: str, field: str, fields: dict[str, Any]) -> list[Any]:
    labels = fields.get(field)
    if isinstance(labels, np.ndarray) and labels.ndim > 1 and len(labels):
        if labels.ndim > 3 or labels[0].size not in {1, 7}:
            raise FieldError(
                name, field, f"must be (N,), (N, 1, 1) or (N, 1, 7), is {_described(labels)}"
            )
        return list(labels.reshape(len(labels), -1)[:, 0])
    return [_sentiment(label) for label in _listed(name, field, fields)]


# The same as nested lists.
def _sentiment(label: Any) -> Any:
    while isinstance(label, list | tuple) and len(label) in {1, 7}:
        label = label[0]
    return label


def _first(row: Any) -> Any:
    return row[0] if isinstance(row, list | tuple | np.ndarray) and len(row) else row


# MulT's MOSI has VIDEO_CLIP in the first column of `id`; its MOSEI the video alone, which many
# utterances share.
def _ids_have_clips(path: Path, splits: dict[str, dict[str, Any]]) -> bool:
    names = []
    matching = 0
    for split, fields in splits.items():
        for row in _listed(f"{path}, split {split!r}", "id", fields):
            names.append((split, str(_first(row))))  # one part may be given as all three
            try:
                parse_id(as_text(_first(row)))
            except ValueError:
                continue
            matching += 1
    return 2 * matching >= len(names) and 2 * len(set(names)) > len(names)


def _keys(name: str, ids: list[Any], *, has_clips: bool) -> tuple[list[Key], list[float] | None]:
    keys = []
    order = []
    for number, row in enumerate(ids, start=1):
        try:
            if has_clips:
                key, running = parse_id(as_text(_first(row)))
                order += [float(key.utterance)] if running else []
            else:
                key, start = _timed_key(row)
                order.append(start)
        except ValueError as error:
            raise FieldError(name, "id", str(error), f"utterance number {number}") from None
        keys.append(key)
    return keys, order if len(order) == len(keys) else None


def _timed_key(row: Any) -> tuple[Key, float]:
    if not isinstance(row, list | tuple | np.ndarray) or len(row) != 3:
        raise ValueError(f"must be VIDEO_CLIP, or video, start and end, is {str(row)[:60]!r}")
    video, start, end = (as_text(part).strip() for part in row)
    return Key(video, f"{start}-{end}"), _seconds(start)


def _seconds(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"a start must be in seconds, is {text}")
    return value


def _words(name: str, words: list[Any], keys: list[Key]) -> list[str | None]:
    texts: list[str | None] = []
    for value, key in zip(words, keys, strict=True):
        try:
            texts.append(None if is_missing(value) else words_of(as_text(value)))
        except ValueError as error:
            raise FieldError(name, "raw_text", str(error), key) from None
    return texts


# MMSA's unaligned files record lengths; in its aligned ones the text's mask is all three's.
def _recorded(
    name: str, modality: str, fields: dict[str, Any], runs: ZeroRuns
) -> npt.NDArray[np.int64] | None:
    field = f"{modality}_lengths"
    if fields.get(field) is not None:
        values = [_number(name, field, _first(value)) for value in _listed(name, field, fields)]
        lengths = np.array(values)
    elif fields.get("text_bert") is not None:
        field = "text_bert"
        mask = fields[field]
        if not _is_numeric(mask) or mask.ndim != 3 or mask.shape[1] != 3:
            raise FieldError(name, field, f"must be (N, 3, tokens), is {_described(mask)}")
        lengths = mask[:, 1].sum(axis=1).astype(np.float64)
    else:
        return None
    agreed_size(name, [(modality, len(runs.leading)), (field, len(lengths))])
    wrong = np.flatnonzero(
        ~((lengths >= 0) & (lengths <= runs.rows) & (lengths == np.trunc(lengths)))
    )
    if len(wrong):
        raise FieldError(
            name,
            field,
            f"a length must be a whole number from 0 to {runs.rows}, is {lengths[wrong[0]]:g}",
            f"utterance number {wrong[0] + 1}",
        )
    return lengths.astype(np.int64)


def _number(name: str, field: str, value: Any) -> float:
    if not isinstance(value, int | float | np.number):
        raise FieldError(name, field, f"a length must be a number, is {str(value)[:40]!r}")
    return float(value)


def _is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return "missing" if value is None else type(value).__name__
