"""Where the variance of the valid metric is: how much is the seed, how much each hyperparameter.

The seed's part is pooled within configurations over confirm. A search's parameters are read off a
surrogate of screen and refine, a grid's off an exact analysis of variance.

Rule of what is said in words: a parameter is worth tuning where its effect exceeds what chance
gives one that does nothing (`VarianceShare.matters`: 5 % over all parameters); it matters more
than the seed where, beyond that, its part of the variance of one training is larger.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from hscl.config import Config
from hscl.metrics import METRIC
from tune.display import listing, parameter_name, share
from tune.states import TrialState
from tune.stats.effects import (
    FEWEST_TRIALS,
    SEED,
    UNEXPLAINED,
    Ends,
    Response,
    SurrogateEffects,
    VarianceShare,
    surrogate_effects,
)
from tune.stats.grid_effects import GridRun, grid_effects
from tune.stats.surrogate import Basis
from tune.study.space import Point
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import TrialRecord
from tune.tables.salvage import UNKNOWN

__all__ = [
    "SEED",
    "UNEXPLAINED",
    "Response",
    "SeedSpread",
    "SeedWeight",
    "VarianceReport",
    "VarianceShare",
    "analyse_variance",
    "seed_weight_lines",
    "weigh_seed",
]

FloatArray = npt.NDArray[np.float64]

_BEYOND_SEEN = 0.25  # of the range of gains seen, on either side: few trials don't show all
_NO_SPREAD = 1e-12  # between seeds: what is left of equal values after rounding


@dataclass(frozen=True)
class SeedSpread:
    """The seed's variance, pooled within configurations.

    Attributes:
        sd: Standard deviation between seeds of one configuration: the noise floor.
        low: Lower end of its 95 % interval (chi square).
        high: Upper end.
        degrees_of_freedom: Runs less configurations.
        configurations: How many had two or more finished runs.
    """

    sd: float
    low: float
    high: float
    degrees_of_freedom: int
    configurations: int


@dataclass(frozen=True)
class VarianceReport:
    """What is known about the spread of the valid metric at full budget.

    Attributes:
        metric: The study's metric.
        seed: The seed's part; None below two finished runs of one configuration.
        shares: Parts of the variance of one training at a random point: the seed's first, where
            it is known, what nothing explains last; empty where nothing can be said about
            parameters.
        responses: One curve a parameter.
        complete: Complete trials behind them.
        stopped: Trials stopped early, known only between bounds.
        notes: What a reader has to know, in words.
    """

    metric: str
    seed: SeedSpread | None
    shares: tuple[VarianceShare, ...]
    responses: tuple[Response, ...]
    complete: int
    stopped: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SeedWeight:
    """The seed against the parameters, by the rule above.

    Attributes:
        metric: The study's metric.
        seed: The seed's part of the variance of one training at a random point of the space;
            None where no configuration ran on two seeds.
        unexplained: The part that neither the seed, where its own is known, nor any parameter
            explains.
        worth_tuning: Parameters whose effect exceeds chance, and their parts; the largest first.
        above_seed: Those of them whose part is larger than the seed's.
    """

    metric: str
    seed: float | None
    unexplained: float
    worth_tuning: Mapping[str, float]
    above_seed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def weigh_seed(report: VarianceReport) -> SeedWeight | None:
    """Say whether anything matters as much as the seed.

    Args:
        report: Of a search or a grid.

    Returns:
        None where nothing is said about its parameters.
    """
    parts = {one.name: one.part for one in report.shares}
    tested = [one for one in report.shares if one.matters is not None]
    if not tested:
        return None
    known = sorted((one for one in tested if one.matters), key=lambda one: -one.part)
    seed = parts.get(SEED)
    return SeedWeight(
        metric=report.metric,
        seed=seed,
        unexplained=parts.get(UNEXPLAINED, 0.0),
        worth_tuning={one.name: one.part for one in known},
        above_seed=tuple(one.name for one in known if seed is not None and one.part > seed),
    )


def seed_weight_lines(weight: SeedWeight) -> list[str]:
    """The same in two sentences."""
    metric = METRIC[weight.metric].name
    what = f"of the variance of one training's valid {metric} at a random point of this space"
    if weight.seed is None:
        first = (
            "How much is the seed is not known, as no configuration ran on two: "
            f"{_large(weight.unexplained)} {what} is the seed's or what no parameter explains."
        )
    elif weight.above_seed:
        names = listing([parameter_name(name) for name in weight.above_seed])
        verb = "matters" if len(weight.above_seed) == 1 else "matter"
        shown = {share(weight.worth_tuning[name]) for name in weight.above_seed}
        # Beside "(15 %)" below, "more than the seed, which is 15 %" would contradict itself.
        than = "as much as" if share(weight.seed) in shown else "more than"
        first = f"{names} {verb} {than} the seed, which is {share(weight.seed)} {what}."
    elif weight.seed > 0.5:
        first = (
            f"Nothing here matters as much as the seed: it is {_large(weight.seed)} {what}, all "
            f"that was searched together {share(1.0 - weight.seed)}."
        )
    else:
        first = (
            "No single parameter is shown to matter as much as the seed, which is "
            f"{share(weight.seed)} {what}"
        )
        if weight.unexplained > weight.seed:
            first += (
                f"; {_large(weight.unexplained)} is what the configuration does, or luck, that no "
                "parameter explains"
            )
        first += "."
    if not weight.worth_tuning:
        return [first, "Worth tuning: no parameter's effect is shown to exceed chance."]
    parts = weight.worth_tuning.items()
    listed = listing([f"{parameter_name(name)} ({share(part)})" for name, part in parts])
    return [
        first[:1].upper() + first[1:],
        f"Worth tuning: {listed}; the others not, as far as shown.",
    ]


def _large(part: float) -> str:
    """A share that never claims to be everything: it is an estimate from few trials."""
    return "more than 99 %" if part >= 0.99 else share(part)


def analyse_variance(history: History, rng: np.random.Generator | None = None) -> VarianceReport:
    """Say where the variance is.

    Args:
        history: What has happened in the study.
        rng: The source of all draws; seeded by the study's digest where none is given.
    """
    spec = history.spec
    rng = np.random.default_rng(int(spec.digest[:16], 16)) if rng is None else rng
    seed = _seed_spread(history)
    if spec.sampler.kind == "grid":
        return _of_grid(history, seed)
    if spec.compares_all:
        note = "A list has no space whose parameters could be compared; see the comparisons."
        return VarianceReport(spec.study.metric, seed, (), (), 0, 0, (note,))
    if spec.sampler.per is not None:
        note = f"Each {spec.sampler.per} has a space of its own: no effects over all of them."
        return VarianceReport(spec.study.metric, seed, (), (), 0, 0, (note,))
    return _of_search(history, seed, rng)


def _valued(history: History, *states: TrialState) -> list[TrialRecord]:
    """Trials that ended so and have a value."""
    trials = history.trials.values()
    return [trial for trial in trials if trial.state in states and trial.value is not None]


def _seed_spread(history: History) -> SeedSpread | None:
    """Variance within configurations that ran on several seeds, where no run was stopped."""
    groups: dict[str, list[float]] = {}
    for trial in _valued(history, TrialState.DONE):
        if not trial.phase.searches:
            groups.setdefault(trial.config_id, []).append(history.loss(trial))
    several = [np.array(group) for group in groups.values() if len(group) > 1]
    if not several:
        return None
    freedom = sum(group.size - 1 for group in several)
    squares = float(sum(((group - group.mean()) ** 2).sum() for group in several))
    ends = [special.chdtri(freedom, tail) for tail in (0.025, 0.975)]
    sd, low, high = (float(np.sqrt(squares / by)) for by in (freedom, *ends))
    return SeedSpread(sd, low, high, freedom, len(several))


def _of_grid(history: History, seed: SeedSpread | None) -> VarianceReport:
    spec, points = history.spec, _points(history)
    done = [
        GridRun(points[trial.config_id], trial.seed, history.loss(trial))
        for trial in _valued(history, TrialState.DONE)
        if trial.config_id in points
    ]
    found = grid_effects(spec.searched, done)
    responses = _turned(found.responses, spec)
    return VarianceReport(
        spec.study.metric, seed, found.shares, responses, len(done), 0, found.notes
    )


def _of_search(
    history: History, seed: SeedSpread | None, rng: np.random.Generator
) -> VarianceReport:
    spec, points = history.spec, _points(history)
    metric = spec.study.metric
    screened = [
        trial
        for trial in _valued(history, TrialState.DONE, TrialState.PRUNED)
        if trial.phase.searches and trial.config_id in points
    ]
    ends = _ends(history, screened, points)
    complete = sum(trial.state is TrialState.DONE for trial in screened)
    stopped, left_out = len(screened) - complete, len(screened) - len(ends.points)
    floor = seed.sd if seed else 0.0
    same = bool(ends.points) and np.ptp([ends.low, ends.high]) == 0.0 and floor < _NO_SPREAD
    notes = [
        (
            f"The effects come from {len(screened)} trials of the search on one seed, "
            f"{stopped} of them stopped early: of these only bounds are known, from what complete "
            "trials gained after the same epoch."
        )
    ]
    if left_out:
        notes.append(
            f"{left_out} stopped {'trials are' if left_out > 1 else 'trial is'} left out: fewer "
            "than two complete trials say what is gained after the same epoch."
        )
    found = (
        None if same else surrogate_effects(spec.searched, ends, seed.sd if seed else None, rng)
    )
    if found is None:
        why = _why_nothing(spec, len(screened), ends)
        return VarianceReport(metric, seed, (), (), complete, stopped, (why,))
    if seed is None:
        notes.append("No configuration has two seeds: what is unexplained may be the seed's.")
    shares = _with_the_rest(found, seed)
    responses = _turned(found.responses, spec)
    return VarianceReport(metric, seed, shares, responses, complete, stopped, tuple(notes))


def _with_the_rest(found: SurrogateEffects, seed: SeedSpread | None) -> tuple[VarianceShare, ...]:
    """The parameters' shares, the seed's before them, what nothing explains behind them."""
    whole = found.spread + found.noise**2
    if seed is None:
        return *found.shares, VarianceShare(UNEXPLAINED, found.noise**2 / whole)
    part, low, high = (
        sd**2 / (found.spread + max(sd, found.noise) ** 2) for sd in (seed.sd, seed.low, seed.high)
    )
    rest = (found.noise**2 - seed.sd**2) / whole
    unexplained = (VarianceShare(UNEXPLAINED, rest),) if rest > 0.0 else ()
    return VarianceShare(SEED, part, low, high), *found.shares, *unexplained


def _why_nothing(spec: StudySpec, screened: int, ends: Ends) -> str:
    """Why nothing is said about a search's parameters."""
    if screened < FEWEST_TRIALS:
        return f"Fewer than {FEWEST_TRIALS} trials of the search say nothing about the parameters."
    if not Basis(spec.searched).names:
        return "No parameter of the space can take a second value: nothing can be compared."
    if len(ends.points) < FEWEST_TRIALS or not ends.complete.any():
        return (
            f"Of {screened} trials of the search {int(ends.complete.sum())} ran to the end, too "
            "few to say where the stopped ones would have ended, or anything about the parameters."
        )
    return "Every run ended with the same value."


