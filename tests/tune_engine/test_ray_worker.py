"""What runs on Ray's workers is found there by name."""

import pickle

import ray.cloudpickle
from places import ROOT
from synthetic import Synthetic

from tune.engine.ray_worker import trainable
from tune.trial.run import HSCL
from tune.trial.workload import Workload


def test_the_trainable_travels_with_its_workload_and_little_else() -> None:
    workloads: list[Workload] = [HSCL, Synthetic()]
    for workload in workloads:
        sent = ray.cloudpickle.dumps(trainable(workload))  # type: ignore[no-untyped-call]
        assert len(sent) < 10_000
        assert pickle.loads(sent).__name__ == "hscl_trial"


def test_a_worker_needs_neither_the_planner_nor_optuna() -> None:
    source = (ROOT / "tune" / "trial" / "run.py").read_text()
    for name in ("ray", "optuna", "tune.engine", "tune.planner"):
        assert f"import {name}" not in source
        assert f"from {name}" not in source
