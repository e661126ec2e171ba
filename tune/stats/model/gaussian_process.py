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
from scipy.spatial import distance

__all__ = [
    "Inputs",
    "Points",
    "Posterior",
    "Predicted",
    "Settings",
    "fit_settings",
    "one_thread",
    "posterior",
]

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
class Points:
    """Where M runs or points lie.

    Attributes:
        places: (M, E) coordinates.
        trend: (M, P) terms of the trend.
    """

    places: FloatArray
    trend: FloatArray


@dataclass(frozen=True)
class Inputs:
    """What is known of N runs.

    Attributes:
        points: Where they lie.
        owners: (E,) to which of the D parameters a coordinate belongs.
        constant: Prior variance of what all runs and points have in common.
        linear: (N, N) covariance of all else that is linear: offsets.
        extra: (N,) variance of a run beyond what its rung gives it.
        values: (N,) the runs' values, standardised.
        rungs: (N,) which of R rungs a run was stopped at, -1 where it is complete.
        scatters: (R,) what stopping at a rung is expected to add, as a standard deviation.
    """

    points: Points
    owners: npt.NDArray[np.int64]
    constant: float
    linear: FloatArray
    extra: FloatArray
    values: FloatArray
    rungs: npt.NDArray[np.int64]
    scatters: FloatArray = field(default_factory=_none)

    @property
    def parameters(self) -> int:
        """D."""
        return int(self.owners.max()) + 1

    @property
    def prior(self) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the logarithms of the settings before any data."""
        parameters, rungs = self.parameters, self.scatters.size
        means = [np.full(parameters, _PRIOR_LENGTH[0]), _MEANS, np.zeros(rungs)]
        sds = [np.full(parameters, _PRIOR_LENGTH[1]), _SDS, np.full(rungs, _SLOPE_SD)]
        return (
            np.concatenate([*means, np.log(self.scatters)]),
            np.concatenate([*sds, np.full(rungs, _SCATTER_SD)]),
        )


def _matern(r2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(…) correlation, and its derivative by r² times −2: (5/3)(1 + √5 r) exp(−√5 r)."""
    r = _ROOT5 * np.sqrt(r2)
    fall = np.exp(-r)
    steep = (1.0 + r) * fall
    return steep + r2 * fall * (5.0 / 3.0), steep * (5.0 / 3.0)


def fit_settings(inputs: Inputs, start: Settings | None = None, steps: int = 25) -> Settings:
    """The most probable settings.

    Args:
        inputs: The runs.
        start: Where to begin; the prior's mode by default.
        steps: Iterations of L-BFGS at most.
    """
    parameters, rungs, owners = inputs.parameters, inputs.scatters.size, inputs.owners
    means, sds = inputs.prior
    places, trend = inputs.points.places, inputs.points.trend
    gram = trend @ trend.T
    linear = inputs.constant + inputs.linear
    diagonal = np.arange(inputs.values.size)
    at_rung = inputs.rungs == np.arange(rungs)[:, None]

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        now = Settings.of(logs, rungs)
        slopes, noise = now.of_runs(inputs.rungs)
        steep = np.outer(slopes, slopes)
        # Of each two runs once: what costs most is the exponential.
        pairs = distance.pdist(places / now.lengths[owners], "sqeuclidean")
        shape, fall = (distance.squareform(half, checks=False) for half in _matern(pairs))
        shape[diagonal, diagonal] = 1.0
        whole = now.amplitude**2 * shape
        sloping = now.trend**2 * gram
        clean = steep * (whole + sloping + linear)
        covariance = clean.copy()
        covariance[diagonal, diagonal] += noise + inputs.extra + _JITTER
        try:
            factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = _inverse(factor)
        weights = inverse @ inputs.values
        # ∂/∂θ of the loss is ½ tr((K⁻¹ − ααᵀ) ∂K/∂θ).
        half = 0.5 * (inverse - np.outer(weights, weights))
        sloped = half * steep
        by_r2 = sloped * fall * now.amplitude**2
        # Σ W (x − x′)² = 2 (Σ x² ΣW − Σ x W x′)
        by_place = 2.0 * places * (by_r2.sum(axis=1)[:, None] * places - by_r2 @ places)
        gradient = np.empty_like(logs)
        of_all = gradient[: parameters + 3]
        of_all[:-3] = np.bincount(owners, by_place.sum(axis=0)) / now.lengths**2
        of_all[-3] = 2.0 * (sloped * whole).sum()
        of_all[-2] = 2.0 * (sloped * sloping).sum()
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


