"""A study's tables, opened to be read: by key, folded, or as a file of another format."""

import json
import math
import shlex
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hscl.errors import InputError, did_you_mean
from tune.study.spec import StudySpec
from tune.tables.folder import read_study_file
from tune.tables.history import History
from tune.tables.salvage import Damage, Salvaged, salvage
from tune.tables.schemas import SCHEMAS
from tune.tables.storage import Folder, open_folder
from tune.tables.store import TableStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StudyTables", "as_bytes", "open_tables"]


class StudyTables:
    """What a study's folder holds. Reading only; a running driver is not disturbed.

    Attributes:
        folder: Where it lies.
        spec: Its frozen specification.
    """

    def __init__(self, folder: Folder, spec: StudySpec) -> None:
        self.folder = folder
        self.spec = spec
        self._store = TableStore(folder)

    def table(
        self, name: str, *, events: bool = False, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """A table as readers see it: one row of each key, in order.

        Args:
            name: One of `configs`, `trials`, `reports`, `predictions`, `plan`.
            events: For `trials`: every event instead of each trial's last one.
            columns: Read only these and the key's.

        Returns:
            The rows as they are now.

        Raises:
            InputError: There is no such table.
        """
        if name not in SCHEMAS:
            raise InputError(f"{name!r} is no table of a study; {did_you_mean(name, SCHEMAS)}")
        if name != "trials" or events:
            return self._store.read(name, columns=columns)
        wanted = None if columns is None else [*columns, "trial_id"]
        rows = self._store.read(name, columns=wanted)
        last = rows.group_by("trial_id", use_threads=False).aggregate([("seq", "max")])["seq_max"]
        return rows.filter(pc.is_in(rows["seq"], value_set=last))

    def frame(self, name: str, *, events: bool = False) -> "pd.DataFrame":
        """As `table`, as a pandas data frame."""
        return self.table(name, events=events).to_pandas()

    @cached_property
    def history(self) -> History:
        """All rows folded, as they were when this was first asked for."""
        return self._saved.history

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What is missing from the tables, and with it from the history."""
        return self._saved.damages

    def refuse_damage(self) -> None:
        """Return where nothing is missing: for what decides by these tables.

        Raises:
            InputError: Names all that is.
        """
        if found := [damage for damage in self.damages if damage.blocks]:
            told = "\n".join(f"  {damage}" for damage in found)
            raise InputError(
                f"{self.folder.uri} must hold every row that was written, but:\n{told}\n"
                "put it back from a copy; nothing is decided without it. "
                f"Where there is no copy: hscl repair {shlex.quote(self.folder.uri)}"
            )

    @cached_property
    def _saved(self) -> Salvaged:
        return salvage(self.folder, self.spec, for_history=True)


def open_tables(where: str | Path) -> StudyTables:
    """Open a study's tables to read them.

    Args:
        where: The study's folder, as a path or URI.

    Returns:
        Its tables.

    Raises:
        InputError: There is no study.
    """  # noqa: DOC502 - from read_study_file
    folder = open_folder(where)
    return StudyTables(folder, read_study_file(folder).spec)


_FREE_TEXT = {"name", "note", "error"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_bytes(rows: pa.Table, form: str) -> bytes:
    """A table's rows as a file.

    Args:
        rows: Any table.
        form: "csv" (lists as JSON; names, notes and errors that a spreadsheet would take for a
            formula begin with an apostrophe), "json" (an object a line, null for what is no
            number) or "parquet".
    """
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        return bytes(sink.getvalue().to_pybytes())
    if form == "json":
        plain = ({key: _plain(cell) for key, cell in row.items()} for row in rows.to_pylist())
        lines = [json.dumps(row, separators=(",", ":"), allow_nan=False) for row in plain]
        return "".join(f"{line}\n" for line in lines).encode()
    frame = rows.to_pandas(integer_object_nulls=True)  # else a null makes 1 into 1.0
    for name in _FREE_TEXT.intersection(frame.columns):
        frame[name] = [f"'{t}" if str(t).startswith(_FORMULA) else t for t in frame[name]]
    for field in rows.schema:
        if pa.types.is_list(field.type):  # as JSON, which a reader of the cell can take apart
            lists = rows[field.name].to_pylist()
            frame[field.name] = [None if cell is None else json.dumps(cell) for cell in lists]
    return str(frame.to_csv(index=False)).encode()


def _plain(cell: Any) -> Any:
    """A cell as JSON has it: every digit of a number and a time, None for NaN and infinity."""
    if isinstance(cell, list):
        return [_plain(one) for one in cell]
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
