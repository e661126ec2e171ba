"""Whole simulated studies, judged: what they claim falsely, and what searching them is worth."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from world import Surface, World, flat_surface, hscl_surface, run_study

from hscl.config import Config, preset
from tune.evidence.comparison import compare_study
from tune.evidence.variance import analyse_variance
from tune.simulate.runs import RandomEffects
from tune.simulate.study import SimulatedRun, simulate
from tune.states import Kind, Verdict
from tune.study.sections import BudgetSection
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.fold import fold

__all__ = [
    "Allocation",
    "Regrets",
    "better_half_sd",
    "null_study_claim",
    "parameters_called",
    "regrets",
]

_SPACE = {
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "loss.alpha": {"log_uniform": [0.01, 1.0]},
    "loss.omega1": {"log_uniform": [0.001, 0.3]},
    "loss.omega2": {"log_uniform": [0.01, 1.0]},
    "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
}
_ENDLESS = 100_000  # trials; the budget ends such a search
_LUCK = (0.3**2 + 0.5) ** 0.5  # a world's spread between seeds in units of `RandomEffects.seed`


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
    spec = parse_spec(tree)
    _ = spec.searched  # made once: the copies with other seeds share it
    return spec


def null_study_claim(key: int, sampler: str, scheduler: str, failures: float = 0.0) -> bool | None:
    """Whether a whole study of equal configurations claims a difference.

    Args:
        key: Names the world.
        sampler: Of the study.
        scheduler: Of the study.
        failures: Proportion of trials that fail.

    Returns:
        None where it gives no verdict.
    """
    spec = _seeded(_spec(sampler, scheduler), key)
    world = World(key, flat_surface, RandomEffects(video=0.1, failure_rate=failures))
    tables = run_study(spec, world)[1]
    primary = compare_study(fold(spec, tables), tables["predictions"]).primary
    if primary is None or primary.verdict is None:
        return None
    return primary.verdict in {Verdict.BETTER, Verdict.WORSE}


def parameters_called(
    key: int,
    sampler: str,
    scheduler: str,
    *,
    trials: int = 32,
    surface: Surface = hscl_surface,
    effects: RandomEffects | None = None,
) -> dict[str, bool] | None:
    """Which hyperparameters a whole study says to matter beyond the seed.

    Args:
        key: Names the world.
        sampler: Of the study.
        scheduler: Of the study.
        trials: Configurations in the screen.
        surface: What is true (`hscl_surface`: all but alpha do something).
        effects: The luck around it.

    Returns:
        The verdict on each; None where nothing is said.
    """
    sizes = {"sampler_trials": trials, "confirm_seeds": 0}
    spec = _seeded(_spec(sampler, scheduler, **sizes), key)
    world = World(key, surface, effects or RandomEffects())
    found = analyse_variance(fold(spec, run_study(spec, world)[1]))
    called = {share.name: share.matters for share in found.shares if share.matters is not None}
    return called or None


@cache
def _true_values(count: int = 5_000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The surface at random points of the space, ascending."""
    rng, space = np.random.default_rng(0), _spec().searched
    return np.sort([hscl_surface(space.to_config(space.draw(rng))) for _ in range(count)])


def better_half_sd() -> float:
    """Standard deviation of the true values among the better half of the space."""
    values = _true_values()
    return float(values[: values.size // 2].std())


class Allocation(NamedTuple):
    """How a study's trainings are shared out; as design and defaults have it.

    Attributes:
        trials: Configurations in the screen.
        keep: How many of them race against the default.
        race: Seeds of the race.
        confirm: Seeds of confirm, which select nothing.
    """

    trials: int = 32
    keep: int = 4
    race: int = 4
    confirm: int = 10


class Regrets(NamedTuple):
    """True values above that of the best point of the space.

    Attributes:
        exported: What `export` gives after screen, race and confirm.
        full_length: The best trial of a search on one seed with as many epochs.
        early_stopping: The same with ASHA.
        epochs: How many epochs each of the three took.
    """

    exported: float
    full_length: float
    early_stopping: float
    epochs: int


def regrets(key: int, seed_sd: float, allocation: Allocation, sampler: str = "random") -> Regrets:
    """What three ways to spend the same epochs lose against the best point of the space.

    Args:
        key: Names the world.
        seed_sd: Standard deviation between seeds of one configuration.
        allocation: Of the study with race and confirm, whose screen has ASHA.
        sampler: Of all three.
    """
    # Seeds and single utterances only: what valid itself gets wrong, no budget can mend.
    effects = RandomEffects(seed=seed_sd / _LUCK, video=0.0, utterance=0.0, error=0.1)
    world = World(key, hscl_surface, effects)
    sizes = {
        "sampler_trials": allocation.trials,
        "race_keep": allocation.keep,
        "race_seeds": allocation.race,
        "confirm_seeds": allocation.confirm,
    }
    spec = _seeded(_spec(sampler, "asha", **sizes), key)
    run, tables = run_study(spec, world)
    comparison = compare_study(run.history, tables["predictions"])
    exported = comparison.winner
    primary = comparison.primary
    if exported is None or (primary is not None and primary.verdict is Verdict.WORSE):
        exported = comparison.reference
    found = [_regret(run, exported)]
    epochs = run.history.epochs
    for scheduler in ("none", "asha"):
        alone = _spec(sampler, scheduler, sampler_trials=_ENDLESS, race_seeds=0, confirm_seeds=0)
        alone = alone.model_copy(update={"budget": BudgetSection(epochs=epochs)})
        single = simulate(_seeded(alone, key), world.objective("mae", 9))
        found.append(_regret(single, single.history.plan_rows(Kind.WINNER)[-1]["config_id"]))
    return Regrets(found[0], found[1], found[2], epochs)


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
