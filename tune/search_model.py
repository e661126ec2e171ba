"""What the runs of a search say of every configuration: the model over a study's tables.

One answer for the planner, which decides by it, and for everything that people read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from hscl.config import Config
from tune.states import Origin, TrialState
from tune.stats.model.acquisition import most_promising
from tune.stats.model.encoding import Encoding
from tune.stats.model.run_model import Ran, RunModel, fit_runs
from tune.study.space import Point, Space, Value
from tune.tables.history import History
from tune.tables.records import ConfigRecord
from tune.tables.salvage import UNKNOWN

__all__ = [
    "MOST_LEARNT",
    "TOO_SURE",
    "Expected",
    "Ranking",
    "SearchModel",
    "best_and_newest",
    "learn",
    "may_be_tried",
    "point_of",
    "rank",
    "rank_by",
    "tried_points",
]

MOST_LEARNT = 200
"""Runs that the model is fitted to: the best quarter of that number and the newest."""

TOO_SURE = 2.5
"""By how much the model understates its standard deviations; what people read is wider by it.

Its settings are the most probable ones; nearly all of its runs share a seed, of whose luck similar
configurations may have the same share (on ten videos of MOSI with small learning rates two runs of
one seed correlate by .92 to .99, on the official folds not at all); and a winner was chosen
because it looked good. Measured (`python tests/bench/bench_expected.py`): within 1.96 of
the model's own sd lies the truth of 52 to 85 % of winners, of 2.5 times that of 97 % and more.
"""

FloatArray = npt.NDArray[np.float64]
Tried = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Expected:
    """What a configuration is expected to reach on valid.

    Attributes:
        config_id: Which.
        value: Expected best valid metric of a further training.
        sd: Standard deviation of that expectation, `TOO_SURE` counted in; None where no model
            gives it.
        observed: What its own training reached.
        complete: That training went to its end; of a default that was stopped it did not.
    """

    config_id: str
    value: float
    sd: float | None
    observed: float
    complete: bool = True


@dataclass(frozen=True)
class Ranking:
    """All that may be chosen, best first.

    Attributes:
        others: The configurations other than the default with a complete training.
        default: The default; None where its own training isn't complete, unless it was stopped
            and a model tells of it.
        prefers_default: The default is expected to do at least as well as the first of the others.
        trusted: A model decides; else the best observed value.
        note: In words, what decides, and why no model where there is none.
    """

    others: tuple[Expected, ...]
    default: Expected | None
    prefers_default: bool
    trusted: bool
    note: str

    def other(self, config_id: str | None) -> Expected | None:
        """One of the others; None where it is none of them."""
        return next((one for one in self.others if one.config_id == config_id), None)


@dataclass(frozen=True)
class SearchModel:
    """The model of a study's search; values are those of the study's metric.

    Attributes:
        space: Of the study.
        model: Of losses.
        sign: +1 where less of the metric is better, else −1.
        codes: The code of each configuration that is a point of the space.
        tried: See `tried_points`.
    """

    space: Space
    model: RunModel
    sign: float
    codes: Mapping[str, FloatArray]
    tried: frozenset[Tried]

    def expected(self, config_id: str) -> tuple[float, float] | None:
        """Expected value of a configuration, and the sd of that; None outside the space.

        The sd is the model's own times `TOO_SURE`.
        """
        code = self.codes.get(config_id)
        if code is None:
            return None
        mean, sd = self.model.predict(code[None, :])
        return self.sign * float(mean[0]), TOO_SURE * float(sd[0])

    def at_worst(self, config_id: str) -> float | None:
        """By what the search chooses (`RunModel.at_worst`), a loss; None outside the space."""
        code = self.codes.get(config_id)
        return None if code is None else float(self.model.at_worst(code[None, :])[0])

    def chance_worse(self, one: str, other: str, fresh: Sequence[float] = ()) -> float | None:
        """How probable it is that a configuration's expected value is worse than another's.

        Where fresh seeds lie further from what the model expects than its sd and their error
        allow, its sd is what they show it to be: a model that was wrong by so much can't outweigh
        them.

        Sources: the posterior of a normal mean whose prior is the model's (Gelman et al., Bayesian
        Data Analysis, 2013, equation 2.12), with the prior variance of greatest likelihood, but
        not below the model's (Berger, Statistical Decision Theory and Bayesian Analysis, 1985,
        §3.5.4).

        Args:
            one: A configuration.
            other: Another.
            fresh: Values of one less those of the other on valid, a seed each, of seeds that the
                search didn't have; as the metric has them. They weigh by their own scatter, or by
                the model's noise where that is larger.

        Returns:
            None where either is outside the space.
        """
        if one not in self.codes or other not in self.codes:
            return None
        mean, sd = self.model.difference(self.codes[one], self.codes[other])
        sd *= TOO_SURE
        if sd <= 0.0:
            return 0.5
        if fresh:
            scatter = variance(fresh) if len(fresh) > 1 else 0.0
            error2 = max(scatter, 2.0 * self.noise**2) / len(fresh)
            off = self.sign * fmean(fresh) - mean
            prior2 = max(sd**2, off**2 - error2)
            weight = prior2 / (prior2 + error2)
            mean += weight * off
            sd = math.sqrt(prior2 * (1.0 - weight))
        return float(special.ndtr(mean / sd))

    def next_point(self) -> Point:
        """Where one more training would be worth most, as refine sees it; {} if all is tried."""

        def may_run(code: FloatArray) -> bool:
            return may_be_tried(self.space, self.tried, self.model.encoding.point(code))

        rng = np.random.default_rng(0)
        for code in most_promising(self.model, rng, may_run, anywhere=True):
            return self.space.canonical(self.model.encoding.point(code))
        return {}

    @property
    def noise(self) -> float:
        """Standard deviation of one training's value around what is expected."""
        return self.model.noise


