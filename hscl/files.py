"""Files on a disk: whole or not at all, used by one process at a time, or kept in a cache."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hscl.errors import InputError, RunError

__all__ = [
    "cache_folder",
    "expanded",
    "is_unfinished",
    "lock",
    "one_at_a_time",
    "remove_unfinished",
    "scratch_folder",
    "whole_or_nothing",
    "write_whole",
]

_UNFINISHED = ".part"
_SCRATCH = "hscl_"
_MARK = ".hscl_scratch"
_HELD = {errno.EWOULDBLOCK, errno.EACCES}


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """Let a block write a file or a folder, and put it in place once it is whole.

    A kill at any moment leaves what stood there before or the new one (between an old folder's
    removal and the new one's rename: neither). An error of the block, of the disk or of the rename
    passes through, with nothing left behind.

    Args:
        path: Where it will stand; replaces what is there. Its folder exists.

    Yields:
        The name to write under, beside the target: only within one file system is a rename atomic.

    Raises:
        IsADirectoryError: The path is `.` or a root, which nothing can replace.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    _remove(part)
    try:
        yield part
        _sync(part)  # content first, then the name, then the folder's entry: in this order
        if part.is_dir():
            _remove(path)  # no folder replaces one that holds something
        part.replace(path)
    finally:
        _remove(part)
    _sync(path.parent)


def write_whole(path: Path, content: str | bytes | memoryview) -> Path:
    """Write a file; whoever reads it sees the old content or the new, never a part.

    Args:
        path: Where it will stand; its folder exists.
        content: Text (UTF-8) or bytes.

    Returns:
        The path.
    """
    with whole_or_nothing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def is_unfinished(name: str) -> bool:
    """Whether a file's name is that of one which is being written, or whose writer was killed."""
    return name.startswith(".") and name.endswith(_UNFINISHED)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers that were killed left in a folder.

    Args:
        folder: A folder that nobody else writes to, or whose other writers are not wanted.
    """
    for path in folder.glob(f".*{_UNFINISHED}"):
        _remove(path)


def lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Take the lock of an open file, which the kernel frees when this process ends, however.

    Args:
        descriptor: Of a file or a folder; closing it gives the lock back.
        wait: Whether to wait for another process that has it.
        shared: Together with others who ask for it so; the file need not be writable.

    Returns:
        Whether it is ours now.

    Raises:
        OSError: The file system knows no locks.
    """
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


@contextmanager
def one_at_a_time(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, which is made, or of a folder for the time of the block.

    Args:
        path: Which.
        wait: Whether to wait for another process that has it.

    Yields:
        Whether it is ours; False only without waiting.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o666)
    try:
        yield lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder(*, most: int | None = None, place: str | None = None) -> Iterator[Path]:
    """A temporary folder of this process that nobody else can read; it goes with the block.

    What killed processes of this user left there goes too: a folder is locked while its process
    lives.

    Args:
        most: Bytes that its path may have; a short place is taken where the usual one is too long.
        place: The folder to make it in, and no other; None: the usual one (TMPDIR).

    Yields:
        The folder.

    Raises:
        RunError: There is no place where one can be made.
    """
    made, reason = None, ""
    # mkdtemp lets nobody else in, wherever that is.
    for base in [place] if place else [tempfile.gettempdir(), "/tmp", "/var/tmp"]:  # noqa: S108
        if most is not None and len(os.fsencode(base)) + len(f"/{_SCRATCH}12345678") > most:
            reason = reason or f"the path {base} is too long for what goes into it"
            continue
        try:
            made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=base))
            break
        except OSError as error:
            reason = reason or str(error)
    if made is None:
        variable = "RAY_TMPDIR" if place else "TMPDIR"
        raise RunError(
            f"a temporary folder must be made, but: {reason}; set {variable} to a folder "
            "that can be written and has a short name, such as /tmp"
        )
    descriptor = os.open(made, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system that knows no locks is not swept either
            lock(descriptor, wait=False)
            (made / _MARK).touch()  # only now: what is marked and not locked was left
            _sweep(made)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(descriptor)


def _sweep(ours: Path) -> None:
    """Remove this user's other scratch folders that no process has locked."""
    for folder in ours.parent.glob(f"{_SCRATCH}????????"):
        with suppress(OSError):  # it may have gone meanwhile, or is none of ours
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.stat(_MARK, dir_fd=descriptor, follow_symlinks=False)
                if os.fstat(descriptor).st_uid == os.getuid() and lock(descriptor, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def expanded(path: str) -> Path:
    """A path as people write it, `~` and `~user` being their homes.

    Raises:
        InputError: There is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path} must begin with the home of a user here, but has none") from None


def cache_folder() -> Path:
    """What can be made again is kept here: `$HSCL_CACHE`, or `~/.cache/hscl`."""
    return expanded(os.environ.get("HSCL_CACHE") or "~/.cache/hscl")


def _sync(path: Path) -> None:
    """Onto the disk: a rename survives a power cut only once its folder is there too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Where it can't be written, it can't be removed either."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
