"""Who proposes points: tpe, gp, random. The only module that imports Optuna.

Optuna's study is rebuilt from the history for each proposal, in order of proposal, and its sampler
is new and seeded by the proposal's number: a study that was interrupted proposes exactly what the
undisturbed one would have.

What the model is told: complete trials with their value; stopped ones as PRUNED with their curve;
failed ones as FAIL; running ones as RUNNING, which count as bad until they end (constant liar).
Points outside the space (a default, a known point) are not told. What a model would ignore has a
stand-in beside it: a failed trial one that ranks below everything, so that the model learns to
keep away (both ignore FAIL); for gp, which ignores PRUNED too, a stopped trial one with the value
that it had when it was stopped.

Above `MOST_TOLD` trials the model sees the best quarter of that number and the newest for the
rest; the cost of a proposal stays what it is there.
"""

import copy
import math
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from hscl.config import Config
from tune import states
from tune.history import History
from tune.records import ConfigRecord
from tune.search_space import Distribution, Point, Space
from tune.states import Origin
from tune.study_spec import StudySpec

__all__ = ["MODEL_TRIES", "MOST_TOLD", "suggestions", "told_trials"]

MODEL_TRIES = 16
"""Points asked of the model before chance takes over; each may be known already or forbidden."""
RANDOM_TRIES = 20_000
MOST_TOLD = {"tpe": 1_000, "gp": 200}
_SMALL = 10_000
"""Up to so many points a finite space is listed instead of drawn from."""
_NEVER = datetime(2000, 1, 1)  # noqa: DTZ001 - Optuna wants a time; no sampler looks at it

optuna.logging.set_verbosity(optuna.logging.ERROR)


def suggestions(spec: StudySpec, history: History, number: int) -> Iterator[Point]:
    """Points for configuration `number`, the most wanted first.

    Take the first that is new and allowed. The same study and the same rows give the same points.

    Args:
        spec: The study; its sampler is tpe, gp or random.
        history: All rows before this proposal.
        number: Which configuration is proposed.

    Yields:
        Points of the space; constraints are not looked at. The end says that nothing more is
        likely to be new.
    """
    space = spec.searched
    # A warm-started study doesn't draw what the earlier one drew, even with the same seed.
    seed = np.random.SeedSequence([spec.study.seed, number, len(history.warm)])
    if spec.sampler.kind != "random":
        yield from _from_model(spec, history, int(seed.generate_state(1)[0]))
    rng = np.random.default_rng(seed)
    size = space.grid_size()
    if size is not None and size <= _SMALL:
        points = list(space.grid())
        yield from (points[index] for index in rng.permutation(len(points)))
        return
    for _ in range(RANDOM_TRIES):
        yield space.draw(rng)


def told_trials(spec: StudySpec, history: History) -> list[FrozenTrial]:
    """What the model knows: earlier studies' points, then this one's in order of proposal."""
    space = spec.searched
    known = []
    for seen in history.warm:
        point = space.point_in(seen.values)
        if space.contains(point):
            known.append(_Known(point, seen.state, seen.curve))
    for record in history.configs.values():
        inside = _inside(space, record)
        if inside is None:
            continue
        trial = history.screen_trials.get(record.config_id)
        if trial is None:
            known.append(_Known(inside, states.TrialState.STARTED, {}))
        else:
            known.append(_Known(inside, trial.state, trial.best))
    distributions = {name: _optuna_distribution(some) for name, some in spec.space.items()}
    kept = _bounded(known, MOST_TOLD[spec.sampler.kind], history.sign)
    return [_told(one, distributions) for one in kept]


class _Known(NamedTuple):
    """A point, how its trial ended, and its best value up to each epoch."""

    point: Point
    state: states.TrialState
    curve: dict[int, float]


def _bounded(known: list[_Known], most: int, sign: float) -> list[_Known]:
    if len(known) <= most:
        return known
    complete = [
        (sign * value, index)
        for index, one in enumerate(known)
        if one.state is states.TrialState.DONE and one.curve
        for value in [one.curve[max(one.curve)]]
        if math.isfinite(value)
    ]
    best = {index for _, index in sorted(complete)[: most // 4]}
    newest = [index for index in range(len(known)) if index not in best][len(best) - most :]
    return [known[index] for index in sorted([*best, *newest])]


def _told(known: _Known, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    seen = {epoch: value for epoch, value in known.curve.items() if math.isfinite(value)}
    value = seen[max(seen)] if seen else None
    match known.state:
        case states.TrialState.STARTED:
            state, seen, value = TrialState.RUNNING, {}, None
        case states.TrialState.PRUNED:
            state = TrialState.PRUNED
        case states.TrialState.DONE if value is not None:
            state = TrialState.COMPLETE
        case _:
            state, value = TrialState.FAIL, None
    return _trial(state, value, known.point, seen, distributions)


def _trial(
    state: TrialState,
    value: float | None,
    point: Point,
    seen: dict[int, float],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    return _Told(
        number=-1,  # given by the study that it is added to
        trial_id=-1,
        state=state,
        value=value,
        datetime_start=_NEVER,
        datetime_complete=None if state is TrialState.RUNNING else _NEVER,
        params=dict(point),
        distributions={name: distributions[name] for name in point},
        user_attrs={},
        system_attrs={},
        intermediate_values=seen,
    )


class _Told(FrozenTrial):
    """A trial that nobody changes any more: to copy it deeply was most of a rebuild's time."""

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        return copy.copy(self)


def _with_stand_ins(spec: StudySpec, told: list[FrozenTrial], sign: float) -> list[FrozenTrial]:
    losses = [sign * trial.value for trial in told if trial.value is not None]
    trials = []
    for trial in told:
        trials.append(trial)
        if spec.sampler.kind == "tpe" and trial.state is TrialState.FAIL:
            # TPE ranks a trial that was pruned before its first step below all others.
            value = None
            state = TrialState.PRUNED
        elif spec.sampler.kind == "gp" and trial.state in {TrialState.FAIL, TrialState.PRUNED}:
            value = trial.value
            state = TrialState.COMPLETE
            if value is None:
                if not losses:
                    continue
                value = sign * max(losses)
        else:
            continue
        trials.append(_trial(state, value, trial.params, {}, trial.distributions))
    return trials


def _from_model(spec: StudySpec, history: History, seed: int) -> Iterator[Point]:
    study = optuna.create_study(
        direction="minimize" if spec.mode == "min" else "maximize",
        sampler=_sampler(spec.sampler.kind, seed),
    )
    study.add_trials(_with_stand_ins(spec, told_trials(spec, history), history.sign))
    for _ in range(MODEL_TRIES):
        # One that is not taken stays RUNNING, so the model looks elsewhere at the next.
        asked = study.ask()
        point: Point = {}
        for name in spec.searched.ordered:
            if spec.searched.is_active(name, point):
                point[name] = _suggest(asked, name, spec.space[name])
        yield spec.searched.canonical(point)


def _sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if kind == "gp":
            return optuna.samplers.GPSampler(seed=seed)
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


def _optuna_distribution(distribution: Distribution) -> BaseDistribution:
    if distribution.kind == "choice":
        return CategoricalDistribution(distribution.values)
    low, high = distribution.bounds
    if distribution.kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=distribution.kind == "log_uniform")


def _inside(space: Space, record: ConfigRecord) -> Point | None:
    if record.origin is Origin.SAMPLER:
        return record.params
    return space.inside(Config.from_json(record.config))
