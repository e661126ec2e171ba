"""The search engine beside stock Ray Tune, and its own cost as a study grows.

    trials   trials a second with training of five epochs that does nothing: ours with all tables
             and views on, stock Tune (OptunaSearch, ASHAScheduler, its default loggers) with warm
             actors, and stock as it comes
    reports  driver time a report at 100, 1,000 and 10,000 trials of 20 epochs, without Ray: the
             decision, the tables, TensorBoard and progress; memory and table sizes
    tables   a million report rows: read, and the best value of each configuration

Run: python tests/bench/bench_engine.py [trials] [reports] [tables]
"""

import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
os.environ["PYTHONPATH"] = sys.path[0]

from synthetic import Data, Synthetic, study

from tune.engine.driver import SearchOptions, run_search
from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.study.spec import StudySpec
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.trial.messages import Message, MessageKind
from tune.views.progress import SearchProgress
from tune.views.tensorboard import TensorBoard

EPOCHS = 5
SLOTS = 2
ROUNDS = 5
COUNTS = {"ours": 100, "stock, warm actors": 100, "stock as it comes": 16}


def screen(trials: int, epochs: int, sampler: str) -> StudySpec:
    """Nothing but a screen."""
    return study(
        base={"train.epochs": epochs},
        sampler={"kind": sampler, "trials": trials},
        scheduler={"reduction_factor": 3},
        refine={"trials": 0},
        confirm={"seeds": 0},
        resources={"concurrent": SLOTS},
    )


def bench_trials() -> None:
    """Three searches of the same kind in one Ray, in turns; their medians are compared.

    Stock's rounds fall into two kinds: where its second worker starts a moment before the first
    trial ends, both work; else FIFO ends that start again and again, and one worker does it all.
    """
    from tune.engine.ray_session import ray_session

    spec = screen(COUNTS["ours"], EPOCHS, "tpe")
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in COUNTS}
    with tempfile.TemporaryDirectory() as folder, ray_session(None, spec.resources):
        stock_trials(4, folder, reuse=True)  # Ray's own first start is nobody's
        for number in range(ROUNDS):
            for name, trials in COUNTS.items():
                if number and name == "stock as it comes":
                    continue
                began, cpu = time.perf_counter(), time.process_time()
                if name == "ours":
                    views = (TensorBoard(), SearchProgress(Console(file=io.StringIO())))
                    request = SearchOptions(out=f"{folder}/ours-{number}")
                    run_search(spec, Data(), request, workload=Synthetic(), views=views)
                else:
                    stock_trials(trials, folder, reuse=name == "stock, warm actors")
                seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
                rates[name].append((trials / seconds, 1000 * cpu / trials))
    print(f"trials a second, {EPOCHS} epochs of no training, {SLOTS} at once (start of actors in)")
    ours = [rate for rate, _ in rates["ours"]]
    for name, runs in rates.items():
        each = ", ".join(f"{rate:.2f} ({cpu:.0f} ms)" for rate, cpu in runs)
        theirs = [rate for rate, _ in runs]
        print(f"  {name}, {COUNTS[name]} trials (driver's CPU a trial): {each}")
        print(
            f"    ours {np.median(ours) / np.median(theirs):.2f}x by medians, "
            f"{max(ours) / max(theirs):.2f}x by the best rounds"
        )


def stock_trials(trials: int, folder: str, *, reuse: bool) -> float:
    """Seconds that stock Tune takes, silent like ours, all else as it comes."""
    import ray.tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    def train(config: dict[str, float]) -> None:
        for epoch in range(1, EPOCHS + 1):
            value = abs(np.log10(config["temperature"]) + 1) + abs(np.log10(config["omega2"]))
            ray_tune.report({"mae": value + 0.3 / epoch})

    os.environ.pop("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", None)
    os.environ.pop("TUNE_GLOBAL_CHECKPOINT_S", None)
    space = {
        "temperature": ray_tune.loguniform(0.03, 1.0),
        "omega2": ray_tune.loguniform(0.01, 1.0),
    }
    tuner = ray_tune.Tuner(
        train,
        param_space=space,
        tune_config=ray_tune.TuneConfig(
            metric="mae",
            mode="min",
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3),
            num_samples=trials,
            max_concurrent_trials=SLOTS,
            reuse_actors=reuse,
        ),
        run_config=ray_tune.RunConfig(storage_path=f"{folder}/stock", verbose=0),
    )
    began = time.perf_counter()
    tuner.fit()
    return time.perf_counter() - began


