"""Log expected improvement against numerical integration; where the best candidates lie."""

import math
from itertools import islice

import numpy as np
import pytest
from scipy import integrate, stats

from tune.stats.model.acquisition import log_expected_improvement, most_promising
from tune.stats.model.encoding import Encoding
from tune.stats.model.run_model import Ran, fit_runs
from tune.study.space import Distribution


@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.5, 4.0, 8.0])
def test_it_is_the_logarithm_of_the_integral(mean: float) -> None:
    sd, best = 0.7, 0.2
    whole = integrate.quad(
        lambda f: (best - f) * stats.norm.pdf(f, mean, sd),
        min(mean, best) - 12 * sd,
        best,
        epsabs=0,
        limit=400,
    )[0]
    got = log_expected_improvement(np.array([mean]), np.array([sd]), best)[0]
    assert got == pytest.approx(math.log(whole), rel=1e-5)


def test_it_orders_what_is_hopeless_too_and_joins_smoothly() -> None:
    means = np.linspace(-5.0, 60.0, 2_000)
    values = log_expected_improvement(means, np.ones_like(means), 0.0)
    assert np.isfinite(values).all()
    slopes = np.diff(values) / np.diff(means)
    assert (slopes < 0.0).all()
    assert np.abs(np.diff(slopes)).max() < 0.2


def test_the_best_candidates_lie_where_a_bowl_has_its_ground() -> None:
    encoding = Encoding({name: Distribution("uniform", (0.0, 1.0)) for name in "ab"})
    rng = np.random.default_rng(0)
    runs = []
    for code in encoding.draw(rng, 25):
        value = float(((code - [0.3, 0.7]) ** 2).sum() + rng.normal(0.0, 0.01))
        runs.append(Ran(encoding.point(code), value, {1: value}))
    model = fit_runs(encoding, runs)
    assert model is not None
    best = list(islice(most_promising(model, np.random.default_rng(1)), 5))
    assert np.abs(np.array(best) - [0.3, 0.7]).max() < 0.2
    gains = log_expected_improvement(*model.predict(np.array(best)), model.best)
    assert (np.diff(gains) <= 0.0).all()
