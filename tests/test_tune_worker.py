"""What runs on Ray's workers is found there by name."""

import pickle
from pathlib import Path

import ray.cloudpickle
from synthetic import Synthetic

from tune.trial_run import HSCL
from tune.worker import trainable
from tune.workload import Workload


def test_the_trainable_travels_with_its_workload_and_little_else() -> None:
    workloads: list[Workload] = [HSCL, Synthetic()]
    for workload in workloads:
        sent = ray.cloudpickle.dumps(trainable(workload))  # type: ignore[no-untyped-call]
        assert len(sent) < 10_000
        assert pickle.loads(sent).__name__ == "hscl_trial"


def test_a_worker_needs_neither_the_planner_nor_optuna() -> None:
    source = (Path(__file__).parents[1] / "tune" / "trial_run.py").read_text()
    for name in ("ray", "optuna", "tune.engine", "tune.driver", "tune.phases"):
        assert f"import {name}\n" not in source
        assert f"from {name} import" not in source
