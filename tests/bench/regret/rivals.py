"""What else one can do with the same total of epochs: the rivals of the product's own planner.

Every rival tries the default first. Its trainings report the best value so far, and it exports the
best of its complete trainings, unless said otherwise. It may spend no epoch more than the total; a
training that the total cuts short is not complete.

    optuna          TPE (multivariate) and successive halving, one seed
    optuna-median   TPE and Optuna's MedianPruner
    optuna-cmaes    CMA-ES, every training at full length; where a world has choices or conditions,
                    Optuna draws those (and what depends on them) at random
    optuna-rerun5   as optuna; its best five on two fresh seeds more, the mean of all three decides
                    (where fewer are complete, they have what was meant for the others)
    random          at random, one seed, every training at full length
    random-rerun4   the same; the best four on two fresh seeds more, the mean decides
    default-alone   trains nothing and exports the default
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, TPESampler

from hscl.errors import InputError
from regret.worlds import Searched, Values, World

__all__ = ["RIVALS", "Search", "check_total"]

_SEED = 1  # of a rival's search; re-runs have the next ones
_RERUNS = 2  # of each of the best
_RERUN = {"optuna-rerun5": 5, "random-rerun4": 4}  # how many of the best

optuna.logging.set_verbosity(optuna.logging.ERROR)


class _SpentError(Exception):
    """The total is spent."""


@dataclass
class Search:
    """What a search found, and where it lost what.

    Attributes:
        exported: The configuration that it says is best.
        proposed: All configurations that it began to train.
        complete: Those of them with a complete training.
        kept: Those that it could still export when it chose.
        epochs: Spent in all.
        confirmed: Seeds whose runs chose nothing.
    """

    exported: Values
    proposed: set[Values] = field(default_factory=set)
    complete: set[Values] = field(default_factory=set)
    kept: set[Values] = field(default_factory=set)
    epochs: int = 0
    confirmed: frozenset[int] = frozenset()

    def losses(self, world: World) -> dict[str, float]:
        """Regret in units, and its parts, which add up to it."""
        ways = {
            "not_found": self.proposed,
            "stopped": self.complete,
            "not_kept": self.kept,
            "wrong_pick": {self.exported},
        }
        losses, before = {"regret": world.regret(self.exported)}, 0.0
        for name, values in ways.items():
            # A pick from outside what was kept (none was) counts as one of them.
            lowest = min(map(world.regret, values or {self.exported}))
            losses[name], before = lowest - before, lowest
        return losses


def check_total(arm: str, trainings: float) -> None:
    """Whether a rival can do anything with a total.

    Raises:
        InputError: It holds no training besides those that run the best again.
    """
    later = _RERUN.get(arm, 0) * _RERUNS
    if arm in _RERUN and trainings < later + 1:
        raise InputError(
            f"runs the best {_RERUN[arm]} again in {later} trainings, and needs one more than "
            f"that, but has {trainings:g}"
        )


class _Rival:
    """One search on one seed, within the total."""

    def __init__(self, world: Searched, total: int) -> None:
        self.world, self.left = world, total
        self.begun = Search(world.default)
        self.values: dict[Values, float] = {}

    def reports(self, values: Values, seed: int = _SEED) -> Iterable[tuple[int, float]]:
        """(epoch, best so far) of a training.

        Raises:
            _SpentError: No epoch is left.
        """
        self.begun.proposed.add(values)
        best = np.inf
        for epoch in range(1, self.world.epochs + 1):
            if self.left <= 0:
                raise _SpentError
            self.left -= 1
            self.begun.epochs += 1
            best = min(best, self.world.report(values, seed, epoch))
            yield epoch, best

    def train(self, values: Values, seed: int = _SEED) -> float:
        """A whole training's value."""
        return [best for _, best in self.reports(values, seed)][-1]

    def complete(self, values: Values, value: float) -> None:
        """A configuration's training on the search's seed has ended with this value."""
        self.begun.complete.add(values)
        # The same configuration on the same seed gives the same value again.
        self.values[values] = value

    def best(self, count: int) -> list[Values]:
        """The best complete trainings."""
        return sorted(self.values, key=lambda values: self.values[values])[:count]

    def ended(self, exported: Values | None = None) -> Search:
        """The search, with what it exports: its best complete training."""
        found = self.begun
        found.kept = found.kept or found.complete
        found.exported = exported or (self.best(1) or [self.world.default])[0]
        return found

    def rerun(self, count: int) -> Search:
        """The best once more on fresh seeds; the mean decides."""
        runs = {values: [self.values[values]] for values in self.best(count)}
        for seed in itertools.count(_SEED + 1):
            if not runs or self.left < len(runs) * self.world.epochs:
                break
            for values, own in runs.items():
                own.append(self.train(values, seed))
        self.begun.kept = set(runs)
        means = {values: sum(own) / len(own) for values, own in runs.items()}
        return self.ended(min(means, key=lambda values: means[values], default=None))


