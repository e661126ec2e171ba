"""Brings a finished or running study from a cluster's storage to a folder of this machine."""

from pathlib import Path
from typing import Any

from pyarrow import fs

from cluster.connect.uris import Location, copy_text
from hscl.errors import InputError, RunError
from tune.study.toml import STUDY_FILE, changed_keys
from tune.tables.folder import frozen_spec, read_study_file
from tune.tables.schemas import SCHEMAS
from tune.tables.storage import Folder, open_folder
from tune.tables.store import COUNTS_FILE, TableStore

__all__ = ["fetch_study"]

_COUNTS = f"tables/{COUNTS_FILE}"
# Whoever holds the study there holds nothing here; the counts are brought by themselves.
_LEFT_OUT = {"lock.json", _COUNTS}
_PASSES = 5


def fetch_study(where: Location, folder: Path, head: str, *, checkpoints: bool = True) -> int:
    """Copy a study; parts of tables that are here already with the same size are left.

    They are whole files that never change, so that fetching again brings only what is new.

    Args:
        where: The study's `--out`.
        folder: Made if it is not there; may hold an earlier copy of the study.
        head: The head's address, for the copy line.
        checkpoints: Whether to bring the trials' weights too.

    Returns:
        How many files were copied.

    Raises:
        InputError: This machine cannot open the study (the message has the line that copies it),
            or the folder holds another one.
        RunError: The storage or the disk failed on the way.
    """
    source = open_folder(where.uri)
    try:
        found = source.exists(STUDY_FILE)
    except OSError as error:
        reason = str(error).splitlines()[0]
        message = (
            f"this machine must be able to open {where.uri}, but: {reason}; give it its own "
            "storage credentials, such as AWS_ACCESS_KEY_ID or a profile"
        )
        raise InputError(message) from None
    if not found:
        copy = copy_text(where, head, str(folder))
        raise InputError(_none_text(where, source, copy))
    try:
        _refuse_another(source, open_folder(folder.absolute()))
        return _copy(source, folder, checkpoints=checkpoints)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"copying stopped, and can be repeated: {reason}") from None


def _none_text(where: Location, source: Folder, copy: str) -> str:
    """Why there is nothing to fetch, and what to do."""
    if where.is_folder and not source.exists():
        return (
            f"this machine must see {where.path} to fetch from it, but only the cluster does; "
            f"copy it:\n{copy}"
        )
    text = (
        f"{where.uri} must hold a study, but has no {STUDY_FILE} yet; it appears once the driver "
        "has read the data: look at `hscl cluster logs`"
    )
    if where.is_folder:
        text += f". If the cluster has another folder of this name, copy that:\n{copy}"
    return text


def _refuse_another(source: Folder, here: Folder) -> None:
    """Return if nothing of another study is here.

    A study is told by when it decided what: one that was begun anew with the same study file is
    another, and so is a copy that somebody went on with.

    Raises:
        InputError: It is.
    """
    if decided := _decisions(here):
        same = decided <= _decisions(source)
    else:  # fetched before the first decision
        before = frozen_spec(here)
        same = before is None or not changed_keys(before, read_study_file(source).spec)
    for table in SCHEMAS:
        there = source.files(f"tables/{table}")
        kept = here.files(f"tables/{table}")
        same = same and all(there.get(name, size) == size for name, size in kept.items())
    if not same:
        message = (
            f"{here.uri} must be new or hold an earlier copy of {source.uri}, but holds another "
            "study, or rows that are not in that one; give another DIR"
        )
        raise InputError(message)


def _decisions(folder: Folder) -> set[tuple[Any, ...]]:
    rows = TableStore(folder).read("plan", columns=["kind", "time"])
    return {(row["seq"], row["kind"], row["time"]) for row in rows.to_pylist()}


def _copy(source: Folder, folder: Path, *, checkpoints: bool) -> int:
    copied = 0
    for _ in range(_PASSES):
        # Before the files are listed: a search that runs goes on writing.
        counts = source.read(_COUNTS) if source.exists(_COUNTS) else None
        vanished = False
        for name, size in _listed(source):
            target = folder / name
            # A table's part never changes under its name.
            same = _is_part(name) and _size(target) == size
            if same or (name.startswith("checkpoints/") and not checkpoints):
                continue
            try:
                source.copy_to(name, target)
            except FileNotFoundError:
                vanished = True
            else:
                copied += 1
        if not vanished:
            break
        # A running search has merged files after they were listed: look again for the merged one.
    if counts is not None:
        open_folder(folder.absolute()).write(_COUNTS, counts)  # last: then all they count is here
        copied += 1
    return copied


def _listed(source: Folder) -> list[tuple[str, int]]:
    """Names and sizes of what belongs to a study; first what tells which it is, then its tables.

    A copy that is broken off can be told from other studies, and large files take their time:
    tables that were listed before them may be merged meanwhile.
    """
    selector = fs.FileSelector(source.path, recursive=True)
    found = []
    for info in source.filesystem.get_file_info(selector):
        name = info.path.removeprefix(source.path).lstrip("/")
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if info.is_file and not hidden and name not in _LEFT_OUT:
            found.append((name, info.size))
    return sorted(found, key=lambda one: (one[0] != STUDY_FILE, not _is_part(one[0]), one))


def _is_part(name: str) -> bool:
    return name.startswith("tables/") and name.endswith(".parquet")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
