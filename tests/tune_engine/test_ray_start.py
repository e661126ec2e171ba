"""Ray's processes: where they listen, whether they live, and what is said of no start."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from places import ROOT

from tune.engine.ray_start import Pulse, stopping_on_signals

NO_START = """
from hscl.errors import RunError
from tune.engine.ray_session import ray_session
from tune.study.sections import ResourcesSection
try:
    with ray_session(None, ResourcesSection()):
        pass
except RunError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/proc/nowhere", "No such file or directory: '/proc/nowhere/"),
        (f"/tmp/{'x' * 60}", "long"),
    ],
)
def test_where_ray_does_not_start_one_message_says_so(place: str, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_START],
        env=os.environ | {"RAY_TMPDIR": place},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert done.stdout.startswith("a temporary folder must be made, but: ")
    assert reason in done.stdout
    assert done.stdout.endswith(
        "set RAY_TMPDIR to a folder that can be written and has a short name, such as /tmp\n"
    )
    assert done.stderr == ""


AFTERWARDS = """
import psutil, ray
from tune.engine.ray_start import forbid_auto_start
forbid_auto_start()
try:
    ray.put(1)  # by itself Ray would start one for it
except ray.exceptions.RaySystemError as error:
    print(type(error).__name__, len(psutil.Process().children(recursive=True)))
"""


def test_who_still_asks_a_ray_that_has_ended_starts_no_other() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTERWARDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    assert (done.stdout, done.stderr) == ("RaySystemError 0\n", "")


@pytest.mark.usefixtures("shared_ray")
def test_nothing_of_our_own_ray_listens_beyond_this_machine() -> None:
    import psutil

    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    open_ones = [
        (process.name(), entry.laddr.ip)
        for process in family
        for entry in process.net_connections("inet")
        if entry.status == psutil.CONN_LISTEN
    ]
    assert len(open_ones) > 5
    loopback = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert [entry for entry in open_ones if entry[1] not in loopback] == []


def test_a_process_of_ray_that_has_ended_is_named_with_how(tmp_path: Path) -> None:
    def node(*words: str) -> Any:
        process = subprocess.Popen(words)
        entry = [SimpleNamespace(process=process)]
        return SimpleNamespace(all_processes={"gcs_server": entry, "log_monitor": entry})

    alive = node("sleep", "60")
    pulse = Pulse(alive)
    assert pulse.why_dead() is None
    process = alive.all_processes["gcs_server"][0].process
    process.kill()
    process.wait()
    assert pulse.why_dead() == "its process gcs_server was ended by signal 9"
    ended = node("false")
    ended.all_processes["gcs_server"][0].process.wait()
    assert Pulse(ended).why_dead() == "its process gcs_server ended with 1"


def test_a_cluster_that_refuses_for_a_while_is_dead_and_one_that_answers_is_not(
    tmp_path: Path,
) -> None:
    raylet = str(tmp_path / "raylet")
    with socket.create_server(("127.0.0.1", 0)) as head, socket.socket(socket.AF_UNIX) as local:
        local.bind(raylet)
        local.listen()
        address = f"127.0.0.1:{head.getsockname()[1]}"
        joined = SimpleNamespace(all_processes={}, gcs_address=address, raylet_socket_name=raylet)
        pulse = Pulse(joined)
        assert pulse.why_dead() is None
    pulse._asked = 0.0
    assert pulse.why_dead() is None, "it may be starting again"
    pulse._asked, pulse._answered = 0.0, time.monotonic() - 11
    said = pulse.why_dead()
    assert said is not None
    assert said.endswith(f"s at {address}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    asked: list[int] = []
    inherited = signal.signal(number, signal.SIG_DFL)  # under nohup, HUP would be ignored
    try:
        with stopping_on_signals(lambda: asked.append(1)) as whether:
            assert not whether()
            os.kill(os.getpid(), number)
            assert asked == [1]
            assert whether()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert asked == [1]
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, inherited)


def test_what_nohup_began_goes_on_when_its_terminal_is_gone() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_on_signals(pytest.fail):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with stopping_on_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
