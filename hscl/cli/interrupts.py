"""Ctrl-C is not lost where a library swallows it, as some do while they are imported."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_kept", "raise_if_interrupted"]


class _Seen:
    """Whether an interrupt has come since the outermost `interrupts_kept` was entered."""

    interrupted = False


def _remember(number: int, frame: FrameType | None) -> None:
    _Seen.interrupted = True
    signal.default_int_handler(number, frame)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """A block that ends with KeyboardInterrupt where one came, whatever became of it.

    What was interrupted within it and went on, or failed of that with another error, was
    interrupted all the same. Where signals are handled otherwise the block changes nothing.

    Yields:
        Nothing.

    Raises:
        KeyboardInterrupt: One came.
    """  # noqa: DOC502 - raised by raise_if_interrupted
    in_main = threading.current_thread() is threading.main_thread()
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _remember)
    try:
        try:
            yield
        except Exception:
            raise_if_interrupted()
            raise
        raise_if_interrupted()
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _Seen.interrupted = False


def raise_if_interrupted() -> None:
    """Within `interrupts_kept`, before something long begins.

    Raises:
        KeyboardInterrupt: One came, and something swallowed it.
    """
    if _Seen.interrupted:
        raise KeyboardInterrupt
