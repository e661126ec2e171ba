"""One driver per study: the only module that knows how a study is locked.

On a disk the lock is `flock` on a file: the kernel frees it when the process ends, however it
ends, so that a rerun after `kill -9` starts at once. On object storage, which has no locks, it is
an object that its holder rewrites every few seconds; whoever wants it watches whether it changes,
which needs no agreement between the clocks of two hosts.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hscl.errors import InputError, RunError
from hscl.files import lock
from tune.tables.storage import Folder

__all__ = ["LockLostError", "StudyLock", "holder_of"]

_NAME = "lock.json"
_BEAT_S = 5.0
_DEAD_AFTER_BEATS = 4  # a holder is given up when its object did not change for so many beats


class LockLostError(RunError):
    """Another driver has the study now; this one must stop and write nothing more."""


class StudyLock:
    """Held by the one process that may write to a study.

    Args:
        folder: The study's folder.
        beat_s: Seconds between two heartbeats on object storage.
    """

    def __init__(self, folder: Folder, *, beat_s: float = _BEAT_S) -> None:
        self._folder = folder
        self._beat_s = beat_s
        self._file: IO[str] | None = None  # on a disk: open and locked
        self._beat: _Heartbeat | None = None  # on object storage
        self._holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
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
        if self._beat is not None:
            self._beat.stop()
            self._beat = None
        if self._file is not None:
            # The file stays: removing it would let a waiting process lock a name that is gone.
            with suppress(OSError):
                self._file.truncate(0)
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
        self.release()

    def _path(self) -> Path:
        return Path(self._folder.full(_NAME))

    def _acquire_file(self) -> None:
        path = self._path()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        try:
            ours = lock(file.fileno(), wait=False)
            file.seek(0)
            holder = _parse(file.read())
        except OSError:
            file.close()
            raise
        if not ours:
            file.close()
            raise self._held(holder)
        file.truncate(0)
        file.write(json.dumps(self._holder))
        file.flush()
        self._file = file

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
        who = f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}"
        return InputError(
            f"{self._folder.uri} must have one driver at a time, but is being searched by {who}; "
            "look at it with `hscl status`, or stop that process first"
        )


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

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._mutex:
            try:
                if not self._lost and _read(self._folder).get("owner") == self._holder["owner"]:
                    self._folder.write(_NAME, b"{}")
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


def holder_of(folder: Folder) -> dict[str, Any] | None:
    """Who took the lock last and did not give it back: host, pid, since; None: nobody.

    A process that was killed on a disk may still stand there, although its lock is free.
    """
    try:
        holder = _read(folder)
    except OSError:
        return None
    return {key: holder.get(key) for key in ("host", "pid", "since")} if "pid" in holder else None


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
