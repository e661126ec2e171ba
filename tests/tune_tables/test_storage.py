"""Files of a study appear whole or not at all, on disk and on an S3 interface."""

import pickle
import resource
import signal
from pathlib import Path

import pytest

from hscl.errors import InputError
from tune.tables.storage import Folder, open_folder


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """The same promises, kept in two places."""
    if request.param == "disk":
        return open_folder(tmp_path / "study")
    bucket: str = request.getfixturevalue("bucket")
    return open_folder(f"{bucket}/study")


def test_what_is_written_is_read_back_and_listed_with_its_size(folder: Folder) -> None:
    folder.write("a/one", b"123")
    folder.write("a/one", b"12345")
    folder.write("a/b/two", b"")
    assert folder.read("a/one") == b"12345"
    assert folder.files("a") == {"one": 5}
    assert folder.folders("a") == ["b"]
    assert folder.child("a").files("b") == {"two": 0}
    with folder.open("a/one") as stream:
        stream.seek(3)
        assert stream.read() == b"45"


def test_missing_files_are_missing_and_deleting_them_is_no_error(folder: Folder) -> None:
    assert not folder.exists("a")
    assert folder.files("a") == {}
    assert folder.folders("a") == []
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    folder.delete("a")
    folder.delete_folder("a")
    folder.write("a/x", b"1")
    folder.write("a/y", b"1")
    folder.delete("a/x")
    assert folder.files("a") == {"y": 1}
    folder.delete_folder("a")
    assert folder.files("a") == {}


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "study")
    folder.write("f", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may be longer
    try:
        with pytest.raises(OSError, match="too large"):
            folder.write("f", b"x" * 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert folder.files() == {"f": 3}
    assert folder.read("f") == b"old"


def test_a_folder_can_be_sent_to_another_process(folder: Folder) -> None:
    folder.write("f", b"1")
    assert pickle.loads(pickle.dumps(folder)).read("f") == b"1"


@pytest.mark.parametrize(
    "uri", ["s3://KEY:SECRET@bucket/run", "s3://bucket/run?secret_key=SECRET&access_key=KEY"]
)
def test_a_uri_with_credentials_is_refused_without_repeating_them(uri: str) -> None:
    with pytest.raises(InputError, match="must not carry credentials") as caught:
        open_folder(uri)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://[b", "s3://b/x?nonsense=1"])
def test_a_mistyped_uri_is_one_message(uri: str) -> None:
    with pytest.raises(InputError, match="must be a folder that pyarrow can open"):
        open_folder(uri)


@pytest.mark.parametrize("uri", ["file://{}/a#b", "file://{}/a#", "s3://bucket/run#2?region=x"])
def test_a_uri_is_not_cut_at_what_is_no_part_of_its_path(tmp_path: Path, uri: str) -> None:
    with pytest.raises(InputError, match=r"must be the URI of a folder, .* write %23"):
        open_folder(uri.format(tmp_path))
    assert open_folder(f"file://{tmp_path}/a%23b").local == tmp_path / "a#b"
    assert open_folder(tmp_path / "a#b").local == tmp_path / "a#b"


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(InputError, match="ftp://host/run must be a folder that pyarrow can open"):
        open_folder("ftp://host/run")
