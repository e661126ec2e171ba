"""One driver per study: the only module that knows how a study is locked.

On a disk the lock is `flock` on a file: the kernel frees it when the process ends, however it
ends, so that a rerun after `kill -9` starts at once. On object storage, which has no locks, it is
an object that its holder rewrites every few seconds; whoever wants it watches whether it changes,
which needs no agreement between the clocks of two hosts. On a disk, too, its holder touches the
file every few seconds: a file server keeps the lock of a host that is gone for a while, and who
looks can tell then.

The file says who holds the lock, and once that is given back, how its holder ended.
"""

import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hscl.errors import HsclError, InputError, RunError
from hscl.files import lock
from tune.tables.storage import Folder

__all__ = ["STOPPED", "Holder", "LockLostError", "StudyLock", "check_free", "holder_of"]

STOPPED = "stopped"
"""Why a holder ended whom a person stopped."""
_NAME = "lock.json"
_LONGEST = 300
_BEAT_S = 5.0
_DEAD_AFTER_BEATS = 4  # a holder is given up when its object did not change for so many beats
_QUIET_S = 180.0
"""A locked file that was not touched for so long is a dead or stopped holder's: longer than two
clocks differ, and than a file server's client remembers a file's times."""
_SILENT_S = 60.0
"""An object that was not rewritten for so long is taken for a dead holder's by who only looks; the
two clocks may differ by that much."""
_ASKS = 5
_ASK_S = 0.05
"""Who takes the lock asks so often, so far apart: who looks whether it is held has it a moment."""


class LockLostError(RunError):
    """Another driver has the study now; this one must stop and write nothing more."""


