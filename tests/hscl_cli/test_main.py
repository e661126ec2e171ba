"""The command itself: exit codes, one message, no traceback."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from hscl.cli.data import data
from hscl.cli.main import Group, main, run_command
from hscl.errors import InputError

HSCL = Path(sys.executable).with_name("hscl")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HSCL, *arguments], capture_output=True, text=True, check=False)


def test_help_lists_the_commands_of_all_packages() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for command in ("data", "train", "predict", "search", "compare", "export"):
        assert f"  {command} " in done.stdout


def test_an_unknown_command_is_wrong_usage_and_the_nearest_is_named() -> None:
    done = _run("serach")
    assert done.returncode == 2
    assert "'serach'; did you mean 'search'?" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(click.UsageError, match="did you mean 'check'"):
        data.main(["chekc"], standalone_mode=False)


def test_bad_input_is_one_message_on_standard_error(tmp_path: Path) -> None:
    done = _run("data", "check", str(tmp_path / "nowhere.arrow"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("hscl: error: ")
    assert "nowhere.arrow" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hscl.cli.main.hscl.main", interrupted)
    with pytest.raises(SystemExit) as left:
        main(["data"])
    assert left.value.code == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_command_chooses_its_exit_code() -> None:
    @click.command()
    @click.pass_context
    def leaves_with_three(context: click.Context) -> None:
        context.exit(3)

    with pytest.raises(SystemExit) as left:
        run_command(leaves_with_three, "program", [])
    assert left.value.code == 3


def test_a_refusal_that_a_setting_avoids_gives_the_command_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = Group()

    @group.command()
    @click.option("--set", multiple=True)
    def takes(set: object) -> None:  # noqa: A002 - the option's name
        raise InputError("no audio", setting="model.modalities=text")

    @group.command()
    def takes_none() -> None:
        raise InputError("no audio", setting="model.modalities=text")

    for name, said in (
        ("takes", "no audio: hscl takes --set model.modalities=text\n"),
        ("takes-none", "no audio\n"),
    ):
        with pytest.raises(SystemExit) as left:
            run_command(group, "hscl", [name])
        assert left.value.code == 2
        assert capsys.readouterr().err == f"hscl: error: {said}"
