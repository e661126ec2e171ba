"""Lines of text in a pickle, for `hscl.data.safe_pickle`: strings of Python 2, and names."""

import mmap
import re

__all__ = ["global_name", "quoted_line"]

_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}


def quoted_line(file: mmap.mmap) -> bytes:
    """The next line: a string of Python 2 in the text protocol, in quotes, with escapes.

    Args:
        file: The pickle, at the line's begin.

    Raises:
        ValueError: If it is none.
    """
    line = file.readline().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in {b"'", b'"'}:
        raise ValueError("a string lacks its quotes")
    return re.sub(rb"\\(x..|.)", _unescape, line[1:-1], flags=re.DOTALL)


def global_name(file: mmap.mmap) -> str:
    """The next two lines: a module and a name in it, put together with a dot.

    Args:
        file: The pickle, at the first line's begin.
    """
    return ".".join(file.readline().rstrip(b"\n").decode() for _ in range(2))


def _unescape(match: re.Match[bytes]) -> bytes:
    letter = match[1]
    return _ESCAPES[letter] if letter in _ESCAPES else bytes([int(letter[1:], 16)])
