"""Lines of CSV files that people write."""

from pathlib import Path

import pytest

from hscl.data.readers.csv_lines import csv_lines
from hscl.errors import InputError


def test_lines_are_texts_by_column_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffa, b\n01,"x\ny"\n2\n'.encode())
    assert list(csv_lines(path, ("a", "b"))) == [
        (3, {"a": "01", "b": "x\ny"}),
        (4, {"a": "2", "b": None}),
    ]


@pytest.mark.parametrize(
    ("content", "needed", "message"),
    [
        (b"a,c\n1,2\n", ("a", "b"), "must have the columns a and b; 'b' is missing"),
        (b"a,c\n1,2\n", ("a", "b", "d"), "must have the columns a, b, d; 'b' is missing"),
        (b"a\n\xff\n", ("a",), "must be a CSV file in UTF-8"),
        (b'a\n"x\n', ("a",), "must be a CSV file in UTF-8"),
        (None, ("a",), "can't be read: No such file"),
    ],
)
def test_what_is_no_such_file_is_one_message(
    tmp_path: Path, content: bytes | None, needed: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(csv_lines(path, needed))
