"""Any format in the wild -> one Arrow file: read, join words, clean, digest, write.

The rows are gone through twice, once for the digest and all that is counted, once for writing, so
that a set larger than the memory can be converted and nothing is written where something is
wrong.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress

from hscl.data.cleaning import Cleaning
from hscl.data.readers.columns import read_arrays
from hscl.data.readers.formats import read_sources
from hscl.data.readers.sources import ReadOptions, Source
from hscl.data.schema import (
    SPLITS,
    arrow_schema,
    digest_of,
    file_metadata,
    free_target,
    write_utterances,
)
from hscl.data.words import Joined, join_words, read_labels
from hscl.errors import InputError

__all__ = ["ConversionReport", "convert", "from_arrays"]

_SHOW_PROGRESS_FROM = 2000  # utterances
_SHOWN = 10  # names in a list before "and so many more"

# SHA-256 of the files that MMSA publishes (thuiar/MMSA, README).
_PUBLISHED = {
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": "MMSA MOSI unaligned_50",
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": "MMSA MOSI aligned_50",
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": "MMSA MOSEI unaligned_50",
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": "MMSA MOSEI aligned_50",
}


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did and what a person should know of it.

    Attributes:
        path: The file written.
        digest: Of its content.
        utterances: How many in all.
        splits: How many in train, valid and test; "none" counts those without a split.
        audio_width: Numbers in an audio frame; None where there is no audio.
        vision_width: Likewise.
        files: Name and SHA-256 of each file read, and as what it is published, if it is.
        lengths: "content" or "recorded".
        padding: Side of the padding, by file and modality.
        full: Number of padded utterances without any padding, which may have been cut.
        beyond: Number of utterances with real frames beyond their recorded length.
        replaced: Number of infinite or NaN values that became 0, by modality.
        missing: Number of utterances without audio, vision, text.
        zeroed: Number of those whose frames were all zero.
        filled: Number of utterances that got words, labels or splits from the label file.
        without_words: Utterances that have no words.
        other_split: Utterances whose split differs from the label file's; their own stands.
        other_label: Likewise for the label.
        unmatched_videos: Videos whose utterances the label file could not be matched with.
    """

    path: str
    digest: str
    utterances: int
    splits: dict[str, int]
    audio_width: int | None
    vision_width: int | None
    files: list[dict[str, str]]
    lengths: str
    padding: dict[str, dict[str, str]]
    full: dict[str, int]
    beyond: dict[str, int]
    replaced: dict[str, int]
    missing: dict[str, int]
    zeroed: dict[str, int]
    filled: dict[str, int]
    without_words: list[str]
    other_split: list[str]
    other_label: list[str]
    unmatched_videos: list[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """All that is worth saying, in words."""
        sizes = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        widths = ", ".join(
            f"{name} {width} wide" if width else f"no {name}"
            for name, width in (("audio", self.audio_width), ("vision", self.vision_width))
        )
        lines = [f"{self.path}: {self.utterances} utterances ({sizes}); {widths}."]
        lines += [
            f"{f['name']} is {f['published_as']}." for f in self.files if "published_as" in f
        ]
        lines += [
            f"{file}: padding of {', '.join(f'{name} {side}' for name, side in sides.items())}."
            for file, sides in self.padding.items()
        ]
        lines += _counted("{} without padding in {}; they may have been cut.", self.full)
        kept = "cut off" if self.lengths == "recorded" else "kept"
        lines += _counted(
            "{} with frames beyond the recorded length in {}; " + kept + ".", self.beyond
        )
        lines += _counted("{} infinite or NaN values in {} became 0.", self.replaced)
        frames = {name: count for name, count in self.missing.items() if name != "text"}
        lines += _counted("{} lack {}.", frames)
        lines += _counted("{} got {} from the label file.", self.filled)
        for words, names in (
            ("without words", self.without_words),
            ("have another split in the label file; their own stands", self.other_split),
            ("have another label in the label file; their own stands", self.other_label),
            ("videos don't agree with the label file in number or labels", self.unmatched_videos),
        ):
            if names:
                more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
                lines.append(f"{len(names)} {words}: {'; '.join(names[:_SHOWN])}{more}.")
        lines.append(f"Next: hscl data check {self.path}")
        return lines


def convert(
    sources: list[str],
    out: str | Path,
    *,
    text: str | Path | None = None,
    lengths: Literal["content", "recorded"] = "content",
    padding: Literal["front", "back"] | None = None,
    overwrite: bool = False,
) -> ConversionReport:
    """Convert feature files to one data set file.

    Args:
        sources: Files, folders, or `train=FILE` and so on; see `hscl.data.readers.formats`.
        out: The file to write.
        text: A label file (CSV) with the words, joined by video and clip.
        lengths: Tell lengths from the content, or believe those recorded in the file.
        padding: Which side is padded; None: told from the content.
        overwrite: Replace a file that is there.

    Returns:
        What was done. An `InputError` says what is wrong with a source; then nothing is written.
    """
    target = free_target(Path(out), overwrite=overwrite)
    rows = None if text is None else read_labels(Path(text))
    read = read_sources(sources, ReadOptions(lengths, padding))
    joined = Joined(sources=read) if rows is None else join_words(read, rows)
    return _write(target, joined, lengths)


def from_arrays(
    out: str | Path,
    columns: Mapping[str, Any],
    *,
    text: str | Path | None = None,
    overwrite: bool = False,
) -> ConversionReport:
    """Write a data set file from Python sequences.

    Args:
        out: The file to write.
        columns: N values each, by name: `video` and `utterance` (or `id`, as VIDEO_CLIP), and any
            of `split`, `label`, `text`, `audio`, `vision`. A value may be None. `audio` and
            `vision` are N arrays (frames, width), or N vectors, which are single frames.
        text: A label file (CSV) that fills what is missing of words, labels and splits.
        overwrite: Replace a file that is there.

    Returns:
        What was done. An `InputError` says what is wrong with a value; then nothing is written.
    """
    target = free_target(Path(out), overwrite=overwrite)
    rows = None if text is None else read_labels(Path(text))
    source = read_arrays("arrays", columns)
    joined = Joined(sources=[source]) if rows is None else join_words([source], rows)
    return _write(target, joined, "content")


def _write(target: Path, joined: Joined, lengths: str) -> ConversionReport:
    _check_unique(joined.sources)
    total = sum(len(source) for source in joined.sources)
    console = Console(stderr=True)
    hidden = total < _SHOW_PROGRESS_FROM or not console.is_terminal
    with Progress(console=console, disable=hidden) as progress:
        first = Cleaning()
        rows = progress.track(first.rows(joined.sources), total, description="reading")
        report = _report(target, digest_of(rows), joined, first, lengths)
        schema = arrow_schema(report.audio_width, report.vision_width, _metadata(report))
        again = Cleaning().rows(joined.sources)
        write_utterances(target, progress.track(again, total, description="writing"), schema)
    return report


def _counted(sentence: str, counts: Mapping[str, int]) -> list[str]:
    return [sentence.format(count, name) for name, count in counts.items() if count]


def _check_unique(sources: Iterable[Source]) -> None:
    seen: dict[object, str] = {}
    for source in sources:
        for key in source.keys:
            if key in seen:
                where = " and ".join(dict.fromkeys((seen[key], source.name)))
                raise InputError(
                    f"{where}, field 'id': every utterance must be there once; {key} is twice."
                )
            seen[key] = source.name


def _report(
    target: Path, digest: str, joined: Joined, cleaning: Cleaning, lengths: str
) -> ConversionReport:
    sources = joined.sources
    splits = Counter(split or "none" for source in sources for split in source.splits)
    padding: dict[str, dict[str, str]] = {}
    full: Counter[str] = Counter()
    beyond: Counter[str] = Counter()
    for source in sources:
        if source.path is not None and source.notes.padding:
            padding[source.path.name] = dict(source.notes.padding)
        full.update(source.notes.full)
        beyond.update(source.notes.beyond)
    paths = dict.fromkeys(source.path for source in sources if source.path is not None)
    return ConversionReport(
        path=str(target),
        digest=digest,
        utterances=splits.total(),
        splits={name: splits[name] for name in (*SPLITS, "none") if splits[name]},
        audio_width=cleaning.widths.get("audio"),
        vision_width=cleaning.widths.get("vision"),
        files=[_file_facts(path) for path in paths],
        lengths=lengths,
        padding=padding,
        full=dict(full),
        beyond=dict(beyond),
        replaced=dict(cleaning.replaced),
        missing={name: cleaning.missing[name] for name in ("text", "audio", "vision")},
        zeroed=dict(cleaning.zeroed),
        filled=dict(joined.filled),
        without_words=[
            str(key)
            for source in sources
            for key, words in zip(source.keys, source.words, strict=True)
            if not (words or "").strip()
        ],
        other_split=joined.other_split,
        other_label=joined.other_label,
        unmatched_videos=joined.unmatched_videos,
    )


def _file_facts(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    published = _PUBLISHED.get(digest)
    known = {} if published is None else {"published_as": published}
    return {"name": path.name, "sha256": digest, **known}


def _metadata(report: ConversionReport) -> dict[str, Any]:
    """What goes into the file: no path of this machine, and counts instead of long lists."""
    facts = {
        name: len(value) if name in _LISTS else value
        for name, value in report.to_dict().items()
        if name not in {"path", "digest", "audio_width", "vision_width", "utterances", "splits"}
    }
    return file_metadata(
        digest=report.digest,
        source=", ".join(file["name"] for file in report.files) or "Python arrays",
        audio_width=report.audio_width,
        vision_width=report.vision_width,
        **facts,
    )


_LISTS = {"without_words", "other_split", "other_label", "unmatched_videos"}
