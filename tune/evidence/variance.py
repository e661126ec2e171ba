"""Where the variance of the valid metric is: how much is the seed, how much each hyperparameter.

The seed's part is pooled within configurations over race and confirm. A search's parameters are
read off a surrogate of its screen, a grid's off an exact analysis of variance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from hscl.config import Config
from tune.states import Phase, TrialState
from tune.stats.effects import (
    FEWEST_TRIALS,
    SEED,
    Ends,
    Response,
    VarianceShare,
    surrogate_effects,
)
from tune.stats.grid_effects import GridRun, grid_effects
from tune.stats.surrogate import Basis
from tune.study.space import Point
from tune.study.spec import StudySpec
from tune.tables.records import last_events

__all__ = ["SEED", "Response", "SeedSpread", "VarianceReport", "VarianceShare", "analyse_variance"]

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
        shares: Parts of the variance of one training at a random point, the seed's first; empty
            where nothing can be said about parameters.
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
class _Run:
    """A trial's best valid values, as losses (less is wanted)."""

    config_id: str
    phase: Phase
    seed: int
    state: TrialState
    best: dict[int, float]

    @property
    def end(self) -> float:
        return self.best[max(self.best)]


def analyse_variance(
    spec: StudySpec, tables: Mapping[str, pa.Table], rng: np.random.Generator | None = None
) -> VarianceReport:
    """Say where the variance is.

    Args:
        spec: The study.
        tables: `configs`, `trials` and `reports`.
        rng: The source of all draws; seeded by the study's digest where none is given.
    """
    rng = np.random.default_rng(int(spec.digest[:16], 16)) if rng is None else rng
    sign = 1.0 if spec.mode == "min" else -1.0
    runs = _runs(tables, spec.study.metric, sign)
    seed = _seed_spread(runs)
    if spec.sampler.kind == "grid":
        return _of_grid(spec, tables, runs, seed)
    if spec.compares_all:
        note = "A list has no space whose parameters could be compared; see the comparisons."
        return VarianceReport(spec.study.metric, seed, (), (), 0, 0, (note,))
    return _of_search(spec, tables, runs, seed, rng)


def _runs(tables: Mapping[str, pa.Table], metric: str, sign: float) -> list[_Run]:
    """Ended trials with a value, each with its best value up to every epoch."""
    reports = tables["reports"].select(["trial_id", "epoch", f"valid_{metric}"]).sort_by("epoch")
    best: dict[str, dict[int, float]] = {}
    for trial, epoch, value in zip(*(c.to_pylist() for c in reports.columns), strict=True):
        if value is None or not np.isfinite(value):
            continue
        so_far = best.setdefault(trial, {})
        before = so_far[max(so_far)] if so_far else np.inf
        so_far[epoch] = min(before, sign * value)
    return [
        _Run(outcome.config_id, outcome.phase, outcome.seed, outcome.state, best[trial])
        for trial, outcome in last_events(tables["trials"]).items()
        if trial in best and outcome.state in {TrialState.DONE, TrialState.PRUNED}
    ]


