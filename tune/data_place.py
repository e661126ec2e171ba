"""A data set that lies on object storage, brought to this machine once."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa

from hscl.errors import InputError
from tune.storage import open_folder

__all__ = ["local_copy"]


def local_copy(where: str) -> Path:
    """The data set's file on this machine.

    Args:
        where: A path, or a URI such as `s3://bucket/mosi.arrow`.

    Returns:
        The path itself, or that of a copy under `$HSCL_CACHE` (default `~/.cache/hscl`), which is
        made when there is none yet of this very file. Several processes may ask at once.

    Raises:
        InputError: There is no such file, or it can't be read.
    """
    if "://" not in where:
        return Path(where)
    address, _, query = where.partition("?")
    parent, _, name = address.rpartition("/")
    folder = open_folder(f"{parent}?{query}" if query else parent)
    if folder.local is not None:
        return folder.local / name
    try:
        info = folder.filesystem.get_file_info(folder.full(name))
        if not info.is_file:
            raise InputError(f"{where} must be a data set's file, but there is none")
        state = f"{where}\n{info.size}\n{info.mtime_ns}"
        cache = Path(os.environ.get("HSCL_CACHE", "~/.cache/hscl")).expanduser() / "data"
        copy = cache / f"{hashlib.sha256(state.encode()).hexdigest()[:24]}-{Path(name).name}"
        if not copy.exists():
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
            with folder.open(name) as stream, pa.OSFile(str(unfinished), "wb") as file:
                while block := stream.read(1 << 24):
                    file.write(block)
            unfinished.replace(copy)
    except OSError as error:
        message = f"{where} must be readable, but: {str(error).splitlines()[0]}"
        raise InputError(message) from error
    return copy
