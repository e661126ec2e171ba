"""Lines of text in pickles: as Python 2 wrote them."""

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.pickle_lines import global_name, quoted_line


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
