"""Commands that read a study: the same for people and programs, in every format."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Hscl
from event_files import session_groups
from study_factory import Simulated, write_study

from hscl.errors import InputError
from tune.tables.store import TableStore
from tune.views.study import open_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=3)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


def test_status_says_the_same_to_people_and_programs(hscl: Hscl, folder: Path) -> None:
    code, said, _ = hscl("status", folder)
    assert code == 0
    assert said.startswith("Use ")  # of what is over, first the answer
    assert "\nmosi temperature: done" in said
    assert "best valid MAE" in said
    code, said, _ = hscl("status", folder, "--json")
    assert json.loads(said) == json.loads(json.dumps(open_study(folder).status()))


def test_tables_come_as_csv_json_and_parquet_with_the_same_rows(
    hscl: Hscl, folder: Path, tmp_path: Path
) -> None:
    rows = open_study(folder).table("trials")
    _, text, _ = hscl("table", "trials", folder)
    assert [row["trial_id"] for row in csv.DictReader(io.StringIO(text))] == rows[
        "trial_id"
    ].to_pylist()
    _, text, _ = hscl("table", "plan", folder)
    seeds = [json.loads(row["seeds"] or "null") for row in csv.DictReader(io.StringIO(text))]
    assert seeds == open_study(folder).table("plan")["seeds"].to_pylist()
    _, text, _ = hscl("table", "reports", folder, "--format", "json")
    values = [json.loads(line)["valid_mae"] for line in text.splitlines()]
    assert values == pytest.approx(open_study(folder).table("reports")["valid_mae"].to_pylist())
    out = tmp_path / "t.parquet"
    code, _, _ = hscl("table", "trials", folder, "--events", "--format", "parquet", "--out", out)
    assert code == 0
    assert pq.read_table(out).num_rows == open_study(folder).table("trials", events=True).num_rows
    code, _, err = hscl("table", "trial", folder)
    assert code == 2
    assert "did you mean 'trials'" in err


def test_trials_come_as_a_table_for_people_and_as_the_same_rows_for_programs(
    hscl: Hscl, folder: Path, tmp_path: Path
) -> None:
    rows = open_study(folder).trials()
    code, said, _ = hscl("trials", folder)
    assert code == 0
    shown = [line.split()[0] for line in said.splitlines() if line[:3].strip().isdigit()]
    assert shown == [str(number) for number in rows["number"]]
    _, text, _ = hscl("trials", folder, "--format", "csv", "--sort", "valid")
    told = [float(row["valid"]) for row in csv.DictReader(io.StringIO(text))]
    assert told == pytest.approx(sorted(rows["valid"]))
    out = tmp_path / "t.parquet"
    asked = ["--seeds", "--filter", "phase == confirm", "--format", "parquet", "--out", out]
    assert hscl("trials", folder, *asked)[0] == 0
    every = open_study(folder).trials_table(seeds=True).to_pylist()
    assert pq.read_table(out).to_pylist() == [row for row in every if row["phase"] == "confirm"]
    code, _, err = hscl("trials", folder, "--sort", "vaild")
    assert code == 2
    assert "did you mean 'valid'" in err


def test_parquet_goes_through_a_pipe(folder: Path) -> None:
    command = [sys.executable, "-c", "from hscl.cli.main import main; main()"]
    command += ["table", "plan", str(folder), "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert pq.read_table(pa.BufferReader(done.stdout)).num_rows > 5


def test_tensorboard_files_are_made_where_asked(
    hscl: Hscl, folder: Path, tmp_path: Path, bucket: str
) -> None:
    code, said, _ = hscl("tensorboard", folder, "--out", tmp_path / "tb")
    assert (code, said) == (0, f"tensorboard --logdir {tmp_path / 'tb'}\n")
    assert len(session_groups(tmp_path / "tb")) == 6 + 3
    code, _, err = hscl("tensorboard", f"{bucket}/nothing")
    assert code == 2
    assert "is not there" in err


def test_ready_studies_are_listed_and_shown(hscl: Hscl) -> None:
    _, said, _ = hscl("studies")
    assert "demo " in said
    _, said, _ = hscl("studies", "--json")
    names = [study["name"] for study in json.loads(said)]
    assert {"demo", "search"} <= set(names)
    _, said, _ = hscl("studies", "--show", "demo")
    assert "[study]" in said


@pytest.mark.parametrize(
    ("table", "lost"),
    [
        ("trials", "seem never to have begun or ended"),
        ("reports", "missing from curves, costs and the best so far"),
        ("configs", "appear without name and settings"),
        ("plan", "no verdict is given"),
        ("predictions", "left out of the comparison"),
    ],
)
def test_every_command_names_a_file_that_is_gone_and_nothing_is_decided_without_it(
    hscl: Hscl, folder: Path, tmp_path: Path, table: str, lost: str
) -> None:
    study = Path(shutil.copytree(folder, tmp_path / "study"))
    TableStore(study)._begin()  # counts, as a driver does before it writes
    shutil.rmtree(study / "tables" / table)
    opened = open_study(study)
    (damage,) = [line for line in map(str, opened.damages) if f"tables/{table}/" in line]
    assert damage.startswith(f"tables/{table}/00000000-00000000.parquet is missing, and ")
    assert lost in damage
    for command in (
        ["status", study, "--json"],
        ["trials", study],
        ["table", "plan", study],
        ["compare", study],
        ["report", study, "--markdown"],
        ["tensorboard", study, "--out", tmp_path / "logs"],
        ["export", study, "--out", tmp_path / "best.toml", "--overwrite"],
    ):
        code, _, err = hscl(*command)
        assert code in {0, 2}, command
        assert damage in err, command
    with pytest.raises(InputError, match="nothing is decided without it") as caught:
        opened.refuse_damage()
    assert damage in str(caught.value)
