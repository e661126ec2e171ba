"""Joins what a label file (CSV) knows to utterances whose features come from elsewhere.

The join is by video and clip, never by the order of rows. Where ids hold no clip (MulT's MOSEI),
a video's utterances are matched in the order of their start times, and only if their number and
every label agree; else the video is left without words, by name. A name that a spreadsheet has
changed is still told where no two names become one.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hscl.data.ids import Key, printable
from hscl.data.readers.columns import SPLIT_NAMES
from hscl.data.readers.csv_lines import csv_lines
from hscl.data.readers.sources import FieldError, Source, label_of
from hscl.data.spelling import respelled
from hscl.errors import InputError

__all__ = ["Joined", "LabelRow", "join_words", "read_labels"]

_NEEDED = ("video_id", "clip_id", "text")
_SAME_LABEL = 1e-3


@dataclass(frozen=True)
class LabelRow:
    """One line of a label file; None where it is empty or the column is not there."""

    key: Key
    text: str | None
    label: float | None
    split: str | None
    speaker: str | None = None


@dataclass(frozen=True)
class Joined:
    """What a join gave.

    Attributes:
        sources: With words, labels and splits where they had none and the file has some.
        filled: Number of utterances that got words, labels, splits or speakers.
        other_label: Utterances whose label differs from the file's; their own stands.
        other_split: Likewise for the split.
        unmatched_videos: Videos whose utterances could not be matched by start time.
        respelled: Utterances that the label file spells in another way, and how.
        unused: Utterances of the label file that the features lack.
    """

    sources: list[Source] = field(default_factory=list)
    filled: Counter[str] = field(default_factory=Counter)
    other_label: list[str] = field(default_factory=list)
    other_split: list[str] = field(default_factory=list)
    unmatched_videos: list[str] = field(default_factory=list)
    respelled: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def read_labels(path: Path) -> list[LabelRow]:
    """Read a label file: columns video_id, clip_id, text; label, mode, speaker where there.

    All is read as text: ids may look like numbers, begin with "-", or have leading zeros, and
    "NA" may be a word.

    Raises:
        InputError: If it can't be read, lacks a column, or names an utterance twice.
    """
    rows = [_row(str(path), number, line) for number, line in csv_lines(path, _NEEDED)]
    seen: set[Key] = set()
    for row in rows:
        if row.key in seen:
            raise InputError(f"{path} must name each utterance once; {row.key} is there twice.")
        seen.add(row.key)
    if not rows:
        raise InputError(f"{path} must hold at least one utterance; it holds none.")
    return rows


def join_words(
    sources: list[Source], rows: list[LabelRow], name: str = "the label file"
) -> Joined:
    """Give utterances what they lack and a label file has; what they have stands.

    Args:
        sources: What the readers returned.
        rows: What `read_labels` returned.
        name: What messages call the label file.

    Returns:
        The sources with what they lacked. An `InputError` says so where no line of the label file
        names an utterance.
    """
    by_key = {row.key: row for row in rows}
    clips, unmatched = _clips_by_order(sources, rows)
    spelled = _spelled(sources, by_key)
    joined = Joined(unmatched_videos=unmatched)
    used: set[Key] = set()
    for source in sources:
        keys = list(source.keys)
        words, labels, splits = list(source.words), list(source.labels), list(source.splits)
        speakers = list(source.speakers or [None] * len(source))
        for index, key in enumerate(source.keys):
            # A running number that equals a clip's number does so by accident.
            clip = key if source.order is None else clips.get((source.name, key))
            row = None if clip is None else by_key.get(spelled.get(clip, clip))
            if row is None:
                continue
            used.add(row.key)
            if key in spelled:
                joined.respelled.append(f"{key} (there {row.key})")
            else:
                keys[index] = row.key
            columns: list[tuple[list[Any], Any, str]] = [
                (words, row.text, "words"),
                (labels, row.label, "labels"),
                (splits, row.split, "splits"),
                (speakers, row.speaker, "speakers"),
            ]
            for own, known, what in columns:
                if own[index] is None and known is not None:
                    own[index] = known
                    joined.filled[what] += 1
            if not _agree(labels[index], row.label):
                joined.other_label.append(str(row.key))
            if row.split not in {None, splits[index]}:
                joined.other_split.append(str(row.key))
        joined.sources.append(
            replace(
                source,
                keys=keys,
                words=words,
                labels=labels,
                splits=splits,
                speakers=speakers if any(speakers) else None,
            )
        )
    joined.unused.extend(_unused(sources, rows, used, name))
    return joined


def _spelled(sources: list[Source], by_key: dict[Key, LabelRow]) -> dict[Key, Key]:
    own = {
        key: label
        for source in sources
        if source.order is None
        for key, label in zip(source.keys, source.labels, strict=True)
    }
    return respelled(own, by_key, lambda ours, theirs: _agree(own[ours], by_key[theirs].label))


def _unused(sources: list[Source], rows: list[LabelRow], used: set[Key], name: str) -> list[str]:
    """The lines that name no utterance; videos that are matched by time are said elsewhere.

    Raises:
        InputError: Not one line does.
    """
    timed = {key.video for source in sources if source.order is not None for key in source.keys}
    unused = [row.key for row in rows if row.key not in used and row.key.video not in timed]
    if len(unused) == len(rows):
        known = {key.video: key.utterance for source in sources for key in source.keys}
        line = next((key for key in unused if key.video in known), None)
        if line is not None:
            found, ours = f"{line.utterance!r}", f"{known[line.video]!r}"
        else:
            found, ours = f"video {unused[0].video!r}", f"video {next(iter(known))!r}"
        raise InputError(
            printable(
                f"no line of {name} names an utterance; it has {found}, the features {ours}. "
                "Give the label file of these features, or none."
            )
        )
    return [str(key) for key in unused]


def _agree(one: float | None, other: float | None) -> bool:
    return one is None or other is None or abs(one - other) <= _SAME_LABEL


def _row(path: str, line_number: int, line: dict[str, str]) -> LabelRow:
    place = f"line {line_number}"
    if None in line or None in line.values():
        raise FieldError(path, "columns", "every line must have as many fields as the head", place)
    key = Key(line["video_id"].strip(), line["clip_id"].strip())
    if not all(key):
        raise FieldError(path, "video_id and clip_id", "must not be empty", place)
    label = None
    if text := line.get("label", "").strip():
        try:
            number = float(text)
        except ValueError:
            raise FieldError(path, "label", f"must be a number, is {text!r}", place) from None
        label = label_of(path, "label", number, key)
    split = None
    if mode := line.get("mode", "").strip():
        if mode not in SPLIT_NAMES:
            raise FieldError(path, "mode", f"must be train, valid or test, is {mode!r}", place)
        split = SPLIT_NAMES[mode]
    speaker = line.get("speaker", "").strip() or None
    return LabelRow(key, line["text"].strip() or None, label, split, speaker)


def _clips_by_order(
    sources: list[Source], rows: list[LabelRow]
) -> tuple[dict[tuple[str, Key], Key], list[str]]:
    # The clip of each utterance whose id holds none, and the videos where that can't be told.
    own: dict[str, list[tuple[float, str, Key, float | None]]] = defaultdict(list)
    for source in sources:
        if source.order is not None:
            for order, key, label in zip(source.order, source.keys, source.labels, strict=True):
                own[key.video].append((order, source.name, key, label))
    known: dict[str, list[tuple[int, LabelRow]]] = defaultdict(list)
    for row in rows:
        if row.key.video in own and row.key.utterance.isdecimal():
            known[row.key.video].append((int(row.key.utterance), row))
    clips: dict[tuple[str, Key], Key] = {}
    unmatched = []
    for video, utterances in own.items():
        utterances.sort(key=lambda utterance: utterance[0])
        candidates = [row for _, row in sorted(known[video], key=lambda pair: pair[0])]
        if len(candidates) == len(utterances) and all(
            label is not None and row.label is not None and _agree(label, row.label)
            for (_, _, _, label), row in zip(utterances, candidates, strict=True)
        ):
            for (_, name, key, _), row in zip(utterances, candidates, strict=True):
                clips[name, key] = row.key
        else:
            unmatched.append(video)
    return clips, sorted(unmatched)
