"""Exact analysis of variance of a whole grid: every configuration on every seed.

Seeds are blocks, as all configurations ran on the same ones. What is left when seeds and the
effects are taken out is the noise that an effect has to exceed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["FactorEffect", "FactorialAnalysis", "analyse_grid"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FactorEffect:
    """A main effect or an interaction of two factors.

    Attributes:
        axes: The one or two factors, by their place.
        degrees_of_freedom: Of its sum of squares.
        component: Variance that it adds to a training at a random cell; never negative.
        p: F test against the residual.
        chance: `component` at the 95th percentile where the factor does nothing.
    """

    axes: tuple[int, ...]
    degrees_of_freedom: int
    component: float
    p: float
    chance: float


@dataclass(frozen=True)
class FactorialAnalysis:
    """A grid's sums of squares.

    Attributes:
        effects: Main effects, then interactions of two.
        seed_component: Variance between seeds within a cell, the blocks' part included.
        residual: Mean square of cells × seeds.
        marginal_means: For each factor its levels' means.
    """

    effects: tuple[FactorEffect, ...]
    seed_component: float
    residual: float
    marginal_means: tuple[FloatArray, ...]


def analyse_grid(values: FloatArray) -> FactorialAnalysis:
    """Sums of squares of a complete grid; closed form, as it is balanced.

    Args:
        values: (L₁, …, L_k, S): one value per level of each factor and per seed; each L ≥ 2,
            S ≥ 2, nothing missing.

    Raises:
        ValueError: Something is missing, or there are too few levels or seeds.

    Source: Searle, Casella, McCulloch, Variance Components (1992), ch. 4; seeds as blocks.
    """
    if values.ndim < 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"a whole grid of two or more each is needed, got {values.shape}")
    factors, seeds = values.ndim - 1, values.shape[-1]
    cells = int(np.prod(values.shape[:-1]))
    centred = values - values.mean()
    cell_means = centred.mean(axis=-1)
    seed_means = centred.mean(axis=tuple(range(factors)))
    left = centred - cell_means[..., None] - seed_means
    residual_freedom = (cells - 1) * (seeds - 1)
    residual = float((left**2).sum()) / residual_freedom
    within = float(((centred - cell_means[..., None]) ** 2).sum())
    main = {axis: _marginal(cell_means, (axis,)) for axis in range(factors)}
    effects = [
        _effect((axis,), mean, values.size, residual, residual_freedom)
        for axis, mean in main.items()
    ]
    for pair in combinations(range(factors), 2):
        joint = _marginal(cell_means, pair) - main[pair[0]] - main[pair[1]]
        effects.append(_effect(pair, joint, values.size, residual, residual_freedom))
    return FactorialAnalysis(
        effects=tuple(effects),
        seed_component=within / (cells * (seeds - 1)),
        residual=residual,
        marginal_means=tuple(
            values.mean(axis=tuple(a for a in range(values.ndim) if a != axis))
            for axis in range(factors)
        ),
    )


def _marginal(cell_means: FloatArray, axes: Sequence[int]) -> FloatArray:
    """Means over all other factors, kept in place so that they can be subtracted."""
    others = tuple(axis for axis in range(cell_means.ndim) if axis not in axes)
    mean: FloatArray = cell_means.mean(axis=others, keepdims=True)
    return mean


def _effect(
    axes: tuple[int, ...], means: FloatArray, total: int, residual: float, residual_freedom: int
) -> FactorEffect:
    freedom = int(np.prod([means.shape[axis] - 1 for axis in axes]))
    squares = float((means**2).mean()) * total
    component = max(squares - freedom * residual, 0.0) / total
    ratio = squares / freedom / residual if residual > 0.0 else (np.inf if squares else 0.0)
    p = float(special.fdtrc(freedom, residual_freedom, ratio)) if np.isfinite(ratio) else 0.0
    largest = float(special.fdtri(freedom, residual_freedom, 0.95))
    chance = max(largest - 1.0, 0.0) * freedom * residual / total
    return FactorEffect(axes, freedom, component, p, chance)
