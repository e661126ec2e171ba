"""Append-only tables of a study: Parquet parts that appear whole, are compacted, and never lie.

`tables/<name>/00000007-00000007.parquet` is the eighth append. Compaction writes a file whose
name covers the numbers of the parts in it, such as `00000000-00000499.parquet`, and only then
deletes these. A reader ignores every file whose numbers lie inside another's, so that a kill
between the two steps neither loses nor doubles a row. Writing is for the one process that holds
the study's lock; reading needs no lock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hscl.errors import RunError
from hscl.files import is_unfinished
from tune.tables.schemas import KEYS, SCHEMAS, check_version, to_arrow, unify
from tune.tables.storage import Folder, open_folder

__all__ = ["Part", "TableStore"]

_COMPACT_AT = 500  # files; ten thousand small ones take seconds to read, one takes milliseconds
_FEW = 100  # rows
_READ_ATTEMPTS = 5  # a reader may meet a compaction: a part that it listed is gone
_SMALL = 1 << 20  # bytes


@dataclass(frozen=True, order=True)
class Part:
    """A file of a table and the append numbers in it, both ends included.

    Attributes:
        first: Number of the first append in it.
        last: Number of the last one.
        size: In bytes, where it is known.
    """

    first: int
    last: int
    size: int = 0

    @classmethod
    def named(cls, name: str, size: int = 0) -> "Part | None":
        """The part of this file name; None where the name is no part's."""
        first, dash, last = name.removesuffix(".parquet").partition("-")
        if name.endswith(".parquet") and dash and first.isdigit() and last.isdigit():
            return cls(int(first), int(last), size)
        return None

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.first:08d}-{self.last:08d}.parquet"

    @property
    def appends(self) -> int:
        """How many appends are in it."""
        return self.last - self.first + 1

    def covers(self, other: "Part") -> bool:
        """Whether all of another part is in it, and more."""
        inside = self.first <= other.first and other.last <= self.last
        return inside and (self.first, self.last) != (other.first, other.last)


