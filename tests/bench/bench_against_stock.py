"""What a search buys beside stock Ray Tune, on MOSI's official folds with a frozen text encoder.

Text and pooled audio, 8 epochs, 12 screen trials. Parts:

    cost      CPU and wall seconds of the very same trials (configuration, seed, epochs) by the
              engine and by stock Tune, as it comes and with warm actors
    quality   both get the same number of epochs; after a quarter, half and all of them each
              side's own choice by valid is trained on the same 5 fresh seeds and tested

Run: python tests/bench/bench_against_stock.py [--parts cost,quality] [--rounds 3] [--folder DIR]
(needs the shared folder; set HSCL_SHARED. A round takes 20 minutes on one core; DIR keeps what is
done, and the same command goes on with it.)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from real_data import official_folds, shared_data

from hscl.config import Config, preset
from tune.views.study import Study, open_study

BASE = {
    "model.modalities": "text+audio",
    "model.text.finetune": False,
    "train.batch_size": 32,
    "train.epochs": 8,
    "run.threads": 1,
}
SPACE = {
    "loss.temperature": (0.03, 1.0),
    "loss.alpha": (0.01, 1.0),
    "loss.omega1": (0.001, 1.0),
    "loss.omega2": (0.001, 1.0),
    "train.lr": (1e-4, 3e-3),
}
SHARES = (0.25, 0.5, 1.0)
TEST_SEEDS = [9001, 9002, 9003, 9004, 9005]


# --- studies -------------------------------------------------------------------------------


def study_file(
    path: Path, *, seed: int, refine: int = 0, rows: Mapping[str, Any] | None = None
) -> Path:
    """A search of the space, or with `rows` a list of configurations tested on 5 seeds."""
    lines = ["[study]", f"seed = {seed}", "[base]", *_assignments(BASE)]
    if rows is None:
        lines += ["[space]"]
        lines += [f'"{name}" = {{ log_uniform = [{a}, {b}] }}' for name, (a, b) in SPACE.items()]
        lines += ["[sampler]", 'kind = "tpe"', "trials = 12", "[refine]", f"trials = {refine}"]
        lines += ["[confirm]", "seeds = 0"]
    else:
        for name, row in rows.items():
            lines += ["[[known]]", f'name = "{name}"', *_assignments(row)]
        lines += ["[sampler]", 'kind = "list"', "[confirm]", f"seeds = {TEST_SEEDS}"]
    lines += ["[resources]", "cpus = 1", "concurrent = 1"]
    path.write_text("\n".join(lines) + "\n")
    return path


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [f'"{name}" = {json.dumps(value)}' for name, value in values.items()]


def search(study: Path, data: Path, out: Path) -> tuple[float, float]:
    """CPU and wall seconds of `hscl search` on one slot."""
    command = [
        sys.executable,
        "-c",
        "from hscl.cli.main import main; main()",
        "search",
        str(study),
    ]
    return _measured([*command, "--data", str(data), "--out", str(out)])


def _measured(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of a command with all it starts, sampled twice a second."""
    spent: dict[int, float] = {}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        top = psutil.Process(process.pid)
        over = threading.Event()

        def sample() -> None:
            while not over.wait(0.5):
                try:
                    tree = [top, *top.children(recursive=True)]
                except psutil.NoSuchProcess:
                    return
                for one in tree:
                    try:
                        times = one.cpu_times()
                    except psutil.NoSuchProcess:
                        continue
                    spent[one.pid] = times.user + times.system

        sampler = threading.Thread(target=sample)
        sampler.start()
        code = process.wait()
        over.set()
        sampler.join()
    if code:
        sys.exit(f"{' '.join(command)} ended with exit code {code}")
    return sum(spent.values()), time.perf_counter() - began


# --- stock Ray Tune ------------------------------------------------------------------------


