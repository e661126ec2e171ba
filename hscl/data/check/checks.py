"""Is a data set sound: sizes, lengths, gaps, labels, duplicates, leaks between splits.

One pass over the mapped file, so that a set larger than the memory can be checked.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hscl.data.check.facts import NO_SPLIT, CheckReport, LengthFacts, SplitFacts
from hscl.data.check.rules import find_problems, find_warnings
from hscl.data.cleaning import outliers
from hscl.data.dataset import Dataset
from hscl.data.schema import LABEL_RANGE, SEQUENCES, SPLITS, Utterance, digest_of

__all__ = ["check"]

_MODALITIES = ("audio", "vision")
_NAMED = 5  # values that are too large, by modality
# Shorter sentences are the same by chance ("yes").
_WORDS_OF_A_DUPLICATE = 5


def check(dataset: Dataset) -> CheckReport:
    """Look through a whole data set.

    Args:
        dataset: An open one.
    """
    survey = _Survey(dataset.label_range)
    digest = digest_of(survey.watch(dataset.all_rows()))
    facts = survey.facts(dataset, digest)
    return replace(facts, problems=find_problems(facts), warnings=find_warnings(facts))


class _Survey:
    """What one pass over the rows collects."""

    def __init__(self, label_range: float) -> None:
        self.bins = 1 if label_range == LABEL_RANGE else 5  # to one unit
        self.label_range = int(label_range)
        self.lengths: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.zero_frames: Counter[tuple[str, str]] = Counter()
        self.splits: Counter[str] = Counter()
        self.labels: dict[str, Counter[int]] = defaultdict(Counter)
        self.videos: dict[str, set[str]] = defaultdict(set)
        self.speakers: dict[str, set[str]] = defaultdict(set)
        self.unnamed: dict[str, set[str]] = defaultdict(set)  # videos with nobody named
        self.ranges: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
        self.contents: dict[bytes, list[str]] = defaultdict(list)
        self.without_words: list[str] = []
        self.too_large: Counter[str] = Counter()
        self.too_large_named: dict[str, list[str]] = defaultdict(list)
        self.names: set[tuple[str, str]] = set()
        self.names_twice: list[str] = []

    def watch(self, rows: Iterator[Utterance]) -> Iterator[Utterance]:
        for row in rows:
            self._note(row)
            yield row

    def _note(self, row: Utterance) -> None:
        split = row.split or NO_SPLIT
        name = f"{row.video}/{row.utterance}"
        if (row.video, row.utterance) in self.names:
            self.names_twice.append(name)
        self.names.add((row.video, row.utterance))
        self.splits[split] += 1
        self.videos[row.video].add(split)
        if row.speaker is not None:
            self.speakers[row.speaker].add(split)
        else:
            self.unnamed[row.video].add(split)
        if row.label is not None:
            self.labels[split][int(np.rint(row.label * self.bins))] += 1
        words = len((row.text or "").split())
        if words:
            self.lengths["text", split].append(words)
        else:
            self.without_words.append(name)
        content = hashlib.sha256((row.text or "").encode())
        for modality in SEQUENCES:
            frames: npt.NDArray[np.float32] | None = getattr(row, modality)
            if frames is None:
                continue
            content.update(frames.tobytes())
            self.lengths[modality, split].append(len(frames))
            self.zero_frames[modality, split] += int((~frames.any(axis=1)).sum())
            found = np.stack([frames.min(axis=0), frames.max(axis=0)])
            self._note_too_large(modality, frames, name)
            before = self.ranges.setdefault((modality, split), found)
            np.minimum(before[0], found[0], out=before[0])
            np.maximum(before[1], found[1], out=before[1])
        if row.audio is not None or row.vision is not None or words >= _WORDS_OF_A_DUPLICATE:
            self.contents[content.digest()].append(f"{name} ({split})")

    def _note_too_large(self, modality: str, frames: npt.NDArray[np.float32], name: str) -> None:
        found = outliers(frames, name)
        self.too_large[modality] += len(found)
        room = _NAMED - len(self.too_large_named[modality])
        self.too_large_named[modality] += found[: max(room, 0)]

    def facts(self, dataset: Dataset, content_digest: str) -> CheckReport:
        return CheckReport(
            path=str(dataset.path),
            digest=dataset.digest,
            content_digest=content_digest,
            metadata=dataset.metadata,
            splits={
                name: self._split(name, [m for m in SEQUENCES if m in dataset.table.column_names])
                for name in (*SPLITS, NO_SPLIT)
                if self.splits[name]
            },
            constant={name: self._constant(name) for name in _MODALITIES if self._has(name)},
            names_twice=self.names_twice,
            duplicates=[names for names in self.contents.values() if len(names) > 1],
            crossing_videos=_crossing(self.videos),
            speakers={
                name: sum(
                    name in splits
                    for units in (self.speakers, self.unnamed)
                    for splits in units.values()
                )
                for name in SPLITS
                if self.speakers and self.splits[name]
            },
            crossing_speakers=_crossing(self.speakers),
            without_words=self.without_words,
            too_large={
                name: (count, self.too_large_named[name])
                for name, count in self.too_large.items()
                if count
            },
        )

    def _has(self, modality: str) -> bool:
        return any(name == modality for name, _ in self.ranges)

    def _constant(self, modality: str) -> list[int]:
        ranges = [
            found
            for (name, split), found in self.ranges.items()
            if name == modality and split in ({"train"} if self.splits["train"] else self.splits)
        ]
        if not ranges:
            return []
        low = np.min([found[0] for found in ranges], axis=0)
        high = np.max([found[1] for found in ranges], axis=0)
        return [int(index) for index in np.flatnonzero(low == high)]

    def _split(self, split: str, sequences: Sequence[str]) -> SplitFacts:
        labels = self.labels[split]
        most = self.label_range * self.bins
        return SplitFacts(
            utterances=self.splits[split],
            videos=sum(split in splits for splits in self.videos.values()),
            labelled=labels.total(),
            labels={self._label(value): labels[value] for value in range(-most, most + 1)},
            modalities={name: self._lengths(name, split) for name in ("text", *sequences)},
        )

    def _label(self, value: int) -> str:
        digits = 0 if self.bins == 1 else 1
        return f"{value / self.bins:+.{digits}f}" if value else "0"

    def _lengths(self, modality: str, split: str) -> LengthFacts:
        lengths = self.lengths[modality, split]
        missing = self.splits[split] - len(lengths)
        if not lengths:
            return LengthFacts(present=0, missing=missing)
        return LengthFacts(
            present=len(lengths),
            missing=missing,
            median=float(np.percentile(lengths, 50)),
            p95=float(np.percentile(lengths, 95)),
            longest=max(lengths),
            zero_frames=self.zero_frames[modality, split],
        )


def _crossing(groups: dict[str, set[str]]) -> dict[str, list[str]]:
    """What is in several splits, and in which."""
    known = {name: sorted(splits - {NO_SPLIT}) for name, splits in groups.items()}
    return {name: splits for name, splits in known.items() if len(splits) > 1}
