"""The commands `hscl train`, `evaluate` and `predict`."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hscl.cli.main import main
from hscl.config import Config
from hscl.config_toml import dump_config
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo
from hscl.data.schema import arrow_schema, digest_of, file_metadata, write_utterances
from hscl.seeding import final_seeds
from hscl.trained.record import read_folder

Captured = pytest.CaptureFixture[str]


def hscl(*arguments: object) -> int:
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as leaving:
        main([str(argument) for argument in arguments])
    code = leaving.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def config_file(encoder_config: Config, tmp_path: Path) -> Path:
    """As `hscl export` writes it, by a study that used the seeds 11 and 12."""
    path = tmp_path / "best.toml"
    short = encoder_config.with_overrides({"train.epochs": 1})
    evidence = {"seeds": [11, 12], "metric": "corr", "verdict": "better"}
    path.write_text(dump_config(short, evidence=evidence))
    return path


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_train_makes_a_folder_and_says_where(
    config_file: Path, tiny_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "m"
    arguments = ("train", config_file, "--data", tiny_file, "--out", out, "--seeds", 2)
    assert hscl(*arguments) == 0
    output = capsys.readouterr()
    assert f"2 models in {out}" in output.out
    assert "epoch 1 of 1" in output.err
    _, record = read_folder(out)
    assert record.seeds == final_seeds(0, 2)
    assert record.metric == "corr"  # the study's
    assert hscl(*arguments) == 0  # finished: nothing to do
    assert "epoch" not in capsys.readouterr().err


def test_train_takes_listed_seeds_but_none_of_the_study(
    config_file: Path, tiny_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    base = ("train", config_file, "--data", tiny_file, "--out", tmp_path / "m", "--seed-list")
    assert hscl(*base, "5,12") == 2
    assert "the study chose by [12]" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    assert hscl(*base, "5, 6") == 0
    assert read_folder(tmp_path / "m")[1].seeds == [5, 6]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--seed-list", "1,x"], "whole numbers with commas"),
        (["--seed-list", "1", "--seeds", "3"], "leave --seeds and --seed out"),
        (["--fit", "train+valid"], "--epochs"),
        (["--epochs", "3"], "--fit train+valid"),
        (["--metric", "mea"], "did you mean 'mae'"),
        (["--seeds", "0"], "0 is not in the range"),
        (["--device", "cuda:55"], "cuda:55"),
        (["--device", "gpu"], "run.device"),
        (["--data", "nowhere.arrow"], "no such file"),
    ],
)
def test_wrong_options_are_one_message_and_exit_2(
    config_file: Path,
    tiny_file: Path,
    tmp_path: Path,
    capsys: Captured,
    options: list[str],
    what: str,
) -> None:
    out = tmp_path / "m"
    assert hscl("train", config_file, "--data", tiny_file, "--out", out, *options) == 2
    error = capsys.readouterr().err
    assert what in error
    assert "Traceback" not in error
    assert not out.exists()


@pytest.mark.parametrize("content", [None, "not toml", "[train]\nepoch = 3", "[evidence"])
def test_a_configuration_that_is_none_is_exit_2(
    tiny_file: Path, tmp_path: Path, capsys: Captured, content: str | None
) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_text(content)
    assert hscl("train", path, "--data", tiny_file, "--out", tmp_path / "m") == 2
    assert "c.toml" in capsys.readouterr().err


def test_a_preset_can_be_named_instead_of_a_file(
    tiny_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = ("--data", tiny_file, "--out", tmp_path / "m", "--fit", "train+valid")
    assert hscl("train", "mosi", *arguments) == 2
    assert "--epochs" in capsys.readouterr().err  # past the configuration
    assert hscl("train", "moosi", *arguments) == 2
    assert "moosi must be" in capsys.readouterr().err


def test_evaluate_shows_a_table_or_json_and_leaves_a_trace(
    model: Path, tiny_file: Path, capsys: Captured
) -> None:
    assert hscl("evaluate", model, "--data", tiny_file) == 0
    text = capsys.readouterr().out
    assert "seed 11" in text
    assert "mean prediction" in text
    assert "The first test evaluation" in text
    assert hscl("evaluate", model, "--data", tiny_file, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["seeds"]) == {"11", "12"}
    assert result["earlier"] == 1
    assert len((model / "evaluations.jsonl").read_text().splitlines()) == 2


def test_predict_prints_json_lines_and_csv(model: Path, tiny_file: Path, capsys: Captured) -> None:
    assert hscl("predict", model, "--data", tiny_file, "--split", "valid") == 0
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert output.err == ""
    assert hscl("predict", model, "--data", tiny_file, "--split", "valid", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["utterance"] for row in rows] == [line["utterance"] for line in lines]
    assert [float(row["prediction"]) for row in rows] == pytest.approx(
        [line["prediction"] for line in lines]
    )
    assert {line["seeds"] for line in lines} == {2}


def test_predict_takes_one_seed(model: Path, tiny_file: Path, capsys: Captured) -> None:
    assert hscl("predict", model, "--data", tiny_file, "--seed", 11) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["spread"], line["seeds"]) == (None, 1)
    assert hscl("predict", model, "--data", tiny_file, "--seed", 5) == 2
    assert "its seeds are [11, 12]" in capsys.readouterr().err


def test_predict_takes_words_and_warns_of_what_is_missing(model: Path, capsys: Captured) -> None:
    assert hscl("predict", model, "--text", "a good film", "--text", "bad") == 0
    output = capsys.readouterr()
    assert [json.loads(line)["text"] for line in output.out.splitlines()] == ["a good film", "bad"]
    assert output.err.startswith("warning: 2 of 2 utterances lack audio and vision")


def test_predict_writes_a_file_and_replaces_none_unasked(
    model: Path, tiny_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "p.jsonl"
    arguments = ("predict", model, "--data", tiny_file, "--out", out)
    assert hscl(*arguments) == 0
    assert len(out.read_text().splitlines()) == 60
    assert capsys.readouterr().out == ""
    before = out.stat().st_mtime_ns
    assert hscl(*arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.stat().st_mtime_ns == before
    assert hscl(*arguments, "--overwrite") == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ([], "--data FILE or --text"),
        (["--text", "good", "--data", "x.arrow"], "not both"),
        (["--text", "good", "--split", "test"], "--split belongs to --data"),
        (["--text", " "], "texts must be"),
        (["--text", "good", "--device", "cuda:55"], "cuda:55"),
        (["--data", "nowhere.arrow"], "no such file"),
    ],
)
def test_predict_refuses_what_does_not_fit_together(
    model: Path, capsys: Captured, options: list[str], what: str
) -> None:
    assert hscl("predict", model, *options) == 2
    assert what in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_folder_without_models_is_exit_2(
    tiny_file: Path, tmp_path: Path, capsys: Captured, command: str
) -> None:
    assert hscl(command, tmp_path, "--data", tiny_file) == 2
    assert "hscl train CONFIG" in capsys.readouterr().err


def test_other_features_are_exit_2(model: Path, tmp_path: Path, capsys: Captured) -> None:
    write_demo(tmp_path / "wide.arrow", utterances=60, vision_width=35)
    assert hscl("evaluate", model, "--data", tmp_path / "wide.arrow") == 2
    assert "width 20" in capsys.readouterr().err
    assert not (model / "evaluations.jsonl").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_every_command_explains_itself(command: str, capsys: Captured) -> None:
    assert hscl(command, "--help") == 0
    text = capsys.readouterr().out
    assert "--data" in text
    assert "Raises" not in text


def test_a_prediction_that_is_not_finite_ends_with_1(
    model: Path, tiny_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    # As another program may write it: a conversion leaves no NaN.
    rows = [row for row in Dataset.open(tiny_file).all_rows() if row.split == "test"]
    assert rows[0].audio is not None
    rows[0] = replace(rows[0], audio=np.full_like(rows[0].audio, np.nan))
    about = file_metadata(digest=digest_of(rows), source="t", audio_width=5, vision_width=20)
    write_utterances(tmp_path / "other.arrow", rows, arrow_schema(5, 20, about))

    assert hscl("predict", model, "--data", tmp_path / "other.arrow") == 1
    out, err = capsys.readouterr()
    first, second, *_ = (json.loads(line) for line in out.splitlines())
    assert (first["prediction"], first["spread"]) == (None, None)
    assert isinstance(second["prediction"], float)
    assert "every prediction must be finite, but 1 of 16 are not" in err

    assert hscl("evaluate", model, "--data", tmp_path / "other.arrow") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[2:] == ["–"] * 8
    assert "look at its features with hscl data check" in err
