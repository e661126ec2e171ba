"""What all runs of a search say about every configuration: a Gaussian process over its space.

Runs that were stopped early count too: as their value at their last epoch less what complete runs
gained after it in the mean, with an offset in common for each such epoch (those that were stopped
may gain more). So "worse because earlier" costs nothing. By how much configurations differ at such
an epoch for each unit that they differ at the end, and how much more runs scatter there, the data
choose: on MOSI's official folds they differ 1.6 times as much after 3 of 8 epochs, and order as at
the end, so that a run stopped there says nearly as much as a complete one.
Noise is a parameter: the model never believes one lucky run. Values are losses: less is better.

Sources: Kennedy and O'Hagan, "Predicting the output from a complex computer code when fast
approximations are available" (2000), on a slope for each level of fidelity; Picheny et al.,
"Quantile-based optimization of noisy computer experiments" (2013), on never trusting the best
observation; leave-one-out as in Rasmussen and Williams (2006), §5.4.2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from tune.stats.model.encoding import Encoding
from tune.stats.model.gaussian_process import (
    Inputs,
    Points,
    Posterior,
    Predicted,
    fit_settings,
    one_thread,
    posterior,
)
from tune.study.space import Value

__all__ = ["FEWEST_RUNS", "Ran", "RunModel", "fit_runs"]

FEWEST_RUNS = 6
"""With fewer the model would be its prior."""

FloatArray = npt.NDArray[np.float64]

_OFFSET = 0.25  # prior variance of what an early epoch's runs have in common beyond the mean gain
_ELSEWHERE = 25.0  # of what runs elsewhere have in common
_CONSTANT = 1.0  # of the mean of all values
_UNLUCKY = 2.5  # standard deviations by which a run is worse than the others let expect
_FAR = 11.0  # spreads of the better half beyond the best: worse than that is all the same
_SHRUNK = 1.5  # a few complete curves show less variance than there is
_FAILS = 1.2  # errors of leaving one out, in units of those of the others' mean
_ALIKE = 1e-9  # standardised values that differ by less are the same but for rounding
_LEAST_EXTRA = 0.1  # sd that a stop adds at least, in units of the better half's spread


@dataclass(frozen=True)
class Ran:
    """One run that ended.

    Attributes:
        point: Where.
        value: Its loss: of a complete run at its end, of a stopped one when it was stopped; any
            number for a failed one, which counts as bad as the worst run.
        curve: Loss at each epoch, as far as it is known and finite.
        state: How it ended.
        elsewhere: In another study, perhaps on other data: what such runs have in common is
            nothing that the runs here have, only their differences teach.
    """

    point: Mapping[str, Value]
    value: float
    curve: Mapping[int, float]
    state: Literal["complete", "stopped", "failed"] = "complete"
    elsewhere: bool = False

    def at(self, epoch: int) -> float:
        """Loss at an epoch, or the last one before it; infinite where none is known by then."""
        seen = [known for known in self.curve if known <= epoch]
        return self.curve[max(seen)] if seen else math.inf


@dataclass(frozen=True)
class RunModel:
    """A fitted model of runs.

    Attributes:
        encoding: Of the space.
        codes: (N, D) the runs' codes, pending ones last.
        rungs: (N,) the epoch at which a run was stopped, 0 for complete ones; of runs elsewhere
            −1 less that number.
        centre: A loss that counts as 0.
        scale: A loss difference that counts as 1.
        fitted: The process.
        complete: (N,) which runs end with their training, pending ones too: the search chooses
            among them.
        known: N without pending runs.
    """

    encoding: Encoding
    codes: FloatArray
    rungs: npt.NDArray[np.int64]
    centre: float
    scale: float
    fitted: Posterior
    complete: npt.NDArray[np.bool_]
    known: int

    @one_thread()
    def predict(self, codes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(M,) expected loss of a complete training at codes (M, D), and its sd.

        The sd is that of the expectation over seeds; one run scatters by `noise` around it.
        """
        return self._in_units(self.fitted.at(_points(self.encoding, codes)))

    def at_worst(self, codes: FloatArray) -> FloatArray:
        """(M,) expected loss of a complete training at codes (M, D) and one sd more.

        By this the search chooses: the smallest expectation by itself is too often one of which
        little is known.
        """
        mean, sd = self.predict(codes)
        return mean + sd

    @one_thread()
    def jointly(
        self, one: FloatArray, other: FloatArray
    ) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray], FloatArray]:
        """What `predict` says at codes (M, D), at others (K, D), and their (M, K) covariance."""
        both = [self.fitted.at(_points(self.encoding, codes)) for codes in (one, other)]
        between = self.scale**2 * self.fitted.covariance(*both)
        return self._in_units(both[0]), self._in_units(both[1]), between

    def difference(self, one: FloatArray, other: FloatArray) -> tuple[float, float]:
        """Expected loss at a code (D,) less that at another, and the sd of that."""
        both = np.vstack([one, other])
        (mean, _), _, covariance = self.jointly(both, both)
        (own, shared), (_, others) = covariance.tolist()
        return float(mean[0] - mean[1]), math.sqrt(max(own + others - 2.0 * shared, 0.0))

    def _in_units(self, predicted: Predicted) -> tuple[FloatArray, FloatArray]:
        return self.centre + self.scale * predicted.mean, self.scale * predicted.sd

    @property
    def noise(self) -> float:
        """Standard deviation of a run's loss around its expectation."""
        return self.scale * self.fitted.settings.noise

    @property
    def trusted(self) -> bool:
        """Whether it predicts complete runs that it has not seen about as well as their mean."""
        return not self.error_ratio > _FAILS

    @cached_property
    @one_thread()
    def error_ratio(self) -> float:
        """Root mean square error of leaving one complete run out, over that of their mean.

        Below 1 the model says more about a run than the mean of the others does. NaN with fewer
        than three complete runs, or where all have the same value.
        """
        ended = self.complete & (np.arange(self.complete.size) < self.known)
        values = self.fitted.inputs.values[ended]
        if values.size < 3 or np.ptp(values) < _ALIKE:
            return math.nan
        residuals = self.fitted.left_out()[0][ended]
        of_mean = (values - values.mean()) * values.size / (values.size - 1)
        # Both are cut where the mean's errors are: one collapsed run must not decide.
        most = 3.0 * float(np.median(np.abs(of_mean)))
        mine, means = (np.clip(r, -most, most) for r in (residuals, of_mean))
        below = float((means**2).mean())
        return math.sqrt(float((mine**2).mean()) / below) if below > 0.0 else math.nan

    @one_thread()
    def with_pending(self, codes: FloatArray) -> "RunModel":
        """The same with runs (P, D) that haven't ended, at their expected values.

        Source: Ginsbourger, Le Riche, Carraro, "Kriging is well-suited to parallelize
        optimization" (2010).
        """
        if not len(codes):
            return self
        inputs = self.fitted.inputs
        mean = (self.predict(codes)[0] - self.centre) / self.scale
        everyone = np.vstack([self.codes, codes])
        rungs = np.concatenate([self.rungs, np.zeros(len(codes), dtype=np.int64)])
        at_stop = dict(zip(_stops(self.rungs), inputs.scatters.tolist(), strict=True))
        values = np.concatenate([inputs.values, mean])
        more = replace(
            _inputs(self.encoding, everyone, rungs, values, at_stop),
            extra=np.concatenate([inputs.extra, np.zeros(len(codes))]),
        )
        return replace(
            self,
            codes=everyone,
            rungs=rungs,
            fitted=posterior(more, self.fitted.settings),
            complete=np.concatenate([self.complete, np.ones(len(codes), dtype=np.bool_)]),
        )


