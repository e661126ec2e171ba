"""Where a command's content goes: standard output or `--out`."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hscl.errors import InputError
from hscl.files import write_whole

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["STDOUT", "print_rich", "refuse_terminal", "write_output"]

STDOUT = Path("-")
"""As `--out` it is standard output, as everywhere."""

_PIPE_WIDTH = 140  # columns where the output is no terminal


def write_output(content: bytes, out: Path | None) -> None:
    """Print content, or write it into a file, whole or not at all.

    Args:
        content: All of it.
        out: The file; None and "-" are standard output. Pipes, devices and links such as
            /dev/stdout are written to where they stand.

    Raises:
        InputError: It can't be written.
    """
    if out is None or out == STDOUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        if out.is_symlink() or (out.exists() and not out.is_file()):
            out.write_bytes(content)
        else:
            write_whole(out, content)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"--out must be a file that can be written, but {out} can't: {reason}"
        ) from error


def refuse_terminal(form: str, out: Path | None) -> None:
    """Parquet is no reading matter.

    Args:
        form: The format asked for.
        out: Where it goes.

    Raises:
        InputError: It would go to a terminal.
    """
    if form == "parquet" and out in {None, STDOUT} and sys.stdout.isatty():
        raise InputError("--format parquet must go to --out FILE or a pipe, not to a terminal")


def print_rich(shown: "RenderableType", out: Path | None, *, width: int = _PIPE_WIDTH) -> None:
    """Draw something: in the terminal as wide as that is, else as plain text.

    Args:
        shown: What Rich draws.
        out: As for `write_output`.
        width: Columns where it goes to no terminal.
    """
    from rich.console import Console

    if out in {None, STDOUT}:
        columns = None if sys.stdout.isatty() else width
        Console(width=columns, highlight=False, soft_wrap=False).print(shown)
        return
    console = Console(width=width, highlight=False, file=io.StringIO(), record=True)
    console.print(shown)
    write_output(console.export_text().encode(), out)
