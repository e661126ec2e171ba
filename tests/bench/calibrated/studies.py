"""Whole simulated studies, judged: what they claim falsely."""

from functools import cache
from typing import Any

from calibrated.world import Surface, World, flat_surface, hscl_surface, run_study
from tune.evidence.comparison import compare_study
from tune.evidence.variance import analyse_variance
from tune.simulate.runs import RandomEffects
from tune.states import Verdict
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.fold import fold

__all__ = ["null_study_claim", "parameters_called"]

_SPACE = {
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "loss.alpha": {"log_uniform": [0.01, 1.0]},
    "loss.omega1": {"log_uniform": [0.001, 0.3]},
    "loss.omega2": {"log_uniform": [0.01, 1.0]},
    "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
}


def _seeded(spec: StudySpec, key: int) -> StudySpec:
    """The same study with proposals and seeds of its own."""
    return spec.model_copy(update={"study": spec.study.model_copy(update={"seed": key})})


@cache
def _spec(sampler: str = "random", scheduler: str = "asha", **tables: int) -> StudySpec:
    """A study over the real hyperparameters, changed by `table_key` numbers."""
    tree: dict[str, Any] = {
        "base": {"train.epochs": 9},
        "space": _SPACE,
        "sampler": {"kind": sampler},
        "scheduler": {"kind": scheduler},
    }
    for name, value in tables.items():
        table, key = name.split("_", 1)
        tree.setdefault(table, {})[key] = value
    spec = parse_spec(tree)
    _ = spec.searched  # made once: the copies with other seeds share it
    return spec


def null_study_claim(
    key: int, sampler: str, scheduler: str, failures: float = 0.0, seeds: int = 6
) -> bool | None:
    """Whether a whole study of equal configurations claims a difference.

    Args:
        key: Names the world.
        sampler: Of the study.
        scheduler: Of the study.
        failures: Proportion of trials that fail.
        seeds: Of confirm, at most.

    Returns:
        None where it gives no verdict.
    """
    spec = _seeded(_spec(sampler, scheduler, confirm_seeds=seeds), key)
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
