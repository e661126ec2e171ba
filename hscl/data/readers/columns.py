"""One's own data, one row an utterance: Parquet files, Arrow files, and plain Python sequences.

The columns are those of the Arrow layout: `video`, `utterance` (or `id` for both, as VIDEO_CLIP),
`split`, `label`, `text`, `speaker`, `audio`, `vision`, `text_vectors`; all but the names may be
left out, and any value may be null. A row of the last three is a list of frames, each a list of
numbers; a list of numbers alone is a single frame.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hscl.data.ids import Key, as_text, parse_id
from hscl.data.readers.sources import (
    FieldError,
    Frames,
    Listed,
    Notes,
    Sequences,
    Source,
    agreed_size,
    is_missing,
    label_of,
    words_of,
)
from hscl.data.schema import LABEL_RANGES, METADATA_KEY, SEQUENCES
from hscl.errors import InputError, did_you_mean

__all__ = ["COLUMNS", "SPLIT_NAMES", "read_arrays", "read_arrow", "read_parquet"]

COLUMNS = ("video", "utterance", "id", "split", "label", "text", "speaker", *SEQUENCES)
SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}
_ROWS = 64  # of a Parquet file at a time; the file is mapped, or a whole column would be read

Batches = Callable[[list[str]], Iterator[pa.RecordBatch]]


def read_parquet(path: Path, split: str | None) -> Source:
    """Read a Parquet file; frames are decoded a few rows at a time, whenever they are wanted.

    Args:
        path: The file.
        split: Of all its rows, where it has no column `split`.
    """

    def batches(names: list[str]) -> Iterator[pa.RecordBatch]:
        with _readable(path, "Parquet"), pq.ParquetFile(path, memory_map=True) as file:
            yield from file.iter_batches(_ROWS, columns=names)

    with _readable(path, "Parquet"):
        source = _from_batches(str(path), split, pq.read_schema(path), batches)
    return replace(source, path=path)


def read_arrow(path: Path, split: str | None) -> Source:
    """Read an Arrow IPC file (Feather included) or stream; frames stay in the mapped file.

    Args:
        path: The file.
        split: Of all its rows, where it has no column `split`.
    """

    def batches(names: list[str]) -> Iterator[pa.RecordBatch]:
        with _readable(path, "Arrow"), pa.memory_map(str(path)) as mapped:
            for whole in _record_batches(mapped):
                batch = whole.select(names)
                batch.validate(full=True)
                yield batch

    with _readable(path, "Arrow"):
        with pa.memory_map(str(path)) as mapped:
            schema = _opened(mapped).schema
        source = _from_batches(str(path), split, schema, batches)
    return replace(source, path=path)


def _opened(mapped: pa.MemoryMappedFile) -> Any:
    # Both readers have a schema; a file begins with the six letters.
    is_file = mapped.read_at(6, 0) == b"ARROW1"
    return pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)


def _record_batches(mapped: pa.MemoryMappedFile) -> Iterator[pa.RecordBatch]:
    reader = _opened(mapped)
    if isinstance(reader, pa.RecordBatchFileReader):
        yield from map(reader.get_batch, range(reader.num_record_batches))
    else:
        yield from reader


def read_arrays(name: str, columns: Mapping[str, Any]) -> Source:
    """Read Python sequences.

    Args:
        name: For messages.
        columns: By the names of `COLUMNS`. `audio`, `vision` and `text_vectors` are sequences of N
            arrays (L, width), or of N vectors, or an array (N, width), or (N, L, width); None is
            missing.
    """
    _check_names(name, list(columns))
    frames = {
        field: Listed(
            [
                _python_frames(name, field, row, f"utterance number {number}")
                for number, row in enumerate(columns[field], start=1)
            ]
        )
        for field in SEQUENCES
        if columns.get(field) is not None
    }
    lists = {
        field: list(values)
        for field, values in columns.items()
        if field not in frames and values is not None
    }
    return _source(name, None, lists, frames)


@contextlib.contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} must be a whole {kind} file; it is damaged ({reason})."
        ) from None


def _check_names(name: str, found: list[str]) -> None:
    for field, count in Counter(found).items():
        if field not in COLUMNS:
            raise FieldError(name, field, f"no such column; {did_you_mean(field, COLUMNS)}")
        if count > 1:
            raise FieldError(name, field, f"there must be one such column, there are {count}")
    if "id" not in found and not {"video", "utterance"} <= set(found):
        raise FieldError(
            name, "video", "there must be the columns video and utterance, or id; there are "
            f"{', '.join(found) or 'none'}",
        )  # fmt: skip


def _from_batches(name: str, split: str | None, schema: pa.Schema, batches: Batches) -> Source:
    kept = _kept_index(schema)
    schema = pa.schema([f for f in schema if f.name not in kept], metadata=schema.metadata)
    _check_names(name, schema.names)
    frames: dict[str, Sequences] = {}
    plain = [field for field in schema.names if field not in SEQUENCES]
    table = pa.Table.from_batches(batches(plain), pa.schema([schema.field(f) for f in plain]))
    for field in SEQUENCES:
        if field in schema.names and not pa.types.is_null(schema.field(field).type):
            _check_frames_type(name, field, schema.field(field).type)
            frames[field] = _Column(name, field, table.num_rows, batches)
    source = _source(name, split, {field: table[field].to_pylist() for field in plain}, frames)
    return replace(source, notes=Notes(label_range=_label_range(schema)))


def _label_range(schema: pa.Schema) -> float | None:
    # What a data set of our own says that is converted again.
    try:
        said = json.loads((schema.metadata or {})[METADATA_KEY])["label_range"]
    except (KeyError, ValueError, TypeError):
        return None
    return float(said) if said in LABEL_RANGES else None


def _kept_index(schema: pa.Schema) -> set[str]:
    # pandas writes the index of a table that was filtered or put together as one more column.
    described = schema.pandas_metadata or {}
    columns = {name for name in described.get("index_columns", []) if isinstance(name, str)}
    return {name for name in columns if name not in COLUMNS}


@dataclass(frozen=True)
class _Column:
    """The frames of a file's column, read batch by batch."""

    name: str
    field: str
    rows: int
    batches: Batches

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Frames | None]:
        number = 0
        for batch in self.batches([self.field]):
            for row in batch.column(0):
                number += 1
                yield _arrow_frames(self.name, self.field, row, f"utterance number {number}")


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _check_frames_type(name: str, field: str, kind: pa.DataType) -> None:
    leaf = kind
    for _ in range(2):
        leaf = leaf.value_type if _is_list(leaf) else leaf
    if not _is_list(kind) or not (pa.types.is_floating(leaf) or pa.types.is_integer(leaf)):
        raise FieldError(
            name, field, f"must be lists of frames, each a list of numbers, is {kind}"
        )