def _rerun_epochs(world: Searched, arm: str) -> int:
    return _RERUN[arm] * _RERUNS * world.epochs


def _optuna(rival: _Rival, sampler: BaseSampler, pruner: BasePruner) -> None:
    """Search until the total is spent."""
    world = rival.world
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    names = world.spec.searched.parameters
    study.enqueue_trial({n: v for n, v in zip(names, world.default, strict=True) if v is not None})
    while rival.left > 0:
        asked, values = _asked(world, study)
        state, best = optuna.trial.TrialState.COMPLETE, np.inf
        try:
            for epoch, best in rival.reports(values):
                asked.report(best, epoch)
                # After the last epoch there is nothing left to save.
                if epoch < world.epochs and asked.should_prune():
                    state = optuna.trial.TrialState.PRUNED
                    break
        except _SpentError:
            return
        if state is optuna.trial.TrialState.COMPLETE:
            rival.complete(values, best)
        study.tell(asked, best if state is optuna.trial.TrialState.COMPLETE else None, state)


def _asked(world: Searched, study: optuna.Study) -> tuple[optuna.Trial, Values]:
    """A trial of what is trained, which a world of recorded trainings chooses near by."""
    asked = study.ask()
    wanted = world.values_in(_suggested(world, asked))
    values = world.stands_for(wanted)
    # CMA-ES learns from what it has proposed itself, and from nothing else.
    if values == wanted or isinstance(study.sampler, CmaEsSampler):
        return asked, values
    study.tell(asked, state=optuna.trial.TrialState.FAIL)  # TPE learns nothing from it
    study.enqueue_trial(dict(zip(world.spec.searched.parameters, values, strict=True)))
    asked = study.ask()
    return asked, world.values_in(_suggested(world, asked))


def _suggested(world: Searched, asked: optuna.Trial) -> dict[str, Any]:
    point: dict[str, Any] = {}
    space = world.spec.searched
    for name in space.ordered:
        if not space.is_active(name, point):
            continue
        distribution = space.parameters[name]
        if distribution.kind == "choice":
            point[name] = asked.suggest_categorical(name, distribution.values)
            continue
        low, high = distribution.bounds
        if distribution.kind == "int":
            point[name] = asked.suggest_int(name, int(low), int(high))
        else:
            log = distribution.kind == "log_uniform"
            point[name] = asked.suggest_float(name, low, high, log=log)
    return point


def _tpe(world: Searched) -> BaseSampler:
    return TPESampler(multivariate=True, seed=world.key)


def _halving() -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def _plain(world: Searched, total: int) -> Search:
    rival = _Rival(world, total)
    _optuna(rival, _tpe(world), _halving())
    return rival.ended()


def _median(world: Searched, total: int) -> Search:
    rival = _Rival(world, total)
    _optuna(rival, _tpe(world), MedianPruner())
    return rival.ended()


def _cmaes(world: Searched, total: int) -> Search:
    rival = _Rival(world, total)
    sampler = CmaEsSampler(seed=world.key, warn_independent_sampling=False)
    _optuna(rival, sampler, NopPruner())
    return rival.ended()


def _rerun5(world: Searched, total: int) -> Search:
    later = _rerun_epochs(world, "optuna-rerun5")
    rival = _Rival(world, total - later)
    _optuna(rival, _tpe(world), _halving())
    rival.left += later
    return rival.rerun(_RERUN["optuna-rerun5"])


def _at_random(world: Searched, total: int) -> _Rival:
    rival, rng = _Rival(world, total), np.random.default_rng([world.key, 1])
    values = world.default
    while rival.left >= world.epochs:
        rival.complete(values, rival.train(values))
        values = world.stands_for(world.values_in(world.spec.searched.draw(rng)))
    return rival


def _random(world: Searched, total: int) -> Search:
    return _at_random(world, total).ended()


def _random_rerun4(world: Searched, total: int) -> Search:
    later = _rerun_epochs(world, "random-rerun4")
    rival = _at_random(world, total - later)
    rival.left += later
    return rival.rerun(_RERUN["random-rerun4"])


def _default_alone(world: Searched, total: int) -> Search:
    own = {world.default}
    return Search(world.default, own, own, own)


RIVALS: dict[str, Callable[[Searched, int], Search]] = {
    "optuna": _plain,
    "optuna-median": _median,
    "optuna-cmaes": _cmaes,
    "optuna-rerun5": _rerun5,
    "random": _random,
    "random-rerun4": _random_rerun4,
    "default-alone": _default_alone,
}
