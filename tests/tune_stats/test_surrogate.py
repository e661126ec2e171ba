"""The surrogate against scikit-learn, literal Bayes, scipy's truncated normal, known functions."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from hscl.config import preset
from tune.stats.surrogate import Basis, Screened, fit_ridge, impute
from tune.study.space import Distribution, Point, Space

SPACE = Space(
    preset("mosi"),
    {
        "loss.temperature": Distribution("log_uniform", (0.03, 1.0)),
        "train.epochs": Distribution("int", (2, 8)),
        "loss.labels": Distribution("choice", ("supcr", "supcon", "none")),
        "loss.omega2": Distribution("uniform", (0.0, 1.0), (("loss.labels", "supcr"),)),
        "loss.alpha": Distribution("choice", (0.1,)),
    },
)


def _points(count: int, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [SPACE.draw(rng) for _ in range(count)]


def test_terms_of_one_parameter_are_orthonormal_under_its_prior() -> None:
    basis = Basis(SPACE)
    features = basis.features(_points(20_000))
    for name in ("loss.temperature", "train.epochs", "loss.labels"):
        own = features[:, basis.columns(name)]
        assert own.mean(axis=0) == pytest.approx(0.0, abs=0.03)
        assert own.T @ own / len(own) == pytest.approx(np.eye(own.shape[1]), abs=0.06)


def test_inactive_and_constant_parameters_have_no_say() -> None:
    basis = Basis(SPACE)
    assert "loss.alpha" not in basis.names
    points = _points(200)
    features = basis.features(points)
    inactive = np.array(["loss.omega2" not in point for point in points])
    assert inactive.any()
    assert (features[inactive][:, basis.columns_with("loss.omega2")] == 0).all()


def test_columns_belong_to_one_or_two_parameters() -> None:
    basis = Basis(SPACE)
    alone = basis.columns("loss.temperature")
    both = basis.columns("loss.temperature", "train.epochs")
    assert len(alone) == 3
    assert len(both) == 1
    assert set(alone) | set(both) <= set(basis.columns_with("loss.temperature"))
    row = basis.main_effect("loss.temperature", [0.1])
    point: Point = {"loss.temperature": 0.1, "train.epochs": 5, "loss.labels": "none"}
    assert row[0, alone] == pytest.approx(basis.features([point])[0, alone])
    assert np.count_nonzero(row) <= 3


def _data(seed: int = 1, count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(0.3, 1.0, (count, 6))
    weights = np.array([1.0, 0.5, 0.25, 1.0, 0.1, 1.0])
    return features, features[:, 0] - 0.5 * features[:, 3] + rng.normal(0, 0.5, count), weights


@pytest.mark.parametrize("ratio", [0.01, 0.3, 20.0])
def test_the_fit_is_scikit_learns_ridge_on_scaled_features(ratio: float) -> None:
    features, values, weights = _data()
    fit = fit_ridge(features, values, weights, ratio)
    ridge = Ridge(alpha=1.0 / ratio, tol=1e-12).fit(features * np.sqrt(weights), values)
    assert fit.predict(features) == pytest.approx(ridge.predict(features * np.sqrt(weights)))
    assert fit.coefficients == pytest.approx(ridge.coef_ * np.sqrt(weights))
    assert fit.intercept == pytest.approx(ridge.intercept_)


def test_the_posterior_is_that_of_bayes_written_out() -> None:
    features, values, weights = _data()
    fit = fit_ridge(features, values, weights, 0.4)
    centred = features - features.mean(axis=0)
    precision = centred.T @ centred / fit.noise**2
    precision += np.diag(1.0 / (weights * 0.4 * fit.noise**2))
    assert fit.covariance == pytest.approx(np.linalg.inv(precision), rel=1e-6, abs=1e-12)


def test_the_priors_strength_has_the_largest_evidence() -> None:
    features, values, weights = _data()
    fit = fit_ridge(features, values, weights)
    centred = features - features.mean(axis=0)
    # Likelihood of the contrasts: n − 1 directions without the mean.
    turn = np.linalg.svd(np.eye(40) - 1 / 40)[0][:, :39]

    def evidence(ratio: float) -> float:
        other = fit_ridge(features, values, weights, ratio)
        spread = other.noise**2 * (
            np.eye(39) + ratio * turn.T @ centred @ np.diag(weights) @ centred.T @ turn
        )
        return float(stats.multivariate_normal(np.zeros(39), spread).logpdf(turn.T @ values))

    best = evidence(fit.ratio)
    for factor in (0.1, 0.5, 2.0, 10.0):
        assert evidence(fit.ratio * factor) <= best + 0.05


def test_pure_noise_is_shrunk_to_almost_nothing() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 20))
    fit = fit_ridge(features, rng.normal(size=60), np.ones(20))
    assert (fit.coefficients**2).sum() < 0.4


def test_a_known_function_is_found_with_its_parts() -> None:
    basis = Basis(SPACE)
    points = _points(400, seed=4)
    middle = math.log(0.03) / 2
    values = np.array(
        [
            ((math.log(float(p["loss.temperature"])) - middle) / -middle) * 3**0.5
            + 0.5 * (p["loss.labels"] == "none")
            for p in points
        ]
    )
    fit = fit_ridge(basis.features(points), values, basis.weights)
    first = fit.coefficients[basis.columns("loss.temperature")]
    assert first == pytest.approx([1.0, 0.0, 0.0], abs=0.03)
    labels = fit.coefficients[basis.columns("loss.labels")]
    assert (labels**2).sum() == pytest.approx(0.25 * (1 / 3) * (2 / 3), rel=0.1)


def test_known_ends_stay_and_unknown_ones_fall_between_their_bounds() -> None:
    features, values, weights = _data(count=60)
    rng = np.random.default_rng(5)
    low, high = values.copy(), values.copy()
    stopped = rng.random(60) < 0.4
    low[stopped] -= rng.uniform(0.2, 1.0, stopped.sum())
    high[stopped] += rng.uniform(0.2, 1.0, stopped.sum())
    filled = impute(Screened(features, low, high), weights, np.random.default_rng(6))
    assert (filled[~stopped] == values[~stopped]).all()
    assert (filled >= low).all()
    assert (filled <= high).all()
    assert (impute(Screened(features, values, values), weights, rng) == values).all()


def test_bounds_that_hide_much_still_recover_the_effect() -> None:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(200, 2))
    values = features[:, 0] + rng.normal(0, 0.8, 200)
    bad = values > 0.2
    low, high = values.copy(), values.copy()
    low[bad], high[bad] = 0.0, 4.0
    filled = impute(Screened(features, low, high), np.ones(2), rng)
    fit = fit_ridge(features, filled, np.ones(2))
    without = fit_ridge(features[~bad], values[~bad], np.ones(2))
    assert abs(fit.coefficients[0] - 1.0) < 0.2
    assert abs(without.coefficients[0] - 1.0) > 0.2


def test_draws_between_bounds_have_the_mean_of_scipys_truncated_normal() -> None:
    from tune.stats.surrogate import _truncated

    low, high = np.array([-1.0, 0.5, -3.0]), np.array([0.2, 4.0, 3.0])
    mean = np.array([0.3, 0.0, 1.0])
    expected = _truncated(mean, 0.8, low, high, None)
    a, b = (low - mean) / 0.8, (high - mean) / 0.8
    assert expected == pytest.approx(stats.truncnorm(a, b, mean, 0.8).mean())
    uniform = np.full(3, 0.3)
    drawn = _truncated(mean, 0.8, low, high, uniform)
    assert drawn == pytest.approx(stats.truncnorm(a, b, mean, 0.8).ppf(0.3))
    far = _truncated(np.array([90.0]), 0.1, np.array([0.0]), np.array([1.0]), None)
    assert far == pytest.approx(1.0)
