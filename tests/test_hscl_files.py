"""Files: whole or not at all, one process at a time, one cache."""

import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hscl.errors import InputError, RunError
from hscl.files import (
    cache_folder,
    expanded,
    is_unfinished,
    one_at_a_time,
    remove_unfinished,
    scratch_folder,
    whole_or_nothing,
    write_whole,
)

NOBODY = 65534


@contextmanager
def _disk_of(size: int) -> Iterator[None]:
    """A disk on which no file becomes longer than so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_whole(path, "first, and longer")
    inode = path.stat().st_ino
    assert write_whole(path, "zweite: ü") == path
    assert path.read_text(encoding="utf-8") == "zweite: ü"
    assert path.stat().st_ino != inode
    write_whole(path, memoryview(b"third"))
    assert path.read_bytes() == b"third"
    assert _names(tmp_path) == ["metrics.json"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "seed-5"
    target.mkdir()
    (target / "old").touch()
    with whole_or_nothing(target) as part:
        part.mkdir()
        (part / "new").touch()
        assert _names(target) == ["old"]
    assert _names(target) == ["new"]
    assert _names(tmp_path) == ["seed-5"]


def test_a_new_file_has_the_mode_that_the_user_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "f", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


_WRITER = """
import sys
from pathlib import Path
from hscl.files import write_whole
path, value = Path(sys.argv[1]), 0
while True:
    write_whole(path, f"{value}\\n" * 200_000)
    value += 1
    print(value, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for delay in (0.0, 0.001, 0.004, 0.011):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout:
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
            writer.wait()
        lines = path.read_text().splitlines()
        assert len(lines) == 200_000
        assert len(set(lines)) == 1
        assert all(is_unfinished(name) for name in _names(tmp_path) if name != "f")
    remove_unfinished(tmp_path)
    assert _names(tmp_path) == ["f"]


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_the_old_file_or_none_and_nothing_else(
    tmp_path: Path, *, there: bool
) -> None:
    path = tmp_path / "f"
    if there:
        path.write_bytes(b"old")
    with _disk_of(1000), pytest.raises(OSError, match="too large"):
        write_whole(path, b"x" * 1001)
    assert _names(tmp_path) == ["f"] * there
    assert not there or path.read_bytes() == b"old"


def test_an_error_of_the_block_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old").touch()

    def fails() -> None:
        with whole_or_nothing(tmp_path / "f") as part:
            part.mkdir()
            (part / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert _names(tmp_path) == ["f"]
    assert _names(tmp_path / "f") == ["old"]


_REFUSED = """
import os, sys
from pathlib import Path
from hscl.files import write_whole
os.setuid(int(sys.argv[2]))  # root may write everywhere
try:
    write_whole(Path(sys.argv[1]), "new")
except PermissionError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_written_is_an_error_and_stays_as_it_is() -> None:
    # pytest's own folders are closed to everybody else.
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/hscl-XXXXXX"], text=True).strip())
    try:
        (folder / "f").write_text("old")
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", _REFUSED, str(folder / "f"), str(NOBODY)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "Permission denied\n"
        assert _names(folder) == ["f"]
        assert (folder / "f").read_text() == "old"
    finally:
        (folder / "f").unlink()
        folder.rmdir()


def test_names_that_are_being_written_are_known() -> None:
    assert is_unfinished(".study.toml.77.part")
    assert not is_unfinished("study.toml")
    assert not is_unfinished(".hidden")
    assert not is_unfinished("a.part")


_HOLDER = """
import sys, time
from pathlib import Path
from hscl.files import one_at_a_time
with one_at_a_time(Path(sys.argv[1]), wait=False) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_lock_is_one_process_and_free_once_that_is_killed(tmp_path: Path, of: str) -> None:
    path = tmp_path / "lock"
    if of == "folder":
        path.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "True\n"
        with one_at_a_time(path, wait=False) as ours:
            assert not ours
        holder.kill()
        holder.wait()
    with one_at_a_time(path) as ours:
        assert ours
        with one_at_a_time(path, wait=False) as again:
            assert not again
    with one_at_a_time(path, wait=False) as ours:
        assert ours


@pytest.mark.parametrize("given", [None, ""])
def test_the_cache_is_where_the_environment_says_else_in_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HSCL_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "home/mine"
    if given is None:
        monkeypatch.delenv("HSCL_CACHE")
    else:
        monkeypatch.setenv("HSCL_CACHE", given)
    assert cache_folder() == tmp_path / "home/.cache/hscl"


def test_the_home_of_nobody_is_bad_input() -> None:
    assert expanded("~/studies") == Path.home() / "studies"
    assert expanded("studies") == Path("studies")
    with pytest.raises(InputError, match=r"^~nobody-of-that-name/runs must begin with the home"):
        expanded("~nobody-of-that-name/runs")


def test_a_path_without_a_name_is_refused_as_the_folder_that_it_is() -> None:
    with pytest.raises(IsADirectoryError), whole_or_nothing(Path()):
        pass


_SCRATCH_HOLDER = """
import sys, time
from hscl.files import scratch_folder
with scratch_folder(place=sys.argv[1]) as ours:
    (ours / "content").touch()
    print(ours, flush=True)
    time.sleep(600)
"""


def test_a_scratch_folder_is_private_and_goes_and_so_do_those_that_killed_processes_left(
    tmp_path: Path,
) -> None:
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRATCH_HOLDER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, _ = holders
    try:
        left, used = (Path(one.stdout.readline().strip()) for one in holders if one.stdout)
        killed.kill()
        killed.wait()
        assert left.exists()
        with scratch_folder(place=str(tmp_path)) as ours:
            assert stat.S_IMODE(ours.stat().st_mode) == 0o700
            assert _names(tmp_path) == sorted([ours.name, used.name])
        assert _names(tmp_path) == [used.name]
        assert (used / "content").exists()
    finally:
        for one in holders:
            one.kill()
            one.communicate()


def test_folders_of_other_origin_stay_whatever_their_names_and_age(tmp_path: Path) -> None:
    for name in ("hscl_study_01", "hscl_mosi_run", "hscl_aaaaaaaa"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.toml").touch()
        os.utime(tmp_path / name, (0, 0))
    with scratch_folder(place=str(tmp_path)):
        pass
    assert _names(tmp_path) == ["hscl_aaaaaaaa", "hscl_mosi_run", "hscl_study_01"]


def test_a_temporary_folder_of_a_long_name_gives_way_to_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with scratch_folder() as ours:
        assert ours.parent == long
    with scratch_folder(most=40) as ours:
        assert len(str(ours)) <= 40
    with (
        pytest.raises(RunError, match="is too long for what goes into it; set RAY_TMPDIR"),
        scratch_folder(most=40, place=str(long)),
    ):
        pass
