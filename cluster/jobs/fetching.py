"""Brings a finished or running study from a cluster's storage to a folder of this machine."""

from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from cluster.connect.uris import Location, copy_text
from hscl.errors import InputError, RunError
from tune.study.toml import STUDY_FILE
from tune.tables.storage import Folder, open_folder

__all__ = ["fetch_study"]

_LEFT_OUT = {"lock.json"}  # whoever holds the study there holds nothing here
_PASSES = 5


def fetch_study(where: Location, folder: Path, head: str, *, checkpoints: bool = True) -> int:
    """Copy a study; files that are here already with the same size are left.

    Tables are whole files that never change, so that fetching again brings only what is new.

    Args:
        where: The study's `--out`.
        folder: Made if it is not there.
        head: The head's address, for the copy line.
        checkpoints: Whether to bring the trials' weights too.

    Returns:
        How many files were copied.

    Raises:
        InputError: This machine cannot open the study: the message has the line that copies it.
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
        if where.is_folder:
            message = (
                f"this machine must see {where.path} to fetch from it, but only the cluster "
                f"does; copy it:\n{copy_text(where, head, str(folder))}"
            )
        else:
            message = f"{where.uri} must hold a study, but has no {STUDY_FILE}"
        raise InputError(message)
    try:
        return _copy(source, folder, checkpoints=checkpoints)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"copying stopped, and can be repeated: {reason}") from None


def _copy(source: Folder, folder: Path, *, checkpoints: bool) -> int:
    copied = 0
    for _ in range(_PASSES):
        vanished = False
        for name, size in _listed(source):
            target = folder / name
            # A table's part never changes under its name.
            same = name.startswith("tables/") and _size(target) == size
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
    return copied


def _listed(source: Folder) -> Iterator[tuple[str, int]]:
    """Names and sizes of what belongs to a study."""
    selector = fs.FileSelector(source.path, recursive=True)
    for info in sorted(source.filesystem.get_file_info(selector), key=lambda one: one.path):
        name = info.path.removeprefix(source.path).lstrip("/")
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if info.is_file and not hidden and name not in _LEFT_OUT:
            yield name, info.size


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
