"""Where a command's content goes: standard output or `--out`."""

import sys
from pathlib import Path

from hscl.errors import InputError
from hscl.files import write_whole

__all__ = ["write_output"]


def write_output(content: bytes, out: Path | None) -> None:
    """Print content, or write it into a file, whole or not at all.

    Args:
        content: All of it.
        out: The file; None is standard output. Pipes, devices and links such as /dev/stdout are
            written to where they stand.

    Raises:
        InputError: It can't be written.
    """
    if out is None:
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
