"""The model of all runs as a sampler of Optuna, for this product and for anybody's own study.

    study = optuna.create_study(sampler=RunModelSampler(seed=0), pruner=...)

Unlike Optuna's own samplers it learns from pruned trials as what they are (a value at an early
step), and improves on its own smallest *expected* value, so that a lucky trial misleads it less.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune.stats.model.acquisition import most_promising, safest
from tune.stats.model.encoding import Encoding
from tune.stats.model.run_model import Ran, RunModel, fit_runs
from tune.study.space import Distribution, Value

__all__ = ["ELSEWHERE", "Aim", "RunModelSampler"]

ELSEWHERE = "elsewhere"
"""User attribute of trials that ran on other data, or otherwise: only their differences teach."""

Aim = Literal["trained", "anywhere", "answer"]
"""What a proposal is for: a choice among complete trials, one from the whole space, or it is that
choice."""

_Trials = tuple[str, list[tuple[int, TrialState]]]
"""A study's name, its ended trials and how they ended."""


class RunModelSampler(BaseSampler):
    """Proposes what a Gaussian process over everything that ran expects to improve most.

    Complete, pruned (at their last reported step) and failed trials are learnt from, running ones
    are taken to end as expected. Conditional parameters are recognised where a choice decides
    whether they exist. Trials that were added from elsewhere say so by the user attribute
    `ELSEWHERE`. Until the model has something to say, and wherever it fails to predict complete
    trials left out, another sampler proposes.

    Args:
        seed: Of all draws; None: a new one.
        n_startup_trials: Ended trials before the model proposes.
        fallback: Who proposes before that, and where the model fails; at random by default.
        allowed: Whether parameters may be tried together; None: always.
        when: For each conditional parameter the values of others that it needs, as in a study
            file, each after those that it needs; None: they are told from the trials.
        aim: What is chosen in the end: "trained", the smallest expected value among complete
            trials, as whoever reads a study of Optuna does; or "anywhere", the smallest expected
            value plus its sd in the whole space, which "answer" proposes.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 10,
        fallback: BaseSampler | None = None,
        allowed: Callable[[Mapping[str, Any]], bool] | None = None,
        when: Mapping[str, Mapping[str, Any]] | None = None,
        aim: Aim = "trained",
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._startup = n_startup_trials
        self._fallback = fallback or RandomSampler(seed=seed)
        self._allowed = allowed
        self._when = when
        self._aim = aim
        self._last: tuple[_Trials, _Space, RunModel | None] | None = None
        self._proposes: dict[int, tuple[_Space, RunModel]] = {}

    def reseed_rng(self) -> None:
        """Draw anew, in a process of its own."""
        self._rng = np.random.default_rng()
        self._fallback.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All parameters of ended trials, or what the fallback infers."""
        self._raise_error_if_multi_objective(study)
        trials = study.get_trials(deepcopy=False)
        ended = [one for one in trials if one.state.is_finished() and one.params and _says(one)]
        if len(ended) >= max(self._startup, 2):
            space, model = self._fitted(study, ended)
            if model is not None and model.trusted:
                self._proposes[trial.number] = space, model
                return dict(space.distributions)
        return self._fallback.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The most promising point, or the fallback's."""
        if trial.number not in self._proposes:
            return self._fallback.sample_relative(study, trial, search_space)
        space, model = self._proposes.pop(trial.number)
        running = [
            space.inner(other.params)
            for other in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # Between being asked for and its first value a trial is nowhere in the space yet.
            if other.number != trial.number and other.params and space.holds(other)
        ]
        model = model.with_pending(model.encoding.codes(running))
        for code in self._wanted(model, space):
            return space.outer(model.encoding.point(code))
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that no trial had before: the fallback's."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def _wanted(self, model: RunModel, space: "_Space") -> Iterator[npt.NDArray[np.float64]]:
        may_run = None
        if (allowed := self._allowed) is not None:

            def may_run(code: npt.NDArray[np.float64]) -> bool:
                return allowed(space.outer(model.encoding.point(code)))

        if self._aim == "answer":
            return safest(model, self._rng, may_run)
        return most_promising(model, self._rng, may_run, anywhere=self._aim == "anywhere")

    def _fitted(
        self, study: Study, ended: Sequence[FrozenTrial]
    ) -> tuple["_Space", RunModel | None]:
        """The model of these trials, fitted once."""
        key = study.study_name, [(one.number, one.state) for one in ended]
        if self._last is None or self._last[0] != key:
            space = _Space.of(ended, self._when)
            sign = 1.0 if study.direction is StudyDirection.MINIMIZE else -1.0
            runs = [_ran(one, space, sign) for one in ended if space.holds(one)]
            model = fit_runs(Encoding(space.parameters), runs)
            self._last = key, space, model
        return self._last[1], self._last[2]


def _says(trial: FrozenTrial) -> bool:
    """Whether an ended trial says anything: not where it was pruned before its first step."""
    return trial.state is not TrialState.PRUNED or bool(trial.intermediate_values)


