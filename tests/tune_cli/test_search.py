"""The commands on real studies: exit codes, formats, one message for every mistake."""

import json
from pathlib import Path

import pytest
from commands import Hscl
from event_files import session_groups
from study_factory import Simulated, write_study

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


def test_a_dry_run_checks_everything_and_writes_nothing(
    hscl: Hscl, study_file: Path, tiny_file: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    code, said, _ = hscl("search", study_file, "--data", tiny_file, "--out", out, "--dry-run")
    assert code == 0
    assert "confirm  2 configurations × 1 seed = 2 trainings" in said
    assert "s an epoch of the default on this machine (measured)" in said
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
    ]
    for arguments, message in cases:
        code, out, err = hscl(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.startswith("hscl: error: ")
        assert message in err
        assert "Traceback" not in err
