"""Brings a finished or running study from a cluster's storage to a folder of this machine."""

from pathlib import Path

from pyarrow import fs

from cluster.uris import Location, copy_lines
from hscl.errors import InputError, RunError
from tune.storage import Folder, open_folder

__all__ = ["fetch_study"]

_STUDY = "study.toml"
_LEFT_OUT = {"lock.json"}  # whoever holds the study there holds nothing here
_BLOCK = 1 << 22


def fetch_study(where: Location, folder: Path, head: str) -> int:
    """Copy a study; files that are here already with the same size are left.

    Tables are whole files that never change, so that fetching again brings only what is new.

    Args:
        where: The study's `--out`.
        folder: Made if it is not there.
        head: The head's address, for the copy line.

    Returns:
        How many files were copied.

    Raises:
        InputError: This machine cannot open the study: the message has the line that copies it.
        RunError: The storage or the disk failed on the way.
    """
    source = open_folder(where.uri)
    try:
        found = source.exists(_STUDY)
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
                f"does; copy it:\n{copy_lines(where, head, str(folder))}"
            )
        else:
            message = f"{where.uri} must hold a study, but has no {_STUDY}"
        raise InputError(message)
    try:
        return _copy(source, folder)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"copying stopped, and can be repeated: {reason}") from None


def _copy(source: Folder, folder: Path) -> int:
    selector = fs.FileSelector(source.path, recursive=True)
    copied = 0
    for info in sorted(source.filesystem.get_file_info(selector), key=lambda one: one.path):
        name = info.path.removeprefix(source.path).lstrip("/")
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if not info.is_file or hidden or name in _LEFT_OUT:
            continue
        target = folder / name
        if target.is_file() and target.stat().st_size == info.size and name.startswith("tables/"):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        with source.open(name) as stream, part.open("wb") as file:
            while block := stream.read(_BLOCK):
                file.write(block)
        part.replace(target)
        copied += 1
    return copied
