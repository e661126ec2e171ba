"""What each hyperparameter does to the valid metric: shares, response curves, and a null test.

Everything is integrated over the search space's own prior. Whether a parameter matters is asked
by permuting what the others leave unexplained (Freedman and Lane): a parameter that does nothing
would reach its share by chance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tune.stats.permutation_null import null_test, variance_over
from tune.stats.significance import holm
from tune.stats.surrogate import Basis, Fit, Screened, fit_ridge, impute
from tune.study.space import Point, Space, Value

__all__ = [
    "FEWEST_TRIALS",
    "SEED",
    "UNEXPLAINED",
    "Ends",
    "Response",
    "SurrogateEffects",
    "VarianceShare",
    "surrogate_effects",
]

FloatArray = npt.NDArray[np.float64]

SEED = "seed"
"""The name of the seed's own share."""

UNEXPLAINED = "unexplained"
"""The name of what neither the seed, where its share is known, nor the parameters explain."""

FEWEST_TRIALS = 10
"""Fewer screened trials than these say nothing about a space."""

_PRIOR_DRAWS = 2000
_POSTERIOR_DRAWS = 400
_CURVE_POINTS = 41
_SHOWN_INTERACTIONS = 3


@dataclass(frozen=True)
class VarianceShare:
    """Part of the variance of one training at a random point of the space, seed included.

    Attributes:
        name: Dotted name, "a × b" for an interaction, `SEED` or `UNEXPLAINED`.
        part: Between 0 and 1.
        low: Lower end of its 95 % interval; None where there is none.
        high: Upper end.
        null: What a parameter that does nothing would be given, at the 95th percentile.
        matters: Its effect exceeds the null, corrected for the number of parameters; None where
            that was not tested.
        p: Of that test, corrected by Holm.
    """

    name: str
    part: float
    low: float | None = None
    high: float | None = None
    null: float | None = None
    matters: bool | None = None
    p: float | None = None