@one_thread()
def fit_runs(encoding: Encoding, runs: Sequence[Ran]) -> RunModel | None:
    """Fit the model.

    Args:
        encoding: Of the space.
        runs: All that ended, each with a point inside the space.

    Returns:
        None where fewer than six runs have a value, none is complete, or all have the same.
    """
    valued = [run for run in runs if run.state != "failed"]
    here = [run for run in valued if not run.elsewhere]
    complete = [run for run in here if run.state == "complete"]
    if len(valued) < FEWEST_RUNS or not complete:
        return None
    stops = [0 if run.state == "complete" else max(run.curve) for run in valued]
    ways = {stop: _Way.of(complete, here, stop) for stop in set(stops)}
    away = np.array([run.elsewhere for run in valued])
    rungs = np.where(away, -1 - np.array(stops), stops)
    ends = np.array([run.value - ways[stop].gain for run, stop in zip(valued, stops, strict=True)])
    if away.any():
        ends[away] += np.median(ends[~away]) - np.median(ends[away])
    spread = _spread(ends)
    if spread <= _rounding(ends):
        return None
    ends = _squashed(ends, spread)
    failed = [run for run in runs if run.state == "failed"]
    ends = np.concatenate([ends, np.full(len(failed), ends.max())])
    rungs = np.concatenate([rungs, np.zeros(len(failed), dtype=np.int64)])
    codes = encoding.codes([run.point for run in (*valued, *failed)])
    centre, scale = float(ends[rungs == 0].mean()), float(ends.std()) or 1.0
    at_stop = {stop: ways[stop].variance_added(spread) ** 0.5 / scale for stop in set(stops) - {0}}
    inputs = _inputs(encoding, codes, rungs, (ends - centre) / scale, at_stop)
    settings = fit_settings(inputs)
    model = RunModel(
        encoding=encoding,
        codes=codes,
        rungs=rungs,
        centre=centre,
        scale=scale,
        fitted=posterior(inputs, settings),
        complete=(rungs == 0) & (np.arange(rungs.size) < len(valued)),
        known=rungs.size,
    )
    residuals, sds = model.fitted.left_out()
    unlucky = residuals > _UNLUCKY * sds
    if unlucky.any():
        inputs = replace(inputs, extra=inputs.extra + np.where(unlucky, residuals**2, 0.0))
        settings = fit_settings(inputs, settings)
        model = replace(model, fitted=posterior(inputs, settings))
    return model