def _ran(trial: FrozenTrial, space: "_Space", sign: float) -> Ran:
    """A trial as the model sees it."""
    point, elsewhere = space.inner(trial.params), bool(trial.user_attrs.get(ELSEWHERE))
    # Steps are numbered from 0 or from 1, epochs from 1: to the model 0 is the end.
    curve = {
        step + 1: sign * value
        for step, value in sorted(trial.intermediate_values.items())
        if math.isfinite(value)
    }
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        if math.isfinite(trial.value):
            return Ran(point, sign * trial.value, curve, elsewhere=elsewhere)
        return Ran(point, math.inf, {}, "failed")
    if trial.state is TrialState.PRUNED and curve:
        return Ran(point, curve[max(curve)], curve, "stopped", elsewhere)
    return Ran(point, math.inf, {}, "failed")  # pruned without any finite value, too


@dataclass(frozen=True)
class _Space:
    """The parameters of ended trials, in Optuna's terms and in the model's.

    Attributes:
        distributions: Optuna's.
        parameters: The model's, each after the choice that decides whether it exists; their
            values are numbers: places of choices, steps of a range.
    """

    distributions: Mapping[str, BaseDistribution]
    parameters: Mapping[str, Distribution]

    @classmethod
    def of(
        cls, trials: Sequence[FrozenTrial], when: Mapping[str, Mapping[str, Any]] | None
    ) -> "_Space":
        """All parameters that the trials have, each as its last trial has it."""
        distributions: dict[str, BaseDistribution] = {}
        for trial in trials:
            distributions |= trial.distributions
        names = sorted(distributions)  # the model must not depend on who was tried first
        if when is None:
            conditions = {name: _condition(name, distributions, trials) for name in names}
        else:
            conditions = {name: _declared(when.get(name, {}), distributions) for name in names}
            order = {name: place for place, name in enumerate(when)}
            names.sort(key=lambda name: order.get(name, -1))
        names.sort(key=lambda name: bool(conditions[name]))
        inner = {name: _inner(distributions[name], conditions[name]) for name in names}
        return cls(distributions, inner)

    def holds(self, trial: FrozenTrial) -> bool:
        """Whether all of the trial's values are possible still."""
        return all(
            self.distributions[name]._contains(  # noqa: SLF001 - Optuna has no public way
                self.distributions[name].to_internal_repr(value)
            )
            for name, value in trial.params.items()
            if name in self.distributions
        )

    def inner(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The model's values of Optuna's."""
        return {
            name: _to_inner(self.distributions[name], value)
            for name, value in values.items()
            if name in self.distributions
        }

    def outer(self, point: Mapping[str, Value]) -> dict[str, Any]:
        """Optuna's values of the model's."""
        return {name: _to_outer(self.distributions[name], float(v)) for name, v in point.items()}


def _declared(
    needs: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> tuple[tuple[str, Value], ...]:
    """A declared condition in the model's values."""
    return tuple(
        (other, _to_inner(distributions[other], value))
        for other, value in needs.items()
        if other in distributions
    )


def _condition(
    name: str, distributions: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]
) -> tuple[tuple[str, Value], ...]:
    """The choice, if there is one, that decides in all trials whether a parameter exists."""
    if all(name in trial.params for trial in trials):
        return ()
    for other, distribution in distributions.items():
        if not isinstance(distribution, CategoricalDistribution):
            continue
        if not all(other in trial.params for trial in trials):
            continue
        with_it = {trial.params[other] for trial in trials if name in trial.params}
        without = {trial.params[other] for trial in trials if name not in trial.params}
        if len(with_it) == 1 and not with_it & without:
            return ((other, _to_inner(distribution, with_it.pop())),)
    return ()


def _steps(distribution: FloatDistribution | IntDistribution) -> int:
    """Steps from the lowest to the highest value."""
    assert distribution.step is not None  # noqa: S101 - who asks has looked
    return round((distribution.high - distribution.low) / distribution.step)


def _is_continuous(distribution: BaseDistribution) -> bool:
    """Whether the model has it as a range: floats, and whole numbers on a logarithmic scale."""
    if isinstance(distribution, IntDistribution):
        return distribution.log
    return isinstance(distribution, FloatDistribution) and distribution.step is None


def _inner(distribution: BaseDistribution, when: tuple[tuple[str, Value], ...]) -> Distribution:
    if isinstance(distribution, CategoricalDistribution):
        return Distribution("choice", tuple(range(len(distribution.choices))), when)
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101
    if _is_continuous(distribution):
        ends = float(distribution.low), float(distribution.high)
        return Distribution("log_uniform" if distribution.log else "uniform", ends, when)
    return Distribution("int", (0, _steps(distribution)), when)


def _to_inner(distribution: BaseDistribution, value: Any) -> Value:
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101
    if _is_continuous(distribution):
        return float(value)
    assert distribution.step is not None  # noqa: S101
    return round((float(value) - distribution.low) / distribution.step)


def _to_outer(distribution: BaseDistribution, value: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[round(value)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # noqa: S101
    if not _is_continuous(distribution):
        assert distribution.step is not None  # noqa: S101
        value = distribution.low + round(value) * distribution.step
    if isinstance(distribution, IntDistribution):
        return min(max(round(value), distribution.low), distribution.high)
    return min(max(float(value), distribution.low), distribution.high)
