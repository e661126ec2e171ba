"""`hscl cluster token` and `template`: private files, ready files, clear refusals."""

import stat
from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from cluster.cli.setup import KINDS
from cluster.templates import KINDS as TEMPLATES
from hscl.cli.main import main
from tune.views.study import open_study


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
    assert "hscl.sbatch   5 places to edit" in printed
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


def _fetch(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["cluster", "fetch", *arguments])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def test_with_a_place_no_cluster_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_study(tmp_path / "there", Simulated())
    here = tmp_path / "here"
    code, said, _ = _fetch(capsys, str(here), "--out", str(tmp_path / "there"))
    assert code == 0
    assert f"hscl compare {here}" in said
    there = open_study(tmp_path / "there")
    assert open_study(here).table("trials").equals(there.table("trials"))


def test_more_than_an_id_and_a_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = _fetch(capsys, "a", "b", "c")
    assert code == 2
    assert "an id and a folder" in errors


def test_a_folder_that_is_not_here_ends_with_the_copy_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, errors = _fetch(capsys, str(tmp_path / "here"), "--out", "/nfs/elsewhere/run")
    assert code == 2
    assert "rsync -a HEAD:/nfs/elsewhere/run/" in errors
