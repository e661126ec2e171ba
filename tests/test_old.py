"""What version 3dd15e0 wrote (tests/old) stays usable: read, learned from, predicted with.

Names of modules are left out on purpose: they may change, the commands and files may not.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import hscl
import tune

OLD = Path(__file__).parent / "old"
FACTS: dict[str, Any] = json.loads((OLD / "facts.json").read_text())
STUDIES = ("finished", "unfinished")
TABLES = ("configs", "trials", "reports", "predictions", "plan")
FINISHED = FACTS["finished"]
EXACT = 1e-9  # arithmetic on stored numbers
PREDICTED = 1e-6  # a network's float32 on any CPU


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy for what reads, though reading may leave a report or an evaluation in it."""
    return Path(shutil.copytree(OLD, tmp_path_factory.mktemp("read") / "old"))


@pytest.fixture
def old(read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That copy as the working directory: its files name each other by relative paths."""
    monkeypatch.chdir(read_only)
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    return read_only


def run(*arguments: object) -> bytes:
    """Run a command in this process; what it printed on standard output."""
    name, *rest = map(str, arguments)
    (found,) = entry_points(group="hscl.commands", name=name)
    result = CliRunner().invoke(found.load(), rest, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def start(*arguments: object, at: Path) -> str:
    """Run a command as a process of its own in a folder; what it printed."""
    script = Path(sys.executable).parent / "hscl"
    command = [str(script), *map(str, arguments)]
    environment = os.environ | {"HSCL_CACHE": str(at / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=at, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def rows(study: Path | str) -> dict[str, list[str]]:
    """Every row of every table, each event of a trial; as text, so that NaN equals NaN."""
    opened = tune.open_study(study)
    return {
        name: [repr(row) for row in opened.table(name, events=name == "trials").to_pylist()]
        for name in TABLES
    }


def same(told: dict[str, Any]) -> None:
    """The primary comparison is the one that the old version made."""
    primary = FINISHED["primary"]
    for key in ("verdict", "first", "second", "seeds", "videos"):
        value = told[key]
        assert (list(value) if isinstance(value, tuple) else value) == primary[key]
    for name in ("this_test_set", "new_videos"):
        for end, value in primary[name].items():
            assert told[name][end] == pytest.approx(value, abs=EXACT)


@pytest.mark.parametrize("name", STUDIES)
def test_python_opens_them(old: Path, name: str) -> None:
    study, facts = tune.open_study(old / name), FACTS[name]
    assert study.status()["state"] == facts["state"]
    assert {table: study.table(table).num_rows for table in TABLES} == facts["rows"]
    assert {table: len(study.frame(table)) for table in TABLES} == facts["rows"]
    assert study.table("trials", events=True).num_rows == facts["events"]
    assert Counter(study.table("trials")["state"].to_pylist()) == facts["trials"]
    assert study.table("configs")["config_id"].to_pylist() == facts["config_ids"]
    comparison = study.comparison()
    assert comparison is not None
    assert comparison.split == facts["split"]
    assert comparison.reference == facts["reference"]
    assert comparison.winner == facts["winner"]
    told = comparison.to_dict()["primary"]
    if facts["primary"] is None:
        assert told is None
    else:
        same(told)
    assert study.figures()


@pytest.mark.parametrize("name", STUDIES)
def test_status_says_how_they_stand(old: Path, name: str) -> None:
    said = run("status", name).decode().splitlines()
    (first,) = (line for line in said if line.startswith("old: "))
    assert first.startswith("old: done") == (FACTS[name]["state"] == "done")
    told = json.loads(run("status", name, "--json"))
    assert told["state"] == FACTS[name]["state"]
    assert {k: v for k, v in told["trials"].items() if v} == FACTS[name]["trials"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", STUDIES)
def test_tables_come_in_every_format(old: Path, tmp_path: Path, name: str, table: str) -> None:
    count = FACTS[name]["rows"][table]
    assert len(list(csv.DictReader(io.StringIO(run("table", table, name).decode())))) == count
    lines = run("table", table, name, "--format", "json").splitlines()
    assert [len(json.loads(line)) > 5 for line in lines] == [True] * count
    out = tmp_path / "t.parquet"
    run("table", table, name, "--format", "parquet", "--out", out)
    assert pq.read_table(out).num_rows == count


def test_compare_says_the_same(old: Path, tmp_path: Path) -> None:
    assert f"Verdict: {FINISHED['primary']['verdict']}" in run("compare", "finished").decode()
    told = json.loads(run("compare", "finished", "--json"))
    assert told["winner"] == FINISHED["winner"]
    exported = tomllib.loads(Path("best.toml").read_text())["evidence"]
    assert told["study_digest"] == exported["study_digest"]
    same(told["primary"])
    pairs = csv.DictReader(io.StringIO(run("compare", "finished", "--format", "csv").decode()))
    assert next(pairs)["verdict"] == FINISHED["primary"]["verdict"]
    out = tmp_path / "pairs.parquet"
    run("compare", "finished", "--format", "parquet", "--out", out)
    assert pq.read_table(out)["verdict"][0].as_py() == FINISHED["primary"]["verdict"]


def test_compare_takes_both_and_the_unfinished_one_alone(old: Path, tmp_path: Path) -> None:
    assert "MAE on valid" in run("compare", "unfinished").decode()
    assert json.loads(run("compare", "unfinished", "--json"))["primary"] is None
    run("compare", "unfinished", "--format", "csv")
    run("compare", "unfinished", "--format", "parquet", "--out", tmp_path / "pairs.parquet")
    both = json.loads(run("compare", "finished", "unfinished", "--json"))["studies"]
    assert [one["split"] for one in both] == ["test", "valid"]


@pytest.mark.parametrize("form", ["toml", "json", "yaml"])
def test_export_writes_the_same_winner(old: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"best.{form}"
    assert f"({FINISHED['winner']})" in run("export", "finished", "--out", out).decode()
    assert FINISHED["winner"] in out.read_text()
    one = FACTS["unfinished"]["config_ids"][3]
    options = ("--config", one, "--format", form, "--out", tmp_path / "one")
    assert f"({one})" in run("export", "unfinished", *options).decode()


@pytest.mark.parametrize("name", STUDIES)
def test_report_shows_them(old: Path, tmp_path: Path, name: str) -> None:
    run("report", name, "--out", tmp_path / "report.html")
    assert "</html>" in (tmp_path / "report.html").read_text()
    assert "Study “old”" in run("report", name, "--markdown").decode()
    assert "tabular" in run("report", name, "--latex").decode()
    told = json.loads(run("report", name, "--json"))
    assert told["finished"] is (name == "finished")
    assert told["damages"] == []


@pytest.mark.parametrize("name", STUDIES)
def test_tensorboard_files_are_made_of_them(old: Path, tmp_path: Path, name: str) -> None:
    run("tensorboard", name, "--out", tmp_path / "tb")
    files = list((tmp_path / "tb").rglob("events.out.tfevents.*"))
    assert len(files) >= FACTS[name]["trials"]["done"]


def test_studies_are_planned_from_the_finished_one(old: Path, tmp_path: Path) -> None:
    assert "test videos" in run("simulate", "--from", "finished", "--studies", 5).decode()
    text = Path("study.toml").read_text().replace("[race]\nkeep = 3\nseeds = 2\n", "")
    new = tmp_path / "new.toml"
    new.write_text(text.replace('"./encoder"', f'"{old}/encoder"'))
    arguments = ("search", new, "--data", "data.arrow", "--dry-run", "--json")
    told = json.loads(run(*arguments, "--warm-start", "finished"))
    planned = {seed for phase in told["phases"] for seed in phase["seeds"]}
    assert planned
    assert not planned & set(tune.open_study("finished").table("trials")["seed"].to_pylist())


def test_the_data_set_is_sound(old: Path) -> None:
    assert b"sound" in run("data", "check", "data.arrow")
    assert json.loads(run("data", "check", "data.arrow", "--json"))["problems"] == []


def test_the_model_predicts_as_it_did(old: Path) -> None:
    with (old / "model_predictions.csv").open() as file:
        expected = {(r["video"], r["utterance"]): r for r in csv.DictReader(file)}
    options = ("--data", "data.arrow", "--split", "test")
    said = run("predict", "model", *options, "--format", "csv").decode()
    found = list(csv.DictReader(io.StringIO(said)))
    assert [(row["video"], row["utterance"]) for row in found] == list(expected)
    for row in found:
        before = expected[row["video"], row["utterance"]]
        for column in ("prediction", "spread"):
            assert float(row[column]) == pytest.approx(float(before[column]), abs=PREDICTED)
    lines = [json.loads(line) for line in run("predict", "model", *options).splitlines()]
    means = [float(row["prediction"]) for row in expected.values()]
    assert [line["prediction"] for line in lines] == pytest.approx(means, abs=PREDICTED)
    loaded = hscl.load("model").predict("data.arrow", split="test")
    assert loaded.mean.tolist() == pytest.approx(means, abs=PREDICTED)


def test_the_model_reads_bare_words(old: Path) -> None:
    facts = FACTS["model"]
    (line,) = run("predict", "model", "--text", facts["text"]).splitlines()
    assert json.loads(line)["prediction"] == pytest.approx(facts["prediction"], abs=PREDICTED)


def test_the_model_is_evaluated(old: Path) -> None:
    told = json.loads(run("evaluate", "model", "--data", "data.arrow", "--json"))
    assert told["same_data"]
    expected = pytest.approx(FACTS["model"]["test_mae"], abs=PREDICTED)
    assert told["summary"]["mae"]["mean"] == expected
    assert "seed" in run("evaluate", "model", "--data", "data.arrow").decode()


def test_training_goes_on_in_the_model_folder_and_leaves_its_seeds(
    old: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree("model", tmp_path / "model"))
    before = {path: path.read_bytes() for path in model.glob("seed-*/*.safetensors")}
    assert len(before) == 2
    run("train", "best.toml", "--data", "data.arrow", "--seeds", 2, "--out", model)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(model.glob("seed-*"))) == 2
    run("train", "best.toml", "--data", "data.arrow", "--seeds", 3, "--out", model)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(model.glob("seed-*"))) == 3


def refused(*arguments: object) -> str:
    """Run a command that refuses; what it said."""
    name, *rest = map(str, arguments)
    (found,) = entry_points(group="hscl.commands", name=name)
    error = CliRunner().invoke(found.load(), rest).exception
    assert type(error).__name__ == "InputError"
    return str(error)


def test_the_unfinished_study_is_not_gone_on_with_but_a_new_one_may_know_it(old: Path) -> None:
    before = rows("unfinished")
    data = ("--data", "data.arrow")
    for asked in (
        ("search", "study.toml", *data, "--out", "unfinished"),
        ("search", "study.toml", *data, "--out", "unfinished", "--dry-run"),
        ("search", "search", *data, "--out", "unfinished"),
        ("confirm", "unfinished", *data),
    ):
        said = refused(*asked)
        assert "\n" not in said
        assert "before 0.2, which every command reads but none goes on with" in said
        assert re.search(r"--warm-start \S*unfinished --out DIR", said)
    assert rows("unfinished") == before
    assert "[race] must not stand in a study" in refused(
        "search", "study.toml", *data, "--dry-run"
    )


@pytest.mark.cluster
def test_a_new_study_learns_from_the_unfinished_one(tmp_path: Path) -> None:
    at = Path(shutil.copytree(OLD, tmp_path / "old"))
    text = (at / "study.toml").read_text().replace("[race]\nkeep = 3\nseeds = 2\n", "")
    (at / "new.toml").write_text(text.replace("trials = 12", "trials = 4"))
    data = ("--data", "data.arrow", "--out", "new")
    start("search", "new.toml", *data, "--warm-start", "unfinished", at=at)
    opened, earlier = tune.open_study(at / "new"), tune.open_study(at / "unfinished")
    assert opened.status()["state"] == "done"
    assert set(opened.table("trials")["phase"].to_pylist()) == {"screen", "refine", "confirm"}
    kinds = Counter(opened.table("plan")["kind"].to_pylist())
    screened = [row for row in earlier.table("trials").to_pylist() if row["phase"] == "screen"]
    assert kinds["warm_point"] == len(screened) == 12
    used = set(earlier.table("trials")["seed"].to_pylist())
    assert not used & set(opened.table("trials")["seed"].to_pylist())
    comparison = opened.comparison()
    assert comparison is not None
    assert (comparison.split, len(comparison.seeds)) == ("test", 5)


@pytest.mark.cluster
def test_the_finished_study_asked_for_again_stays_as_it_is(tmp_path: Path) -> None:
    at = Path(shutil.copytree(OLD, tmp_path / "old"))
    before = rows(at / "finished")
    arguments = ("search", "study.toml", "--data", "data.arrow", "--out", "finished", "--json")
    assert json.loads(start(*arguments, at=at))["state"] == "done"
    assert rows(at / "finished") == before
