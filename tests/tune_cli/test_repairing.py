"""The command `hscl repair`, on a study that really ran and really lost a file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Hscl
from disk_study import go_on, small
from places import ROOT

from hscl.errors import InputError
from tune.states import Kind
from tune.views.study import open_study

MAIN = "from hscl.cli.main import main; main()"


@pytest.mark.parametrize("file", [1, 2], ids=["an end", "a start"])
def test_a_study_that_lost_a_file_is_repaired_goes_on_and_says_for_ever_what_was_lost(
    hscl: Hscl, tmp_path: Path, file: int
) -> None:
    where = tmp_path / "a study [v2]"
    assert not go_on(where, small(), epochs=5)
    lost = sorted((where / "tables/trials").iterdir())[file]
    kept = tmp_path / lost.name
    lost.rename(kept)
    before = {path: path.read_bytes() for path in where.rglob("*.parquet")}
    with pytest.raises(InputError, match=re.escape(f"hscl repair '{where}'")):
        go_on(where, small())
    code, said, _ = hscl("repair", where, "--dry-run")
    assert code == 0
    assert f"tables/trials/{lost.name} is missing, and with it 1 of the table's 5 rows" in said
    assert not any("repaired" in row["kind"] for row in open_study(where).history.plan)
    command = [sys.executable, "-c", MAIN, "repair", str(where), "--yes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == (
        f"repaired; go on with: hscl search '{where}' --data FILE"
    )
    assert all(path.read_bytes() == content for path, content in before.items())
    assert open_study(where).damages == ()
    assert go_on(where, small())
    for words in (["status", where], ["compare", where], ["report", where, "--markdown"]):
        _, said, _ = hscl(*words)
        assert "repaired on 20" in said
        assert "1 of 5 rows of trials were lost" in said
    study = open_study(where)
    assert len(study.history.plan_rows(Kind.REPAIRED)) == 1
    assert {trial.state for trial in study.history.trials.values()} == {"done"}
    assert hscl("repair", where)[1].endswith("nothing is missing from its tables\n")


def test_a_damaged_file_is_not_repaired_and_not_touched(hscl: Hscl, tmp_path: Path) -> None:
    where = tmp_path / "study"
    go_on(where, small(), epochs=1)
    part = min((where / "tables/trials").iterdir())
    part.write_bytes(b"PAR1")
    code, _, err = hscl("repair", where, "--yes")
    assert code == 2
    assert "must lack files to be repaired, but has damaged ones" in err
    assert part.read_bytes() == b"PAR1"
