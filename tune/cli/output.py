"""Where a command's content goes: standard output or `--out`."""

import functools
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import click

from hscl.errors import HsclError, InputError
from hscl.files import write_whole

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "STDOUT",
    "print_rich",
    "reads_studies",
    "refuse_terminal",
    "warn_of_damage",
    "write_output",
]

_P = ParamSpec("_P")

STDOUT = Path("-")
"""As `--out` it is standard output, as everywhere."""

_PLAIN: Final[dict[str, Any]] = {"highlight": False, "markup": False, "emoji": False}
"""Names such as `[/b]` are printed as they are."""
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
        Console(width=columns, **_PLAIN).print(shown)
        return
    console = Console(width=width, file=io.StringIO(), record=True, **_PLAIN)
    console.print(shown)
    write_output(console.export_text().encode(), out)


def warn_of_damage(damages: Iterable[object]) -> None:
    """Say on standard error what is missing from a study's tables."""
    for damage in damages:
        click.echo(f"hscl: warning: {damage}", err=True)


def reads_studies(command: Callable[_P, None]) -> Callable[_P, None]:
    """Make a command that fails over damaged tables say what is damaged, and nothing else.

    Args:
        command: Its parameter `study` or `studies` names what it reads.

    Returns:
        The command; what it raises over sound tables passes through, as that is our own fault.
    """

    @functools.wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (HsclError, click.ClickException, click.Abort, OSError):
            raise
        except Exception as error:
            named = kwargs.get("studies") or kwargs.get("study") or ()  # compare may have none
            told = _damages_of(named if isinstance(named, tuple) else (named,))
            if not told:
                raise
            raise InputError(
                f"the tables must be whole for this, but:\n{told}\nput them back from a copy"
            ) from error

    return guarded


def _damages_of(studies: tuple[object, ...]) -> str:
    """What is missing from studies, a line each."""
    from tune.tables.salvage import salvage
    from tune.views.study import open_study

    lines = []
    for where in studies:
        opened = open_study(str(where))
        found = salvage(opened.folder, opened.spec).damages
        lines += [f"  {where}: {damage}" for damage in found]
    return "\n".join(lines)