def bench_reports(sizes: tuple[int, ...] = (100, 1_000, 10_000)) -> None:
    """The driver's own work, on its own clock, of the last tenth of each study."""
    print("driver time of a report (the last tenth of the study) and of a trial's start and end")
    first: tuple[float, float] | None = None
    for trials in sizes:
        with tempfile.TemporaryDirectory() as folder:
            report, trial = simulate_driver(Path(folder), trials)
            sizes_on_disk = {
                name: sum(
                    p.stat().st_size for p in (Path(folder) / name).rglob("*") if p.is_file()
                )
                for name in ("tables", "tensorboard")
            }
        first = first or (report, trial)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"  {trials:6d} trials  report {report * 1e3:6.3f} ms ({report / first[0]:4.2f}x)  "
            f"trial {trial * 1e3:6.2f} ms ({trial / first[1]:4.2f}x)  tables "
            f"{sizes_on_disk['tables'] / 2**20:6.1f} MiB, event files "
            f"{sizes_on_disk['tensorboard'] / 2**20:6.1f} MiB, driver at most {memory:.0f} MiB"
        )


def simulate_driver(folder: Path, trials: int) -> tuple[float, float]:
    """Seconds a report and seconds a trial's start and end."""
    spec = screen(trials, 20, "random").model_copy(
        update={"scheduler": study().scheduler.model_copy(update={"kind": "none"})}
    )
    where = open_folder(folder)
    engine = Engine(Recorder(spec, TableStore(where)), lambda: SLOTS)
    (folder / "study.toml").write_text("")
    views = (TensorBoard(), SearchProgress(Console(file=io.StringIO())))
    for view in views:
        view.begin(engine, where)
    reports: list[float] = []
    starts: list[float] = []
    running: dict[str, tuple[Any, int]] = {}
    number = 0
    while True:
        began = time.perf_counter()
        run = engine.next_run(f"t{number}")
        starts.append(time.perf_counter() - began)
        if run is not None:
            running[f"t{number}"] = (run, 0)
            number += 1
            continue
        if not running:
            break
        name = next(iter(running))
        run, epoch = running.pop(name)
        config = engine.history.configs[run.config_id]
        row = _row(config.params, epoch + 1)
        began = time.perf_counter()
        if engine.on_message(name, Message(MessageKind.REPORT, "node", "fp32", row=row)):
            running[name] = (run, epoch + 1)
        engine.recorder.flush_if_due()
        for view in views:
            view.tick()
        reports.append(time.perf_counter() - began)
    for view in views:
        view.end()
    late = reports[-max(1, len(reports) // 10) :]
    return float(np.mean(late)), float(np.mean(starts[-max(1, len(starts) // 10) :]))


def _row(params: dict[str, Any], epoch: int) -> dict[str, Any]:
    value = float(params["loss.temperature"]) + 0.3 / epoch
    metrics = ("mae", "corr", "acc7", "acc5", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0")
    terms = ("total", "task", "low_ta", "low_tv", "sim_ta", "sim_tv", "high")
    return {
        "epoch": epoch,
        "finished": epoch == 20,
        "collapsed": False,
        **{f"valid_{name}": value for name in metrics},
        **{f"loss_{name}": value for name in terms},
        "seconds": 0.1,
        "steps": 10,
        "peak_memory": 1 << 30,
    }


def bench_tables(rows: int = 1_000_000) -> None:
    """What a reader of a very large study waits for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with tempfile.TemporaryDirectory() as folder:
        store = TableStore(folder)
        block = 50_000
        for start in range(0, rows, block):
            store.append("reports", [_report(start + i) for i in range(block)])
        store.compact(whole=True)
        began = time.perf_counter()
        table = TableStore(folder).read("reports", columns=["valid_mae"])
        read = time.perf_counter() - began
        configs = pc.utf8_slice_codeunits(table["trial_id"], 0, 12)
        pairs = pa.table(
            {"config": configs, "trial": table["trial_id"], "mae": table["valid_mae"]}
        )
        best = pairs.group_by(["config", "trial"]).aggregate([("mae", "min")])
        best.group_by("config").aggregate([("mae_min", "mean")])
        whole = time.perf_counter() - began
        began = time.perf_counter()
        TableStore(folder).read("reports")
        everything = time.perf_counter() - began
    print(
        f"{rows:,} report rows: read {read:.2f} s, best of each configuration {whole:.2f} s "
        f"in all; every column read {everything:.2f} s"
    )


def _report(seq: int) -> dict[str, Any]:
    trial, epoch = divmod(seq, 20)
    row = _row({"loss.temperature": (seq * 7919) % 1000 / 1000}, epoch + 1)
    about = {"seq": seq, "trial_id": f"{trial % 5000:012x}-{trial // 5000}", "attempt": 1}
    return row | about | {"stop": False}


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["trials", "reports", "tables"]
    for part in wanted:
        {"trials": bench_trials, "reports": bench_reports, "tables": bench_tables}[part]()
