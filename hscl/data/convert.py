"""Any format in the wild -> one Arrow file: read, join words, clean, digest, write.

The rows are gone through twice, once for the digest and all that is counted, once for writing, so
that a set larger than the memory can be converted and nothing is written where something is
wrong.
"""

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from rich.console import Console
from rich.progress import Progress

from hscl.data.cleaning import TOO_LARGE, Cleaning
from hscl.data.groups import join_groups, read_groups
from hscl.data.labels import refuse_binary, told_label_range
from hscl.data.readers.columns import read_arrays
from hscl.data.readers.formats import read_sources
from hscl.data.readers.sources import Reading, ReadOptions, Source
from hscl.data.schema import (
    LABEL_RANGE,
    SPLITS,
    arrow_schema,
    digest_of,
    file_metadata,
    free_target,
    write_utterances,
)
from hscl.data.words import Joined, LabelRow, join_words, read_labels
from hscl.errors import InputError

__all__ = ["ConversionReport", "convert", "from_arrays"]

_SHOW_PROGRESS_FROM = 2000  # utterances
_MODALITIES = ("audio", "vision")
_SHOWN = 2  # names beside a count, as examples

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
        speakers: Number of speakers (groups) that are named; 0 where none is.
        text_width: Numbers in one of the source's own text vectors; None where it has none.
        label_range: Labels lie between − and + this.
        replaced: Number of infinite or NaN values that became 0, by modality.
        too_large: Number of finite values that are no measurement and became 0, by modality.
        too_large_named: Some of them, by modality: utterance, feature and value.
        missing: Number of utterances without audio, vision, text.
        zeroed: Number of those whose frames were all zero.
        filled: Number of utterances that got words, labels, splits or speakers from
            the label file.
        without_words: Utterances that have no words.
        other_split: Utterances whose split differs from the label file's; their own stands.
        other_label: Likewise for the label.
        unmatched_videos: Videos whose utterances the label file could not be matched with.
        respelled: Utterances that the label file spells in another way.
        unused: Utterances of the label file that the features lack.
        remarks: What else there is to say.
    """

    path: str
    digest: str
    utterances: int
    splits: dict[str, int]
    audio_width: int | None
    vision_width: int | None
    text_width: int | None
    label_range: float
    files: list[dict[str, str]]
    lengths: str
    padding: dict[str, dict[str, str]]
    full: dict[str, int]
    beyond: dict[str, int]
    replaced: dict[str, int]
    too_large: dict[str, int]
    too_large_named: dict[str, list[str]]
    missing: dict[str, int]
    zeroed: dict[str, int]
    filled: dict[str, int]
    without_words: list[str]
    other_split: list[str]
    other_label: list[str]
    unmatched_videos: list[str]
    respelled: list[str]
    unused: list[str]
    remarks: list[str]
    speakers: int = 0

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
        if self.text_width:
            widths += f", text vectors {self.text_width} wide"
        lines = [f"{self.path}: {self.utterances} utterances ({sizes}); {widths}."]
        if self.speakers:
            lines.append(f"Speakers (groups) that are named: {self.speakers}.")
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
        lines += [
            f"{self.too_large[name]} values in {name} of {TOO_LARGE:g} or more became 0: "
            f"{_listed(named, self.too_large[name])}."
            for name, named in self.too_large_named.items()
        ]
        frames = {name: count for name, count in self.missing.items() if name in _MODALITIES}
        lines += _counted("{} lack {}.", frames)
        lines += _counted("{} got {} from the label file.", self.filled)
        for words, names in (
            ("without words", self.without_words),
            ("have another split in the label file; their own stands", self.other_split),
            ("have another label in the label file; their own stands", self.other_label),
            ("videos don't agree with the label file in number or labels", self.unmatched_videos),
            (
                "are spelled otherwise in the label file, and taken for the same",
                self.respelled,
            ),
            ("lines of the label file name no utterance", self.unused),
        ):
            if names:
                such = ", such as " if len(names) > _SHOWN else ": "
                lines.append(f"{len(names)} {words}{such}{'; '.join(names[:_SHOWN])}.")
        lines += self.remarks
        lines.append(f"Next: hscl data check {shlex.quote(str(self.path))}")
        return lines


def convert(
    sources: list[str],
    out: str | Path,
    *,
    text: str | Path | None = None,
    groups: str | Path | None = None,
    overwrite: bool = False,
    **reading: Unpack[Reading],
) -> ConversionReport:
    """Convert feature files to one data set file.

    Args:
        sources: Files, folders, or `train=FILE` and so on; see `hscl.data.readers.formats`.
        out: The file to write.
        text: A label file (CSV) with the words, joined by video and clip.
        groups: Who speaks (CSV): `video_id` and `speaker`, and `clip_id` where that differs.
        overwrite: Replace a file that is there.
        **reading: As in `hscl.data.readers.sources.ReadOptions`.

    Returns:
        What was done. An `InputError` says what is wrong with a source; then nothing is written.
    """
    target = free_target(Path(out), overwrite=overwrite)
    rows = None if text is None else read_labels(Path(text))
    named = None if groups is None else read_groups(Path(groups))
    options = ReadOptions(**reading)
    joined = _joined(read_sources(sources, options), rows, text)
    if named is not None:
        spoken = join_groups(joined.sources, named, Path(str(groups)).name)
        joined = replace(joined, sources=spoken)
    return _write(target, joined, options)


def from_arrays(
    out: str | Path,
    columns: Mapping[str, Any],
    *,
    text: str | Path | None = None,
    label_range: float | None = None,
    overwrite: bool = False,
) -> ConversionReport:
    """Write a data set file from Python sequences.

    Args:
        out: The file to write.
        columns: N values each, by name: `video` and `utterance` (or `id`, as VIDEO_CLIP), and any
            of `split`, `label`, `text`, `speaker`, `audio`, `vision`, `text_vectors`. A value may
            be None. The last three are N arrays (frames, width), or N vectors, which are single
            frames.
        text: A label file (CSV) that fills what is missing of words, labels and splits.
        label_range: Labels lie between − and + this, 3 or 1; None: told from the content.
        overwrite: Replace a file that is there.

    Returns:
        What was done. An `InputError` says what is wrong with a value; then nothing is written.
    """
    target = free_target(Path(out), overwrite=overwrite)
    rows = None if text is None else read_labels(Path(text))
    source = read_arrays("arrays", columns)
    return _write(target, _joined([source], rows, text), ReadOptions(label_range=label_range))


def _joined(sources: list[Source], rows: list[LabelRow] | None, text: str | Path | None) -> Joined:
    _check_given_once(sources)
    return Joined(sources) if rows is None else join_words(sources, rows, Path(str(text)).name)


def _write(target: Path, joined: Joined, options: ReadOptions) -> ConversionReport:
    _check_unique(joined.sources)
    refuse_binary(joined.sources)
    label_range, remarks = told_label_range(joined.sources, options.label_range)
    total = sum(len(source) for source in joined.sources)
    console = Console(stderr=True, markup=False, emoji=False)
    hidden = total < _SHOW_PROGRESS_FROM or not console.is_terminal
    with Progress(console=console, disable=hidden) as progress:
        first = Cleaning()
        rows = progress.track(first.rows(joined.sources), total, description="reading")
        report = replace(
            _report(target, digest_of(rows), joined, first, options.lengths),
            label_range=label_range,
            remarks=[r for source in joined.sources for r in source.notes.remarks] + remarks,
        )
        schema = arrow_schema(
            report.audio_width,
            report.vision_width,
            _metadata(report),
            text_width=report.text_width,
            speakers=report.speakers > 0,
        )
        again = Cleaning().rows(joined.sources)
        write_utterances(target, progress.track(again, total, description="writing"), schema)
    return report


def _listed(names: list[str], total: int) -> str:
    more = "" if len(names) == total else f" and {total - len(names)} more"
    return "; ".join(names) + more


def _counted(sentence: str, counts: Mapping[str, int]) -> list[str]:
    return [sentence.format(count, name) for name, count in counts.items() if count]


def _check_given_once(sources: list[Source]) -> None:
    names: dict[tuple[object, ...], list[str]] = {}
    for source in sources:
        names.setdefault(tuple(source.keys), []).append(source.name)
    for keys, same in names.items():
        if len(same) > 1:
            raise InputError(
                f"each split must have utterances of its own, but {' and '.join(same)} hold the "
                f"same {len(keys)}: one part was given for each. Give the real ones; what "
                "was trained on can't show how good a model is."
            )


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
        text_width=cleaning.widths.get("text_vectors"),
        label_range=LABEL_RANGE,
        files=[_file_facts(path) for path in paths],
        lengths=lengths,
        padding=padding,
        full=dict(full),
        beyond=dict(beyond),
        replaced=dict(cleaning.replaced),
        too_large=dict(cleaning.too_large),
        too_large_named=dict(cleaning.too_large_named),
        missing={name: cleaning.missing[name] for name in _missing_of(cleaning)},
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
        respelled=joined.respelled,
        unused=joined.unused,
        remarks=[],
        speakers=len({s for source in sources for s in source.speakers or () if s is not None}),
    )


def _missing_of(cleaning: Cleaning) -> list[str]:
    vectors = ["text_vectors"] if "text_vectors" in cleaning.widths else []
    return ["text", "audio", "vision", *vectors]


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
        and (name != "speakers" or value)  # a file without is what it was
    }
    return file_metadata(
        digest=report.digest,
        source=", ".join(file["name"] for file in report.files) or "Python arrays",
        audio_width=report.audio_width,
        vision_width=report.vision_width,
        **facts,
    )


_LISTS = {
    "without_words", "other_split", "other_label", "unmatched_videos", "respelled", "unused",
}  # fmt: skip
