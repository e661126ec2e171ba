"""Whether all nodes see one and the same output: each looks for what the others wrote there."""

import time
from pathlib import Path

__all__ = ["SharedFolder"]

_PATIENCE_S = 5.0  # a network file system may be late


class SharedFolder:
    """The output as one machine sees it, with a file of this machine in it.

    Args:
        where: The output, a path or URI.
        word: What all machines of this visit write.
        name: What this machine is called.
    """

    def __init__(self, where: str, word: str, name: str) -> None:
        from tune.tables.storage import open_folder  # noqa: PLC0415 - loaded on nodes only

        self._folder = open_folder(where)
        self._word = word
        self._file = self._file_of(name)
        local = self._folder.local
        self._made = None if local is None else _first_missing(local)

    def write(self) -> None:
        """Write this machine's file.

        Raises:
            OSError: It can't be, or reads differently.
        """
        content = self._word.encode()
        self._folder.write(self._file, content)
        if self._folder.read(self._file) != content:
            raise OSError("what was written reads differently")

    def sees(self, name: str) -> bool:
        """Whether another machine's file is here.

        Args:
            name: What that one is called.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._folder.read(self._file_of(name)) == self._word.encode()
            except OSError:
                if time.monotonic() > deadline:
                    return False
            time.sleep(0.2)

    def clear(self) -> None:
        """Take this machine's file away, and the folders that it made where nothing is in them."""
        self._folder.delete(self._file)
        if self._made is not None and self._folder.local is not None:
            _remove_empty(self._folder.local, self._made)

    def _file_of(self, name: str) -> str:
        return f".doctor-{self._word}-{name}"


def _first_missing(folder: Path) -> Path | None:
    """The uppermost folder that has to be made for this one."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def _remove_empty(folder: Path, top: Path) -> None:
    """Another machine may be using it right now, and takes it away then."""
    for path in (folder, *folder.parents):
        try:
            path.rmdir()
        except OSError:
            return
        if path == top:
            return