def _inverse(factor: FloatArray) -> FloatArray:
    """(N, N) inverse of a matrix of this lower Cholesky factor, whose upper half is 0."""
    lower, _ = linalg.lapack.dpotri(factor, lower=1)
    inverse: FloatArray = lower + lower.T
    diagonal = np.arange(len(inverse))
    inverse[diagonal, diagonal] *= 0.5
    return inverse


@dataclass(frozen=True)
class Predicted:
    """What the runs say of M points.

    Attributes:
        mean: (M,) expectations of the noiseless values.
        sd: (M,) their standard deviations.
        scaled: (M, E) coordinates in units of the length scales.
        trend: (M, P) terms of the trend in units of their weights.
        solved: (N, M) the runs' lower Cholesky factor solved for their covariance with the points.
    """

    mean: FloatArray
    sd: FloatArray
    scaled: FloatArray
    trend: FloatArray
    solved: FloatArray


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

    def at(self, points: Points) -> Predicted:
        """What they say of M points."""
        now, inputs = self.settings, self.inputs
        scaled, trend = _scaled(inputs, now, points)
        across = _prior(inputs, now, _scaled(inputs, now, inputs.points), (scaled, trend))
        slopes, _ = now.of_runs(inputs.rungs)
        across *= slopes[:, None]
        solved = linalg.solve_triangular(self.factor, across, lower=True, check_finite=False)
        own = now.amplitude**2 + (trend**2).sum(axis=1) + inputs.constant
        variance = np.maximum(own - (solved**2).sum(axis=0), 1e-12)
        return Predicted(across.T @ self.weights, np.sqrt(variance), scaled, trend, solved)

    def covariance(self, one: Predicted, other: Predicted) -> FloatArray:
        """(M, K) of the noiseless values at M points with those at K others."""
        places = (one.scaled, one.trend), (other.scaled, other.trend)
        covariance: FloatArray = _prior(self.inputs, self.settings, *places)
        return covariance - one.solved.T @ other.solved

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """(N,) what the other runs say of each run: value minus expectation, and its sd."""
        variances = 1.0 / np.diag(_inverse(self.factor))
        return self.weights * variances, np.sqrt(variances)


def posterior(inputs: Inputs, settings: Settings) -> Posterior:
    """Condition the process on the runs."""
    own = _scaled(inputs, settings, inputs.points)
    covariance = _prior(inputs, settings, own, own) + inputs.linear
    slopes, noise = settings.of_runs(inputs.rungs)
    covariance *= np.outer(slopes, slopes)
    diagonal = np.arange(inputs.values.size)
    covariance[diagonal, diagonal] += noise + inputs.extra + _JITTER
    factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    weights = linalg.cho_solve((factor, True), inputs.values, check_finite=False)
    return Posterior(inputs, settings, factor, weights)


_Scaled = tuple[FloatArray, FloatArray]
"""Coordinates in units of the length scales, terms in units of their weights."""


def _scaled(inputs: Inputs, settings: Settings, points: Points) -> _Scaled:
    return points.places / settings.lengths[inputs.owners], settings.trend * points.trend


def _prior(inputs: Inputs, settings: Settings, one: _Scaled, other: _Scaled) -> FloatArray:
    """(M, K) covariance of the function at points with that at others, before any data."""
    shape, _ = _matern(distance.cdist(one[0], other[0], "sqeuclidean"))
    covariance: FloatArray = settings.amplitude**2 * shape + one[1] @ other[1].T
    return covariance + inputs.constant
