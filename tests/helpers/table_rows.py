"""Rows of a table that say where they belong."""

from pathlib import Path
from typing import Any

from tune.tables.store import TableStore


def report(seq: int, trial: str = "t", epoch: int | None = None) -> dict[str, Any]:
    return {
        "seq": seq,
        "trial_id": trial,
        "epoch": seq if epoch is None else epoch,
        "attempt": 1,
        "stop": False,
        "finished": False,
        "collapsed": False,
        "valid_mae": seq / 7,
    }


def sequence(root: str | Path) -> list[int]:
    values: list[int] = TableStore(root).read("reports")["seq"].to_pylist()
    return values
