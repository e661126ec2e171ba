"""A study's tables in memory, for simulated studies and tests: what `TableStore` is on disk."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tune.tables.schemas import KEYS, SCHEMAS, to_arrow

__all__ = ["MemoryStore"]


class MemoryStore:
    """Rows as they were appended, with no file behind them and no lock before them.

    Args:
        tables: Rows to begin with, by table name; their lists are copied.

    Attributes:
        tables: All rows in the order in which they were appended, by table name.
    """

    def __init__(self, tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> None:
        given = tables or {}
        self.tables: dict[str, list[dict[str, Any]]] = {
            name: [dict(row) for row in given.get(name, ())] for name in SCHEMAS
        }

    def check(self) -> None:
        """Nobody else can write here."""

    def commit(self) -> None:
        """Nothing is counted."""

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows.

        Args:
            table: The table's name.
            rows: Kept as they are: nobody may change them afterwards.
        """
        self.tables[table] += rows  # type: ignore[arg-type]

    def read(self, table: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in order.

        Args:
            table: The table's name.
            columns: Read only these; the key's columns come along.
        """
        rows = self.tables[table]
        data = to_arrow(table, rows) if rows else SCHEMAS[table].empty_table()
        if columns is None:
            return data
        return data.select(list(dict.fromkeys([*columns, *KEYS[table]])))
