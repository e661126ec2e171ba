"""Opens pickles that hold only plain containers and NumPy arrays, without running anything.

Python's own unpickler calls whatever a file asks for. This one is a small stack machine of its
own: it knows the instructions for plain values, and the few names that NumPy writes stand for
functions of `pickled_arrays`. Anything else ends in an error. Large arrays are views of
the mapped file, so that a file larger than the memory can be opened; they are read-only.

Files of Python 2 and 3 in all protocols are read. Python 2's strings come out as bytes, keys of
dictionaries always as text.
"""

import io
import mmap
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hscl.data.ids import printable
from hscl.data.readers.pickled_arrays import (
    FUNCTIONS,
    NDARRAY,
    GlobalName,
    RefusedError,
    Unbuilt,
    global_name,
    key_of,
    quoted_line,
)
from hscl.errors import InputError

__all__ = ["read_pickle"]

_MOST_DEEP = 32
_MOST_CONTAINERS = 5_000_000
_MOST_ITEMS = 100_000_000
_CONTAINERS = (dict, list, tuple, set, frozenset)
_WALKED = (*_CONTAINERS, np.ndarray)
_VIEW_BYTES = 1 << 12  # byte strings from this size on are views of the file
_CODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def read_pickle(path: Path) -> object:
    """Open a pickle.

    Args:
        path: The file.

    Returns:
        What it holds: dict, list, tuple, set, str, bytes, numbers, None, NumPy arrays and scalars.

    Raises:
        InputError: If the file is missing, truncated or no pickle, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = "it is empty" if isinstance(error, ValueError) else error.strerror
        raise InputError(f"{path} can't be read: {reason}.") from None
    try:
        content = _Machine(mapping).run()
        _check_extent(content)
    except RefusedError as error:
        _check_line_ends(path, mapping)
        raise InputError(
            f"{path} must hold only plain containers and NumPy arrays; it asks for "
            f"{printable(str(error))}. Nothing of it was run. Save its arrays as NumPy arrays, "
            "or leave the file alone."
        ) from None
    except (
        ValueError, TypeError, LookupError, OverflowError, AttributeError,
        MemoryError, EOFError, RecursionError, struct.error,
    ) as error:  # fmt: skip
        _check_line_ends(path, mapping)
        raise InputError(
            f"{path} must be a whole pickle; it is damaged at byte {mapping.tell()} of "
            f"{len(mapping)} ({printable(str(error))}). Get the file again."
        ) from None
    return content


def _check_extent(content: object) -> None:
    """Return if whoever walks through all of it comes to an end.

    A file of a few bytes can hold a list that holds itself, or one of two references to one of two
    references and so on. What is referred to twice counts twice.

    Raises:
        ValueError: It is too deep, or too much.
    """
    waiting: list[tuple[Any, int]] = [(content, 0)]
    containers = items = 0
    while waiting:
        value, depth = waiting.pop()
        containers += 1
        items += len(value) if isinstance(value, _CONTAINERS) else 0
        if depth > _MOST_DEEP or containers > _MOST_CONTAINERS or items > _MOST_ITEMS:
            message = (
                f"its lists must be at most {_MOST_DEEP} deep, and hold at most "
                f"{_MOST_CONTAINERS:,} lists and {_MOST_ITEMS:,} items"
            )
            raise ValueError(message)
        inner: Any = ()
        if isinstance(value, dict):
            inner = value.values()
        elif isinstance(value, np.ndarray):
            inner = value.flat if value.dtype.kind == "O" else ()
        elif isinstance(value, _CONTAINERS):
            inner = value
        waiting += [(one, depth + 1) for one in inner if isinstance(one, _WALKED)]


# What a text mode of FTP, of git or of an editor does to a pickle shows in its first bytes: every
# line feed follows a carriage return, or none does where chance would have it so many times.
_LOOKED_AT = 16 << 20
_BY_CHANCE = 20


def _check_line_ends(path: Path, mapping: mmap.mmap) -> None:
    """Say so if line ends of a file that can't be read were converted.

    Raises:
        InputError: They were.
    """
    head = mapping[:_LOOKED_AT]
    feeds, pairs = head.count(b"\n"), head.count(b"\r\n")
    if feeds >= 4 and pairs == feeds:
        what = "every line feed in it follows a carriage return"
    elif not pairs and feeds * head.count(b"\r") >= _BY_CHANCE * len(head):
        what = "no line feed in it follows a carriage return"
    else:
        return
    raise InputError(
        f"{path} must be copied as it is; its line ends were converted ({what}), as the text mode "
        "of FTP, git or an editor does. Get it again in binary mode."
    )


_MARK = object()


class _Machine:
    """Pickle's stack machine, reduced to plain values.

    Source: PEP 307, PEP 3154, PEP 574 and the comments of Python's module `pickletools`.
    """

    def __init__(self, mapping: mmap.mmap) -> None:
        self.file = mapping
        self.view = memoryview(mapping)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        while True:
            code = self.file.read(1)
            if not code:
                raise EOFError("it ends too early")
            opcode = _CODES.get(code)
            if opcode is None:
                raise ValueError(f"no pickle instruction: {code!r}")
            if code == pickle.STOP:
                return self.stack.pop()
            argument: Any = None
            if code in _LINES:
                argument = _LINES[code](self.file)
            elif code in _LONG_BYTES:
                argument = self.bytes_of_length(_LONG_BYTES[code])
            elif opcode.arg is not None:
                argument = opcode.arg.reader(self.file)  # type: ignore[arg-type]
            if code in _VALUES:
                self.stack.append(_whole(_VALUES[code](argument)))
            elif (handler := _INSTRUCTIONS.get(code)) is not None:
                handler(self, argument)
            else:
                raise RefusedError(f"the instruction {opcode.name}")

    def bytes_of_length(self, length_format: str) -> bytes | memoryview:
        (length,) = struct.unpack(length_format, self.file.read(struct.calcsize(length_format)))
        start = self.file.tell()
        if not 0 <= length <= len(self.file) - start:
            raise EOFError("it ends too early")
        if length < _VIEW_BYTES:
            return self.file.read(length)
        self.file.seek(length, io.SEEK_CUR)
        return self.view[start : start + length]

    def pop_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise ValueError("a mark is missing")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def put(self, index: int) -> None:
        top = self.memo[index] = self.stack[-1]
        if isinstance(top, Unbuilt):
            top.slots.append(index)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError("items are set in what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items are appended to what is no list")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        self.stack[-1].update(key_of(item) for item in items)

    def make_tuple(self, size: int) -> None:
        items = tuple(self.stack[-size:])
        if len(items) < size:
            raise ValueError("too few items for a tuple")
        self.stack[-size:] = [items]

    # Where another unpickler would import.
    def refer(self, name: str) -> None:
        if name not in FUNCTIONS and name != NDARRAY:
            raise RefusedError(name)
        self.stack.append(GlobalName(name))

    # Where another unpickler would call a function.
    def reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        if not isinstance(function, GlobalName) or function.name not in FUNCTIONS:
            raise RefusedError("a call of what is no function")
        self.stack.append(FUNCTIONS[function.name](*arguments))

    def build(self) -> None:
        state = self.stack.pop()
        unbuilt = self.stack.pop()
        if not isinstance(unbuilt, Unbuilt):
            raise RefusedError("a change of an object's state")
        built = unbuilt.build(state)
        self.stack.append(built)
        for slot in unbuilt.slots:
            self.memo[slot] = built


# Instructions that carry a long byte string, with the form of its length.
_LONG_BYTES = {
    pickle.BINSTRING: "<i",
    pickle.BINBYTES: "<I",
    pickle.BINBYTES8: "<Q",
    pickle.BYTEARRAY8: "<Q",
    pickle.BINUNICODE: "<I",
    pickle.BINUNICODE8: "<Q",
}

# Instructions followed by lines of text that Python's own reader takes too literally.
_LINES: dict[bytes, Callable[[mmap.mmap], object]] = {
    pickle.STRING: quoted_line,
    pickle.GLOBAL: global_name,
}


def _unicode(data: bytes | memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _same(value: Any) -> Any:
    return value


def _whole(value: Any) -> Any:
    """The value; a text must not hold half of a surrogate pair, which nothing can write down."""
    if isinstance(value, str) and not value.isascii():
        value.encode()
    return value


# Instructions whose argument is the value that they push.
_AS_READ = (
    pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG, pickle.LONG1,
    pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT, pickle.STRING, pickle.BINSTRING, pickle.UNICODE,
    pickle.SHORT_BINUNICODE, pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8,
    pickle.BYTEARRAY8,
)  # fmt: skip

# Instructions that only push a value.
_VALUES: dict[bytes, Callable[[Any], object]] = {
    **dict.fromkeys(_AS_READ, _same),
    pickle.SHORT_BINSTRING: lambda text: text.encode("latin-1"),
    pickle.BINUNICODE: _unicode,
    pickle.BINUNICODE8: _unicode,
    pickle.MARK: lambda _: _MARK,
    pickle.NONE: lambda _: None,
    pickle.NEWTRUE: lambda _: True,
    pickle.NEWFALSE: lambda _: False,
    pickle.EMPTY_DICT: lambda _: {},
    pickle.EMPTY_LIST: lambda _: [],
    pickle.EMPTY_TUPLE: lambda _: (),
    pickle.EMPTY_SET: lambda _: set(),
}


def _push_dict(machine: _Machine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    machine.set_items(items)


def _push_frozenset(machine: _Machine) -> None:
    machine.stack.append(frozenset(key_of(item) for item in machine.pop_mark()))


def _set_item(machine: _Machine) -> None:
    items = machine.stack[-2:]
    del machine.stack[-2:]
    machine.set_items(items)


def _stack_global(machine: _Machine) -> None:
    name = machine.stack.pop()
    machine.refer(f"{machine.stack.pop()}.{name}")


_INSTRUCTIONS: dict[bytes, Callable[[_Machine, Any], object]] = {
    pickle.PROTO: lambda machine, version: None,
    pickle.FRAME: lambda machine, size: None,
    pickle.POP: lambda machine, _: machine.stack.pop(),
    pickle.POP_MARK: lambda machine, _: machine.pop_mark(),
    pickle.DUP: lambda machine, _: machine.stack.append(machine.stack[-1]),
    pickle.PUT: _Machine.put,
    pickle.BINPUT: _Machine.put,
    pickle.LONG_BINPUT: _Machine.put,
    pickle.MEMOIZE: lambda machine, _: machine.put(len(machine.memo)),
    pickle.GET: _Machine.get,
    pickle.BINGET: _Machine.get,
    pickle.LONG_BINGET: _Machine.get,
    pickle.DICT: lambda machine, _: _push_dict(machine),
    pickle.LIST: lambda machine, _: machine.stack.append(machine.pop_mark()),
    pickle.TUPLE: lambda machine, _: machine.stack.append(tuple(machine.pop_mark())),
    pickle.FROZENSET: lambda machine, _: _push_frozenset(machine),
    pickle.TUPLE1: lambda machine, _: machine.make_tuple(1),
    pickle.TUPLE2: lambda machine, _: machine.make_tuple(2),
    pickle.TUPLE3: lambda machine, _: machine.make_tuple(3),
    pickle.APPEND: lambda machine, _: machine.append([machine.stack.pop()]),
    pickle.APPENDS: lambda machine, _: machine.append(machine.pop_mark()),
    pickle.ADDITEMS: lambda machine, _: machine.add(machine.pop_mark()),
    pickle.SETITEM: lambda machine, _: _set_item(machine),
    pickle.SETITEMS: lambda machine, _: machine.set_items(machine.pop_mark()),
    pickle.GLOBAL: _Machine.refer,
    pickle.STACK_GLOBAL: lambda machine, _: _stack_global(machine),
    pickle.REDUCE: lambda machine, _: machine.reduce(),
    pickle.BUILD: lambda machine, _: machine.build(),
}
