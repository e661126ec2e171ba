"""Errors that a person can act on: what must hold, what came, what to do."""

import difflib
from collections.abc import Iterable

__all__ = ["DataChangedError", "HsclError", "InputError", "RunError", "did_you_mean"]


class HsclError(Exception):
    """Base of all errors whose message is meant for the user; never shown with a traceback."""

    exit_code = 1


class InputError(HsclError):
    """Wrong usage or bad input: nothing was started, nothing was written. Exit code 2.

    Args:
        message: What must hold, what came, what to do.
        setting: The `key=value` that avoids it, where one does: `--set` takes it.
    """

    exit_code = 2

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class DataChangedError(InputError):
    """A file's content is not what its digest says."""


class RunError(HsclError):
    """Something failed while running, or a condition asked for does not hold. Exit code 1."""

    exit_code = 1


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Say which valid names are nearest to an unknown one.

    Args:
        name: The name that was not found.
        valid: All names that would have been accepted.

    Returns:
        "did you mean 'a' or 'b'?" where something is near, else "valid are: a, b, c".
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "valid are: " + ", ".join(names)


def visible(text: str) -> str:
    r"""Text from a stranger's file for a terminal: what would steer it is written out.

    Args:
        text: Such as a name or a message, on one line or more.

    Returns:
        The same with every control character but a line's end as its escape, `\x1b`.
    """
    return "".join(
        letter if letter == "\n" or letter.isprintable() else repr(letter)[1:-1] for letter in text
    )