def _points(history: History) -> dict[str, Point]:
    """Configurations that are points of the space; not those whose settings are lost."""
    space = history.spec.searched
    inside = {
        config.config_id: space.inside(Config.from_json(config.config))
        for config in history.configs.values()
        if config.config != UNKNOWN
    }
    return {config_id: point for config_id, point in inside.items() if point is not None}


def _ends(history: History, screened: list[TrialRecord], points: Mapping[str, Point]) -> Ends:
    """Bounds of each trial's value at full budget; without those that have none."""
    complete = [trial for trial in screened if trial.state is TrialState.DONE]
    known = [
        (trial, bounds)
        for trial in screened
        if (
            bounds := (history.loss(trial), history.loss(trial))
            if trial.state is TrialState.DONE
            else _bounds(history, trial, complete)
        )
    ]
    low, high = (np.array([bounds[side] for _, bounds in known]) for side in (0, 1))
    done = np.array([trial.state is TrialState.DONE for trial, _ in known], dtype=np.bool_)
    return Ends(tuple(points[trial.config_id] for trial, _ in known), low, high, done)


def _bounds(
    history: History, stopped: TrialRecord, complete: list[TrialRecord]
) -> tuple[float, float] | None:
    """Where a stopped trial would have ended, from what complete trials gained after its stop."""
    epoch = max(epoch for epoch, value in stopped.curve.items() if not math.isnan(value))
    then = [(history.sign * trial.best_at(epoch), history.loss(trial)) for trial in complete]
    gains = [value - end for value, end in then if not math.isnan(value)]
    if len(gains) < 2:  # one gain has no spread: its bounds would pass for an exact value
        return None
    room = _BEYOND_SEEN * (max(gains) - min(gains))
    end = history.loss(stopped)
    return end - max(gains) - room, end - max(min(gains) - room, 0.0)


def _turned(responses: tuple[Response, ...], spec: StudySpec) -> tuple[Response, ...]:
    """From losses back to the metric, where more of it is wanted."""
    if spec.mode == "min":
        return responses
    return tuple(
        replace(
            one,
            mean=tuple(-value for value in one.mean),
            low=tuple(-value for value in one.high),
            high=tuple(-value for value in one.low),
            observed=tuple((value, -result) for value, result in one.observed),
        )
        for one in responses
    )
