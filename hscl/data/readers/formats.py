"""Foreign files -> sources: each format is told by its content, never by the file's name."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hscl.data.ids import printable
from hscl.data.readers.columns import SPLIT_NAMES, read_arrow, read_parquet
from hscl.data.readers.padded import MMSA_LABELS, MULT_LABELS, read_padded
from hscl.data.readers.safe_pickle import read_pickle
from hscl.data.readers.sources import ReadOptions, Source
from hscl.data.readers.tuples import read_tuples
from hscl.data.schema import SPLITS
from hscl.errors import InputError

__all__ = ["FORMATS", "read_sources"]

FORMATS = (
    "pickles of MulT, MMSA, MMIM/HSCL, MISA and MAG-BERT, Parquet and Arrow files with the "
    "columns video, utterance, split, label, text, audio, vision"
)
_SUFFIXES = {".pkl", ".pickle", ".parquet", ".arrow", ".feather"}

# First bytes of what people have by mistake.
_FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"PK\x03\x04", "a ZIP archive (.npz, PyTorch): load it, then hscl.data.convert.from_arrays"),
    (b"\x89HDF", "an HDF5 file (.csd of the multimodal SDK): align it with the SDK, pickle that"),
    (b"video_id,", "a label file: give it with --text, beside the features"),
    (b"\x1f\x8b", "compressed: run gunzip first"),
    (b"<", "a web page, perhaps of a download that failed"),
)  # fmt: skip


def read_sources(arguments: list[str], options: ReadOptions) -> list[Source]:
    """Read all files of a data set, in the order train, valid, test where a file is one split.

    Args:
        arguments: Files, folders with train, valid (or dev) and test files, or `train=FILE`,
            `valid=FILE`, `test=FILE`.
        options: How padded files are to be read, and whether text vectors are kept.

    Raises:
        InputError: If one can't be read, there is none, or an option changes nothing.
    """
    files = [pair for argument in arguments for pair in _files(argument)]
    if not files:
        raise InputError("name at least one file to convert.")
    files.sort(key=lambda pair: SPLITS.index(pair[0]) if pair[0] else -1)
    sources = [source for split, path in files for source in _read_file(path, split, options)]
    _check_needed(sources, options)
    if options.text_vectors:
        return sources
    return [replace(source, text_vectors=None) for source in sources]


def _check_needed(sources: list[Source], options: ReadOptions) -> None:
    asked = ["--lengths recorded"] if options.lengths == "recorded" else []
    asked += [] if options.padding is None else [f"--padding {options.padding}"]
    if asked and not any(source.notes.padding for source in sources):
        raise InputError(
            f"{' and '.join(asked)} must come with padded audio or vision, but no source has any "
            "(Parquet and Arrow files and tuples hold each utterance's own frames); leave it out."
        )


def _files(argument: str) -> list[tuple[str | None, Path]]:
    match = re.fullmatch(r"(\w+)=(.+)", argument)
    if match and match[1] in SPLIT_NAMES:
        return [(SPLIT_NAMES[match[1]], Path(match[2]))]
    path = Path(argument)
    if not path.is_dir():
        return [(None, path)]
    found = [
        (SPLIT_NAMES[file.stem], file)
        for file in sorted(path.iterdir())
        if file.stem in SPLIT_NAMES and file.suffix in _SUFFIXES
    ]
    splits = [split for split, _ in found]
    if not found or len(set(splits)) < len(splits):
        raise InputError(
            f"{path} must hold one file each for train, valid (or dev) and test, with one of the "
            f"endings {', '.join(sorted(_SUFFIXES))}; it holds "
            f"{', '.join(file.name for _, file in found) or 'none'}. Or name them: train=FILE …"
        )
    return [(split, file) for split, file in found]


def _read_file(path: Path, split: str | None, options: ReadOptions) -> list[Source]:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from None
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):  # a file, a stream
        return [read_arrow(path, split)]
    if head.startswith(b"PAR1"):
        return [read_parquet(path, split)]
    for start, what in _FOREIGN:
        if head.lstrip().startswith(start):
            raise InputError(f"{path} is {what}. These are read: {FORMATS}.")
    if head[:1] not in {b"\x80", b"(", b"]", b"}", b""}:
        raise InputError(f"{path} is of no known format (it begins with {head[:16]!r}). "
                         f"These are read: {FORMATS}.")  # fmt: skip
    return _read_pickled(path, split, read_pickle(path), options)


def _read_pickled(
    path: Path, split: str | None, content: object, options: ReadOptions
) -> list[Source]:
    if isinstance(content, dict) and not _is_padded(content) and set(content) & set(SPLIT_NAMES):
        if split is not None:
            raise InputError(f"{path} holds splits of its own; name it without {split}=.")
        parts = {name: part for name, part in content.items() if name in SPLIT_NAMES}
        sources = _read_splits(path, parts, options)
        if others := [printable(str(name)) for name in content if name not in SPLIT_NAMES]:
            remark = f"{path.name}: what is not read beside the splits: {', '.join(others)}."
            sources[0].notes.remarks.append(remark)
        return sources
    single = _is_padded(content) or isinstance(content, list)
    if not single:
        raise _unknown(path, content)
    if split is None:
        raise InputError(
            f"{path} holds one fold and does not say which; name it as train=FILE, valid=FILE or "
            "test=FILE."
        )
    return _read_splits(path, {split: content}, options)


def _read_splits(path: Path, content: dict[str, Any], options: ReadOptions) -> list[Source]:
    by_split: dict[str, Any] = {SPLIT_NAMES[name]: part for name, part in content.items()}
    if len(by_split) < len(content):
        raise InputError(f"{path} must hold each split once; it holds {', '.join(content)}.")
    ordered = {name: by_split[name] for name in SPLITS if name in by_split}
    if empty := [name for name, part in ordered.items() if _is_empty(part)]:
        ordered = {name: part for name, part in ordered.items() if name not in empty}
        if not ordered:
            raise InputError(f"{path} must hold at least one utterance; its splits are empty.")
        sources = _read_splits(path, ordered, options)
        sources[0].notes.remarks.append(
            f"{path.name}: without utterances, as if they were not there: {', '.join(empty)}."
        )
        return sources
    if all(_is_padded(part) for part in ordered.values()):
        return read_padded(path, ordered, options)
    if all(isinstance(part, list) for part in ordered.values()):
        return [read_tuples(path, name, part) for name, part in ordered.items()]
    raise _unknown(path, content)


def _is_padded(value: object) -> bool:
    labels = {MMSA_LABELS, MULT_LABELS}
    return isinstance(value, dict) and "id" in value and not labels.isdisjoint(value)


# MMSA-FET writes all three splits, whatever the label file names.
def _is_empty(part: object) -> bool:
    if isinstance(part, dict) and _is_padded(part):
        part = part["id"]
    if isinstance(part, np.ndarray):
        return bool(part.shape[:1] == (0,))
    return isinstance(part, list | tuple) and not part


def _unknown(path: Path, content: object) -> InputError:
    return InputError(
        f"{path} is a pickle of no known layout. "
        f"It holds {printable(_described(content, depth=2))}. "
        f"Needed are train, valid and test, each with id, {MULT_LABELS} or {MMSA_LABELS}, audio "
        "and vision, or a list of ((words, vision, audio, …), label, id). Or give its arrays to "
        "hscl.data.convert.from_arrays."
    )


def _described(value: object, depth: int) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype}"
    if isinstance(value, dict) and depth:
        parts = [f"{key}: {_described(part, depth - 1)}" for key, part in list(value.items())[:12]]
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple):
        first = f" of {type(value[0]).__name__}" if value else ""
        return f"{type(value).__name__} [{len(value)}]{first}"
    return type(value).__name__
