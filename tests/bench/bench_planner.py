"""The engine's own work at 100 to 10,000 trials: CPU a report, a trial, a proposal; memory.

Studies run in memory (`tune.simulate.study`, 20 epochs a trial, sampler "random" for the planner),
so that everything measured is planner, scheduler and history. The ratios should stay near 1; a
proposal of TPE grows to its bound of 1,000 known trials and then no more.

Run: python tests/bench/bench_planner.py [TRIALS …]
"""

import sys
import time
import tracemalloc
from itertools import islice

import numpy as np

from hscl.config import Config
from tune.planner.asha import should_stop
from tune.planner.samplers import suggestions
from tune.simulate.study import SimulatedRun
from tune.states import Phase
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.history import History

SPACE = {
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "loss.alpha": {"log_uniform": [0.01, 1.0]},
    "loss.omega1": {"log_uniform": [0.001, 1.0]},
    "loss.omega2": {"log_uniform": [0.001, 1.0]},
    "train.lr": {"log_uniform": [1e-4, 1e-2]},
    "train.lr_text": {"log_uniform": [1e-6, 1e-4]},
}


def spec_of(trials: int, sampler: str) -> StudySpec:
    """A screen of so many trials."""
    return parse_spec(
        {
            "space": SPACE,
            "sampler": {"kind": sampler, "trials": trials},
            "scheduler": {"kind": "asha"},
            "refine": {"trials": 0},
            "confirm": {"seeds": 0},
        }
    )


def objective(config: Config, seed: int, epoch: int) -> float:
    """Cheap, different for each point, and better from epoch to epoch."""
    return 0.5 + (config.loss.temperature * 7919.0 + seed * 0.1) % 1.0 / epoch


def measure_planner(trials: int) -> tuple[float, float]:
    """Microseconds a trial (proposing, starting, ending) and a report, of the last tenth."""
    spec = spec_of(trials, "random")
    run = SimulatedRun(spec, objective)
    reports, begun = 0, 0.0
    planning = reporting = 0.0
    while run.done is None:
        late = len(run.history.configs) > 0.9 * trials
        started = time.process_time()
        run.start_trials()
        planning += (time.process_time() - started) * late
        if run.done is not None:
            break
        started = time.process_time()
        run.report(next(iter(run.history.open)))
        reporting += (time.process_time() - started) * late
        reports += late
        begun += late and run.history.open == {}
    return planning / begun * 1e6, reporting / reports * 1e6


def filled(spec: StudySpec, trials: int) -> History:
    """A screen of so many trials that ended, each with twenty reports."""
    history = History(spec)
    rng = np.random.default_rng(0)
    seq = 0
    for number in range(trials):
        name = f"{number:012x}"
        config = {
            "config_id": name,
            "number": number,
            "origin": "sampler",
            "name": "",
            "config": "",
        }
        history.apply_config(config | spec.searched.draw(rng))
        event = {"trial_id": f"{name}-1", "config_id": name, "phase": "screen", "seed": 1}
        history.apply_event(event | {"seq": seq, "state": "started", "attempt": 1})
        for epoch in range(1, 21):
            value = float(rng.random())
            should_stop(spec, history, f"{name}-1", epoch, value)
            row = {"trial_id": f"{name}-1", "epoch": epoch, "valid_mae": value, "seconds": 1.0}
            history.apply_report(row | {"finished": epoch == 20})
        history.apply_event(event | {"seq": seq, "state": "done", "attempt": 1})
    return history


def main() -> None:
    """Print all figures."""
    sizes = [int(size) for size in sys.argv[1:]] or [100, 1_000, 10_000]
    first = None
    print("trials    µs a trial    µs a report    against the first")
    for size in sizes:
        trial, report = measure_planner(size)
        first = first or (trial, report)
        ratios = f"{trial / first[0]:.2f}, {report / first[1]:.2f}"
        print(f"{size:6,}    {trial:10,.0f}    {report:11,.0f}    {ratios}")
    print("known trials    ms a proposal of TPE    of the model")
    for size in sizes:
        spec = spec_of(size + 10, "tpe")
        history = filled(spec, size)
        costs = []
        for phase in (Phase.SCREEN, Phase.REFINE):
            times = []
            for number in range(size, size + 5):
                started = time.process_time()
                next(islice(suggestions(spec, history, number, phase), 1))
                times.append(time.process_time() - started)
            costs.append(sorted(times)[2] * 1e3)
        print(f"{size:12,}    {costs[0]:10.1f}    {costs[1]:10.1f}")
    print("trials of 20 epochs    MiB of history")
    for size in sizes:
        spec = spec_of(size, "random")
        tracemalloc.start()
        history = filled(spec, size)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{len(history.trials):19,}    {used / 2**20:10.1f}")


if __name__ == "__main__":
    main()
