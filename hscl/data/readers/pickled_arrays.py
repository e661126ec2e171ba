"""What the functions that NumPy names in a pickle stand for: arrays and scalars, made safely.

`safe_pickle` looks names up in `FUNCTIONS`; a name that is not there ends in an error.
"""

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "FUNCTIONS",
    "NDARRAY",
    "GlobalName",
    "RefusedError",
    "Unbuilt",
    "global_name",
    "key_of",
    "quoted_line",
]

_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,9}|O8?|O4)")
_CORES = ("numpy.core", "numpy._core")  # NumPy 1 and 2
# NumPy 1.16.0 alone names the second one (numpy#12837).
_MODULES = [
    f"{core}.{module}" for core in _CORES for module in ("multiarray", "_multiarray_umath")
]
_BUILTINS = ("__builtin__", "builtins")  # Python 2 and 3
NDARRAY = "numpy.ndarray"
_MOST_PARTS = 16
_LAST_LETTER = 0x10FFFF


class RefusedError(Exception):
    """The file asks for what is not a plain container or a NumPy array."""


@dataclass(eq=False)
class Unbuilt:
    """An array or a dtype whose content comes with a later BUILD instruction.

    Attributes:
        build: The finished object from the state that BUILD brings.
        slots: Where the memo refers to it meanwhile.
    """

    build: Callable[[Any], object]
    slots: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class GlobalName:
    """A name in place of the function or class that the file means by it."""

    name: str


def key_of(key: Any, *, deep: int = 3) -> object:
    """A key of a dictionary or member of a set; Python 2's strings become text.

    Args:
        key: As it stands in the file.
        deep: How deep tuples may be nested in it.

    Raises:
        TypeError: If it is neither text, a number, None, nor a tuple of such.
    """
    if isinstance(key, bytes):
        return key.decode("latin-1")
    if isinstance(key, tuple):
        if len(key) > _MOST_PARTS or not deep:
            raise TypeError(f"a key must be a tuple of at most {_MOST_PARTS} texts and numbers")
        return tuple(key_of(part, deep=deep - 1) for part in key)
    if key is None or isinstance(key, str | int | float | np.generic):
        return key
    raise TypeError(f"a key must be text, a number or a tuple, not {type(key).__name__}")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} stands in the place of a text")
    return value


def _dtype(name: Any, *_: Any) -> Unbuilt:
    word = _text(name)
    if not _DTYPE.fullmatch(word):
        raise RefusedError(f"arrays of the type {word!r}")
    # Object arrays are lists in disguise; their size depends on the machine that wrote them.
    base = np.dtype("O" if "O" in word else word)

    def build(state: tuple[Any, ...]) -> np.dtype[Any]:
        if any(part is not None for part in state[2:5]):
            raise RefusedError("structured arrays")
        return base.newbyteorder(_text(state[1]))  # type: ignore[arg-type]

    return Unbuilt(build)


def _array(dtype: Any, shape: Any, order: str, data: Any) -> npt.NDArray[Any]:
    if not isinstance(dtype, np.dtype):
        raise TypeError("an array's type is missing")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("no shape of an array: it must be a tuple of numbers")
    count = prod(shape)
    if dtype.kind == "O":
        if not isinstance(data, list) or len(data) != count:
            raise ValueError(f"an array of {shape} does not fit its items")
        items = np.empty(count, dtype=object)
        for index, item in enumerate(data):
            items[index] = item
        return items.reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]
    if (
        not isinstance(data, bytes | bytearray | memoryview)
        or memoryview(data).nbytes != count * dtype.itemsize
    ):
        raise ValueError(f"an array of {shape} and {dtype} does not fit its bytes")
    if not count:
        return np.empty(shape, dtype)
    items = np.frombuffer(data, dtype)
    if dtype.kind == "U":
        letters = items.view(np.dtype("u4").newbyteorder(dtype.byteorder))
        if letters.size and letters.max() > _LAST_LETTER:
            raise ValueError("an array of texts holds what is no letter")
    return items.reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]


def _reconstruct(kind: Any, *_: Any) -> Unbuilt:
    if kind != GlobalName(NDARRAY):
        raise RefusedError("a subclass of NumPy's array")

    def build(state: tuple[Any, ...]) -> npt.NDArray[Any]:
        shape, dtype, fortran, data = state[-4:]
        return _array(dtype, shape, "F" if fortran else "C", data)

    return Unbuilt(build)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> npt.NDArray[Any]:
    if not isinstance(order, str) or order not in {"C", "F"}:
        raise ValueError("an array's order must be C or F")
    return _array(dtype, shape, order, data)


def _scalar(dtype: Any, data: Any) -> object:
    return _array(dtype, (1,), "C", data)[0]


def _set(items: Any = ()) -> set[object]:
    return {key_of(item) for item in items}


# How Python 3 writes bytes into protocols that know none.
def _encode(text: str, encoding: Any = "latin1") -> bytes:
    if _text(encoding) not in {"latin1", "latin-1"}:
        raise RefusedError(f"the encoding {_text(encoding)!r}")
    return _text(text).encode("latin-1")


FUNCTIONS: dict[str, Callable[..., object]] = {
    "numpy.dtype": _dtype,
    **{f"{module}._reconstruct": _reconstruct for module in _MODULES},
    **{f"{module}.scalar": _scalar for module in _MODULES},
    **{f"{core}.numeric._frombuffer": _from_buffer for core in _CORES},
    "_codecs.encode": _encode,
    **{f"{builtins}.bytes": lambda: b"" for builtins in _BUILTINS},
    **{f"{builtins}.{kind}": _set for builtins in _BUILTINS for kind in ("set", "frozenset")},
    "collections.OrderedDict": dict,
}


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