def stock(task: Path) -> None:  # noqa: C901 - a user's script, whole
    """One stock Tune run, told by a JSON file; every report goes to the file beside it."""
    import ray
    import ray.tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    told = json.loads(task.read_text())
    data = told["data"]
    reports = task.with_suffix(".reports")
    reports.unlink(missing_ok=True)

    class Reports(ray_tune.Callback):
        """Every report in the order in which it came; ends the run with its budget."""

        def __init__(self) -> None:
            self.count = 0

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            self.count += 1
            row = {"config": trial.config, "mae": result["mae"]}
            with reports.open("a") as file:
                file.write(json.dumps(row) + "\n")

    kept = Reports()

    class Budget(ray_tune.Stopper):
        """Over when that many epochs are reported."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return False

        def stop_all(self) -> bool:
            return bool(kept.count >= told["epochs"])

    def train(config: dict[str, Any]) -> None:
        from hscl.data.dataset import Dataset
        from hscl.training.loop import Training
        from hscl.training.prepared import prepare

        epochs, seed = config.pop("epochs", 8), config.pop("seed", 0)
        whole = preset("mosi").with_overrides({**told["base"], **config})
        training = Training(whole, prepare(Dataset.open(data), whole), seed=seed)
        for report in training:
            with tempfile.TemporaryDirectory() as folder:
                training.save(Path(folder) / "state")
                ray_tune.report(
                    {"mae": report.valid["mae"]},
                    checkpoint=ray_tune.Checkpoint.from_directory(folder),
                )
            if report.epoch == epochs:
                break

    settings: dict[str, Any] = {"reuse_actors": told["reuse"], "max_concurrent_trials": 1}
    space: dict[str, Any]
    if told["trials"]:
        space = {"trial": ray_tune.grid_search(told["trials"])}
        chosen = train

        def train(config: dict[str, Any]) -> None:
            chosen(dict(config["trial"]))
    else:
        space = {name: ray_tune.loguniform(*ends) for name, ends in SPACE.items()}
        settings |= {
            "search_alg": OptunaSearch(seed=told["seed"]),
            "scheduler": ASHAScheduler(max_t=8, grace_period=1, reduction_factor=3),
            "metric": "mae",
            "mode": "min",
            "num_samples": -1,
        }
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        run = ray_tune.RunConfig(
            storage_path=folder,
            verbose=0,
            callbacks=[kept],
            stop=Budget(),
        )
        tuned = ray_tune.with_resources(train, {"cpu": 1})
        result = ray_tune.Tuner(
            tuned, param_space=space, tune_config=ray_tune.TuneConfig(**settings), run_config=run
        ).fit()
    if result.num_errors:
        sys.exit("a stock trial failed")
    ray.shutdown()


def run_stock(task: Path, **told: Any) -> tuple[float, float]:
    """CPU and wall seconds of one stock run, and its reports beside the task."""
    task.write_text(json.dumps({"base": BASE, "trials": None, "seed": 0, "epochs": 1e9, **told}))
    return _measured([sys.executable, __file__, "--stock", str(task)])


# --- parts ---------------------------------------------------------------------------------


def cost(folder: Path, data: Path) -> None:
    """The same trials by both."""
    out = folder / "cost"
    study = study_file(folder / "cost.toml", seed=0)
    result = folder / "cost.json"
    if not result.exists():
        rows = {"the engine": search(study, data, out)}
        done = open_study(out)
        ran = [
            {**_overrides(done, trial.config_id), "seed": trial.seed, "epochs": trial.epoch}
            for trial in done.history.trials.values()
        ]
        for name, reuse in (("stock Tune", False), ("stock Tune, warm actors", True)):
            task = folder / f"cost-{reuse}.json"
            rows[name] = run_stock(task, data=str(data), trials=ran, reuse=reuse)
        rows["training"] = (sum(done.table("reports")["seconds"].to_pylist()),) * 2
        result.write_text(json.dumps({"rows": rows, "trials": len(ran)}))
    told = json.loads(result.read_text())
    print(f"cost: the same {told['trials']} trials, one at a time")
    ours = told["rows"]["the engine"]
    for name, (cpu, wall) in told["rows"].items():
        print(
            f"  {cpu:6.1f} CPU s ({cpu / ours[0]:.2f}x)  {wall:6.1f} s wall "
            f"({wall / ours[1]:.2f}x)  {name}"
        )


def _overrides(study: Study, config_id: str) -> dict[str, Any]:
    config = study.history.configs[config_id]
    return {name: config.params[name] for name in SPACE}


def our_choices(study: Study) -> tuple[list[dict[str, Any]], int]:
    """The choice at each share of the epochs that the study took, and how many these are.

    The best complete training of the search, before the first the best value so far.
    """
    trials = {trial.trial_id: trial for trial in study.history.trials.values()}
    default = next(c.config_id for c in study.history.configs.values() if c.number == 0)
    rows = study.table("reports", columns=["seq", "finished", "valid_mae"]).to_pylist()
    rows.sort(key=lambda row: row["seq"])
    choices = []
    for share in SHARES:
        best: dict[str, float] = {}
        complete: set[str] = set()
        for row in rows[: round(share * len(rows))]:
            name = row["trial_id"]
            best[name] = min(row["valid_mae"], best.get(name, np.inf))
            if row["finished"]:
                complete.add(name)
        pool = [name for name in complete if trials[name].config_id != default]
        chosen = min(pool or best, key=lambda name: best[name])
        choices.append(_overrides(study, trials[chosen].config_id))
    return choices, len(rows)


def stock_choices(reports: Path) -> list[dict[str, Any]]:
    """The configuration of the best report so far, at each share of the epochs."""
    rows = [json.loads(line) for line in reports.read_text().splitlines()]
    firsts = [rows[: round(share * len(rows))] for share in SHARES]
    return [min(first, key=lambda row: row["mae"])["config"] for first in firsts]


def quality(folder: Path, data: Path, rounds: int) -> None:
    """Choices of both at equal budgets, and what they are worth on test."""
    rows: dict[str, dict[str, Any]] = {}
    for number in range(rounds):
        out = folder / f"ours-{number}"
        study = study_file(folder / f"ours-{number}.toml", seed=number, refine=8)
        if not (folder / f"ours-{number}.done").exists():
            search(study, data, out)
            (folder / f"ours-{number}.done").touch()
        ours, epochs = our_choices(open_study(out))
        task = folder / f"stock-{number}.json"
        if not task.with_suffix(".done").exists():
            run_stock(task, data=str(data), seed=number, epochs=epochs, reuse=True)
            task.with_suffix(".done").touch()
        for side, choices in (
            ("ours", ours),
            ("stock", stock_choices(task.with_suffix(".reports"))),
        ):
            rows |= {f"{side} {number} {s}": c for s, c in zip(SHARES, choices, strict=True)}
        print(f"round {number}: {epochs} epochs each", flush=True)
    distinct = {_digest(row): row for row in rows.values()}
    study = study_file(folder / f"test-{rounds}.toml", seed=0, rows=distinct)
    out = folder / f"test-{rounds}"
    search(study, data, out)
    tested = open_study(out)
    means = mean_test_mae(tested)
    print("quality: mean test MAE over 5 seeds of each side's choice by valid")
    for share in SHARES:
        values = {
            side: np.array([means[_digest(rows[f"{side} {n} {share}"])] for n in range(rounds)])
            for side in ("ours", "stock")
        }
        gap = values["ours"] - values["stock"]
        error = gap.std(ddof=1) / np.sqrt(rounds) if rounds > 1 else float("nan")
        told = "  ".join(
            f"{side} {v.mean():.4f} ({' '.join(f'{x:.4f}' for x in v)})"
            for side, v in values.items()
        )
        print(f"  {share:.0%} of the epochs: {told}  difference {gap.mean():+.4f} ± {error:.4f}")
    print(f"  default: {means['default']:.4f}")


def _digest(row: Mapping[str, Any]) -> str:
    config: Config = preset("mosi").with_overrides({**BASE, **row})
    return config.config_id


def mean_test_mae(study: Study) -> dict[str, float]:
    """By name; each run's MAE over the test predictions, its mean over seeds."""
    frame = study.frame("predictions")
    frame = frame[frame["split"] == "test"]
    frame["error"] = (frame["prediction"] - frame["label"]).abs()
    runs = frame.groupby("trial_id")["error"].mean()
    by_config = runs.groupby(runs.index.str[:12]).mean()
    configs = study.history.configs
    return {
        ("default" if configs[c].number == 0 else configs[c].name or c): float(value)
        for c, value in by_config.items()
    }


def main() -> None:
    """Run the wanted parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", default="cost,quality")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stock", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stock:
        stock(options.stock)
        return
    shared_data()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = official_folds(folder)
        if "cost" in options.parts:
            cost(folder, data)
        if "quality" in options.parts:
            quality(folder, data, options.rounds)


if __name__ == "__main__":
    main()