def learn(history: History) -> SearchModel | None:
    """Fit the model to everything that ran.

    Args:
        history: The study's rows.

    Returns:
        None where too little ran, or nothing differs.
    """
    space = history.spec.searched
    if not space.parameters:
        return None
    encoding = Encoding({name: space.parameters[name] for name in space.ordered})
    inside = {
        config_id: point
        for config_id, record in history.configs.items()
        if (point := point_of(space, record)) is not None
    }
    runs = [
        _ran(point, state, curve, history.sign, elsewhere=elsewhere)
        for point, state, curve, elsewhere in _ended(history, space, inside)
    ]
    competing = [
        run.value if run.state == "complete" and not run.elsewhere else math.inf for run in runs
    ]
    kept = best_and_newest(competing, MOST_LEARNT)
    model = fit_runs(encoding, [runs[place] for place in kept])
    if model is None:
        return None
    codes = dict(zip(inside, encoding.codes(list(inside.values())), strict=True))
    tried = frozenset(_named(space, point) for point in inside.values())
    return SearchModel(space, model, history.sign, codes, tried)


def tried_points(space: Space, history: History) -> frozenset[Tried]:
    """The points that the study has proposed already, as `may_be_tried` takes them."""
    points = (point_of(space, record) for record in history.configs.values())
    return frozenset(_named(space, point) for point in points if point is not None)


def may_be_tried(space: Space, tried: AbstractSet[Tried], point: Mapping[str, Value]) -> bool:
    """Whether a point is new and satisfies the constraints: no configuration is tried twice."""
    named = _named(space, point)
    return space.allows(dict(named)) and named not in tried


def _named(space: Space, point: Mapping[str, Value]) -> Tried:
    return tuple(space.canonical(point).items())


def rank(history: History) -> Ranking:
    """Learn from a history, and rank by that; see `rank_by`."""
    return rank_by(learn(history), history)


