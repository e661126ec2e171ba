"""An interrupt ends a command as one, also where something swallows it."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from hscl.cli.interrupts import interrupts_kept, raise_if_interrupted
from hscl.cli.main import run_command
from hscl.errors import InputError

AFTERWARDS = {
    "goes on": "return",
    "fails of it": "raise AttributeError('half-imported')",
    "refuses of it": "raise InputError('nothing is there')",
    "leaves a nested command": "run_command(nested, 'nested', [])",
}
PROGRAM = """
import os, signal
import click
from hscl.cli.main import run_command
from hscl.errors import InputError

@click.command()
def nested():
    pass

@click.command()
def command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except BaseException:
        pass
    {afterwards}

run_command(command, "command", [])
"""
IN_TEXT = """
import click
from hscl.cli.main import run_command

@click.command()
def command():
    exec("raise KeyboardInterrupt")

run_command(command, "command", [])
"""


def end_of(program: str, folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a program that runs as a module."""
    (folder / "own_program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "own_program"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("afterwards", AFTERWARDS.values(), ids=list(AFTERWARDS))
def test_one_that_was_swallowed_ends_the_command_all_the_same(
    tmp_path: Path, afterwards: str
) -> None:
    ended = end_of(PROGRAM.format(afterwards=afterwards), tmp_path)
    assert ended == (130, "hscl: interrupted; everything so far is kept\n")


def test_one_within_executed_text_ends_with_130_too(tmp_path: Path) -> None:
    code, said = end_of(IN_TEXT, tmp_path)
    assert code == 130
    assert "interrupted" in said


def test_without_one_errors_and_results_pass() -> None:
    with interrupts_kept():
        raise_if_interrupted()
    with pytest.raises(ValueError, match="own"), interrupts_kept():
        raise ValueError("own")


def test_it_is_seen_before_something_long_begins_and_forgotten_afterwards() -> None:
    def begins_something_long() -> None:
        with interrupts_kept():
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
                pytest.fail("the interrupt did not come")
            with interrupts_kept():  # as a command within a command has it
                raise_if_interrupted()
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        begins_something_long()
    raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_handlers_stay_in_force() -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with interrupts_kept():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]


def test_a_refusal_without_an_interrupt_is_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def refuses() -> None:
        raise InputError("no such thing")

    with pytest.raises(SystemExit) as left:
        run_command(refuses, "refuses", [])
    assert left.value.code == 2
    assert "no such thing" in capsys.readouterr().err
