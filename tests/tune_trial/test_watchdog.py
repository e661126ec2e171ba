"""A process that hangs ends itself and says where it hung; one that is fed or waits does not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tune.trial.watchdog import HUNG_EXIT_CODE, Watchdog

HANGING = """
import sys, time
from tune.trial.watchdog import Watchdog
def sleeps_forever():
    time.sleep(60)
with open(sys.argv[1], "w") as log, Watchdog(0.3, log):
    sleeps_forever()
"""


def test_a_hanging_process_ends_with_its_stack_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    done = subprocess.run([sys.executable, "-c", HANGING, str(log)], check=False, timeout=30)
    assert done.returncode == HUNG_EXIT_CODE
    text = log.read_text()
    assert "no epoch ended within 0.3 s" in text
    assert "in sleeps_forever" in text


HOLDING = """
import ctypes, sys
from tune.trial.watchdog import Watchdog
with open(sys.argv[1], "w") as log, Watchdog(0.3, log):
    ctypes.PyDLL(None).sleep(60)  # as C code that does not let the interpreter go
"""


def test_c_code_that_holds_the_interpreter_is_ended_too(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    done = subprocess.run([sys.executable, "-c", HOLDING, str(log)], check=False, timeout=30)
    assert done.returncode == 1
    assert "Timeout" in log.read_text()
    assert 'File "<string>", line 5' in log.read_text()


def test_who_is_fed_or_rests_lives_on(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("w") as log, Watchdog(0.4, log) as watchdog:
        for _ in range(6):
            time.sleep(0.1)
            watchdog.feed()
        with watchdog.resting():
            time.sleep(0.6)
    time.sleep(0.5)  # nor does one that is closed bite
    assert (tmp_path / "log.txt").read_text() == ""


@pytest.mark.parametrize("limit_s", [1e10, 1e300])
def test_a_limit_beyond_what_can_be_waited_for_is_none(tmp_path: Path, limit_s: float) -> None:
    with (tmp_path / "log.txt").open("w") as log, Watchdog(limit_s, log) as watchdog:
        watchdog.feed()
    assert (tmp_path / "log.txt").read_text() == ""
