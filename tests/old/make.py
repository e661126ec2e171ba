"""Wrote what lies beside it, with version 3dd15e0, on 2026-11-28. Never run it again.

What it wrote stands for all that people have on their disks. A later version that can't read it
is at fault; made anew by that version it would prove nothing. It is kept to say how it was done:
in two goes, as waiting for the right moment to kill was mended after `finished` was there.

    cd tests/old && HSCL_CACHE=$(mktemp -d) PATH=.../.venv/bin:$PATH python make.py
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizer

import hscl as hscl_lib
import tune

TEXT = "honestly the story was great"
WORDS = (
    "a acting amazing and annoying awful bad boring brilliant but camera character clumsy decent "
    "disappointing dull ending enjoyable fantastic felt fine for forgettable good great have "
    "honestly horrible humor i is it just last lovely main me movie music nice odd okay out plot "
    "pretty saw say slow so story terrible the thing thought to touching turned um unbearable "
    "uneven very was watch ##able weak week whole wonderful work you know"
)

# As `hscl search`, with a checkpoint after every epoch instead of after every 5 s.
DRIVER = """
import tomllib
from pathlib import Path
from tune.driver import SearchRequest, run_search
from tune.study_data import HsclData
from tune.study_toml import parse_spec
spec = parse_spec(tomllib.loads(Path("study.toml").read_text()))
run_search(spec, HsclData("data.arrow"), SearchRequest(out="unfinished", checkpoint_s=0.0))
"""


def main() -> None:
    """Everything, in the order in which it depends on each other."""
    make_encoder(Path("encoder"))
    hscl("data", "demo", "--out", "data.arrow", "--utterances", "90", "--seed", "1",
         "--audio-width", "2", "--vision-width", "2")  # fmt: skip
    hscl("search", "study.toml", "--data", "data.arrow", "--out", "finished")
    while not (killed(Path("unfinished"), "screen", 3) and killed(Path("unfinished"), "race", 1)):
        shutil.rmtree("unfinished")
    hscl("export", "finished", "--out", "best.toml")
    hscl("train", "best.toml", "--data", "data.arrow", "--seeds", "2", "--out", "model")
    hscl("predict", "model", "--data", "data.arrow", "--split", "test", "--format", "csv",
         "--out", "model_predictions.csv")  # fmt: skip
    Path("facts.json").write_text(json.dumps(facts(), indent=2) + "\n")
    for study in ("finished", "unfinished"):
        shutil.rmtree(f"{study}/tensorboard", ignore_errors=True)
        shutil.rmtree(f"{study}/logs")
    # Of the checkpoints of done trials, which nothing reads again, one is enough of a sample.
    drop_checkpoints(Path("finished"), keep=1)
    drop_checkpoints(Path("unfinished"), keep=0)


def drop_checkpoints(study: Path, keep: int) -> None:
    """Leave those of trials that go on, and so many of done ones."""
    trials = tune.open_study(study).table("trials").to_pylist()
    done = [row["trial_id"] for row in trials if row["state"] == "done"]
    for trial_id in done[: len(done) - keep]:
        shutil.rmtree(study / "checkpoints" / trial_id)


def hscl(*arguments: str) -> None:
    """The command."""
    subprocess.run(["hscl", *arguments], check=True)


def said(*arguments: str) -> str:
    """What the command prints."""
    return subprocess.run(["hscl", *arguments], check=True, capture_output=True, text=True).stdout


def make_encoder(folder: Path) -> None:
    """A random BERT, 8 wide and one layer deep, that knows the words of the demo data."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    BertModel(shape).save_pretrained(folder)


def killed(out: Path, phase: str, ended: int) -> bool:
    """Kill a driver in the middle of a trial; whether it left one that can go on."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER])
    while driver.poll() is None:
        time.sleep(0.01)
        if any(1 <= epochs_of(path) <= 3 for path in out.glob("checkpoints/*/state.safetensors")):
            driver.send_signal(signal.SIGSTOP)  # its workers wait for it
            if begun(out, phase, ended):
                break
            driver.send_signal(signal.SIGCONT)
            time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(10)  # Ray's processes notice that they are alone
    return bool(begun(out, phase, ended))


def begun(out: Path, phase: str, ended: int = 0) -> list[str]:
    """Trials of a phase that run, with a checkpoint of an epoch before the last.

    None before so many trials of that phase have ended.
    """
    try:
        trials = tune.open_study(out).table("trials").to_pylist()
    except Exception:  # noqa: BLE001 - the driver is about to write it
        return []
    ours = [row for row in trials if row["phase"] == phase]
    running = [row["trial_id"] for row in ours if row["state"] == "started"]
    if len(ours) - len(running) < ended:
        return []
    states = {name: out / "checkpoints" / name / "state.safetensors" for name in running}
    return [name for name, path in states.items() if 1 <= epochs_of(path) <= 3]


def epochs_of(state: Path) -> int:
    """How many epochs a checkpoint has seen; 0 where there is none."""
    try:
        with state.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(size))
    except OSError:
        return 0
    return max(
        len(json.loads(text).get("reports", ())) for text in header["__metadata__"].values()
    )


def facts() -> dict[str, Any]:
    """What this version says of both studies and of the model."""
    told: dict[str, Any] = {}
    for name in ("finished", "unfinished"):
        study = tune.open_study(name)
        comparison = study.comparison()
        assert comparison is not None
        tables = ("configs", "trials", "reports", "predictions", "plan")
        states = [row["state"] for row in study.table("trials").to_pylist()]
        told[name] = {
            "state": study.status()["state"],
            "rows": {table: study.table(table).num_rows for table in tables},
            "events": study.table("trials", events=True).num_rows,
            "trials": {state: states.count(state) for state in sorted(set(states))},
            "config_ids": study.table("configs")["config_id"].to_pylist(),
            "split": comparison.split,
            "reference": comparison.reference,
            "winner": comparison.winner,
            "primary": cut(comparison.to_dict()["primary"]),
        }
    told["unfinished"]["begun"] = begun(Path("unfinished"), "race")
    predicted = hscl_lib.load("model").predict_texts([TEXT])
    evaluation = json.loads(said("evaluate", "model", "--data", "data.arrow", "--json"))
    Path("model/evaluations.jsonl").unlink()
    told["model"] = {
        "text": TEXT,
        "prediction": float(predicted.mean[0]),
        "test_mae": evaluation["summary"]["mae"]["mean"],
    }
    return told


def cut(primary: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of the primary comparison is arithmetic on the tables."""
    if primary is None:
        return None
    ends = ("estimate", "low", "high")
    intervals = ("this_test_set", "new_videos")
    plain = {key: primary[key] for key in ("verdict", "first", "second", "seeds", "videos")}
    return plain | {name: {end: primary[name][end] for end in ends} for name in intervals}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
