"""From a trial's order to its first batch: warm trials of ours, and stock Ray Tune's.

Real HSCL training with the packaged MiniLM, frozen and fine-tuned, on the demo data set, one trial
at a time. Stock Tune runs a function that does the same through hscl's Python API, in a fresh
process for each trial, as it comes; our first trial, in a fresh process too, is shown beside.
Taken as the first batch reaches the network: what follows is training.

Run: python tests/bench/bench_startup.py [frozen] [finetuned]
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], str(Path(__file__).resolve().parent)])

from synthetic import study

from hscl.config import Config
from hscl.data.demo import write_demo
from tune.engine.driver import SearchOptions, run_search
from tune.engine.ray_session import ray_session
from tune.study.spec import StudySpec
from tune.trial.data import HsclData
from tune.trial.messages import TrialOrder
from tune.trial.run import HsclWorkload
from tune.views.study import open_study

OURS = 7
STOCK = 4


def mark_first_batch(where: Path) -> None:
    """Write down the time, and this process's CPU since now, as the network gets a batch."""
    from torch.nn import Module
    from torch.nn.modules.module import register_module_forward_pre_hook

    from hscl.model.network import HsclNetwork

    began = time.process_time()

    def mark(module: Module, _: object) -> None:
        if isinstance(module, HsclNetwork):
            handle.remove()
            seconds = {"time": time.time(), "cpu": time.process_time() - began}
            where.write_text(json.dumps(seconds | {"pid": os.getpid()}))

    handle = register_module_forward_pre_hook(mark)


class Timed(HsclWorkload):
    """HSCL's own trainings, timed."""

    def begin(self, order: TrialOrder, config: Config, data: Any) -> Any:
        mark_first_batch(Path(order.study).parent / f"{order.trial_id}.json")
        return super().begin(order, config, data)


def spec_of(name: str) -> StudySpec:
    """A screen of one-epoch trials."""
    return study(
        base={"train.epochs": 1, "model.text.finetune": name == "finetuned"},
        sampler={"kind": "random", "trials": OURS},
        scheduler={"kind": "none"},
        refine={"trials": 0},
        confirm={"seeds": 0},
    )


def ours(spec: StudySpec, data: str, folder: Path) -> tuple[float, list[float], list[float]]:
    """Seconds of the cold first trial and of the warm ones, and CPU seconds of the warm ones."""
    run_search(spec, HsclData(data), SearchOptions(out=str(folder / "study")), workload=Timed())
    events = open_study(folder / "study").table("trials", events=True).to_pylist()
    marks = [
        (row["time"].timestamp(), json.loads((folder / f"{row['trial_id']}.json").read_text()))
        for row in events
        if row["state"] == "started"
    ]
    assert len({mark["pid"] for _, mark in marks}) == 1, "every trial but the first was warm"
    waits = [mark["time"] - ordered for ordered, mark in marks]
    return waits[0], waits[1:], [mark["cpu"] for _, mark in marks[1:]]


def stock(spec: StudySpec, data: str, folder: Path) -> list[float]:
    """Seconds of each trial of stock Tune."""
    import ray.tune as ray_tune
    from ray.tune.search import Searcher

    class Clock(Searcher):
        """Writes into each trial when it was ordered."""

        def suggest(self, trial_id: str) -> dict[str, Any]:
            return {"ordered": time.time(), "mark": str(folder / f"{trial_id}.json")}

        def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None: ...

    text = spec.base.to_json()

    def train(config: dict[str, Any]) -> None:
        from hscl.config import Config
        from hscl.data.dataset import Dataset
        from hscl.training.loop import Training
        from hscl.training.prepared import prepare

        mark_first_batch(Path(config["mark"]))
        ours = Config.from_json(text)
        for report in Training(ours, prepare(Dataset.open(data), ours), seed=1):
            ray_tune.report(report.valid)
        mark = json.loads(Path(config["mark"]).read_text())
        Path(config["mark"]).write_text(json.dumps(mark | {"ordered": config["ordered"]}))

    tuner = ray_tune.Tuner(
        ray_tune.with_resources(train, {"cpu": 1}),
        tune_config=ray_tune.TuneConfig(
            search_alg=Clock(), num_samples=STOCK, max_concurrent_trials=1
        ),
        run_config=ray_tune.RunConfig(storage_path=str(folder / "tune"), verbose=0),
    )
    tuner.fit()
    marks = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert len({mark["pid"] for mark in marks}) == STOCK, "each trial has a process of its own"
    return [mark["time"] - mark["ordered"] for mark in marks]


def main(names: list[str]) -> None:
    """Both, in one Ray."""
    for name in names:
        spec = spec_of(name)
        with tempfile.TemporaryDirectory() as where, ray_session(None, spec.resources):
            data = str(Path(where) / "demo.arrow")
            write_demo(data)
            for folder in ("ours", "stock"):
                (Path(where) / folder).mkdir()
            cold, warm, cpu = ours(spec, data, Path(where) / "ours")
            theirs = stock(spec, data, Path(where) / "stock")
        print(
            f"{name}: from order to the first batch {median(warm):.2f} s warm "
            f"({min(warm):.2f} to {max(warm):.2f}; {median(cpu):.2f} s of the worker's CPU), "
            f"{cold:.2f} s cold; stock Tune as it comes {median(theirs):.2f} s "
            f"({min(theirs):.2f} to {max(theirs):.2f}): {median(theirs) / median(warm):.1f}x ours"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["frozen", "finetuned"])
