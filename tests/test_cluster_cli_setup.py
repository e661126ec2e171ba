"""`hscl cluster token` and `template`: private files, ready files, clear refusals."""

import stat
from pathlib import Path

import pytest

from cluster.cli_setup import KINDS
from cluster.templates import KINDS as TEMPLATES
from hscl.cli import main


def _hscl(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["cluster", *arguments])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_the_token_is_made_once_and_never_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    code, first, _ = _hscl(capsys, "token")
    path = tmp_path / ".ray" / "auth_token"
    token = path.read_text()
    assert code == 0
    assert first.startswith("made")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, second, _ = _hscl(capsys, "token")
    assert second.startswith("kept")
    assert path.read_text() == token
    assert token not in first + second


def test_the_token_goes_where_ray_is_told_to_look(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "mine"))
    assert _hscl(capsys, "token")[0] == 0
    assert (tmp_path / "mine").is_file()


def test_every_kind_of_template_can_be_named() -> None:
    assert set(KINDS) == set(TEMPLATES)


def test_a_template_says_how_many_places_are_left_to_edit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "new")
    code, printed, _ = _hscl(capsys, "template", "slurm", "--out", out, "--workers", "4")
    assert code == 0
    assert "hscl.sbatch   3 places to edit" in printed
    assert "#SBATCH --nodes=4" in (tmp_path / "new" / "hscl.sbatch").read_text()
    code, _, errors = _hscl(capsys, "template", "slurm", "--out", out)
    assert code == 2
    assert "--force" in errors


def test_an_unknown_kind_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = _hscl(capsys, "template", "azure")
    assert code == 2
    assert "kuberay" in errors


def test_a_doctor_without_a_head_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = _hscl(capsys, "doctor", "--address", "http://127.0.0.1:9")
    assert code == 2
    assert "connection refused" in errors
    assert "Traceback" not in errors
