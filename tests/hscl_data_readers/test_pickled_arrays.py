"""NumPy's functions in a pickle: arrays are made from bytes that fit, anything else is refused."""

import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.readers.pickled_arrays import (
    FUNCTIONS,
    GlobalName,
    RefusedError,
    Unbuilt,
    global_name,
    key_of,
    quoted_line,
)


def _dtype(name: object, state: object = (3, "<", None, None, None, -1, -1, 0)) -> Any:
    unbuilt = FUNCTIONS["numpy.dtype"](name, False, True)
    assert isinstance(unbuilt, Unbuilt)
    return unbuilt.build(state)


def _array(*state: object) -> Any:
    unbuilt = FUNCTIONS["numpy._core.multiarray._reconstruct"](
        GlobalName("numpy.ndarray"), (0,), "b"
    )
    assert isinstance(unbuilt, Unbuilt)
    return unbuilt.build(state)


@pytest.mark.parametrize("name", ["f4", b"f8", "i2", "b1", "S14", "U3", "f2"])
def test_the_types_of_features_labels_and_ids_are_known(name: str | bytes) -> None:
    text = name.decode() if isinstance(name, bytes) else name
    assert _dtype(name) == np.dtype(text)


@pytest.mark.parametrize("name", ["V8", "M8[s]", "c8", "f4,f4", "object", "U99999999999", ""])
def test_other_types_are_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="arrays of the type"):
        FUNCTIONS["numpy.dtype"](name, False, True)


def test_an_array_is_made_of_its_bytes_in_both_orders() -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    state = (1, (2, 3), np.dtype("<f4"))
    assert np.array_equal(_array(*state, False, values.tobytes()), values)
    assert np.array_equal(_array(*state, True, values.tobytes("F")), values)
    assert np.array_equal(_array((2, 3), np.dtype("<f4"), False, values.tobytes()), values)


@pytest.mark.parametrize(
    "state",
    [
        (1, (2, 3), np.dtype("f4"), False, b"too short"),
        (1, (-2, 3), np.dtype("f4"), False, b""),
        (1, (2, "3"), np.dtype("f4"), False, b""),
        (1, (2**40, 2**40), np.dtype("f4"), False, b""),
        (1, (1,), np.dtype("f4"), False, "text"),
        (1, (2,), np.dtype("O"), False, [1]),
        (1, (2,), np.dtype("O"), False, b"12345678" * 2),
    ],
)
def test_a_shape_that_does_not_fit_the_bytes_is_an_error(state: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"does not fit|no shape"):
        _array(*state)


def test_an_array_without_a_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="type is missing"):
        _array(1, (1,), "f4", False, b"1234")


@pytest.mark.parametrize("key", ["a", 1, 2.5, np.int64(3), None, ("v", 3, (None,))])
def test_keys_are_text_numbers_or_tuples_of_them(key: object) -> None:
    assert key_of(key) == key
    assert key_of((b"train", key)) == ("train", key)
    with pytest.raises(TypeError, match="must be text, a number or a tuple, not list"):
        key_of((key, [1]))


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_the_module_that_numpy_1_16_0_names_holds_the_same_functions(core: str) -> None:
    for name in ("_reconstruct", "scalar"):
        assert (
            FUNCTIONS[f"{core}._multiarray_umath.{name}"] is FUNCTIONS[f"{core}.multiarray.{name}"]
        )


def _file(data: bytes) -> mmap.mmap:
    file = mmap.mmap(-1, len(data))
    file[:] = data
    return file


@given(st.binary(max_size=40))
def test_a_string_is_what_python_2_meant(value: bytes) -> None:
    written = repr(value)[1:].encode()  # Python 2's repr of a string is Python 3's of bytes
    file = _file(written + b"\nrest")
    assert quoted_line(file) == value
    assert file.read() == b"rest"


@pytest.mark.parametrize("line", [b"abc", b"'abc", b"'abc\"", b"'", b"", b"'\\q'", b"'\\xg1'"])
def test_what_is_no_string_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        quoted_line(_file(line + b"\n"))


def test_a_name_is_two_lines() -> None:
    assert global_name(_file(b"numpy.core\nndarray\n.")) == "numpy.core.ndarray"
