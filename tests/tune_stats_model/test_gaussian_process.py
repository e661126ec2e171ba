"""The Gaussian process against scikit-learn's, finite differences and runs that are left out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Kernel, Matern

from tune.stats.model import gaussian_process
from tune.stats.model.gaussian_process import Inputs, Points, Settings, fit_settings, posterior

X = np.random.default_rng(0).random((30, 4))
Y = np.sin(4.0 * X[:, 0]) + X[:, 1] + np.random.default_rng(1).normal(0.0, 0.1, 30)
EXTRA = np.random.default_rng(2).random(30) * 0.2
NEW = np.random.default_rng(3).random((7, 4))
OWNERS = np.array([0, 1, 2, 2])  # the third parameter has two coordinates
SETTINGS = Settings(np.array([0.4, 0.9, 2.0]), 0.8, 0.5, 0.2)


def points(x: np.ndarray) -> Points:
    return Points(x, x)


def inputs(x: np.ndarray = X, y: np.ndarray = Y, extra: np.ndarray = EXTRA) -> Inputs:
    nothing, complete = np.zeros((len(x), len(x))), np.full(len(x), -1)
    return Inputs(points(x), OWNERS, 1.5, nothing, extra, y, complete)


RUNGS = np.random.default_rng(4).integers(-1, 2, 30)
STOPPED = replace(
    inputs(),
    rungs=RUNGS,
    scatters=np.array([0.3, 0.1]),
    linear=0.25 * np.equal.outer(RUNGS, RUNGS) * (RUNGS >= 0),
)
OF_STOPPED = replace(SETTINGS, slopes=np.array([2.0, 0.7]), scatters=np.array([0.4, 0.05]))


def kernel(now: Settings) -> Kernel:
    return (
        ConstantKernel(now.amplitude**2) * Matern(now.lengths[OWNERS], nu=2.5)
        + ConstantKernel(now.trend**2) * DotProduct(0.0, "fixed")
        + ConstantKernel(1.5)
    )


def oracle() -> GaussianProcessRegressor:
    alpha = 0.2**2 + EXTRA + 1e-8
    return GaussianProcessRegressor(kernel(SETTINGS), alpha=alpha, optimizer=None).fit(X, Y)


def test_mean_and_sd_are_those_of_scikit_learn() -> None:
    got = posterior(inputs(), SETTINGS).at(points(NEW))
    expected = oracle().predict(NEW, return_std=True)
    assert got.mean == pytest.approx(expected[0], abs=1e-6)
    assert got.sd == pytest.approx(expected[1], abs=1e-6)


def test_covariances_are_those_of_scikit_learn() -> None:
    fitted = posterior(inputs(), SETTINGS)
    one, other = fitted.at(points(NEW[:3])), fitted.at(points(NEW[3:]))
    got = fitted.covariance(one, other)
    _, expected = oracle().predict(NEW, return_cov=True)
    assert got == pytest.approx(expected[:3, 3:], abs=1e-6)


def test_a_stopped_run_tells_its_value_over_its_slope_and_the_less_the_more_it_scatters() -> None:
    slope = np.array([2.0, 0.7, 1.0])[RUNGS]
    noise = 0.2**2 + EXTRA + 1e-8 + np.array([0.4, 0.05, 0.0])[RUNGS] ** 2
    told = oracle().set_params(alpha=noise / slope**2).fit(X, Y / slope)
    fitted = posterior(replace(STOPPED, linear=np.zeros((30, 30))), OF_STOPPED)
    got = fitted.at(points(NEW))
    expected = told.predict(NEW, return_std=True)
    assert got.mean == pytest.approx(expected[0], abs=1e-6)
    assert got.sd == pytest.approx(expected[1], abs=1e-6)
    between = fitted.covariance(fitted.at(points(NEW[:3])), fitted.at(points(NEW[3:])))
    assert between == pytest.approx(told.predict(NEW, return_cov=True)[1][:3, 3:], abs=1e-6)


def test_what_is_said_of_a_run_left_out_is_what_the_others_say() -> None:
    residuals, sds = posterior(inputs(), SETTINGS).left_out()
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        others = posterior(inputs(X[rest], Y[rest], EXTRA[rest]), SETTINGS)
        said = others.at(points(X[i : i + 1]))
        assert residuals[i] == pytest.approx(Y[i] - said.mean[0], abs=1e-6)
        assert sds[i] ** 2 == pytest.approx(said.sd[0] ** 2 + 0.2**2 + EXTRA[i], abs=1e-6)


@pytest.mark.parametrize("runs", [inputs(), STOPPED], ids=["complete", "stopped"])
def test_the_fit_is_a_maximum_of_likelihood_times_prior(runs: Inputs) -> None:
    rungs = runs.scatters.size

    def log_posterior(logs: np.ndarray) -> float:
        now = Settings.of(logs, rungs)
        covariance = kernel(now)(X) + runs.linear
        for i, j in np.ndindex(covariance.shape):
            for run in (i, j):
                if runs.rungs[run] >= 0:
                    covariance[i, j] *= now.slopes[runs.rungs[run]]
        for i in range(len(X)):
            covariance[i, i] += now.noise**2 + EXTRA[i] + 1e-8
            if runs.rungs[i] >= 0:
                covariance[i, i] += now.scatters[runs.rungs[i]] ** 2
        means = [-0.3, -0.3, -0.3, math.log(0.7), math.log(0.7), math.log(0.5)]
        means += [0.0] * rungs + [math.log(sd) for sd in runs.scatters]
        sds = [0.8, 0.8, 0.8, 1.0, 1.0, 0.5] + [0.5] * 2 * rungs
        prior = stats.norm.logpdf(logs, means, sds).sum()
        return float(stats.multivariate_normal(np.zeros(len(X)), covariance).logpdf(Y) + prior)

    found = fit_settings(runs, steps=200).logs
    best = log_posterior(found)
    assert best > log_posterior(runs.prior[0]) + 1.0
    for place in range(len(found)):
        for step in (-0.05, 0.05):
            moved = found.copy()
            moved[place] += step
            assert log_posterior(moved) < best
        # Its gradient is that of finite differences: 0 at the maximum.
        ends = []
        for step in (-1e-4, 1e-4):
            moved = found.copy()
            moved[place] += step
            ends.append(log_posterior(moved))
        assert (ends[1] - ends[0]) / 2e-4 == pytest.approx(0.0, abs=0.02)


def test_few_steps_come_near_the_maximum() -> None:
    near, there = (fit_settings(inputs(), steps=steps) for steps in (25, 200))
    assert near.logs == pytest.approx(there.logs, abs=0.3)


def test_a_parameter_without_effect_gets_a_long_scale() -> None:
    rng = np.random.default_rng(5)
    x = rng.random((60, 4))
    y = np.sin(9.0 * x[:, 0]) + rng.normal(0.0, 0.05, 60)
    found = fit_settings(inputs(x, y, np.zeros(60)))
    assert found.lengths[1] > 3.0 * found.lengths[0]
    assert found.noise == pytest.approx(0.05, rel=0.4)


def test_values_that_are_all_the_same_still_give_a_posterior() -> None:
    flat = replace(inputs(), values=np.zeros(len(X)))
    settings = fit_settings(flat)
    assert np.isfinite(settings.logs).all()
    assert posterior(flat, settings).weights == pytest.approx(0.0)
    assert gaussian_process.Settings.of(settings.logs).logs == pytest.approx(settings.logs)
