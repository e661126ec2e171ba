"""A Gaussian process with a quadratic trend, whose settings the data choose (MAP).

    y = c + trend(x) + f(x) + error,   f ~ Matérn-5/2 with a length scale a parameter

Constant, trend and whatever else is linear enter as their covariance, so nothing of them is ever
fitted by itself. Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006),
equations 2.25, 2.26, 4.17, 5.9 and 5.12 (leave-one-out).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import threadpoolctl
from scipy import linalg, optimize

__all__ = ["Inputs", "Points", "Posterior", "Settings", "fit_settings", "one_thread", "posterior"]

FloatArray = npt.NDArray[np.float64]

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-8


def _none() -> FloatArray:
    return np.empty(0)


@cache
def _threads() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: with matrices of a hundred rows more only wait for each other."""
    with _threads().limit(limits=1, user_api="blas"):
        yield


@dataclass(frozen=True)
class Settings:
    """What the data choose, in units of the standardised values.

    Attributes:
        lengths: (D,) length scales, in widths of each parameter's range.
        amplitude: Standard deviation of f.
        trend: Standard deviation of a linear term's weight.
        noise: Standard deviation of a run around its expected value.
        slopes: (R,) by how much runs that were stopped at a rung differ where complete ones
            differ by 1.
        scatters: (R,) standard deviation that stopping at a rung adds to the noise.
    """

    lengths: FloatArray
    amplitude: float
    trend: float
    noise: float
    slopes: FloatArray = field(default_factory=_none)
    scatters: FloatArray = field(default_factory=_none)

    @classmethod
    def of(cls, logs: FloatArray, rungs: int = 0) -> "Settings":
        """From the logarithms, in the order of the attributes, with so many rungs."""
        values = np.exp(logs)
        whole, stopped = values[: values.size - 2 * rungs], values[values.size - 2 * rungs :]
        amplitude, trend, noise = whole[-3:].tolist()
        return cls(whole[:-3], amplitude, trend, noise, stopped[:rungs], stopped[rungs:])

    @property
    def logs(self) -> FloatArray:
        """The logarithms, in the order of the attributes."""
        of_all = [self.amplitude, self.trend, self.noise]
        settings = np.concatenate([self.lengths, of_all, self.slopes, self.scatters])
        logs: FloatArray = np.log(settings)
        return logs

    def of_runs(self, rungs: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """(N,) slope and variance of runs, given their rungs; those of complete ones: -1."""
        slopes = np.append(self.slopes, 1.0)[rungs]
        return slopes, self.noise**2 + np.append(self.scatters, 0.0)[rungs] ** 2


# Means and standard deviations of normal priors on the logarithms. That of the noise is narrow:
# few runs hardly tell noise from a rough surface; on MOSI's official folds it is .57 of the scale.
_PRIOR_LENGTH = (-0.3, 0.8)
_MEANS = np.array([math.log(0.7), math.log(0.7), math.log(0.5)])
_SDS = np.array([1.0, 1.0, 0.5])
_SLOPE_SD = 0.5  # of the logarithm of a rung's slope, whose prior mean is 0
_SCATTER_SD = 0.5  # of the logarithm of what stopping adds, around what the curves say


@dataclass(frozen=True)
class Inputs:
    """What is known of N runs.

    Attributes:
        squared: (D, N, N) squared differences of the parameters.
        trend: (N, P) terms of the trend.
        linear: (N, N) covariance of all else that is linear: constant, offsets.
        extra: (N,) variance of a run beyond what its rung gives it.
        values: (N,) the runs' values, standardised.
        rungs: (N,) which of R rungs a run was stopped at, -1 where it is complete.
        scatters: (R,) what stopping at a rung is expected to add, as a standard deviation.
    """

    squared: FloatArray
    trend: FloatArray
    linear: FloatArray
    extra: FloatArray
    values: FloatArray
    rungs: npt.NDArray[np.int64]
    scatters: FloatArray = field(default_factory=_none)

    @property
    def prior(self) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the logarithms of the settings before any data."""
        parameters, rungs = len(self.squared), self.scatters.size
        means = [np.full(parameters, _PRIOR_LENGTH[0]), _MEANS, np.zeros(rungs)]
        sds = [np.full(parameters, _PRIOR_LENGTH[1]), _SDS, np.full(rungs, _SLOPE_SD)]
        return (
            np.concatenate([*means, np.log(self.scatters)]),
            np.concatenate([*sds, np.full(rungs, _SCATTER_SD)]),
        )


def _matern(squared: FloatArray, lengths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(…) correlation, and its derivative by r² times −2: (5/3)(1 + √5 r) exp(−√5 r)."""
    r2 = np.tensordot(lengths**-2.0, squared, axes=1)
    r = _ROOT5 * np.sqrt(r2)
    fall = np.exp(-r)
    return (1.0 + r + r**2 / 3.0) * fall, (5.0 / 3.0) * (1.0 + r) * fall


def fit_settings(inputs: Inputs, start: Settings | None = None, steps: int = 25) -> Settings:
    """The most probable settings.

    Args:
        inputs: The runs.
        start: Where to begin; the prior's mode by default.
        steps: Iterations of L-BFGS at most.
    """
    parameters, rungs = len(inputs.squared), inputs.scatters.size
    means, sds = inputs.prior
    gram = inputs.trend @ inputs.trend.T
    diagonal = np.arange(inputs.values.size)
    at_rung = inputs.rungs == np.arange(rungs)[:, None]

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        now = Settings.of(logs, rungs)
        slopes, noise = now.of_runs(inputs.rungs)
        steep = np.outer(slopes, slopes)
        shape, fall = _matern(inputs.squared, now.lengths)
        whole = steep * (now.amplitude**2 * shape)
        sloping = steep * (now.trend**2 * gram)
        clean = whole + sloping + steep * inputs.linear
        covariance = clean.copy()
        covariance[diagonal, diagonal] += noise + inputs.extra + _JITTER
        try:
            factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse, _ = linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        weights = inverse @ inputs.values
        # ∂/∂θ of the loss is ½ tr((K⁻¹ − ααᵀ) ∂K/∂θ).
        half = 0.5 * (inverse - np.outer(weights, weights))
        by_r2 = half * steep * fall * now.amplitude**2
        gradient = np.empty_like(logs)
        of_all = gradient[: parameters + 3]
        of_all[:-3] = np.tensordot(inputs.squared, by_r2, axes=2) / now.lengths**2
        of_all[-3] = 2.0 * (half * whole).sum()
        of_all[-2] = 2.0 * (half * sloping).sum()
        of_all[-1] = 2.0 * now.noise**2 * np.trace(half)
        of_rungs = gradient[parameters + 3 :].reshape(2, rungs)
        of_rungs[0] = 2.0 * at_rung @ (half * clean).sum(axis=1)
        of_rungs[1] = 2.0 * now.scatters**2 * (at_rung @ np.diag(half))
        off = (logs - means) / sds
        value = 0.5 * inputs.values @ weights + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        return float(value), gradient + off / sds

    found = optimize.minimize(
        loss,
        means if start is None else start.logs,
        jac=True,
        method="L-BFGS-B",
        bounds=[(m - 5.0 * s, m + 5.0 * s) for m, s in zip(means, sds, strict=True)],
        options={"maxiter": steps},
    )
    return Settings.of(found.x, rungs)


@dataclass(frozen=True)
class Points:
    """M points as the runs see them.

    Attributes:
        squared: (D, N, M) squared differences between runs and points.
        trend: (M, P) terms of the trend.
        linear: (N, M) covariance of what else is linear; the same everywhere among points.
        own: Prior variance of what else is linear at a point.
    """

    squared: FloatArray
    trend: FloatArray
    linear: FloatArray
    own: float


@dataclass(frozen=True)
class Posterior:
    """What the runs say about the function.

    Attributes:
        inputs: The runs.
        settings: The process.
        factor: (N, N) lower Cholesky factor of the runs' covariance.
        weights: (N,) its inverse times the values.
    """

    inputs: Inputs
    settings: Settings
    factor: FloatArray
    weights: FloatArray

    def at(self, points: Points) -> tuple[FloatArray, FloatArray]:
        """(M,) mean and standard deviation of the noiseless value at points."""
        across = self._across(points)
        solved = self._solved(across)
        now = self.settings
        own = now.amplitude**2 + now.trend**2 * (points.trend**2).sum(axis=1) + points.own
        variance = np.maximum(own - (solved**2).sum(axis=0), 1e-12)
        return across.T @ self.weights, np.sqrt(variance)

    def covariance(self, one: Points, other: Points, between: FloatArray) -> FloatArray:
        """(M, K) of the noiseless values at M points with those at K others.

        Args:
            one: M points.
            other: K points.
            between: (D, M, K) squared differences between them.
        """
        now = self.settings
        shape, _ = _matern(between, now.lengths)
        prior = now.amplitude**2 * shape + now.trend**2 * one.trend @ other.trend.T + one.own
        solved = (self._solved(self._across(points)) for points in (one, other))
        covariance: FloatArray = prior - next(solved).T @ next(solved)
        return covariance

    def _across(self, points: Points) -> FloatArray:
        """(N, M) prior covariance of runs and points."""
        now = self.settings
        shape, _ = _matern(points.squared, now.lengths)
        across: FloatArray = now.amplitude**2 * shape + points.linear
        across += now.trend**2 * (self.inputs.trend @ points.trend.T)
        slopes, _ = now.of_runs(self.inputs.rungs)
        return slopes[:, None] * across

    def _solved(self, across: FloatArray) -> FloatArray:
        solved: FloatArray = linalg.solve_triangular(
            self.factor, across, lower=True, check_finite=False
        )
        return solved

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """(N,) what the other runs say of each run: value minus expectation, and its sd."""
        inverse, _ = linalg.lapack.dpotri(self.factor, lower=1)
        variances = 1.0 / np.diag(inverse)
        return self.weights * variances, np.sqrt(variances)


def posterior(inputs: Inputs, settings: Settings) -> Posterior:
    """Condition the process on the runs."""
    shape, _ = _matern(inputs.squared, settings.lengths)
    covariance = settings.amplitude**2 * shape + inputs.linear
    covariance += settings.trend**2 * (inputs.trend @ inputs.trend.T)
    slopes, noise = settings.of_runs(inputs.rungs)
    covariance *= np.outer(slopes, slopes)
    diagonal = np.arange(inputs.values.size)
    covariance[diagonal, diagonal] += noise + inputs.extra + _JITTER
    factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    weights = linalg.cho_solve((factor, True), inputs.values, check_finite=False)
    return Posterior(inputs, settings, factor, weights)