def _seed_spread(runs: list[_Run]) -> SeedSpread | None:
    """Variance within configurations over race and confirm, where no run was stopped."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        if run.phase is not Phase.SCREEN and run.state is TrialState.DONE:
            groups.setdefault(run.config_id, []).append(run.end)
    several = [np.array(group) for group in groups.values() if len(group) > 1]
    if not several:
        return None
    freedom = sum(group.size - 1 for group in several)
    squares = float(sum(((group - group.mean()) ** 2).sum() for group in several))
    ends = [special.chdtri(freedom, tail) for tail in (0.025, 0.975)]
    sd, low, high = (float(np.sqrt(squares / by)) for by in (freedom, *ends))
    return SeedSpread(sd, low, high, freedom, len(several))


def _of_grid(
    spec: StudySpec, tables: Mapping[str, pa.Table], runs: list[_Run], seed: SeedSpread | None
) -> VarianceReport:
    points = _points(spec, tables)
    done = [
        GridRun(points[run.config_id], run.seed, run.end)
        for run in runs
        if run.state is TrialState.DONE and run.config_id in points
    ]
    found = grid_effects(spec.searched, done)
    responses = _turned(found.responses, spec)
    return VarianceReport(
        spec.study.metric, seed, found.shares, responses, len(done), 0, found.notes
    )


def _of_search(
    spec: StudySpec,
    tables: Mapping[str, pa.Table],
    runs: list[_Run],
    seed: SeedSpread | None,
    rng: np.random.Generator,
) -> VarianceReport:
    metric = spec.study.metric
    points = _points(spec, tables)
    screened = [run for run in runs if run.phase is Phase.SCREEN and run.config_id in points]
    ends = _ends(screened, points)
    complete = sum(run.state is TrialState.DONE for run in screened)
    stopped, left_out = len(screened) - complete, len(screened) - len(ends.points)
    floor = seed.sd if seed else 0.0
    same = bool(ends.points) and np.ptp([ends.low, ends.high]) == 0.0 and floor < _NO_SPREAD
    notes = [
        (
            f"The effects come from {len(screened)} screened trials on one seed, {stopped} of "
            "them stopped early: of these only bounds are known, from what complete trials "
            "gained after the same epoch."
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
        notes.append("No configuration has two seeds: the surrogate's own noise stands for them.")
    noise = seed.sd if seed else found.noise
    whole = found.spread + noise**2
    bounds = (None, None) if seed is None else (seed.low**2, seed.high**2)
    low, high = (None if v is None else v / (found.spread + v) for v in bounds)
    shares = (VarianceShare(SEED, noise**2 / whole, low, high), *found.shares)
    responses = _turned(found.responses, spec)
    return VarianceReport(metric, seed, shares, responses, complete, stopped, tuple(notes))


def _why_nothing(spec: StudySpec, screened: int, ends: Ends) -> str:
    """Why nothing is said about a search's parameters."""
    if screened < FEWEST_TRIALS:
        return f"Fewer than {FEWEST_TRIALS} screened trials say nothing about the parameters."
    if not Basis(spec.searched).names:
        return "No parameter of the space can take a second value: nothing can be compared."
    if len(ends.points) < FEWEST_TRIALS or not ends.complete.any():
        return (
            f"Of {screened} screened trials {int(ends.complete.sum())} ran to the end, too few "
            "to say where the stopped ones would have ended, or anything about the parameters."
        )
    return "Every run ended with the same value."


def _points(spec: StudySpec, tables: Mapping[str, pa.Table]) -> dict[str, Point]:
    """Configurations that are points of the space."""
    rows = tables["configs"].select(["config_id", "config"]).to_pylist()
    inside = {
        row["config_id"]: spec.searched.inside(Config.from_json(row["config"])) for row in rows
    }
    return {config_id: point for config_id, point in inside.items() if point is not None}


def _ends(runs: list[_Run], points: Mapping[str, Point]) -> Ends:
    """Bounds of each screened trial's value at full budget; without those that have none."""
    complete = [run for run in runs if run.state is TrialState.DONE]
    known = [
        (run, bounds)
        for run in runs
        if (
            bounds := (run.end, run.end)
            if run.state is TrialState.DONE
            else _bounds(run, complete)
        )
    ]
    low, high = (np.array([bounds[side] for _, bounds in known]) for side in (0, 1))
    done = np.array([run.state is TrialState.DONE for run, _ in known], dtype=np.bool_)
    return Ends(tuple(points[run.config_id] for run, _ in known), low, high, done)


def _bounds(stopped: _Run, complete: list[_Run]) -> tuple[float, float] | None:
    """Where a stopped trial would have ended, from what complete trials gained after its stop."""
    epoch = max(stopped.best)
    gains = [
        run.best[max(e for e in run.best if e <= epoch)] - run.end
        for run in complete
        if min(run.best) <= epoch
    ]
    if len(gains) < 2:  # one gain has no spread: its bounds would pass for an exact value
        return None
    room = _BEYOND_SEEN * (max(gains) - min(gains))
    return stopped.end - max(gains) - room, stopped.end - max(min(gains) - room, 0.0)


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