@dataclass(frozen=True)
class Response:
    """How the metric answers to one hyperparameter, all others averaged over the space.

    One that is active only at some value of another is shown there.

    Attributes:
        name: Dotted name.
        values: (G,) values of the hyperparameter, rising where they have an order.
        mean: (G,) expected valid metric.
        low: (G,) lower end of where 95 % of new trainings fall, seed included.
        high: (G,) upper end of the same.
        observed: Values and results of complete trials.
        log: Whether distances on its axis are ratios.
        matters: As in `VarianceShare`.
        p: As in `VarianceShare`.
    """

    name: str
    values: tuple[Value, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    observed: tuple[tuple[Value, float], ...] = ()
    log: bool = False
    matters: bool | None = None
    p: float | None = None


@dataclass(frozen=True)
class Ends:
    """Screened points and where their value at full budget lies.

    Attributes:
        points: (N,) points of the space.
        low: (N,) lower end of the value; equal to `high` for a complete trial.
        high: (N,) upper end.
        complete: (N,) which trials ran to the end; the bounds of a stopped one may meet too.
    """

    points: tuple[Point, ...]
    low: FloatArray
    high: FloatArray
    complete: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SurrogateEffects:
    """What a surrogate says.

    Attributes:
        shares: The parameters', then the largest interactions'; those of the seed and of what
            nothing explains are the caller's.
        responses: One curve a parameter.
        spread: Variance over the space as far as the surrogate follows it.
        noise: Standard deviation of a training around the surrogate: seed and what the surrogate
            can't follow, at least the seed's.
    """

    shares: tuple[VarianceShare, ...]
    responses: tuple[Response, ...]
    spread: float
    noise: float


def surrogate_effects(
    space: Space, ends: Ends, seed_sd: float | None, rng: np.random.Generator
) -> SurrogateEffects | None:
    """Fit a surrogate to a screen and read off what each parameter does.

    Args:
        space: The search space.
        ends: Screened trials.
        seed_sd: Standard deviation between seeds of one configuration; None: unknown.
        rng: The source of all draws.

    Returns:
        The effects; None where fewer than `FEWEST_TRIALS` trials, none of them complete, or no
        parameter can tell, or nothing varies.
    """
    basis = Basis(space)
    if len(ends.points) < FEWEST_TRIALS or not basis.names or not ends.complete.any():
        return None
    prior = _prior_features(space)
    screened = Screened(basis.features(ends.points), ends.low, ends.high)
    values = impute(screened, basis.weights, rng)
    fit = fit_ridge(screened.features, values, basis.weights)
    noise = max(fit.noise, seed_sd or 0.0)
    spread = float(variance_over(prior, fit.coefficients[None])[0])
    if np.ptp(values) == 0.0 and not seed_sd:
        return None
    tests = {name: null_test(basis, name, screened, prior, fit.ratio, rng) for name in basis.names}
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    posterior = rng.multivariate_normal(
        fit.coefficients, fit.covariance, size=_POSTERIOR_DRAWS, method="eigh"
    )
    whole = _Whole(
        prior, fit, posterior, spread + noise**2, variance_over(prior, posterior) + noise**2
    )
    shares = [
        VarianceShare(
            name,
            *whole.part(basis.columns(name)),
            null=tests[name].chance / whole.fitted,
            matters=corrected[name] < 0.05,
            p=corrected[name],
        )
        for name in basis.names
    ]
    return SurrogateEffects(
        shares=(*shares, *_interactions(basis, whole)),
        responses=tuple(_response(space, basis, share, fit, noise, ends) for share in shares),
        spread=spread,
        noise=noise,
    )


@dataclass(frozen=True)
class _Whole:
    """The variance of one training at a random point, all included, and what it is made of.

    Attributes:
        prior: (M, P) terms at points drawn from the space.
        fit: The surrogate.
        posterior: (B, P) coefficients drawn from its posterior.
        fitted: The whole variance by the fit.
        drawn: (B,) the same by each draw.
    """

    prior: FloatArray
    fit: Fit
    posterior: FloatArray
    fitted: float
    drawn: FloatArray

    def part(self, columns: npt.NDArray[np.int64]) -> tuple[float, float, float]:
        """The share of these terms, with its 95 % interval over the posterior."""
        prior = self.prior[:, columns]
        part = float(variance_over(prior, self.fit.coefficients[None, columns])[0]) / self.fitted
        drawn = variance_over(prior, self.posterior[:, columns]) / self.drawn
        low, high = np.quantile(drawn, [0.025, 0.975])
        return part, float(low), float(high)


@lru_cache(maxsize=8)
def _prior_features(space: Space) -> FloatArray:
    """(M, P) terms at points as a random sampler would propose them, the same each time."""
    rng, points = np.random.default_rng(0), list[Point]()
    for _ in range(20 * _PRIOR_DRAWS):
        point = space.draw(rng)
        if space.allows(point):
            points.append(point)
        if len(points) == _PRIOR_DRAWS:
            break
    return Basis(space).features(points)


def _interactions(basis: Basis, whole: _Whole) -> list[VarianceShare]:
    """The largest interactions of two parameters."""
    found = [
        VarianceShare(" × ".join(owner), *whole.part(basis.columns(*owner)))
        for owner in dict.fromkeys(o for o in basis.owners if len(o) == 2)
    ]
    return sorted(found, key=lambda share: -share.part)[:_SHOWN_INTERACTIONS]


def _response(
    space: Space, basis: Basis, share: VarianceShare, fit: Fit, noise: float, ends: Ends
) -> Response:
    distribution = space.parameters[share.name]
    options = distribution.options()
    values: Sequence[Value]
    if options is not None:
        values = options
    else:
        low, high = distribution.bounds
        steps = np.linspace(0.0, 1.0, _CURVE_POINTS)
        if distribution.kind == "log_uniform":
            values = [math.exp(math.log(low) + s * math.log(high / low)) for s in steps[1:-1]]
        else:
            values = [low + float(s) * (high - low) for s in steps[1:-1]]
        values = [low, *values, high]  # exactly, not to rounding
    rows = basis.main_effect(share.name, values)
    mean = fit.predict(rows)
    unsure = np.einsum("gp,pq,gq->g", rows, fit.covariance, rows)
    half = 1.96 * np.sqrt(np.maximum(unsure, 0.0) + noise**2)
    complete = zip(ends.points, ends.low, ends.complete, strict=True)
    return Response(
        name=share.name,
        values=tuple(values),
        mean=tuple(map(float, mean)),
        low=tuple(map(float, mean - half)),
        high=tuple(map(float, mean + half)),
        observed=tuple(
            (point[share.name], float(value))
            for point, value, done in complete
            if done and share.name in point
        ),
        log=distribution.kind == "log_uniform",
        matters=share.matters,
        p=share.p,
    )
