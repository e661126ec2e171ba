"""A surrogate of the valid metric over a search space: orthonormal terms and a Bayesian ridge.

Each parameter has terms that are orthonormal under its own prior, so that a term's squared
coefficient is its part of the variance (Sobol's indices from a polynomial expansion). Few trials
and many terms are held in check by a prior on the coefficients whose strength the data choose.

Source: Sudret, Global sensitivity analysis using polynomial chaos expansions (2008); MacKay,
Bayesian interpolation (1992), for the evidence.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import special

from tune.study.space import Distribution, Point, Space, Value

__all__ = ["Basis", "Fit", "Screened", "fit_ridge", "impute"]

FloatArray = npt.NDArray[np.float64]
Terms = Callable[[Sequence[Value]], FloatArray]

_DEGREES = 3
_RATIOS = np.logspace(-4.0, 3.0, 43)
_LEAST_MASS = 1e-6
_ROUNDS = 12


def _positions(distribution: Distribution, values: Sequence[Value]) -> FloatArray:
    """Where numbers lie in their range, 0 … 1 in equal steps of prior probability."""
    low, high = distribution.bounds
    numbers = np.array([float(value) for value in values])
    if distribution.kind == "log_uniform":
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    positions: FloatArray = (numbers - low) / (high - low)
    return positions


def _legendre(positions: FloatArray) -> FloatArray:
    """(n, 3) orthonormal polynomials of degree 1 … 3 on [0, 1]."""
    x = 2.0 * positions - 1.0
    degrees = range(1, _DEGREES + 1)
    return np.column_stack([math.sqrt(2 * d + 1) * special.eval_legendre(d, x) for d in degrees])


def _contrasts(options: int) -> FloatArray:
    """(options, options − 1) columns of mean 0 and variance 1, orthogonal."""
    whole = np.column_stack([np.ones(options), np.eye(options)[:, 1:]])
    columns: FloatArray = np.linalg.qr(whole)[0][:, 1:] * math.sqrt(options)
    return columns


def _polynomials(options: int) -> FloatArray:
    """(options, ≤ 3) orthonormal polynomials on equally spaced points."""
    x = np.linspace(-1.0, 1.0, options)
    whole = np.vander(x, min(_DEGREES, options - 1) + 1, increasing=True)
    columns: FloatArray = np.linalg.qr(whole)[0][:, 1:] * math.sqrt(options)
    return columns


class Basis:
    """The terms of a space.

    Attributes:
        names: Parameters with more than one value, in the space's order.
        owners: (P,) the one or two parameters that each term belongs to.
        weights: (P,) prior variance of each coefficient: falling with the degree, and less for
            interactions.
    """

    def __init__(self, space: Space) -> None:
        """Lay out main effects, then products of the first terms of every two parameters.

        There is no product with a parameter that another one needs: where that one is active the
        needed one has a single value, so that the product would say what its own term says.
        """
        self._terms: dict[str, Terms] = {}
        main: dict[str, FloatArray] = {}
        for name, distribution in space.parameters.items():
            made = _terms_of(distribution)
            if made is not None:
                self._terms[name], main[name] = made
        self.names = tuple(main)
        self._widths = {name: len(weights) for name, weights in main.items()}
        needed = {name: space.needed(name) for name in self.names}
        self._pairs = tuple(
            (one, other)
            for one, other in combinations(self.names, 2)
            if one not in needed[other] and other not in needed[one]
        )
        self._needed = needed
        self.owners: tuple[tuple[str, ...], ...] = tuple(
            (name,) for name in self.names for _ in main[name]
        ) + tuple(self._pairs)
        products = np.full(len(self._pairs), 0.25)
        self.weights: FloatArray = np.concatenate([*main.values(), products])

    def columns(self, *owner: str) -> npt.NDArray[np.int64]:
        """Columns of one parameter's main effect, or of two parameters' interaction."""
        return np.array([i for i, o in enumerate(self.owners) if o == owner], dtype=np.int64)

    def columns_with(self, name: str) -> npt.NDArray[np.int64]:
        """Columns of everything that a parameter takes part in."""
        return np.array([i for i, o in enumerate(self.owners) if name in o], dtype=np.int64)

    def features(self, points: Sequence[Point]) -> FloatArray:
        """(N, P) terms at these points; those of an inactive parameter are 0."""
        main = {}
        for name, terms in self._terms.items():
            active = [i for i, point in enumerate(points) if name in point]
            main[name] = np.zeros((len(points), self._widths[name]))
            if active:
                main[name][active] = terms([points[i][name] for i in active])
        products = [main[one][:, :1] * main[other][:, :1] for one, other in self._pairs]
        return np.hstack([*main.values(), *products])

    def main_effect(self, name: str, values: Sequence[Value]) -> FloatArray:
        """(n, P) the terms of one parameter, those that it needs at what it needs of them.

        All others are averaged out.
        """
        return self.features([{**self._needed[name], name: value} for value in values])


def _terms_of(distribution: Distribution) -> tuple[Terms, FloatArray] | None:
    """A parameter's terms and their prior weights; None where it can't vary."""
    options = distribution.options()
    if options is None:
        low, high = distribution.bounds
        if low == high:
            return None
        weights = np.array([1.0 / d**2 for d in range(1, _DEGREES + 1)])
        return (lambda values: _legendre(_positions(distribution, values))), weights
    if len(options) < 2:
        return None
    if distribution.kind == "int":
        table = _polynomials(len(options))
        weights = np.array([1.0 / d**2 for d in range(1, table.shape[1] + 1)])
    else:
        table = _contrasts(len(options))
        weights = np.full(len(options) - 1, 1.36 / (len(options) - 1))
    return (lambda values: table[[options.index(value) for value in values]]), weights


@dataclass(frozen=True)
class Fit:
    """A fitted surrogate.

    Attributes:
        intercept: Value where every term is 0.
        coefficients: (P,) posterior means.
        covariance: (P, P) posterior covariance.
        noise: Standard deviation of a trial around the surrogate.
        ratio: Prior variance of the coefficients in units of the noise variance.
    """

    intercept: float
    coefficients: FloatArray
    covariance: FloatArray
    noise: float
    ratio: float

    def predict(self, features: FloatArray) -> FloatArray:
        """(N,) expected values."""
        values: FloatArray = self.intercept + features @ self.coefficients
        return values


def fit_ridge(
    features: FloatArray, values: FloatArray, weights: FloatArray, ratio: float | None = None
) -> Fit:
    """Bayesian linear regression whose prior strength maximises the evidence.

    Args:
        features: (N, P), N ≥ 3.
        values: (N,).
        weights: (P,) prior variances up to a common factor.
        ratio: That factor over the noise variance; None: the most probable one.
    """
    count = values.size
    centre, mean = features.mean(axis=0), float(values.mean())
    scale = np.sqrt(weights)
    left, singular, right = np.linalg.svd((features - centre) * scale, full_matrices=False)
    along = left.T @ (values - mean)
    beside = max(float(((values - mean) ** 2).sum() - (along**2).sum()), 0.0)
    squared = singular**2
    if ratio is None:
        ratio = _most_probable(squared, along, beside, count)
    gain = 1.0 + ratio * squared
    variance = max((float((along**2 / gain).sum()) + beside) / (count - 1), 1e-18)
    coefficients = scale * (right.T @ (ratio * singular / gain * along))
    kept = right.T @ ((ratio * squared / gain)[:, None] * right)
    posterior = variance * ratio * (np.eye(weights.size) - kept)
    return Fit(
        intercept=mean - float(centre @ coefficients),
        coefficients=coefficients,
        covariance=scale[:, None] * posterior * scale[None, :],
        noise=math.sqrt(variance),
        ratio=float(ratio),
    )


def _most_probable(squared: FloatArray, along: FloatArray, beside: float, count: int) -> float:
    """The prior's strength with the largest evidence, the noise variance profiled out."""
    gains = 1.0 + _RATIOS[:, None] * squared[None, :]
    variances = np.maximum(((along**2 / gains).sum(axis=1) + beside) / (count - 1), 1e-18)
    evidence = -0.5 * (count - 1) * np.log(variances) - 0.5 * np.log(gains).sum(axis=1)
    return float(_RATIOS[int(np.argmax(evidence))])


