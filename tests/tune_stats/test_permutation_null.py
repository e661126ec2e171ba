"""The permutation test: uniform where nothing is there, small where something is."""

import numpy as np
import pytest

from hscl.config import preset
from tune.stats.permutation_null import null_test, variance_over
from tune.stats.surrogate import Basis, Screened
from tune.study.space import Distribution, Space

SPACE = Space(
    preset("mosi"),
    {
        "loss.temperature": Distribution("log_uniform", (0.03, 1.0)),
        "loss.alpha": Distribution("log_uniform", (0.01, 1.0)),
        "train.lr": Distribution("log_uniform", (1e-4, 1e-2)),
    },
)
BASIS = Basis(SPACE)
PRIOR = BASIS.features([SPACE.draw(np.random.default_rng(9)) for _ in range(500)])


def _p(seed: int, effect: float, name: str) -> float:
    rng = np.random.default_rng(seed)
    points = [SPACE.draw(rng) for _ in range(32)]
    features = BASIS.features(points)
    values = effect * features[:, 0] + rng.normal(0, 1.0, 32)
    return null_test(BASIS, name, Screened(features, values, values), PRIOR, 0.05, rng).p


def test_a_parameter_that_does_nothing_is_found_as_often_as_allowed() -> None:
    p = np.array([_p(seed, 1.0, "loss.alpha") for seed in range(120)])
    assert (p < 0.05).mean() <= 0.05 + 4 * (0.05 * 0.95 / 120) ** 0.5
    assert 0.35 < p.mean() < 0.65


def test_a_strong_effect_is_found_nearly_always() -> None:
    p = np.array([_p(seed, 1.5, "loss.temperature") for seed in range(20)])
    assert (p < 0.05).mean() > 0.9


def test_what_chance_would_give_is_a_variance() -> None:
    rng = np.random.default_rng(1)
    features = BASIS.features([SPACE.draw(rng) for _ in range(40)])
    values = rng.normal(0, 2.0, 40)
    test = null_test(BASIS, "train.lr", Screened(features, values, values), PRIOR, 0.05, rng)
    assert 0.0 < test.chance < 4.0
    assert 0.0 < test.p <= 1.0


def test_the_variance_over_the_space_is_that_of_the_fitted_values() -> None:
    rng = np.random.default_rng(2)
    coefficients = rng.normal(size=(5, PRIOR.shape[1]))
    direct = [(PRIOR @ row).var() for row in coefficients]
    assert variance_over(PRIOR, coefficients) == pytest.approx(direct)
