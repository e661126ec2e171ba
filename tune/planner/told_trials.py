"""What the sampler's model is told of a study: Optuna's trials, remembered from ask to ask.

Complete trials with their value; stopped ones as PRUNED with their curve; failed ones, and those
that never had a value, as FAIL; running ones as RUNNING, which for tpe count as bad until they end
(constant liar). Points outside the space (a default, a known point) are not told. A failed trial,
which TPE ignores, has a stand-in beside it that ranks below everything, so that TPE learns to keep
away. Those of the study that this one was warm-started from say so: the model learns from their
differences alone.

Above `MOST_TOLD` trials the model sees the best quarter of that number and the newest for the
rest; the cost of a proposal stays what it is there. To the model of all runs those of an earlier
study are none of the best: their values are of other data.
"""

import copy
import math
from collections.abc import Container, Iterator
from datetime import datetime
from weakref import WeakKeyDictionary

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tune import states
from tune.planner.run_model_sampler import ELSEWHERE
from tune.search_model import MOST_LEARNT, best_and_newest, point_of
from tune.study.space import Distribution, Point
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["MOST_TOLD", "ToldStorage", "told_trials"]

MOST_TOLD = {"tpe": 1_000, "gp": MOST_LEARNT, "refine": MOST_LEARNT}
_NEVER = datetime(2000, 1, 1)  # noqa: DTZ001 - Optuna wants a time; no sampler looks at it
_AFTER_TOLD = 10**9  # added to the numbers of trials that are asked for, so that they come last


class ToldStorage(InMemoryStorage):
    """Optuna's storage in memory, in which some trials were always there.

    A sampler sees in it what it would see in a study to which the trials were added one by one,
    in that order; only nothing is copied or checked again.

    Args:
        told: In order of proposal and of their numbers; nobody changes them.
    """

    def __init__(self, told: list[FrozenTrial]) -> None:
        super().__init__()
        self._told = told

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's interface
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Those that were always there, then those asked for since."""
        told = self._told if states is None else [t for t in self._told if t.state in states]
        asked = super().get_all_trials(study_id, deepcopy, states)
        return [*told, *(_after_told(trial) for trial in asked)]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One that was asked for."""
        return _after_told(super().get_trial(trial_id))


def _after_told(asked: FrozenTrial) -> FrozenTrial:
    trial = copy.copy(asked)
    trial.number += _AFTER_TOLD
    return trial


def told_trials(kind: str, spec: StudySpec, history: History) -> list[FrozenTrial]:
    """What the sampler knows: earlier studies' points, then this one's in order of proposal.

    A pure function of its arguments. What an ended trial is told as never changes, so that it is
    worked out once for a history and its rows.

    Args:
        kind: Of the sampler, a key of `MOST_TOLD`.
        spec: The study.
        history: All its rows.
    """
    memory = _MEMORIES.setdefault(history, _Memory(spec))
    everyone = memory.recall(history)
    losses = [
        history.sign * trial.value
        if trial.state is TrialState.COMPLETE
        and trial.value is not None
        # On other data a value says nothing of who is best here.
        and not (kind != "tpe" and trial.user_attrs.get(ELSEWHERE))
        else math.inf
        for trial in everyone
    ]
    told = [everyone[place] for place in best_and_newest(losses, MOST_TOLD[kind])]
    return _with_stand_ins(told)


class _Memory:
    """The told trials of one history, by their place in the order of proposal."""

    def __init__(self, spec: StudySpec) -> None:
        self._space = spec.searched
        self._distributions = {name: _optuna_distribution(s) for name, s in spec.space.items()}
        self._points: dict[str, Point | None] = {}
        self._told: dict[int, tuple[states.TrialState, int, FrozenTrial]] = {}

    def recall(self, history: History) -> list[FrozenTrial]:
        return [
            self._trial(place, point, state, curve, len(history.warm))
            for place, (point, state, curve) in enumerate(self._known(history))
            if point is not None
        ]

    def _known(
        self, history: History
    ) -> Iterator[tuple[Point | None, states.TrialState, dict[int, float]]]:
        """Each point, how its trial ended, and its best value up to each epoch."""
        for seen in history.warm:
            point = self._space.point_in(seen.values)
            yield point if self._space.contains(point) else None, seen.state, seen.curve
        for config_id, record in history.configs.items():
            if config_id not in self._points:
                self._points[config_id] = point_of(self._space, record)
            trial = history.search_trials.get(config_id)
            if trial is None:
                yield self._points[config_id], states.TrialState.STARTED, {}
            else:
                yield self._points[config_id], trial.state, trial.best

    def _trial(
        self,
        place: int,
        point: Point,
        state: states.TrialState,
        curve: dict[int, float],
        warm: int,
    ) -> FrozenTrial:
        epochs = 0 if state is states.TrialState.STARTED else len(curve)
        known = self._told.get(place)
        if known is None or known[:2] != (state, epochs):
            # Every second number stays free for a stand-in.
            trial = _told(2 * place, point, state, curve, self._distributions)
            if place < warm:
                trial.set_user_attr(ELSEWHERE, value=True)
            known = self._told[place] = (state, epochs, trial)
        return known[2]


_MEMORIES: WeakKeyDictionary[History, _Memory] = WeakKeyDictionary()


def _with_stand_ins(told: list[FrozenTrial]) -> list[FrozenTrial]:
    """The told trials, and after each failed one what TPE learns from in its place."""
    trials = []
    for trial in told:
        trials.append(trial)
        if trial.state is TrialState.FAIL:
            # TPE ranks a trial that was pruned before its first step below all others.
            state, number = TrialState.PRUNED, trial.number + 1
            trials.append(_trial(number, state, None, trial.params, {}, trial.distributions))
    return trials


def _told(
    number: int,
    point: Point,
    ended: states.TrialState,
    curve: dict[int, float],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    seen = {epoch: value for epoch, value in curve.items() if math.isfinite(value)}
    value = seen[max(seen)] if seen else None
    match ended:
        case states.TrialState.STARTED:
            state, seen, value = TrialState.RUNNING, {}, None
        case states.TrialState.PRUNED if value is not None:
            state = TrialState.PRUNED
        case states.TrialState.DONE if value is not None:
            state = TrialState.COMPLETE
        case _:
            state, value = TrialState.FAIL, None
    mine = {name: distributions[name] for name in point}
    return _trial(number, state, value, point, seen, mine)


def _trial(
    number: int,
    state: TrialState,
    value: float | None,
    point: Point,
    seen: dict[int, float],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=-1,  # nobody asks for it by that
        state=state,
        value=value,
        datetime_start=_NEVER,
        datetime_complete=None if state is TrialState.RUNNING else _NEVER,
        params=dict(point),
        distributions=distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values=seen,
    )


def _optuna_distribution(distribution: Distribution) -> BaseDistribution:
    if distribution.kind == "choice":
        return CategoricalDistribution(distribution.values)
    low, high = distribution.bounds
    if distribution.kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=distribution.kind == "log_uniform")
