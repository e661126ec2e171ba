"""Data on object storage come to this machine once, and again when they change."""

from pathlib import Path

import pytest

from hscl.errors import InputError
from tune.data_place import local_copy
from tune.storage import open_folder


def test_a_path_is_itself() -> None:
    assert local_copy("data/mosi.arrow") == Path("data/mosi.arrow")


def test_an_object_is_copied_once_and_again_when_it_changes(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    folder = open_folder(bucket)
    folder.write("mosi.arrow", b"one")
    copy = local_copy(f"{bucket}/mosi.arrow")
    assert copy.read_bytes() == b"one"
    inode = copy.stat().st_ino
    assert local_copy(f"{bucket}/mosi.arrow").stat().st_ino == inode
    folder.write("mosi.arrow", b"three")
    assert local_copy(f"{bucket}/mosi.arrow").read_bytes() == b"three"
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]


def test_a_missing_object_is_named(bucket: str) -> None:
    with pytest.raises(InputError, match=r"nothing\.arrow must be a data set's file"):
        local_copy(f"{bucket}/nothing.arrow")
