"""A sample of `tests/bench/bench_fuzz.py`: no stranger's file ends in a traceback or a wait."""

import ast
import re
import sys
from pathlib import Path

import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "tests" / "bench"))

from bench_fuzz import data_sets, ended, model_folders, pickles, study_files

from hscl.cli.main import main
from hscl.data.readers.safe_pickle import read_pickle
from tune.study.toml import load_spec


def badly(outcomes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    assert {outcome for outcome, _ in outcomes} >= {"refused"}
    return [(outcome, why) for outcome, why in outcomes if outcome.isupper()]


def test_study_files(tmp_path: Path) -> None:
    outcomes = []
    for name, content in study_files(50, seed=1):
        (tmp_path / name).write_bytes(content)
        outcomes.append(ended(lambda name=name: load_spec(tmp_path / name)))  # type: ignore[misc]
    assert badly(outcomes) == []


def test_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes = []
    for content in pickles(150, seed=1):
        (tmp_path / "a.pkl").write_bytes(content)
        outcomes.append(ended(lambda: read_pickle(tmp_path / "a.pkl")))
    assert badly(outcomes) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.pkl"]


def test_data_sets(tmp_path: Path, tiny_file: Path) -> None:
    found = data_sets(40, tiny_file, tmp_path / "damaged.arrow", seed=1)
    assert badly([outcome for _, outcome in found]) == []


def test_model_folders(tmp_path: Path, tiny_model: Path, tiny_file: Path) -> None:
    def predict(folder: Path) -> None:
        main(["predict", str(folder), "--data", str(tiny_file)])

    folders = model_folders(12, tiny_model, tmp_path / "model", seed=1)
    outcomes = [ended(lambda folder=folder: predict(folder)) for folder in folders]  # type: ignore[misc]
    assert badly(outcomes) == []


WORD = r"(?: (?:--?[a-z-]+|[A-Z][A-Za-z.]*|[a-z]+\.[a-z]+|[0-9]+|…))*"
COMMAND = re.compile(
    rf"(?:\bhscl (?:cluster )?[a-z]+(?: check| convert)?{WORD}|--logdir|--warm-start) $"
)
PLAIN = re.compile(r"quote|\bjob\b|job_id|address|command|running|\bids?\b|_MANY")
"""What may stand in a command: a quoted path, a job's id, an address, a number."""


def test_every_command_in_a_message_quotes_its_paths() -> None:
    found, bare = 0, []
    for package in ("hscl", "tune", "cluster"):
        for path in (ROOT / package).rglob("*.py"):
            for text in ast.walk(ast.parse(path.read_text())):
                if not isinstance(text, ast.JoinedStr):
                    continue
                said = ""
                for piece in text.values:
                    if isinstance(piece, ast.Constant):
                        said += str(piece.value)
                        continue
                    value = ast.unparse(piece)
                    if COMMAND.search(said):
                        found += 1
                        if not PLAIN.search(value):
                            bare.append(f"{path.name}: {said[-60:]}{value}")
                    said += "…"
    assert bare == []
    assert found > 10
