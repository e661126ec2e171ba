"""What must hold for the tables of a study, whatever happened while it ran."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tune.views.study import Study, open_study


def assert_complete(where: str | Path) -> dict[str, Any]:
    """A study is over, and no row of it is lost or doubled.

    Args:
        where: Its folder or URI.

    Returns:
        Figures for a note: trials by state, epochs, hosts, attempts above one.
    """
    study = open_study(where)
    told = study.status()
    assert told["state"] == "done", told
    _assert_no_row_twice(study)
    events = study.table("trials", events=True).to_pylist()
    ends = Counter(e["trial_id"] for e in events if e["state"] != "started")
    begun = {e["trial_id"] for e in events}
    assert set(ends) == begun
    assert set(ends.values()) == {1}
    epochs: dict[str, list[int]] = defaultdict(list)
    finished: set[str] = set()
    stopped: set[str] = set()
    for row in study.table("reports").sort_by("seq").to_pylist():
        epochs[row["trial_id"]].append(row["epoch"])
        finished |= {row["trial_id"]} if row["finished"] else set()
        stopped |= {row["trial_id"]} if row["stop"] else set()
    for trial, seen in epochs.items():
        assert seen == list(range(1, len(seen) + 1)), (trial, seen)
    last = {e["trial_id"]: e["state"] for e in events}
    for trial, state in last.items():
        assert state in {"done", "pruned"}, (trial, state)
        assert trial in (finished if state == "done" else stopped), (trial, state)
    predicted = {row["trial_id"] for row in study.table("predictions").to_pylist()}
    assert predicted == {e["trial_id"] for e in events if e["phase"] == "confirm"}
    return {
        "states": dict(Counter(last.values())),
        "epochs": sum(map(len, epochs.values())),
        "hosts": dict(Counter(e["host"] for e in events if e["state"] != "started")),
        "started again": sum(1 for e in events if e["attempt"] > 1 and e["state"] == "started"),
    }


def _assert_no_row_twice(study: Study) -> None:
    """In the files themselves, without the reader that would leave the second one out."""
    folder = study.folder.child("tables")
    for table, keys in {
        "reports": ("trial_id", "epoch"),
        "trials": ("seq",),
        "configs": ("config_id",),
        "predictions": ("trial_id", "split", "utterance", "video"),
    }.items():
        (name,) = [file for file in folder.files(table) if file.endswith(".parquet")]
        with folder.open(f"{table}/{name}") as stream:
            rows = pq.read_table(stream, columns=list(keys)).to_pylist()
        doubled = [key for key, n in Counter(map(_key, rows)).items() if n > 1]
        assert doubled == [], table


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.values())


def files_with(text: str, *folders: Path) -> list[str]:
    """Files below some folders that hold a text, token files left out."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "auth_token":
                try:
                    if text.encode() in path.read_bytes():
                        found.append(str(path))
                except OSError:
                    continue
    return found
