"""Ends a process whose epoch hangs: Python can't stop a thread that waits inside C code."""

import faulthandler
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TextIO

__all__ = ["HUNG_EXIT_CODE", "Watchdog"]

HUNG_EXIT_CODE = 70
_SPARE_S = 2.0
_LONGEST_S = 1e9
"""Thirty years: what threads and C can wait for ends at some 9e9 seconds."""


class Watchdog:
    """While it is open, the process ends if it is not fed for too long.

    Where every thread stood is written into the log first. Only one may be
    open at a time. The driver sees a worker that died, and knows from its own clock that this was
    a timeout.

    Args:
        limit_s: Seconds between two meals.
        log: An open file with a descriptor of its own.
    """

    def __init__(self, limit_s: float, log: TextIO) -> None:
        self._limit_s = min(limit_s, _LONGEST_S)
        self._log = log
        self._deadline = math.inf
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def feed(self) -> None:
        """Begin to count anew."""
        # Nobody is woken: the thread finds the later deadline when the one it waits for comes.
        self._deadline = time.monotonic() + self._limit_s
        # Where C code holds the interpreter, no thread of Python's runs; this one is C's.
        faulthandler.dump_traceback_later(self._limit_s + _SPARE_S, exit=True, file=self._log)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Nothing is counted inside the block: the process waits for somebody else."""
        self._deadline = math.inf
        faulthandler.cancel_dump_traceback_later()
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
        self._closed.set()
        faulthandler.cancel_dump_traceback_later()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._end()
            # Where it rests, the next meal is due no sooner than that.
            if self._closed.wait(min(left, self._limit_s)):
                return

    def _end(self) -> None:
        print(
            f"no epoch ended within {self._limit_s:g} s; this is where it hangs:", file=self._log
        )
        self._log.flush()
        faulthandler.dump_traceback(self._log, all_threads=True)
        os._exit(HUNG_EXIT_CODE)
