"""Ends a process whose epoch hangs: Python can't stop a thread that waits inside C code."""

import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

__all__ = ["HUNG_EXIT_CODE", "Watchdog"]

HUNG_EXIT_CODE = 70


class Watchdog:
    """While it is open, the process ends if it is not fed for too long.

    Where every thread stood is written into the log first. The driver sees a worker that died,
    and knows from its own clock that this was a timeout.

    Args:
        limit_s: Seconds between two meals.
        log: An open file with a descriptor of its own.
    """

    def __init__(self, limit_s: float, log: TextIO) -> None:
        self._limit_s = limit_s
        self._log = log
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def feed(self) -> None:
        """Begin to count anew."""
        self._set(time.monotonic() + self._limit_s)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Nothing is counted inside the block: the process waits for somebody else."""
        self._set(None)
        try:
            yield
        finally:
            self.feed()

    def __enter__(self) -> Self:
        self.feed()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _set(self, deadline: float | None) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                if self._deadline is None:
                    self._changed.wait()
                    continue
                left = self._deadline - time.monotonic()
                if left <= 0:
                    self._end()
                self._changed.wait(left)

    def _end(self) -> None:
        print(
            f"no epoch ended within {self._limit_s:g} s; this is where it hangs:", file=self._log
        )
        self._log.flush()
        faulthandler.dump_traceback(self._log, all_threads=True)
        os._exit(HUNG_EXIT_CODE)
