"""Whole simulated studies, judged: what they claim falsely, and what searching them is worth."""

from functools import cache
from typing import Any

import numpy as np

from hscl.config import Config, preset
from tune.simulated_run import SimulatedRun, simulate
from tune.simulated_studies import World, flat_surface, hscl_surface, run_study
from tune.simulator import Effects
from tune.states import Kind, Verdict
from tune.study_comparison import compare_study
from tune.study_spec import StudySpec
from tune.study_toml import parse_spec
from tune.variance import analyse_variance

__all__ = ["better_half_sd", "call_of_nothing", "null_study_claim", "regrets"]

_SPACE = {
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "loss.alpha": {"log_uniform": [0.01, 1.0]},
    "loss.omega1": {"log_uniform": [0.001, 0.3]},
    "loss.omega2": {"log_uniform": [0.01, 1.0]},
    "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
}
_NOTHING = "loss.alpha"
_LUCK = (0.3**2 + 0.5) ** 0.5  # a world's spread between seeds in units of `Effects.seed`


def _seeded(spec: StudySpec, key: int) -> StudySpec:
    """The same study with proposals and seeds of its own."""
    return spec.model_copy(update={"study": spec.study.model_copy(update={"seed": key})})


@cache
def _spec(sampler: str = "random", scheduler: str = "asha", **tables: int) -> StudySpec:
    """A study over the real hyperparameters, changed by `table_key` numbers."""
    tree: dict[str, Any] = {
        "base": {"train.epochs": 9},
        "space": _SPACE,
        "sampler": {"kind": sampler, "trials": 32},
        "scheduler": {"kind": scheduler},
        "race": {"keep": 4, "seeds": 4},
        "confirm": {"seeds": 10},
    }
    for name, value in tables.items():
        table, key = name.split("_", 1)
        tree.setdefault(table, {})[key] = value
    return parse_spec(tree)


def null_study_claim(key: int, sampler: str = "random") -> bool | None:
    """Whether a whole study of equal configurations claims a difference.

    Args:
        key: Names the world.
        sampler: Of the study.

    Returns:
        None where it gives no verdict.
    """
    spec = _seeded(_spec(sampler, sampler_trials=12, race_seeds=3, confirm_seeds=8), key)
    world = World(key, flat_surface, Effects(video=0.1))
    primary = compare_study(spec, run_study(spec, world)[1]).primary
    if primary is None or primary.verdict is None:
        return None
    return primary.verdict in {Verdict.BETTER, Verdict.WORSE}


def call_of_nothing(key: int, sampler: str, scheduler: str) -> tuple[float, bool] | None:
    """How a study judges the parameter that does nothing.

    Args:
        key: Names the world.
        sampler: Of the study.
        scheduler: Of the study.

    Returns:
        Its p value corrected for its fellows, and whether it is said to matter; None where
        nothing is said.
    """
    spec = _seeded(_spec(sampler, scheduler, confirm_seeds=0), key)
    found = analyse_variance(spec, run_study(spec, World(key))[1])
    for share in found.shares:
        if share.name == _NOTHING and share.p is not None:
            return share.p, bool(share.matters)
    return None


@cache
def _true_values(count: int = 20_000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The surface at random points of the space, ascending."""
    rng, space = np.random.default_rng(0), _spec().searched
    draws = (space.to_config(space.draw(rng)) for _ in range(count // 10))
    return np.sort([hscl_surface(config) for config in draws])


def better_half_sd() -> float:
    """Standard deviation of the true values among the better half of the space."""
    values = _true_values()
    return float(values[: values.size // 2].std())


def regrets(key: int, seed_sd: float, trials: int = 192) -> tuple[float, float, float]:
    """What three ways to spend the same epochs lose against the best point of the space.

    Args:
        key: Names the world.
        seed_sd: Standard deviation between seeds of one configuration.
        trials: Configurations in the screen; eight of them go on to a race of ten seeds.

    Returns:
        Regret of what `export` gives after screen, race and confirm; of the best trial of a search
        on one seed with as many epochs; and of the same with early stopping.
    """
    # Seeds and single utterances only: what valid itself gets wrong, no budget can mend.
    effects = Effects(seed=seed_sd / _LUCK, video=0.0, utterance=0.0, error=0.1)
    world = World(key, hscl_surface, effects)
    spec = _seeded(_spec(sampler_trials=trials, race_keep=8, race_seeds=10), key)
    run, tables = run_study(spec, world)
    comparison = compare_study(spec, tables)
    exported = comparison.winner
    primary = comparison.primary
    if exported is None or (primary is not None and primary.verdict is Verdict.WORSE):
        exported = comparison.reference
    found = [_regret(run, exported)]
    for scheduler in ("none", "asha"):
        alone = _spec(
            "random",
            scheduler,
            race_seeds=0,
            confirm_seeds=0,
            sampler_trials=1000,
            budget_epochs=run.history.epochs,
        )
        single = simulate(_seeded(alone, key), world.objective("mae", 9))
        found.append(_regret(single, single.history.plan_rows(Kind.WINNER)[-1]["config_id"]))
    return found[0], found[1], found[2]


def _regret(run: SimulatedRun, config_id: str | None) -> float:
    config = Config.from_json(run.history.configs[str(config_id)].config)
    return hscl_surface(config) - hscl_surface(_best())


@cache
def _best() -> Config:
    """The surface's lowest point (its interaction shifts the bowl by nothing: both logs are 0)."""
    return preset("mosi").with_overrides(
        {
            "loss.temperature": 0.15,
            "loss.omega1": 0.03,
            "loss.omega2": 0.1,
            "train.lr_text": 3e-5,
        }
    )
