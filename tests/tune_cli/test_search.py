"""The commands on real studies: exit codes, formats, one message for every mistake."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import Hscl
from event_files import session_groups
from study_factory import Simulated, write_study

import tune
from hscl.data.dataset import Dataset
from hscl.data.schema import arrow_schema, digest_of, file_metadata, write_utterances
from tune.planner.decisions import plan_row
from tune.states import Kind
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study

STUDY = """
[study]
name = "tiny"
[base]
"model.text.encoder" = "{encoder}"
"model.text.finetune" = false
"model.fusion.heads" = 2
"train.epochs" = 2
"train.batch_size" = 16
[[known]]
name = "hot"
"loss.temperature" = 0.9
[sampler]
kind = "list"
[confirm]
seeds = [5]
[resources]
gpus = 0.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=3)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


@pytest.fixture
def study_file(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY.format(encoder=tiny_encoder))
    return path


@pytest.mark.usefixtures("shared_ray")
def test_search_trains_for_real_says_what_came_out_and_a_second_time_changes_nothing(
    hscl: Hscl, study_file: Path, tiny_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    code, said, _ = hscl("search", study_file, "--data", tiny_file, "--out", out)
    assert code == 0
    assert "confirm: 2 done" in said
    assert f"hscl compare {out}" in said
    done = open_study(out)
    states = {(row["state"], row["precision"]) for row in done.table("trials").to_pylist()}
    assert states == {("done", "fp32")}
    (parameters,) = {row["parameters"] for row in done.table("trials").to_pylist()}
    assert parameters > 1_000
    assert done.table("reports").num_rows == 4
    splits = {row["split"] for row in done.table("predictions").to_pylist()}
    assert splits == {"valid", "test"}
    assert len(list((out / "checkpoints").glob("*/best-*.safetensors"))) == 2
    assert len(session_groups(out / "tensorboard")) == 2
    before = {p: p.read_bytes() for p in (out / "tables").rglob("*.parquet")}
    code, said, _ = hscl("search", study_file, "--data", tiny_file, "--out", out, "--json")
    assert code == 0
    assert json.loads(said)["state"] == "done"
    assert {p: p.read_bytes() for p in (out / "tables").rglob("*.parquet")} == before
    code, said, _ = hscl("search", out, "--data", tiny_file)
    assert code == 0
    waits = said.splitlines()[:2]
    assert waits == [f"tiny: reading {tiny_file}", "tiny: finished before; this is what came out"]
    assert "Ray" not in said
    assert f"hscl compare {out}" in said
    again = tune.search(study_file, data=tiny_file, out=out)  # what the command began
    assert len(again.trials(seeds=True)) == 2


def test_a_dry_run_checks_everything_and_writes_nothing(
    hscl: Hscl, study_file: Path, tiny_file: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    code, said, _ = hscl("search", study_file, "--data", tiny_file, "--out", out, "--dry-run")
    assert code == 0
    assert "confirm  2 configurations × 1 seed = 2 trainings" in said
    assert "s an epoch of the default on this machine (measured)" in said
    assert re.search(r"  disk     at most \d.* a training \(measured\); .* free", said)
    assert not out.exists()
    arguments = ("search", study_file, "--data", tiny_file, "--dry-run", "--json")
    code, said, _ = hscl(*arguments)
    told = json.loads(said)
    assert told["timed"]["seconds_per_epoch"] > 0
    assert told["detects"]["pairs"] == 1
    code, said, _ = hscl(*arguments, "--warm-start", folder)
    planned = {seed for phase in json.loads(said)["phases"] for seed in phase["seeds"]}
    assert planned
    assert not planned & set(open_study(folder).table("trials")["seed"].to_pylist())


def test_bad_input_is_one_message_and_exit_code_2(
    hscl: Hscl, study_file: Path, tiny_file: Path, tmp_path: Path
) -> None:
    cases = [
        (("search", "nonsense", "--data", tiny_file, "--out", "x"), "name of a ready study"),
        (("search", study_file, "--data", "gone.arrow", "--out", "x"), "there is no such file"),
        (("search", study_file, "--data", tiny_file), "--out must say where"),
        (
            ("search", study_file, "--data", tiny_file, "--dry-run", "--warm-start", tmp_path),
            "has no study.toml",
        ),
        (("search", study_file, "--data", tiny_file, "--out", tmp_path), "but holds"),
        (("status", tmp_path), "has no study.toml"),
        (("table", "trials", tmp_path), "has no study.toml"),
        (("tensorboard", tmp_path), "has no study.toml"),
        (("confirm", tmp_path, "--data", tiny_file), "has no study.toml"),
        (("studies", "--show", "nothing"), "is no ready study"),
        (("studies", "--set", "a=b"), "--set belongs to --show"),
        (("studies", "--show", "search", "--set", "train.epoch=3"), "train.epochs"),
        (("confirm", tmp_path, "--data", tiny_file, "--seeds", 3), "belong to --fresh"),
        (("confirm", tmp_path, "--data", tiny_file, "--fresh"), "needs --seeds N and --out"),
    ]
    for arguments, message in cases:
        code, out, err = hscl(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.startswith("hscl: error: ")
        assert message in err
        assert "Traceback" not in err


def test_what_needs_neither_torch_nor_ray_is_refused_before_they_load(
    study_file: Path, tiny_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thing").touch()
    code = f"""
import sys
from contextlib import suppress
from hscl.cli.main import main
for rest in ([], ["--out", {str(tmp_path / "other")!r}], ["--out", "x", "--set", "train.lr=-1"]):
    with suppress(SystemExit):
        main(["search", {str(study_file)!r}, "--data", {str(tiny_file)!r}, *rest])
print(sorted({{"torch", "ray", "optuna", "scipy"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr.count("hscl: error: ") == 3


def test_a_missing_modality_is_refused_with_the_command_that_leaves_it_out(
    hscl: Hscl, study_file: Path, tiny_file: Path, tmp_path: Path
) -> None:
    rows = [replace(row, audio=None) for row in Dataset.open(tiny_file).all_rows()]
    about = file_metadata(digest=digest_of(rows), source="t", audio_width=None, vision_width=20)
    deaf = tmp_path / "deaf.arrow"
    write_utterances(deaf, rows, arrow_schema(None, 20, about))
    arguments = ("search", study_file, "--data", deaf, "--dry-run")
    code, _, err = hscl(*arguments)
    assert code == 2
    way = err.rpartition(": hscl ")[2]
    assert way.endswith("--set model.modalities=text+vision\n")
    code, _, _ = hscl(*shlex.split(way))
    assert code == 0


def test_a_fresh_confirm_needs_the_data_that_chose_the_winner(
    hscl: Hscl, folder: Path, tiny_file: Path, tmp_path: Path
) -> None:
    earlier, new = tmp_path / "earlier", tmp_path / "new"
    shutil.copytree(folder, earlier)
    store = TableStore(open_folder(earlier))
    others = plan_row(Kind.DATA, note="0" * 64) | {"seq": 10**6, "time": datetime.now(UTC)}
    store.append("plan", [others])
    asked = ("confirm", earlier, "--data", tiny_file, "--fresh", "--seeds", 2, "--out", new)
    code, _, err = hscl(*asked)
    assert code == 2
    assert "only on the data that it began with" in err
    assert not new.exists()
