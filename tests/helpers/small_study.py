"""Small specifications and objectives that the tests of the engine share."""

import tomllib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hscl.config import Config
from tune.simulate.study import Objective, SimulatedRun, SimulatedTrialError
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec

SPACE = """
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"loss.omega1" = { uniform = [0.0, 1.0] }
"""


def study(
    text: str = "", *, space: str = SPACE, epochs: int = 9, sampler: str = "random"
) -> StudySpec:
    """A study of nine epochs, twelve random points and four refined ones, changed by TOML text.

    One in three passes a rung: twelve points are enough for all that may happen there.
    """
    tree: dict[str, Any] = tomllib.loads(space)
    tree["base"] = {"train.epochs": epochs}
    tree["sampler"] = {"kind": sampler, "trials": 12}
    tree["scheduler"] = {"reduction_factor": 3}
    tree["refine"] = {"trials": 4}
    tree["confirm"] = {"seeds": 3}
    for table, keys in tomllib.loads(text).items():
        tree[table] = tree.get(table, {}) | keys if isinstance(keys, dict) else keys
    return parse_spec(tree)


def noisy(seed: int = 0, *, failing: float = 0.0, noise: float = 0.02) -> Objective:
    """Best near temperature 0.1; a share of the trials fails at a random epoch."""

    def objective(config: Config, trial_seed: int, epoch: int) -> float:
        point = round(config.loss.temperature * 1e9)
        one = np.random.default_rng([seed, point, trial_seed])
        if one.random() < failing and epoch == one.integers(1, 10):
            raise SimulatedTrialError(f"bad luck at epoch {epoch}")
        now = np.random.default_rng([seed, point, trial_seed, epoch])
        wrong = abs(np.log(config.loss.temperature / 0.1)) / 10
        return float(0.7 + wrong + 0.3 / epoch + noise * (one.normal() + now.normal()))

    return objective


def shuffled(seed: int) -> Callable[[Sequence[str]], int]:
    """Which running trial reports next, at random."""
    rng = np.random.default_rng(seed)
    return lambda running: int(rng.integers(len(running)))


def seen(run: SimulatedRun) -> dict[str, list[dict[str, Any]]]:
    """The tables as readers see them: each trial's last event, nothing that only counts."""
    last = {row["trial_id"]: row for row in run.tables["trials"]}
    tables = run.tables | {"trials": list(last.values())}
    return {
        name: [
            {key: value for key, value in row.items() if key not in {"seq", "attempt"}}
            for row in rows
        ]
        for name, rows in tables.items()
    }


def branched(text: str = "") -> StudySpec:
    """HSCL, MulT and LF-DNN with a screen each of five configurations; changed by TOML text."""
    space = """
[[known]]
name = "MulT"
preset = "mosi-mult"
[[known]]
name = "LF-DNN"
preset = "mosi-lf-dnn"
[space]
"model.kind" = { choice = ["lf-dnn", "hscl", "mult"] }
"train.lr" = { log_uniform = [1e-4, 5e-3] }
"loss.temperature" = { log_uniform = [0.03, 1.0], when = { "model.kind" = "hscl" } }
"model.mult.layers" = { int = [2, 5], when = { "model.kind" = "mult" } }
"""
    tree: dict[str, Any] = {
        "base": {"train.epochs": 9},
        "sampler": {"kind": "random", "trials": 5, "per": "model.kind"},
        "confirm": {"seeds": 3},
    } | tomllib.loads(space)
    for table, keys in tomllib.loads(text).items():
        tree[table] = tree.get(table, {}) | keys
    return parse_spec(tree)


def by_model(config: Config, trial_seed: int, epoch: int) -> float:
    """MulT's levels lie above all of HSCL's: a rung that mixed them would stop every MulT."""
    level = {"hscl": 0.6, "mult": 1.6, "lf-dnn": 1.1}[config.model.kind]
    luck = np.random.default_rng([round(config.train.lr * 1e9), trial_seed])
    return float(
        level + abs(np.log(config.train.lr / 8e-4)) / 10 + 1 / epoch + 0.01 * luck.random()
    )
