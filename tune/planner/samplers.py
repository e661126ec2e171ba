"""Who proposes points: tpe, gp, random. Whoever needs none imports neither this nor Optuna.

Optuna's study follows from the history at each proposal, in order of proposal, and its sampler is
new and seeded by the proposal's number: a study that was interrupted proposes exactly what the
undisturbed one would have.
"""

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning

from tune.planner.run_model_sampler import Aim, RunModelSampler
from tune.planner.told_trials import ToldStorage, told_trials
from tune.search_model import may_be_tried, tried_points
from tune.states import Phase
from tune.study.space import Distribution, Point
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["MODEL_TRIES", "suggestions"]

MODEL_TRIES = 16
"""Points asked of the model before chance takes over; each may be known already or forbidden."""
RANDOM_TRIES = 20_000
_SMALL = 10_000
"""Up to so many points a finite space is listed instead of drawn from."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggestions(
    spec: StudySpec,
    history: History,
    number: int,
    phase: Phase = Phase.SCREEN,
    *,
    last: bool = False,
) -> Iterator[Point]:
    """Points for configuration `number`, the most wanted first.

    Take the first that is new and allowed. The same study and the same rows give the same points.

    Args:
        spec: The study; its sampler is tpe, gp or random.
        history: All rows before this proposal.
        number: Which configuration is proposed.
        phase: In refine the model of all runs proposes, whatever the sampler of the screen.
        last: It is the last of refine: what the model would choose, instead of what it would
            learn most from.

    Yields:
        Points of the space; whoever takes one looks at the constraints. The end says that nothing
        more is likely to be new.
    """
    space = spec.searched
    # A warm-started study doesn't draw what the earlier one drew, even with the same seed.
    seed = np.random.SeedSequence([spec.study.seed, number, len(history.warm)])
    kind: str = spec.sampler.kind
    aim: Aim = "trained"
    if phase is Phase.REFINE:
        kind, aim = "refine", "answer" if last else "anywhere"
    if kind != "random":
        yield from _from_model(kind, aim, spec, history, int(seed.generate_state(1)[0]))
    rng = np.random.default_rng(seed)
    size = space.grid_size()
    if size is not None and size <= _SMALL:
        points = list(space.grid())
        yield from (points[index] for index in rng.permutation(len(points)))
        return
    for _ in range(RANDOM_TRIES):
        yield space.draw(rng)


def _from_model(
    kind: str, aim: Aim, spec: StudySpec, history: History, seed: int
) -> Iterator[Point]:
    study = optuna.create_study(
        direction="minimize" if spec.mode == "min" else "maximize",
        sampler=_sampler(kind, aim, spec, history, seed),
        storage=ToldStorage(told_trials(kind, spec, history)),
    )
    for _ in range(MODEL_TRIES):
        # One that is not taken stays RUNNING, so the model looks elsewhere at the next.
        asked = study.ask()
        point: Point = {}
        for name in spec.searched.ordered:
            if spec.searched.is_active(name, point):
                point[name] = _suggest(asked, name, spec.space[name])
        yield spec.searched.canonical(point)


def _sampler(
    kind: str, aim: Aim, spec: StudySpec, history: History, seed: int
) -> optuna.samplers.BaseSampler:
    space = spec.searched
    when = {name: dict(spec.space[name].when) for name in space.ordered}
    tpe = _tpe(seed)
    if kind == "tpe":
        return tpe
    startup = 10 if kind == "gp" else 0  # refine begins where the screen has made the start
    allowed = space.allows if space.rules else None
    # Where all that is active is a range, nothing comes twice.
    if space.grid_size() is not None or any(d.when for d in space.parameters.values()):
        allowed = partial(may_be_tried, space, tried_points(space, history))
    return RunModelSampler(
        seed=seed,
        n_startup_trials=startup,
        fallback=tpe,
        allowed=allowed,
        when=when,
        aim=aim,
    )


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        )


def _suggest(asked: optuna.Trial, name: str, distribution: Distribution) -> Any:
    if distribution.kind == "choice":
        return asked.suggest_categorical(name, distribution.values)
    low, high = distribution.bounds
    if distribution.kind == "int":
        return asked.suggest_int(name, int(low), int(high))
    return asked.suggest_float(name, low, high, log=distribution.kind == "log_uniform")
