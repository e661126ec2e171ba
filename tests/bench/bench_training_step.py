"""Epochs of the real training loop on real MOSI (138 utterances), fine-tuned MiniLM.

Random batches against batches of like lengths, whole batches against micro-batches, and what
batching and checkpoints take of an epoch. All in one run, taking turns, processor seconds first:
on a machine that does other things as well they say more than the clock's.
Run: python tests/bench/bench_training_step.py    (needs the shared folder; set HSCL_SHARED)
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from real_data import ten_videos

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.seeding import numpy_stream
from hscl.training.batches import training_batches
from hscl.training.evaluation import Feed
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData, prepare

ROUNDS = 2
BATCH = 32
KINDS: dict[str, dict[str, Any]] = {
    "random": {},
    "length": {"train.batching": "length"},
    "micro 8": {"run.micro_batch": 8},
}


def padded_share(data: TrainingData, feed: Feed, batching: str) -> dict[str, float]:
    """For each modality the share of a batch's places that hold nothing."""
    batches = training_batches(
        feed.costs(data.train), BATCH, batching, numpy_stream(0, "order", 1)
    )
    real = {"text": 0, "audio": 0, "vision": 0}
    places = dict(real)
    for rows in batches:
        batch = vars(feed.batch(data.train, rows))
        for name in real:
            real[name] += int(batch[f"{name}_lengths"].sum())
            places[name] += batch[name].shape[0] * batch[name].shape[1]
    return {name: 1 - real[name] / places[name] for name in real}


def main() -> None:
    """Print seconds an epoch and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        file = ten_videos(Path(folder))
        base = Config().with_overrides(
            {"train.batch_size": BATCH, "train.epochs": 20, "run.device": "cpu"}
        )
        data = prepare(Dataset.open(file), base)
        trainings = {
            kind: Training(base.with_overrides(changes), data, seed=1)
            for kind, changes in KINDS.items()
        }
        seconds = _take_turns(trainings)
        for kind, (processor, clock) in seconds.items():
            ratio = processor / seconds["random"][0]
            print(f"{kind:8} {processor:6.2f} s of the processor, {clock:6.2f} s  ×{ratio:.2f}")
        feed = Feed.of(base, data.scalers, trainings["random"].device)
        for kind in ("random", "length"):
            shares = padded_share(data, feed, kind)
            print(f"padded, {kind}: " + ", ".join(f"{n} {s:.0%}" for n, s in shares.items()))
        epoch = seconds["random"][0]
        began = time.process_time()
        for rows in np.array_split(np.arange(len(data.train)), 5):
            feed.batch(data.train, rows)
        print(f"batching: {(time.process_time() - began) / epoch:.2%} of an epoch")
        began = time.process_time()
        trainings["random"].save(Path(folder) / "state")
        print(f"a checkpoint: {(time.process_time() - began) / epoch:.0%} of an epoch")


def _take_turns(trainings: dict[str, Training]) -> dict[str, tuple[float, float]]:
    """Processor and clock seconds an epoch, the best of each kind."""
    spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in trainings}
    for _ in range(ROUNDS):
        for kind, training in trainings.items():
            began = time.process_time()
            report = next(iter(training))
            spent[kind].append((time.process_time() - began, report.seconds))
    return {
        kind: (min(p for p, _ in values), min(c for _, c in values))
        for kind, values in spent.items()
    }


if __name__ == "__main__":
    main()
