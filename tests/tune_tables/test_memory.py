"""Tables in memory answer as those on disk do."""

from pathlib import Path
from typing import Any

import pytest

from tune.tables.memory import MemoryStore
from tune.tables.schemas import SCHEMAS
from tune.tables.store import TableStore

REPORTS: list[dict[str, Any]] = [
    {"seq": n, "trial_id": "a-1", "epoch": n + 1, "attempt": 1, "stop": False}
    | {"finished": n == 2, "collapsed": False, "valid_mae": 1 / (n + 1)}
    for n in range(3)
]


@pytest.mark.parametrize("columns", [None, ["valid_mae"]])
def test_what_was_appended_is_read_as_from_a_folder(
    tmp_path: Path, columns: list[str] | None
) -> None:
    memory, disk = MemoryStore({"reports": REPORTS[:1]}), TableStore(tmp_path)
    disk.append("reports", REPORTS[:1])
    for store in (memory, disk):
        store.append("reports", REPORTS[1:])
        store.check()
    durable = disk.read("reports", columns=columns)
    held = memory.read("reports", columns=columns)
    assert set(held.column_names) == set(durable.column_names)
    assert held.to_pylist() == durable.select(held.column_names).to_pylist()


@pytest.mark.parametrize("table", SCHEMAS)
def test_nothing_appended_is_an_empty_table_of_the_schema(table: str) -> None:
    assert MemoryStore().read(table).schema == SCHEMAS[table]
    assert MemoryStore().read(table).num_rows == 0


def test_the_rows_it_began_with_stay_what_they_were() -> None:
    given = [dict(REPORTS[0])]
    store = MemoryStore({"reports": given})
    store.append("reports", REPORTS[1:])
    store.tables["reports"][0]["epoch"] = 9
    assert given == [REPORTS[0]]