def _arrow_frames(name: str, field: str, row: pa.Scalar, place: str) -> Frames | None:
    if not row.is_valid or not len(row.values):
        return None
    inner = row.values
    if not _is_list(inner.type):
        numbers: Frames = inner.to_numpy(zero_copy_only=False)
        return numbers.reshape(1, -1)
    widths = pc.unique(pc.list_value_length(inner)).to_pylist()
    if len(widths) != 1 or not widths[0]:
        raise FieldError(name, field, f"all frames must be of one width, not {widths}", place)
    flat: Frames = inner.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(inner), widths[0])


def _python_frames(name: str, field: str, row: Any, place: str) -> Frames | None:
    if row is None:
        return None
    try:
        values = np.asarray(row)
    except ValueError:
        raise FieldError(name, field, "all frames must be of one width", place) from None
    if values.ndim == 1 and values.size:
        values = values.reshape(1, -1)
    if not values.size:
        return None
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise FieldError(
            name, field, f"must be an array of numbers (frames, width), is {values.shape} of "
            f"{values.dtype}", place,
        )  # fmt: skip
    return values


def _source(
    name: str, split: str | None, lists: dict[str, list[Any]], frames: Mapping[str, Sequences]
) -> Source:
    count = agreed_size(name, [*_sizes(lists), *_sizes(frames)])
    keys, order = _keys(name, lists)
    splits = [
        _split_of(name, value, key)
        for value, key in zip(lists.get("split", [split] * count), keys, strict=True)
    ]
    if split is not None and any(found != split for found in splits):
        raise FieldError(name, "split", f"must be {split!r} in all rows, as was said, or left out")
    return Source(
        name=name,
        keys=keys,
        splits=splits,
        labels=[
            None if value is None else label_of(name, "label", value, key)
            for value, key in zip(lists.get("label", [None] * count), keys, strict=True)
        ],
        words=[
            None if is_missing(value) else words_of(_text(name, "text", value, key))
            for value, key in zip(lists.get("text", [None] * count), keys, strict=True)
        ],
        audio=frames.get("audio"),
        vision=frames.get("vision"),
        text_vectors=frames.get("text_vectors"),
        order=order,
        speakers=_speakers(name, lists, keys),
    )


def _speakers(name: str, lists: dict[str, list[Any]], keys: list[Key]) -> list[str | None] | None:
    if "speaker" not in lists:
        return None
    return [
        None if is_missing(value) else _name(name, "speaker", value, number)
        for number, (value, _) in enumerate(zip(lists["speaker"], keys, strict=True), start=1)
    ]


def _sizes(fields: Mapping[str, Sized]) -> list[tuple[str, int]]:
    return [(field, len(values)) for field, values in fields.items()]


def _keys(name: str, lists: dict[str, list[Any]]) -> tuple[list[Key], list[float] | None]:
    if "id" not in lists:
        pairs = zip(lists["video"], lists["utterance"], strict=True)
        return [
            Key(_name(name, "video", video, n), _name(name, "utterance", utterance, n))
            for n, (video, utterance) in enumerate(pairs, start=1)
        ], None
    keys = []
    order = []
    for number, value in enumerate(lists["id"], start=1):
        text = _name(name, "id", value, number)
        try:
            key, running = parse_id(text)
        except ValueError as error:
            raise FieldError(name, "id", str(error), f"utterance number {number}") from None
        keys.append(key)
        order += [float(key.utterance)] if running else []
    return keys, order if len(order) == len(keys) else None


def _name(name: str, field: str, value: Any, number: int) -> str:
    place = f"utterance number {number}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value)
    text = _text(name, field, value, place).strip()
    if not text:
        raise FieldError(name, field, "must not be empty", place)
    return text


def _text(name: str, field: str, value: Any, place: object) -> str:
    try:
        return as_text(value)
    except ValueError as error:
        raise FieldError(name, field, str(error), place) from None


def _split_of(name: str, value: Any, key: Key) -> str | None:
    if value is None:
        return None
    split = SPLIT_NAMES.get(_text(name, "split", value, key))
    if split is None:
        raise FieldError(name, "split", f"must be train, valid or test, is {value!r}", key)
    return split
