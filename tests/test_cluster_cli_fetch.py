"""`hscl cluster fetch` takes an id and a folder, or a place and a folder."""

from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from hscl.cli import main
from tune.study import open_study


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