@dataclass(frozen=True)
class _Way:
    """The way from an epoch to the end, from the curves of complete runs.

    Attributes:
        gain: By how much a run's loss falls, in the mean.
        variance: Of that; NaN where fewer than three curves tell.
    """

    gain: float
    variance: float

    @classmethod
    def of(cls, complete: Sequence[Ran], everyone: Sequence[Ran], epoch: int) -> "_Way":
        """From the complete runs that have a value by then."""
        if epoch == 0:
            return cls(0.0, 0.0)
        gains = [run.at(epoch) - run.value for run in complete]
        gains = [gain for gain in gains if math.isfinite(gain)]
        if not gains:
            best = min(run.at(epoch) for run in everyone)
            gain = best - min(run.value for run in complete)
            # Nobody here has a value by then: that of runs elsewhere is as good as its end.
            return cls(gain if math.isfinite(gain) else 0.0, math.nan)
        variance = float(np.var(gains, ddof=1)) if len(gains) >= 3 else math.nan
        return cls(float(np.mean(gains)), variance)

    def variance_added(self, spread: float) -> float:
        """Variance that the way adds to what a stopped run says of its end."""
        if math.isnan(self.variance):
            return spread**2
        return max(_SHRUNK * self.variance, (_LEAST_EXTRA * spread) ** 2)


def _squashed(ends: FloatArray, spread: float) -> FloatArray:
    """What lies far beyond the best is drawn in, so that it does not set the scale."""
    low, high = np.quantile(ends, [0.25, 0.75])
    # By Tukey's fence too: a search that has closed in has a small spread, and still a wide past.
    limit = max(float(ends.min()) + _FAR * spread, float(high + 1.5 * (high - low)))
    over = np.maximum(ends - limit, 0.0)
    squashed: FloatArray = np.minimum(ends, limit) + spread * np.log1p(over / spread)
    return squashed


def _spread(ends: FloatArray) -> float:
    """Standard deviation among the better half."""
    better = np.sort(ends)[: max(2, (ends.size + 1) // 2)]
    spread = float(better.std(ddof=1))
    return spread if spread > _rounding(ends) else float(ends.std())


def _rounding(ends: FloatArray) -> float:
    """What values differ by that are the same."""
    return 1e-12 * float(np.abs(ends).max())


def _inputs(
    encoding: Encoding,
    codes: FloatArray,
    rungs: npt.NDArray[np.int64],
    values: FloatArray,
    at_stop: Mapping[int, float],
) -> Inputs:
    """Runs without anything beyond what their rungs let expect.

    Args:
        encoding: Of the space.
        codes: (N, D) the runs' codes.
        rungs: (N,) see `RunModel`.
        values: (N,) standardised.
        at_stop: By epoch at which runs were stopped, what that is expected to add to the noise.
    """
    stops = _stops(rungs)
    same = (rungs[:, None] == rungs[None, :]) & (rungs[:, None] != 0)
    elsewhere = rungs < 0
    return Inputs(
        points=_points(encoding, codes),
        owners=encoding.owners,
        constant=_CONSTANT,  # complete runs have no offset in common with any other
        linear=_OFFSET * same + _ELSEWHERE * np.outer(elsewhere, elsewhere),
        extra=np.zeros(len(codes)),
        values=values,
        rungs=np.array([stops.index(stop) if stop else -1 for stop in _stopped(rungs)]),
        scatters=np.array([at_stop[stop] for stop in stops]),
    )


def _points(encoding: Encoding, codes: FloatArray) -> Points:
    return Points(encoding.places(codes), encoding.trend(codes))


def _stopped(rungs: npt.NDArray[np.int64]) -> list[int]:
    """The epoch at which each run was stopped, here or elsewhere; 0 where it is complete."""
    epochs: list[int] = np.where(rungs < 0, -1 - rungs, rungs).tolist()
    return epochs


def _stops(rungs: npt.NDArray[np.int64]) -> list[int]:
    """The epochs at which runs were stopped."""
    return sorted(set(_stopped(rungs)) - {0})