class StudyLock:
    """Held by the one process that may write to a study.

    Args:
        folder: The study's folder.
        beat_s: Seconds between two signs of life.
        go_on: The command that goes on once the holder is gone, as words, for who looks then.

    Attributes:
        why: How the holder ends, one word or sentence, for who looks afterwards: "done",
            "stopped" by a person, or what failed. An exception that leaves the block is told by
            itself.
    """

    def __init__(
        self, folder: Folder, *, beat_s: float = _BEAT_S, go_on: Sequence[str] = ()
    ) -> None:
        self.why = "done"
        self._folder = folder
        self._beat_s = beat_s
        self._file: IO[str] | None = None  # on a disk: open and locked
        self._released = threading.Event()
        self._beat: _Heartbeat | None = None  # on object storage
        self._holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": _now(),
            "go_on": list(go_on),
        }

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            InputError: If another driver holds it.
            RunError: If the folder cannot be written.
        """  # noqa: DOC502 - raised by the two halves
        try:
            if self._folder.local is None:
                self._acquire_object()
            else:
                self._acquire_file()
        except OSError as error:
            message = f"{self._folder.uri} must be a folder that can be written, but: {error}"
            raise InputError(message) from error

    def check(self) -> None:
        """Return if the lock is still held; to be called before every write.

        Raises:
            LockLostError: If another driver has taken it, or its file was removed.
        """
        if self._beat is not None:
            self._beat.check()
            return
        path = self._path()
        try:
            here = path.stat()
            mine = os.fstat(self._file.fileno()) if self._file is not None else None
        except OSError:
            mine = None
        if mine is None or (here.st_ino, here.st_dev) != (mine.st_ino, mine.st_dev):
            message = (
                f"{path} must stay this driver's while it runs, but was removed or replaced; "
                "this driver stops and writes nothing more"
            )
            raise LockLostError(message)

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        self._released.set()
        # Under one key: earlier versions take a "pid" at the top for that of a holder.
        left = json.dumps({"left": self._holder | {"at": _now(), "why": self.why}})
        if self._beat is not None:
            self._beat.stop(left)
            self._beat = None
        if self._file is not None:
            # The file stays: removing it would let a waiting process lock a name that is gone.
            with suppress(OSError):
                self._file.truncate(0)
                self._file.write(left)
                self._file.flush()
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.why = STOPPED
        elif isinstance(error, HsclError):
            self.why = str(error)[:_LONGEST]
        elif error is not None:
            self.why = f"{type(error).__name__}: {error}"[:_LONGEST]
        self.release()

    def _path(self) -> Path:
        return Path(self._folder.full(_NAME))

    def _acquire_file(self) -> None:
        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        try:
            ours = any(_tries(file.fileno()))
            file.seek(0)
            holder = _parse(file.read())
        except OSError:
            file.close()
            raise
        if not ours:
            file.close()
            raise self._held(holder)
        file.truncate(0)
        file.write(json.dumps(self._holder | {"beat": 0}))
        file.flush()
        self._file = file
        self._released.clear()
        threading.Thread(target=self._touch, args=[file], name="study-lock", daemon=True).start()

    def _touch(self, file: IO[str]) -> None:
        while not self._released.wait(self._beat_s):
            with suppress(OSError, ValueError):  # ValueError: closed just now
                os.utime(file.fileno())

    def _acquire_object(self) -> None:
        seen = _read(self._folder)
        deadline = time.monotonic() + self._beat_s * _DEAD_AFTER_BEATS
        while seen.get("owner") and time.monotonic() < deadline:
            time.sleep(self._beat_s / 2)
            now = _read(self._folder)
            if now.get("owner") and now != seen:
                raise self._held(now)
            seen = now
        beat = _Heartbeat(self._folder, self._holder, self._beat_s)
        beat.start()
        self._beat = beat

    def _held(self, holder: dict[str, Any]) -> InputError:
        who = (holder.get(key) for key in ("pid", "host", "since"))
        return InputError(_held_text(self._folder, *who))


class _Heartbeat:
    """Rewrites the lock's object until told to stop, and notices when it is another's."""

    def __init__(self, folder: Folder, holder: dict[str, Any], beat_s: float) -> None:
        self._folder = folder
        self._holder = holder | {"owner": uuid.uuid4().hex}
        self._beat_s = beat_s
        self._last = 0.0  # when the object was last known to be ours
        self._lost = ""
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="study-lock", daemon=True)
        self._count = 0

    def start(self) -> None:
        self._write()
        # Two that came at once both wrote: the later write stays, and the other sees it here.
        time.sleep(self._beat_s / 2)
        self._renew()
        self.check()
        self._thread.start()

    def check(self) -> None:
        """Return if the lock is ours for certain.

        Raises:
            LockLostError: If it is another's, or was not confirmed for so long that it may be.
        """
        if not self._lost and time.monotonic() - self._last > self._beat_s * 2:
            self._renew()  # the storage may be back: ask before giving up
        silent = time.monotonic() - self._last
        if not self._lost and silent > self._beat_s * (_DEAD_AFTER_BEATS - 1):
            self._lost = f"the storage did not answer for {silent:.0f} s"
        if self._lost:
            message = (
                f"{self._folder.uri} must stay this driver's while it runs, but {self._lost}; "
                "this driver stops and writes nothing more"
            )
            raise LockLostError(message)

    def stop(self, left: str) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._mutex:
            try:
                if not self._lost and _read(self._folder).get("owner") == self._holder["owner"]:
                    self._folder.write(_NAME, left.encode())
            except OSError:
                return  # the next driver waits until it is sure

    def _run(self) -> None:
        while not self._stop.wait(self._beat_s):
            self._renew()

    def _renew(self) -> None:
        with self._mutex:
            try:
                now = _read(self._folder)
                if not now.get("owner"):
                    self._lost = f"its {_NAME} was removed"
                    return
                if now["owner"] != self._holder["owner"]:
                    self._lost = f"process {now.get('pid')} on {now.get('host')} has taken it"
                    return
                self._write()
            except OSError:
                return  # check() decides how long that may last

    def _write(self) -> None:
        began = time.monotonic()
        self._count += 1
        content = self._holder | {"beat": self._count}
        self._folder.write(_NAME, json.dumps(content).encode())
        self._last = began


@dataclass(frozen=True)
class Holder:
    """Who has a study's lock, or had it last.

    Attributes:
        host: Its machine.
        pid: Its process there.
        since: When it took the lock, in ISO format.
        running: It has the lock now.
        at: When it gave the lock back; None: not yet, or it was killed.
        why: How it ended, as `StudyLock.why`; None as `at`.
        go_on: The command that goes on after it, as words.
        silent_s: Seconds since its last sign of life, where that is too long; None: it lives, or
            that can't be told.
    """

    host: str
    pid: int
    since: str
    running: bool
    at: str | None = None
    why: str | None = None
    go_on: tuple[str, ...] = ()
    silent_s: float | None = None

    @property
    def data(self) -> str | None:
        """The file that it trains on, as the command that goes on names it."""
        return dict(pairwise(self.go_on)).get("--data")


def holder_of(folder: Folder) -> Holder | None:
    """Who has the lock, or had it last; None: nobody that is known of.

    On a disk the kernel says whether it is held, from whichever host. On object storage its object
    must have been rewritten lately.
    """
    try:
        told = _read(folder)
        running = "pid" in told and _is_held(folder)
        silent = _silence(folder) if running and "beat" in told else 0.0
    except OSError:
        return None
    left = told.get("left")
    known = left if isinstance(left, dict) else told
    if "pid" not in known:
        return None
    go_on = known.get("go_on")
    return Holder(
        host=str(known.get("host")),
        pid=int(known["pid"]),
        since=str(known.get("since")),
        running=running,
        at=known.get("at"),
        why=known.get("why"),
        go_on=tuple(map(str, go_on)) if isinstance(go_on, list) else (),
        silent_s=silent if silent > _QUIET_S else None,
    )


def check_free(folder: Folder) -> None:
    """Refuse a study that another driver has, where that can be told at once.

    On object storage a lock that was rewritten lately may be a dead driver's. Only
    taking it tells, which waits for a beat.

    Raises:
        InputError: Another driver has it.
    """
    if folder.local is None:
        return
    holder = holder_of(folder)
    if holder is not None and holder.running:
        raise InputError(_held_text(folder, holder.pid, holder.host, holder.since))


def _held_text(folder: Folder, pid: Any, host: Any, since: Any) -> str:
    return (
        f"{folder.uri} must have one driver at a time, but is being searched by process {pid} on "
        f"{host} since {since}; look at it with `hscl status`, or stop that process first"
    )


def _silence(folder: Folder) -> float:
    """Seconds since the lock's file was last touched, or its object rewritten."""
    changed = folder.filesystem.get_file_info(folder.full(_NAME)).mtime
    return math.inf if changed is None else (datetime.now(UTC) - changed).total_seconds()


def _is_held(folder: Folder) -> bool:
    if folder.local is None:
        return _silence(folder) < _SILENT_S
    with (folder.local / _NAME).open(encoding="utf-8") as file:
        return not lock(file.fileno(), wait=False, shared=True)


def _tries(descriptor: int) -> Iterator[bool]:
    """Whether the lock of an open file could be taken, again and again for a moment."""
    for _ in range(_ASKS):
        yield lock(descriptor, wait=False)
        time.sleep(_ASK_S)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _read(folder: Folder) -> dict[str, Any]:
    try:
        return _parse(folder.read(_NAME).decode())
    except FileNotFoundError:
        return {}


def _parse(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
