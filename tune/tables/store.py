"""Append-only tables of a study: Parquet parts that appear whole, are compacted, and never lie.

`tables/<name>/00000007-00000007.parquet` is the eighth append. Compaction writes a file whose
name covers the numbers of the parts in it, such as `00000000-00000499.parquet`, and only then
deletes these. A reader ignores every file whose numbers lie inside another's, so that a kill
between the two steps neither loses nor doubles a row. Appends are numbered without a hole, and
`tables/counts.json` says after each flush how many there are: a file that is gone is noticed,
wherever it was. Writing is for the one process that holds the study's lock; reading needs no lock.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hscl.errors import HsclError, InputError, RunError
from hscl.files import is_unfinished
from tune.tables.schemas import (
    KEYS,
    SCHEMAS,
    check_columns,
    check_version,
    conformed,
    first_of_each,
    to_arrow,
    unify,
)
from tune.tables.storage import Folder, open_folder

__all__ = ["COUNTS_FILE", "NOT_WHOLE", "PUT_BACK", "Hole", "Part", "TableStore"]

_T = TypeVar("_T")
NOT_WHOLE = "must be a whole Parquet file, but: "
PUT_BACK = "; put it back from a copy"
COUNTS_FILE = "counts.json"
"""In the folder of the tables: how many appends and rows each has."""

_COMPACT_AT = 500  # files; ten thousand small ones take seconds to read, one takes milliseconds
_FEW = 100  # rows
_READ_ATTEMPTS = 5  # a reader may meet a compaction: a part that it listed is gone
_SMALL = 1 << 20  # bytes
_PART = re.compile(r"([0-9]{8,18})-([0-9]{8,18})\.parquet")
_LISTINGS = 3  # a listing may meet a compaction too: a hole is one only if it stays
_LISTING_S = 0.1


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
        found = _PART.fullmatch(name)
        if found is None or int(found[1]) > int(found[2]):
            return None
        return cls(int(found[1]), int(found[2]), size)

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


@dataclass(frozen=True)
class Hole:
    """Appends of a table that no file holds.

    Attributes:
        part: Their numbers, and the name that a file of them would have.
        rows: How many rows of the whole table are not there; None where nobody counted them.
        of: How many rows the table had.
    """

    part: Part
    rows: int | None = None
    of: int | None = None

    @property
    def rows_text(self) -> str:
        """Such as ", and with it 12 of the table's 40 rows"; empty where nobody counted them."""
        if self.rows is None:
            return ""
        return f", and with it {self.rows} of the table's {self.of} rows"


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
        self._rows: dict[str, int] = {}  # how many rows there are, each key counted once
        self._files: dict[str, int] = {}  # how many files the table has
        self._committed = True

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
        if not self._next:
            self._begin()
        number = self._next[table]
        self._write(table, Part(number, number), data)
        self._next[table] = number + 1
        self._rows[table] += len(rows)
        self._files[table] += 1
        self._committed = False
        if self._files[table] >= _COMPACT_AT:
            self.compact(table)

    def commit(self) -> None:
        """Write down how many rows there are now; called after all appends of a flush.

        It is not synced: after a power cut it may be an older one, which says of less that it is
        there.

        Raises:
            RunError: If the storage refuses.
        """  # noqa: DOC502 - from the folder
        if self._committed:
            return
        content = {"appends": self._next, "rows": self._rows}
        try:
            self._folder.write(COUNTS_FILE, json.dumps(content).encode(), synced=False)
        except OSError as error:
            raise self._refused(error) from error
        self._committed = True

    def close_holes(self, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Give up what is missing: a file without rows takes its place, and nothing is missed.

        The rows that say so are there first: a kill in between leaves holes open that are told,
        and none closed that is not.

        Args:
            rows: What is appended before, by table.

        Raises:
            RunError: If the storage refuses.
        """  # noqa: DOC502 - the private halves raise
        self._guard()
        missing, (appends, _) = self.holes(), self._counts()
        for name in SCHEMAS:
            self._count(name, None, appends.get(name, 0))
        for name, added in rows.items():
            self.append(name, added)
        for name, holes in missing.items():
            for hole in holes:
                self._write(name, hole.part, to_arrow(name, []))
        self._committed = False
        self.commit()

    def holes(self) -> dict[str, list[Hole]]:
        """What each table lacks, in the middle or at its end; nothing where nothing is missing.

        The end of a table that no version counted (before 0.3) can't be missed.

        Raises:
            RunError: If the storage does not answer.
        """  # noqa: DOC502 - from the listing
        for attempt in range(1, _LISTINGS + 1):
            appends, rows = self._counts()  # before the listing: a driver may append meanwhile
            missing = {name: _missing(self.parts(name), appends.get(name, 0)) for name in SCHEMAS}
            missing = {name: parts for name, parts in missing.items() if parts}
            if not missing or attempt == _LISTINGS:
                break
            time.sleep(_LISTING_S)
        return {
            name: [Hole(part, *self._lost_rows(name, rows.get(name))) for part in parts]
            for name, parts in missing.items()
        }

    def check_whole(self) -> None:
        """Refuse to go on where a file of a table is gone.

        Raises:
            InputError: Names every one, and what to do.
        """
        found = [
            f"  {self._where(name, hole.part)} is missing{hole.rows_text}"
            for name, holes in self.holes().items()
            for hole in holes
        ]
        if found:
            raise InputError(
                f"{self._folder.uri} must hold every row that was written, but:\n"
                + "\n".join(found)
                + "\nput them back from a copy; nothing is decided without them"
            )

    def counted_rows(self) -> dict[str, int]:
        """Rows of each table as last written down; empty where no version has counted them."""
        return self._counts()[1]

    def read(self, table: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in the order in which they were appended, the first of each key only.

        Args:
            table: The table's name.
            columns: Read only these; the key's columns are needed and come along.

        Returns:
            The rows; an empty table where nothing was written yet.

        Raises:
            InputError: If a file is foreign, damaged or of a later version.
            RunError: If the storage does not answer.
        """  # noqa: DOC502 - InputError from check_version
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                data = self._read_parts(table, self.parts(table), columns)
            except FileNotFoundError as error:
                if attempt == _READ_ATTEMPTS:
                    message = f"{self._folder.uri}/{table}: files vanish while read: {error}"
                    raise RunError(message) from error
            else:
                break
        return first_of_each(data, KEYS[table])

    def parts(self, table: str) -> list[Part]:
        """The files that hold the table's rows, in order.

        Raises:
            RunError: If the storage does not answer.
        """  # noqa: DOC502 - from the listing
        return _standing(self._listed(table))

    def read_part(self, table: str, part: Part) -> pa.Table:
        """The rows of one of its files; raises as `read` does, or FileNotFoundError."""
        return self._read_parts(table, [part], None)

    def compact(self, table: str | None = None, *, whole: bool = False) -> None:
        """Merge small files and remove what an interrupted compaction left behind.

        Newer files are merged until the next older one is larger than all of them together, so
        that a row is rewritten only logarithmically often. Never across a hole, which would be
        closed by that without anybody's word.

        Args:
            table: Only this table; all of them if not given.
            whole: Merge everything into one file.

        Raises:
            RunError: If the storage refuses, or a merged file does not hold every row.
        """  # noqa: DOC502 - the private halves raise
        for name in SCHEMAS if table is None else [table]:
            self._guard()
            self._delete_superseded(name)
            runs = _runs(self.parts(name))
            for merged in runs if whole else [_newest(run) for run in runs[-1:]]:
                if len(merged) > 1:
                    data = self._read_parts(name, merged, None).combine_chunks()
                    self._write(name, Part(merged[0].first, merged[-1].last), data)
                    self._delete_superseded(name)
            self._files[name] = len(self.parts(name))

    def _begin(self) -> None:
        """Find out where the tables end, once this process writes.

        Raises:
            InputError: They have a hole, which would be closed without anybody's word.
        """  # noqa: DOC502 - from the check
        self.check_whole()
        appends, rows = self._counts()
        for name in SCHEMAS:
            self._count(name, rows.get(name), appends.get(name))
        self._committed = False
        self.commit()  # from the first row on nothing can be lost unnoticed

    def _count(self, name: str, rows: int | None, appends: int | None) -> None:
        """Take where a table ends, and how many rows it has if it was counted up to there."""
        parts = self.parts(name)
        end = 1 + max((part.last for part in parts), default=-1)
        self._next[name] = max(end, appends or 0)
        if rows is None or appends != end:  # nobody has, or the last to write was killed
            rows = len(self.read(name, columns=()))
        self._rows[name] = rows
        self._files[name] = len(parts)

    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Appends and rows by table as they were written down; nothing where they can't be read.

        Raises:
            RunError: If the storage does not answer.
        """
        try:
            told = json.loads(self._folder.read(COUNTS_FILE))
            found = [{n: int(told[kind][n]) for n in SCHEMAS} for kind in ("appends", "rows")]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}, {}
        except OSError as error:
            raise RunError(f"{self._folder.uri} must be readable, but: {error}") from error
        return found[0], found[1]

    def _lost_rows(self, table: str, rows: int | None) -> tuple[int | None, int | None]:
        if rows is None:
            return None, None
        try:
            return max(0, rows - len(self.read(table, columns=()))), rows
        except (HsclError, FileNotFoundError):  # what is damaged besides is named by others
            return None, None

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
        options["write_page_checksum"] = True
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

    def _where(self, table: str, part: Part) -> str:
        return f"{self._folder.uri}/{table}/{part.name}"

    def _opened(self, table: str, part: Part, take: Callable[[pq.ParquetFile], _T]) -> _T:
        # Whatever makes a file unreadable is one of our errors, but for a file that is gone.
        where = self._where(table, part)
        try:
            with self._folder.open(f"{table}/{part.name}") as stream:
                file = pq.ParquetFile(stream, page_checksum_verification=True)
                check_version(file.schema_arrow, table, where)
                return take(file)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, FileNotFoundError):
                raise  # a compaction may have merged it
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if isinstance(error, OSError) and (error.errno or self._folder.local is None):
                raise RunError(f"{where} must be readable, but: {reason}") from error
            raise InputError(f"{where} {NOT_WHOLE}{reason}{PUT_BACK}") from error

    def _read_parts(
        self, table: str, parts: Sequence[Part], columns: Sequence[str] | None
    ) -> pa.Table:
        wanted = None if columns is None else list(dict.fromkeys([*columns, *KEYS[table]]))
        pieces = []
        for part in parts:
            # Threads cost more than a few rows do.
            threads = part.size > _SMALL

            def rows_of(file: pq.ParquetFile, *, threads: bool = threads) -> pa.Table:
                names = file.schema_arrow.names
                kept = None if wanted is None else [n for n in wanted if n in names]
                return file.read(columns=kept, use_threads=threads)

            piece = self._opened(table, part, rows_of)
            check_columns(piece, table, self._where(table, part), wanted)
            pieces.append(piece)
        schema = unify(table, [piece.schema for piece in pieces])
        if not pieces:
            empty = schema.empty_table()
            return (
                empty if wanted is None else empty.select([n for n in wanted if n in schema.names])
            )
        if wanted is not None:
            fields = [field for field in schema if field.name in wanted]
            schema = pa.schema(fields, metadata=schema.metadata)
        return pa.concat_tables(conformed(piece, schema) for piece in pieces)


def _missing(parts: Sequence[Part], appends: int) -> list[Part]:
    """The numbers that no file holds, of the first so many appends at least."""
    found, following = [], 0
    for part in [*parts, Part(appends, appends)]:
        if part.first > following:
            found.append(Part(following, part.first - 1))
        following = max(following, part.last + 1)
    return found


def _runs(parts: Sequence[Part]) -> list[list[Part]]:
    """The files cut where an append is missing between two of them."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and part.first == runs[-1][-1].last + 1:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


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