@dataclass(frozen=True)
class Screened:
    """Screened trials as a surrogate sees them.

    Attributes:
        features: (N, P).
        low: (N,) lower end of the value; equal to `high` where the value is known.
        high: (N,) upper end.
    """

    features: FloatArray
    low: FloatArray
    high: FloatArray

    def only(self, columns: npt.NDArray[np.int64]) -> "Screened":
        """The same trials with these terms alone."""
        return Screened(self.features[:, columns], self.low, self.high)


def impute(screened: Screened, weights: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Values for trials whose end is known between bounds only, drawn from the surrogate.

    The surrogate is fitted to the expected values of the unknown ends in turn (Tobit's model by
    expectation and maximisation); at the end each unknown is drawn once, so that it scatters
    around the surrogate as the known ones do.

    Args:
        screened: The trials.
        weights: (P,) prior variances up to a common factor.
        rng: The source of the draws.
    """
    features, low, high = screened.features, screened.low, screened.high
    open_ended = low < high
    values = np.where(open_ended, (low + high) / 2.0, low)
    if not open_ended.any():
        return values
    fit = fit_ridge(features, values, weights)
    for _ in range(_ROUNDS):
        expected = fit.predict(features)
        inside = _truncated(expected, fit.noise, low, high, None)
        values = np.where(open_ended, inside, low)
        fit = fit_ridge(features, values, weights)
    drawn = _truncated(fit.predict(features), fit.noise, low, high, rng.random(values.size))
    return np.where(open_ended, drawn, low)


def _truncated(
    mean: FloatArray,
    sd: float,
    low: FloatArray,
    high: FloatArray,
    uniform: FloatArray | None,
) -> FloatArray:
    """A normal variable between two ends: its mean, or its value at a uniform number."""
    a, b = (low - mean) / sd, (high - mean) / sd
    below, above = special.ndtr(a), special.ndtr(b)
    mass = above - below
    usable = mass > _LEAST_MASS
    safe = np.where(usable, mass, 1.0)
    if uniform is None:
        density = (np.exp(-(a**2) / 2.0) - np.exp(-(b**2) / 2.0)) / math.sqrt(2.0 * math.pi)
        inside = mean + sd * density / safe
    else:
        inside = mean + sd * special.ndtri(np.clip(below + uniform * mass, 1e-12, 1 - 1e-12))
    # So far from the surrogate the nearer end is as good as the value.
    return np.where(usable, np.clip(inside, low, high), np.clip(mean, low, high))