def rank_by(learnt: SearchModel | None, history: History) -> Ranking:
    """Rank what screen and refine have trained to the end.

    The model decides: the smallest expected loss plus the model's own sd among configurations with
    a complete training. One outside the space, of which the model can say nothing, counts with the
    value that it reached and the scatter of one training. Where the model fails to predict
    complete runs left out, the best observed value decides.

    Args:
        learnt: From `learn`.
        history: The study's rows.
    """
    model = learnt if learnt is not None and learnt.model.trusted else None
    complete = []
    for config_id, trial in history.search_trials.items():
        if trial.state is TrialState.DONE and trial.value is not None:
            found = None if model is None else model.expected(config_id)
            value, sd = (trial.value, None) if found is None else found
            complete.append(Expected(config_id, value, sd, trial.value))

    def at_worst(one: Expected) -> float:
        known = None if model is None else model.at_worst(one.config_id)
        if known is not None:
            return known
        return history.sign * one.value + (0.0 if model is None else model.noise)

    def place(one: Expected) -> tuple[float, int]:
        return at_worst(one), history.configs[one.config_id].number

    complete.sort(key=place)
    first = None if history.default is None else history.default.config_id
    others = tuple(one for one in complete if one.config_id != first)
    default = next((one for one in complete if one.config_id == first), None)
    if default is None and model is not None:
        default = _stopped_default(model, history)
    return Ranking(
        others=others,
        default=default,
        prefers_default=default is not None
        and (not others or history.sign * (default.value - others[0].value) <= 0.0),
        trusted=model is not None,
        note=_what_decides(learnt),
    )


def _stopped_default(learnt: SearchModel, history: History) -> Expected | None:
    """What the model expects of a default whose own training ASHA or a person stopped."""
    if history.default is None:
        return None
    config_id = history.default.config_id
    trial, found = history.search_trials.get(config_id), learnt.expected(config_id)
    if found is None or trial is None or trial.value is None:
        return None
    if trial.state is not TrialState.PRUNED:  # it failed, or still runs
        return None
    return Expected(config_id, *found, observed=trial.value, complete=False)


def _what_decides(learnt: SearchModel | None) -> str:
    if learnt is None:
        return "best observed value: too little ran for a model"
    if learnt.model.trusted:
        unchecked = math.isnan(learnt.model.error_ratio)
        why = ", which complete runs could not check: too few, or all alike" if unchecked else ""
        return f"best expected value by the model of all runs, its sd counted against it{why}"
    return (
        "best observed value: the model predicts complete runs that it has not seen "
        f"{learnt.model.error_ratio:.2g} times as badly as their mean does"
    )


def _ended(
    history: History, space: Space, inside: Mapping[str, Point]
) -> Iterator[tuple[Point, TrialState, Mapping[int, float], bool]]:
    """Each run that ended of the search that this one was warm-started from, then of this one."""
    for seen in history.warm:
        point = space.point_in(seen.values)
        if space.contains(point):
            yield point, seen.state, seen.curve, True
    for config_id, trial in history.search_trials.items():
        if trial.ended and config_id in inside:
            yield inside[config_id], trial.state, trial.best, False


def point_of(space: Space, record: ConfigRecord) -> Point | None:
    """A configuration as a point of the space; None outside it, or where its settings are lost."""
    if record.config == UNKNOWN:
        return None
    if record.origin is Origin.SAMPLER:
        return record.params
    return space.inside(Config.from_json(record.config))


def _ran(
    point: Point, state: TrialState, curve: Mapping[int, float], sign: float, *, elsewhere: bool
) -> Ran:
    """A run as the model sees it."""
    losses = {epoch: sign * value for epoch, value in curve.items() if math.isfinite(value)}
    if state is TrialState.FAILED or not losses:  # collapsed from its first epoch on
        return Ran(point, math.inf, {}, "failed")
    ended: Literal["complete", "stopped"] = "complete" if state is TrialState.DONE else "stopped"
    return Ran(point, losses[max(losses)], losses, ended, elsewhere)


def best_and_newest(losses: Sequence[float], most: int) -> list[int]:
    """Which of many runs are learnt from, so that a model's cost stays bounded.

    Args:
        losses: By run, in order; not finite where one does not compete.
        most: How many.

    Returns:
        Places, ascending: of the best quarter of `most`, and of the newest.
    """
    if len(losses) <= most:
        return list(range(len(losses)))
    finite = [place for place, loss in enumerate(losses) if math.isfinite(loss)]
    best = set(sorted(finite, key=lambda place: losses[place])[: most // 4])
    newest = [place for place in range(len(losses)) if place not in best]
    return sorted([*best, *newest[len(best) - most :]])
