"""What runs on the cluster answers in one line, and fails like every command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from cluster.job_entry import _status_of, _wait_for_lock
from cluster.jobs.shipping import ANSWER
from tune.tables.lock import StudyLock
from tune.tables.storage import open_folder


def _entry(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cluster.job_entry", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_ADDRESS": "127.0.0.1:1"},
    )


def test_ray_is_not_loaded_before_the_driver_has_set_its_environment() -> None:
    """Else it prints what it reads that from: a broken worker's traceback, among our lines."""
    code = "import cluster.job_entry, tune.cli.search, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_trials_log_is_one_line_of_json(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a-1.txt").write_bytes(b"two\nlines and \xff\n")
    done = _entry("trial-log", "--out", str(tmp_path), "--trial", "a-1")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert json.loads(line.removeprefix(ANSWER)) == "two\nlines and �\n"


def test_a_study_is_told_as_hscl_status_tells_it(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_study(folder, Simulated())
    plain, text = _status_of(str(folder))
    command = [str(Path(sys.executable).with_name("hscl")), "status", str(folder)]
    columns = os.environ | {"COLUMNS": "120"}
    as_text = subprocess.run(command, capture_output=True, text=True, check=True, env=columns)
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert text == as_text.stdout.strip()
    assert len(text.splitlines()) > 4
    assert plain == json.loads(as_json.stdout)


def test_a_frozen_study_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = _entry("search", "--frozen", "--data", "/d", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "hscl: error:" in done.stderr
    assert "must hold a study" in done.stderr


def test_a_frozen_study_is_run_as_it_stands_in_its_folder(tmp_path: Path) -> None:
    write_study(tmp_path / "study", Simulated())
    out = str(tmp_path / "study")
    done = _entry("search", "--frozen", "--data", "/no/such.arrow", "--out", out, "--dry-run")
    assert done.returncode == 2
    assert "/no/such.arrow must be a data set" in done.stderr  # the study itself was read
    assert "Traceback" not in done.stderr


def test_a_locked_study_is_waited_for_and_no_longer_than_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = open_folder(str(tmp_path))
    with StudyLock(folder, go_on=[]):
        began = time.monotonic()
        _wait_for_lock(str(tmp_path), 0.5)
        assert 0.5 <= time.monotonic() - began < 30
    assert f"is locked by process {os.getpid()} on " in capsys.readouterr().out
    _wait_for_lock(str(tmp_path), 600)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [[], ["serach"], ["search", "--data", "/d"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = _entry(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_it_can_be_interrupted_where_it_inherits_that_interrupts_are_ignored(
    tmp_path: Path, tiny_file: Path
) -> None:
    study = tmp_path / "study.toml"
    study.write_text('[sampler]\ntrials = 3\n[space]\n"train.lr" = { choice = [1e-3, 1e-4] }\n')
    command = [sys.executable, "-m", "cluster.job_entry", "search", "--study", str(study)]
    command += ["--data", str(tiny_file), "--out", str(tmp_path / "out"), "--dry-run"]
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *command]
    with subprocess.Popen(
        shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as entry:
        assert entry.stdout is not None
        assert "reading" in entry.stdout.readline()  # torch is loaded after it: seconds
        entry.send_signal(signal.SIGINT)
        error = entry.stdout.read()
        entry.wait(timeout=60)
    assert entry.returncode == 130
    assert "interrupted" in error
