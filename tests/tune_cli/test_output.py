"""Content goes to standard output or a file; what is no regular file stays what it is."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hscl.errors import InputError
from tune.cli.output import write_output

PRINTING = """
import sys
from pathlib import Path
from tune.cli.output import write_output
write_output(b"a,b\\n", Path(sys.argv[1]) if sys.argv[1:] else None)
"""


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_bytes(b"old")
    with out.open("rb") as reader:
        write_output(b"a,b\n", out)
        assert reader.read() == b"old"  # whoever reads it sees no half
    assert out.read_bytes() == b"a,b\n"
    assert list(tmp_path.iterdir()) == [out]


def test_a_fifo_stays_one(tmp_path: Path) -> None:
    out = tmp_path / "fifo"
    os.mkfifo(out)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(out.read_bytes()), daemon=True)
    reader.start()
    write_output(b"a,b\n", out)
    reader.join(30)
    assert read == [b"a,b\n"]
    assert out.is_fifo()


def test_a_link_stays_one(tmp_path: Path) -> None:
    out = tmp_path / "link"
    out.symlink_to(tmp_path / "target")
    write_output(b"a,b\n", out)
    assert out.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"a,b\n"


@pytest.mark.parametrize("arguments", [[], ["/dev/stdout"]])
def test_standard_output_is_a_pipe_or_a_redirect(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", PRINTING, *arguments]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"a,b\n"
    with (tmp_path / "redirect").open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    assert (tmp_path / "redirect").read_bytes() == b"a,b\n"


@pytest.mark.parametrize("name", [".", "none/rows.csv"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="--out must be a file that can be written"):
        write_output(b"", tmp_path / name)


def test_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", PRINTING, "-"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"a,b\n"
    assert not list(tmp_path.iterdir())
