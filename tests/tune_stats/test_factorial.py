"""The grid's analysis of variance against statsmodels on the same table."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from tune.stats.factorial import analyse_grid


def _table(seed: int = 0, shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.1, shape) + rng.normal(0, 0.1, shape[-1])
    values += np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) * 0.1
    return np.asarray(values)


def _statsmodels(values: np.ndarray) -> pd.DataFrame:
    index = np.indices(values.shape).reshape(values.ndim, -1)
    frame = pd.DataFrame({f"f{i}": index[i] for i in range(values.ndim)} | {"y": values.ravel()})
    factors = [f"C(f{i})" for i in range(values.ndim - 1)]
    formula = f"y ~ ({' + '.join(factors)})**{len(factors)} + C(f{values.ndim - 1})"
    return anova_lm(smf.ols(formula, frame).fit())


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 2, 6), (2, 3, 2, 4)])
def test_components_and_p_values_are_those_of_statsmodels(shape: tuple[int, ...]) -> None:
    values = _table(1, shape)
    found, table = analyse_grid(values), _statsmodels(values)
    for effect in found.effects:
        row = table.loc[":".join(f"C(f{axis})" for axis in effect.axes)]
        beyond_noise = row["sum_sq"] - row["df"] * table.loc["Residual", "mean_sq"]
        assert effect.component == pytest.approx(max(beyond_noise, 0.0) / values.size)
        assert effect.degrees_of_freedom == row["df"]
        assert effect.p == pytest.approx(row["PR(>F)"], abs=1e-9)
    assert found.residual == pytest.approx(table.loc["Residual", "mean_sq"])


def test_the_seeds_variance_is_pooled_within_cells() -> None:
    values = _table(2)
    pooled = np.mean([values[i, j].var(ddof=1) for i in range(3) for j in range(4)])
    assert analyse_grid(values).seed_component == pytest.approx(pooled)


def test_an_effects_component_is_its_variance_on_average() -> None:
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(300):
        values = rng.normal(0, 0.2, (4, 2, 6)) + np.array([-0.3, -0.1, 0.1, 0.3])[:, None, None]
        found = analyse_grid(values).effects
        parts.append([found[0].component, found[1].component])
    assert np.mean(parts, axis=0)[0] == pytest.approx(0.05, rel=0.1)
    assert np.mean(parts, axis=0)[1] < 0.003


def test_a_factor_that_does_nothing_exceeds_chance_in_a_twentieth() -> None:
    rng = np.random.default_rng(4)
    above = []
    for _ in range(600):
        effect = analyse_grid(rng.normal(0, 1, (3, 3, 4))).effects[0]
        above.append(effect.component > effect.chance)
        assert (effect.component > effect.chance) == (effect.p < 0.05)
    assert np.mean(above) == pytest.approx(0.05, abs=4 * (0.0475 / 600) ** 0.5)


def test_marginal_means_are_means() -> None:
    values = _table(5)
    found = analyse_grid(values)
    assert found.marginal_means[0] == pytest.approx([values[i].mean() for i in range(3)])
    assert found.marginal_means[1] == pytest.approx([values[:, j].mean() for j in range(4)])


def test_equal_values_have_no_effects() -> None:
    found = analyse_grid(np.ones((2, 3, 4)))
    assert all(effect.component == 0 and effect.p == 1 for effect in found.effects)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (3, 1)])
def test_what_is_too_small_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="whole grid"):
        analyse_grid(np.zeros(shape))
    with pytest.raises(ValueError, match="whole grid"):
        analyse_grid(np.array([[1.0, np.nan], [1.0, 2.0]]))