class TableStore:
    """The tables of one study.

    Args:
        root: The study's folder: a path, a URI, or an open folder.
        guard: Called before every write; raises where this process may not write any more
            (see `tune.tables.lock`).
    """

    def __init__(
        self, root: Folder | str | Path, *, guard: Callable[[], None] = lambda: None
    ) -> None:
        folder = root if isinstance(root, Folder) else open_folder(root)
        self._folder = folder.child("tables")
        self._guard = guard
        self._next: dict[str, int] = {}  # the next append's number
        self._files: dict[str, int] = {}  # how many files the table has

    def check(self) -> None:
        """Return if this process may write.

        Raises:
            LockLostError: Another driver has taken the study.
        """  # noqa: DOC502 - from the guard
        self._guard()

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; when this returns they are durable, and visible all at once.

        Args:
            table: The table's name.
            rows: See `tune.tables.schemas.to_arrow`. No rows: nothing happens.

        Raises:
            RunError: If the disk is full or read-only, or the storage is gone.
            ValueError: If a row has an unknown column.
        """  # noqa: DOC502 - ValueError from to_arrow
        if not rows:
            return
        data = to_arrow(table, rows)
        self._guard()
        if table not in self._next:
            parts = self._parts(table)
            self._next[table] = 1 + max((part.last for part in parts), default=-1)
            self._files[table] = len(parts)
        number = self._next[table]
        self._write(table, Part(number, number), data)
        self._next[table] = number + 1
        self._files[table] += 1
        if self._files[table] >= _COMPACT_AT:
            self.compact(table)

    def read(self, table: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in the order in which they were appended, the first of each key only.

        Args:
            table: The table's name.
            columns: Read only these; the key's columns are needed and come along.

        Returns:
            The rows; an empty table where nothing was written yet.

        Raises:
            InputError: If a file is foreign or of a later version.
            RunError: If a file is damaged or the storage does not answer.
        """  # noqa: DOC502 - InputError from check_version
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                data = self._read_parts(table, self._parts(table), columns)
            except FileNotFoundError as error:
                if attempt == _READ_ATTEMPTS:
                    message = f"{self._folder.uri}/{table}: files vanish while read: {error}"
                    raise RunError(message) from error
            else:
                break
        return _first_of_each(data, KEYS[table])

    def compact(self, table: str | None = None, *, whole: bool = False) -> None:
        """Merge small files and remove what an interrupted compaction left behind.

        Newer files are merged until the next older one is larger than all of them together, so
        that a row is rewritten only logarithmically often.

        Args:
            table: Only this table; all of them if not given.
            whole: Merge everything into one file.

        Raises:
            RunError: If the storage refuses, or a merged file does not hold every row.
        """  # noqa: DOC502 - the private halves raise
        for name in SCHEMAS if table is None else [table]:
            self._guard()
            self._delete_superseded(name)
            parts = self._parts(name)
            merged = parts if whole else _newest(parts)
            if len(merged) > 1:
                data = self._read_parts(name, merged, None).combine_chunks()
                self._write(name, Part(merged[0].first, merged[-1].last), data)
                self._delete_superseded(name)
            self._files[name] = len(self._parts(name))
            self._next[name] = 1 + max((part.last for part in parts), default=-1)

    def _listed(self, table: str) -> list[Part]:
        """All whole files of the table, superseded ones too.

        Raises:
            RunError: If the storage does not answer.
        """
        try:
            files = self._folder.files(table)
        except OSError as error:
            raise RunError(f"{self._folder.uri} must be readable, but: {error}") from error
        parts = (Part.named(name, size) for name, size in files.items())
        return sorted(part for part in parts if part is not None)

    def _parts(self, table: str) -> list[Part]:
        """The files that hold the table's rows, in order."""
        return _standing(self._listed(table))

    def _delete_superseded(self, table: str) -> None:
        listed = self._listed(table)
        try:
            for part in set(listed) - set(_standing(listed)):
                self._folder.delete(f"{table}/{part.name}")
            for name in self._folder.files(table):
                if is_unfinished(name):
                    self._folder.delete(f"{table}/{name}")  # a killed writer's
        except OSError as error:
            raise self._refused(error) from error

    def _write(self, table: str, part: Part, data: pa.Table) -> None:
        # A few rows gain nothing from packing, and are packed when they are merged.
        options: dict[str, Any] = {"compression": "zstd"}
        if len(data) < _FEW:
            options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        content = pa.BufferOutputStream()
        pq.write_table(data, content, **options)
        try:
            self._folder.write(f"{table}/{part.name}", content.getvalue())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> RunError:
        return RunError(
            f"{self._folder.uri} must be writable, but: {error}; nothing written before is lost: "
            "make room or restore access, then run the same command again"
        )

    def _read_parts(
        self, table: str, parts: Sequence[Part], columns: Sequence[str] | None
    ) -> pa.Table:
        wanted = None if columns is None else list(dict.fromkeys([*columns, *KEYS[table]]))
        pieces = []
        for part in parts:
            where = f"{self._folder.uri}/{table}/{part.name}"
            try:
                with self._folder.open(f"{table}/{part.name}") as stream:
                    file = pq.ParquetFile(stream)
                    check_version(file.schema_arrow, table, where)
                    names = file.schema_arrow.names
                    kept = None if wanted is None else [n for n in wanted if n in names]
                    # Threads cost more than a few rows do.
                    pieces.append(file.read(columns=kept, use_threads=part.size > _SMALL))
            except (pa.ArrowInvalid, OSError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                message = f"{where} must be a whole Parquet file, but: {error}"
                raise RunError(message) from error
        schema = unify(table, [piece.schema for piece in pieces])
        if not pieces:
            empty = schema.empty_table()
            return (
                empty if wanted is None else empty.select([n for n in wanted if n in schema.names])
            )
        if wanted is not None:
            fields = [field for field in schema if field.name in wanted]
            schema = pa.schema(fields, metadata=schema.metadata)
        return pa.concat_tables(_as_schema(piece, schema) for piece in pieces)


def _standing(listed: list[Part]) -> list[Part]:
    """Those that no other covers. Ranges are nested or apart, so one look back is enough."""
    kept: list[Part] = []
    for part in sorted(listed, key=lambda part: (part.first, -part.last)):
        if not kept or not kept[-1].covers(part):
            kept.append(part)
    return kept


def _newest(parts: list[Part]) -> list[Part]:
    """The newest files, up to one that is larger than all newer ones together.

    Larger in bytes, or in appends: many small files take far more bytes than their rows, so that
    bytes alone would have the same rows rewritten every time.
    """
    kept: list[Part] = []
    size = appends = 0
    for part in reversed(parts):
        if kept and (part.size > size or part.appends > appends):
            break
        kept.insert(0, part)
        size += part.size
        appends += part.appends
    return kept


def _as_schema(piece: pa.Table, schema: pa.Schema) -> pa.Table:
    """The piece with exactly these columns; missing ones null."""
    if piece.schema.equals(schema):
        return piece
    columns = [
        piece[field.name].cast(field.type)
        if field.name in piece.column_names
        else pa.nulls(len(piece), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _first_of_each(data: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The first row of each key, in order; the table itself where no key comes twice."""
    if not len(data):
        return data
    codes = np.zeros(len(data), dtype=np.int64)
    for key in keys:
        column = data[key].combine_chunks().dictionary_encode()
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    ordered = np.sort(codes)
    if bool(np.all(ordered[1:] != ordered[:-1])):
        return data
    _, first = np.unique(codes, return_index=True)
    return data.take(pa.array(np.sort(first)))
