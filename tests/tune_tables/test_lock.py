"""One driver at a time; a killed one is in nobody's way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hscl.errors import InputError, RunError
from hscl.files import lock
from tune.tables.lock import STOPPED, LockLostError, StudyLock, check_free, holder_of
from tune.tables.storage import open_folder

HOLDER = """
import sys, time
from tune.tables.storage import open_folder
from tune.tables.lock import StudyLock
with StudyLock(open_folder(sys.argv[1]), beat_s=0.2):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(root: str) -> "subprocess.Popen[str]":
    """Another process that holds the lock."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, root], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "study")
    bucket: str = request.getfixturevalue("bucket")
    return f"{bucket}/study"


def test_a_second_driver_is_refused_and_told_who_the_first_is_until_that_is_killed(
    root: str,
) -> None:
    with hold(root) as holder:
        with pytest.raises(InputError, match=f"process {holder.pid} on .* since 20"):
            StudyLock(open_folder(root), beat_s=0.2).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with StudyLock(open_folder(root), beat_s=0.2) as lock:
            lock.check()


def test_on_a_disk_a_killed_driver_costs_no_waiting(tmp_path: Path) -> None:
    with hold(str(tmp_path)) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    lock = StudyLock(open_folder(tmp_path), beat_s=3600)  # would wait for hours if it waited
    lock.acquire()
    lock.check()
    lock.release()


def test_a_released_lock_is_free_at_once(root: str) -> None:
    folder = open_folder(root)
    with StudyLock(folder, beat_s=0.2):
        pass
    with StudyLock(folder, beat_s=0.2) as lock:
        lock.check()


def test_a_driver_notices_that_its_file_was_removed_or_replaced(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    with StudyLock(folder) as lock:
        (tmp_path / "lock.json").unlink()
        with pytest.raises(LockLostError, match="writes nothing more"):
            lock.check()
    with StudyLock(folder) as lock:
        (tmp_path / "lock.json").rename(tmp_path / "old")
        (tmp_path / "lock.json").write_text("{}")
        with pytest.raises(LockLostError):
            lock.check()


def test_a_driver_notices_that_its_object_was_taken(bucket: str) -> None:
    folder = open_folder(bucket)
    with StudyLock(folder, beat_s=0.1) as lock:
        lock.check()
        folder.write("lock.json", json.dumps({"owner": "x", "pid": 7, "host": "h"}).encode())
        time.sleep(0.5)
        with pytest.raises(LockLostError, match="process 7 on h has taken it"):
            lock.check()
    assert json.loads(folder.read("lock.json"))["owner"] == "x"  # releasing leaves it alone


def test_of_two_that_come_at_once_at_most_one_gets_the_object(bucket: str) -> None:
    outcomes: list[str] = []

    def compete() -> None:
        lock = StudyLock(open_folder(bucket), beat_s=0.5)
        try:
            lock.acquire()
            time.sleep(1.5)
            lock.check()
            outcomes.append("held")
        except (InputError, LockLostError):
            outcomes.append("refused")
        finally:
            lock.release()

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") <= 1
    assert len(outcomes) == 4


def test_a_driver_gives_up_when_its_object_is_gone(bucket: str) -> None:
    folder = open_folder(bucket)
    with StudyLock(folder, beat_s=0.1) as lock:
        folder.delete("lock.json")
        time.sleep(0.4)
        with pytest.raises(LockLostError, match="was removed"):
            lock.check()


@pytest.mark.slow
def test_a_driver_gives_up_when_its_storage_is_silent_for_too_long(
    start_s3: Callable[[], "subprocess.Popen[bytes]"],
) -> None:
    server = start_s3()
    open_folder("s3://any?allow_bucket_creation=true").filesystem.create_dir("study")
    folder = open_folder("s3://study")
    with StudyLock(folder, beat_s=0.2) as lock:
        lock.check()
        server.kill()
        server.wait()
        time.sleep(1.0)
        with pytest.raises(LockLostError, match="did not answer for"):
            lock.check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="can be written"):
        StudyLock(open_folder(tmp_path / "study")).acquire()


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file must be a folder that can be written"):
        StudyLock(open_folder(tmp_path / "file")).acquire()


def test_who_looks_is_told_whether_the_driver_runs_or_was_killed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    assert holder_of(folder) is None
    check_free(folder)
    with hold(str(tmp_path)) as process:
        holder = holder_of(folder)
        assert holder is not None
        assert (holder.running, holder.pid, holder.at) == (True, process.pid, None)
        with pytest.raises(InputError, match=f"process {process.pid} on "):
            check_free(folder)
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = holder_of(folder)
    assert killed is not None
    assert (killed.running, killed.pid, killed.at) == (False, process.pid, None)
    check_free(folder)


def test_a_lock_that_nobody_touches_any_more_is_told_from_a_driver_that_lives(
    tmp_path: Path,
) -> None:
    """As a file server keeps the lock of a host that is gone."""
    folder, file = open_folder(tmp_path), tmp_path / "lock.json"

    def silent_s(age_s: float) -> float | None:
        os.utime(file, (time.time() - age_s,) * 2)
        found = holder_of(folder)
        assert found is not None
        assert found.running
        return found.silent_s

    with StudyLock(folder, beat_s=1000.0):
        assert silent_s(60.0) is None
        assert silent_s(600.0) == pytest.approx(600.0, abs=5.0)
        told = json.loads(file.read_text())
        del told["beat"]  # as earlier versions write it, which touch nothing
        file.write_text(json.dumps(told))
        assert silent_s(600.0) is None


def test_a_driver_on_a_disk_touches_its_lock_until_it_gives_it_back(tmp_path: Path) -> None:
    file = tmp_path / "lock.json"

    def old() -> bool:
        return file.stat().st_mtime < time.time() - 60.0

    with StudyLock(open_folder(tmp_path), beat_s=0.01):
        os.utime(file, (0.0, 0.0))
        deadline = time.monotonic() + 20.0
        while old() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not old()
    os.utime(file, (0.0, 0.0))
    time.sleep(0.1)
    assert old()


def test_who_looks_afterwards_is_told_how_the_driver_ended_and_what_goes_on(root: str) -> None:
    folder = open_folder(root)
    with StudyLock(folder, beat_s=0.1, go_on=["hscl", "search"]):
        held = holder_of(folder)
    assert held is not None
    assert held.running
    left = holder_of(folder)
    assert left is not None
    assert (left.running, left.why, left.go_on) == (False, "done", ("hscl", "search"))
    assert left.at is not None
    for error, why in (
        (KeyboardInterrupt(), STOPPED),
        (RunError("the disk is full"), "the disk is full"),
        (KeyError("x"), "KeyError: 'x'"),
    ):
        with pytest.raises(type(error)), StudyLock(folder, beat_s=0.1):
            raise error
        after = holder_of(folder)
        assert after is not None
        assert (after.running, after.why) == (False, why)


def test_looking_whether_it_runs_is_in_no_drivers_way(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    with StudyLock(folder):
        pass
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            with (tmp_path / "lock.json").open() as file:
                lock(file.fileno(), wait=False, shared=True)
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            with StudyLock(folder) as taken:
                taken.check()
    finally:
        over.set()
        thread.join()
