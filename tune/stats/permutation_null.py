"""Would a parameter that does nothing reach this effect by chance? Permutations answer.

What the other parameters leave unexplained is dealt out anew among the trials, and the whole
surrogate is fitted again each time.

Source: Freedman and Lane, A nonstochastic interpretation of reported significance levels (1983);
Winkler et al., Permutation inference for the general linear model (2014).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tune.stats.surrogate import Basis, Screened, fit_ridge, impute

__all__ = ["PERMUTATIONS", "NullTest", "null_test", "variance_over"]

FloatArray = npt.NDArray[np.float64]

PERMUTATIONS = 999
"""How many times residuals are dealt out anew; the smallest p value is 0.001."""


@dataclass(frozen=True)
class NullTest:
    """What permutations say about a parameter.

    Attributes:
        p: P value of its whole effect, interactions included.
        chance: Its main effect's variance at the null's 95th percentile.
    """

    p: float
    chance: float


def null_test(
    basis: Basis,
    name: str,
    screened: Screened,
    prior: FloatArray,
    ratio: float,
    rng: np.random.Generator,
) -> NullTest:
    """Test a parameter's whole effect, interactions included.

    Args:
        basis: The terms.
        name: The parameter.
        screened: The trials.
        prior: (M, P) features of points drawn from the space.
        ratio: The prior's strength, as fitted to the trials.
        rng: The source of all draws.
    """
    features = screened.features
    tested = basis.columns_with(name)
    others = np.setdiff1d(np.arange(basis.weights.size), tested)
    # Stopped trials get their values without this parameter: under the null it has no say.
    values = impute(screened.only(others), basis.weights[others], rng)
    reduced = fit_ridge(features[:, others], values, basis.weights[others])
    expected = reduced.predict(features[:, others])
    outcomes = np.vstack(
        [values, expected + rng.permuted(np.tile(values - expected, (PERMUTATIONS, 1)), axis=1)]
    )
    coefficients, residual = _ridge_many(features, outcomes, basis.weights, ratio)
    effects = variance_over(prior[:, tested], coefficients[:, tested])
    # In units of what is left over: a fit that took too much of the noise for the others' effects
    # would else make the null too narrow.
    statistics = effects / residual
    exceeding = int((statistics[1:] >= statistics[0] * (1.0 - 1e-9)).sum())
    main = basis.columns(name)
    chance = variance_over(prior[:, main], coefficients[1:][:, main]) / residual[1:] * residual[0]
    return NullTest((exceeding + 1) / (PERMUTATIONS + 1), float(np.quantile(chance, 0.95)))


def variance_over(prior: FloatArray, coefficients: FloatArray) -> FloatArray:
    """(B,) variance over the space of B vectors of coefficients (B, P)."""
    covariance = np.atleast_2d(np.cov(prior, rowvar=False, ddof=0))
    variances: FloatArray = np.einsum("bp,pq,bq->b", coefficients, covariance, coefficients)
    return variances


def _ridge_many(
    features: FloatArray, outcomes: FloatArray, weights: FloatArray, ratio: float
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (B, P) and mean square residuals (B,) of B outcomes (B, N), one prior."""
    scale = np.sqrt(weights)
    centred = features - features.mean(axis=0)
    left, singular, right = np.linalg.svd(centred * scale, full_matrices=False)
    shrunk = ratio * singular / (1.0 + ratio * singular**2)
    deviations = outcomes - outcomes.mean(axis=1, keepdims=True)
    coefficients = ((deviations @ left * shrunk) @ right) * scale
    residuals = deviations - coefficients @ centred.T
    return coefficients, np.maximum((residuals**2).mean(axis=1), 1e-18)
