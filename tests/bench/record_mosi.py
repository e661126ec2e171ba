"""Record real trainings on MOSI's official folds, to be replayed as a benchmark of searches.

    python tests/bench/record_mosi.py [--runs FILE] [--configurations 256] [--seeds 4]
        [--workers cuda:6,cpu:10] [--seconds 600]

Words and one pooled audio vector an utterance, frozen MiniLM, batches of 32, 8 epochs; loss
weights, temperature and learning rate on a Sobol sequence, the default first. Each row is one
training: its valid MAE after every epoch, and the test MAE of the epoch that valid chose. What the
file has already is not trained again, so a record can be made in pieces. (Needs the shared folder;
set HSCL_SHARED. A training takes about 13 processor seconds.)

`mosi_runs.parquet` beside this file was made so: 1,024 trainings, 506 on one H200 and 518 on cores
beside it, in float32; test MAE is .879 ± .042 there and .878 ± .041 here.
"""

import argparse
import multiprocessing as mp
import queue
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from real_data import official_folds
from scipy.stats import qmc

from hscl.config import Config, preset
from hscl.data.dataset import Dataset
from hscl.data.splits import open_test
from hscl.training.loop import Training
from hscl.training.prepared import prepare, prepare_split

RUNS = Path(__file__).with_name("mosi_runs.parquet")
SPACE = {
    "loss.temperature": (0.03, 1.0),
    "loss.alpha": (0.01, 1.0),
    "loss.omega1": (0.001, 1.0),
    "loss.omega2": (0.001, 1.0),
    "train.lr": (1e-4, 3e-3),
}
"""Searched on a logarithmic scale."""
BASE = {
    "model.text.finetune": False,
    "model.modalities": "text+audio",
    "train.epochs": 8,
    "train.batch_size": 32,
    "run.precision": "fp32",
    "run.threads": 1,
}
_DRAWN = 256  # points of the sequence, however many are trained
_BLOCK = 64  # configurations whose seeds come before the next ones: a cut leaves whole ones
_KEPT = 20  # trainings from one writing of the file to the next
_SEED = 20261128

Values = dict[str, float]


def base() -> Config:
    """What all trainings share."""
    return preset("mosi").with_overrides(BASE)


def configurations(count: int) -> list[Values]:
    """The default, then points of a scrambled Sobol sequence, four digits each."""
    drawn = qmc.Sobol(len(SPACE), scramble=True, rng=np.random.default_rng(_SEED)).random(_DRAWN)
    low, high = np.log(np.array(list(SPACE.values()))).T
    points = np.exp(low + drawn * (high - low))
    named = [dict(zip(SPACE, map(_four_digits, point), strict=True)) for point in points]
    published = base().dotted()
    return [{name: float(published[name]) for name in SPACE}, *named][:count]


def tasks(count: int, seeds: int) -> Iterator[tuple[int, Values, int]]:
    """(number, values, seed) of each training, in the order in which they are made."""
    every = list(enumerate(configurations(count)))
    for start in range(0, count, _BLOCK):
        for seed in range(1, seeds + 1):
            yield from ((n, values, seed) for n, values in every[start : start + _BLOCK])


def train(values: Values, seed: int, device: str, prepared: Any) -> dict[str, Any]:
    """One training as a row."""
    data, test = prepared
    began = time.perf_counter()
    config = base().with_overrides({**values, "run.device": device})
    training = Training(config, data, seed=seed)
    reports = list(training)
    error = np.abs(training.predict(test) - test.labels)
    return {
        "device": device,
        "valid_mae": [report.valid["mae"] for report in reports],
        "best_epoch": training.best.epoch,
        "test_mae": float(error.mean()),
        "seconds": time.perf_counter() - began,
    }


def read_prepared(data: Path) -> Any:
    """Train and valid as numbers, and test."""
    dataset = Dataset.open(data)
    return prepare(dataset, base()), prepare_split(open_test(dataset), base(), dataset.digest)


def _work(device: str, data: Path, todo: Any, rows: Any, until: float) -> None:
    prepared = read_prepared(data)
    while (task := todo.get()) is not None and time.time() < until:
        number, values, seed = task
        row = train(values, seed, device, prepared)
        rows.put({"configuration": number, **values, "seed": seed} | row)


def _write(known: list[dict[str, Any]], runs: Path) -> None:
    known.sort(key=lambda row: (row["configuration"], row["seed"]))
    part = runs.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(known), part, compression="zstd")
    part.replace(runs)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--configurations", type=int, default=_DRAWN)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", default="cpu:1", help="device:number, with commas")
    parser.add_argument("--seconds", type=float, default=600.0)
    asked = parser.parse_args()
    known = pq.read_table(asked.runs).to_pylist() if asked.runs.exists() else []
    done = {(row["configuration"], row["seed"]) for row in known}
    missing = [t for t in tasks(asked.configurations, asked.seeds) if (t[0], t[2]) not in done]
    print(f"{len(done)} trainings are recorded, {len(missing)} are missing")
    if not missing:
        return
    data = official_folds(asked.runs.parent)
    read_prepared(data)  # encodes the words once, for all workers
    context = mp.get_context("spawn")
    todo, rows = context.Queue(), context.Queue()
    kinds = [kind.partition(":") for kind in asked.workers.split(",")]
    devices = [device for device, _, number in kinds for _ in range(int(number or 1))]
    for task in [*missing, *[None] * len(devices)]:
        todo.put(task)
    until = time.time() + asked.seconds
    workers = [
        context.Process(target=_work, args=(device, data, todo, rows, until), daemon=True)
        for device in devices
    ]
    for worker in workers:
        worker.start()
    # One that fails or is killed says nothing; the rows of the others are kept.
    while any(worker.is_alive() for worker in workers) or not rows.empty():
        with suppress(queue.Empty):
            known.append(rows.get(timeout=1.0))
            if len(known) % _KEPT == 0:
                _write(known, asked.runs)
    _write(known, asked.runs)
    todo.cancel_join_thread()  # what nobody has taken when the time is over
    print(f"{len(known)} trainings are recorded in {asked.runs}")


if __name__ == "__main__":
    main()
