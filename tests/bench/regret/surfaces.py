"""The kinds of worlds for `bench_regret.py`: what is searched, what is true, and how runs deviate.

A point of the unit cube has a column a parameter: numbers on their own scale from 0 to 1, choices
as their place in the list, NaN where a parameter takes no part. Surfaces are lower-is-better and
in any unit; `regret.worlds` brings all of them to one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["KINDS", "Landscape", "snap"]

FloatArray = npt.NDArray[np.float64]
Surface = Callable[[FloatArray], FloatArray]
"""(n, d) points to (n,) values."""

SPACE: dict[str, dict[str, Any]] = {
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "loss.alpha": {"log_uniform": [0.01, 1.0]},
    "loss.omega1": {"log_uniform": [0.001, 0.3]},
    "loss.omega2": {"log_uniform": [0.01, 1.0]},
    "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
}
_TEMPERATURE, _RATE = 0, 4
_WIDE = SPACE | {
    "train.lr": {"log_uniform": [1e-4, 1e-2]},
    "train.weight_decay": {"log_uniform": [1e-6, 1e-2]},
    "model.fusion.dropout": {"uniform": [0.0, 0.5]},
}
_MIXED: dict[str, dict[str, Any]] = {
    "train.batch_size": {"choice": [16, 32, 64, 128]},
    "model.audio.layers": {"int": [1, 5]},
    "loss.high": {"choice": [True, False]},
    "loss.omega2": {"log_uniform": [0.01, 1.0], "when": {"loss.high": True}},
    "loss.temperature": {"log_uniform": [0.03, 1.0]},
    "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
}
_PLENTY = 2_000  # points of the better half, by which a surface's own spread is told


def _nothing(points: FloatArray) -> FloatArray:
    return np.zeros(len(points))


def _usual(points: FloatArray) -> FloatArray:
    return np.ones(len(points))


@dataclass(frozen=True)
class Landscape:
    """One world of a kind.

    Attributes:
        space: The `[space]` table of a study file.
        surface: Value over all seeds, without collapses.
        quality: Of a point whose true value lies z units above the best, the share (0 to 1) by
            which it learns more slowly than others; the seed and the point's own luck come on top.
        lag: The same by place.
        noise: Seed noise by place, relative to the world's.
        collapse: Probability that a run collapses, by place.
        valid: What valid adds to the truth by place, in units.
        valid_own: Standard deviation of what it adds to each configuration by chance, in units.
    """

    space: dict[str, dict[str, Any]]
    surface: Surface
    quality: Callable[[FloatArray], FloatArray] = _nothing
    lag: Surface = _nothing
    noise: Surface = _usual
    collapse: Surface = _nothing
    valid: Surface = _nothing
    valid_own: float = 0.0


def snap(space: dict[str, dict[str, Any]], cube: FloatArray) -> FloatArray:
    """The points of a space that uniform numbers stand for.

    Args:
        space: The `[space]` table.
        cube: (n, d) numbers from 0 to 1.

    Returns:
        (n, d) points as surfaces take them.
    """
    points = np.array(cube, dtype=np.float64)
    names = list(space)
    for column, form in enumerate(space.values()):
        if "choice" in form:
            count = len(form["choice"])
            points[:, column] = np.minimum(np.floor(points[:, column] * count), count - 1)
        elif "int" in form:
            low, high = form["int"]
            places = np.minimum(np.floor(points[:, column] * (high - low + 1)), high - low)
            points[:, column] = places / (high - low)
    for column, form in enumerate(space.values()):
        for parent, wanted in form.get("when", {}).items():
            place = space[parent]["choice"].index(wanted)
            points[points[:, names.index(parent)] != place, column] = np.nan
    return points


def _smooth(rng: np.random.Generator, columns: int, scale: float = 0.4) -> Surface:
    """A draw of a Gaussian process with mean 0 and sd 1 (32 random Fourier features)."""
    features = 32
    weights = rng.normal(0.0, 1.0 / scale, (columns, features))
    phases = rng.uniform(0.0, 2.0 * np.pi, features)

    def value(points: FloatArray) -> FloatArray:
        waves: FloatArray = np.cos(points @ weights + phases).sum(axis=1)
        return np.asarray(waves * (2.0 / features) ** 0.5)

    return value


def _better_half(rng: np.random.Generator, surface: Surface, columns: int) -> FloatArray:
    """The better half of the surface's values at random points, ascending."""
    return np.sort(surface(rng.random((2 * _PLENTY, columns))))[:_PLENTY]


def _bowl(rng: np.random.Generator, columns: int, effective: int) -> Surface:
    """A lowest place at random, steeper on one side than on the other, never quite quadratic.

    Args:
        rng: Draws everything.
        columns: d.
        effective: Parameters that matter; the others do a fiftieth.
    """
    centre = rng.uniform(0.05, 0.95, columns)
    weights = np.full(columns, 0.02)
    matter = rng.permutation(columns)[:effective]
    weights[matter] = np.exp(rng.normal(0.0, 0.6, effective))
    power = rng.uniform(1.4, 2.4, columns)
    left, right = np.exp(rng.normal(0.0, 0.4, (2, columns)))
    turn = np.eye(columns)
    turn[np.ix_(matter, matter)] += np.triu(rng.normal(0.0, 0.25, (effective, effective)), 1)

    def bowl(points: FloatArray) -> FloatArray:
        away = (points - centre) @ turn
        away = np.where(away < 0.0, -left * away, right * away)
        total: FloatArray = (away**power) @ weights
        return total

    ripple = _smooth(rng, columns, 0.25)
    height = 0.2 * float(_better_half(rng, bowl, columns).std())
    return lambda points: bowl(points) + height * ripple(points)


def _any_bowl(rng: np.random.Generator) -> Surface:
    return _bowl(rng, len(SPACE), int(rng.integers(2, 6)))


def _bowl_2(rng: np.random.Generator) -> Landscape:
    return Landscape(SPACE, _bowl(rng, len(SPACE), 2))


def _bowl_5(rng: np.random.Generator) -> Landscape:
    return Landscape(SPACE, _bowl(rng, len(SPACE), 5))


def _wells(rng: np.random.Generator) -> Landscape:
    """Five wells in three parameters; the deepest is no wider than the others."""
    matter = rng.permutation(len(SPACE))[:3]
    centres = rng.uniform(0.05, 0.95, (5, 3))
    widths = rng.uniform(0.12, 0.3, 5)
    depths = np.array([1.0, *rng.uniform(0.5, 0.85, 4)])
    slope = _bowl(rng, len(SPACE), 3)

    def surface(points: FloatArray) -> FloatArray:
        away = points[:, None, matter] - centres
        wells: FloatArray = depths * np.exp(-0.5 * (away**2).sum(axis=2) / widths**2)
        return np.asarray(0.15 * slope(points) - wells.max(axis=1))

    return Landscape(SPACE, surface)


def _cliff(rng: np.random.Generator) -> Landscape:
    """The best place lies close to an edge, beyond which everything is much worse."""
    bowl = _any_bowl(rng)
    candidates = rng.random((2 * _PLENTY, len(SPACE)))
    best = candidates[np.argmin(bowl(candidates))]
    direction = rng.normal(0.0, 1.0, len(SPACE))
    direction /= np.linalg.norm(direction)
    direction *= np.where(direction @ (best - 0.5) < 0.0, -1.0, 1.0)  # the smaller side falls
    drop = 8.0 * float(_better_half(rng, bowl, len(SPACE)).std())
    edge = best @ direction + rng.uniform(0.02, 0.08)

    def surface(points: FloatArray) -> FloatArray:
        return np.asarray(bowl(points) + drop * (points @ direction > edge))

    return Landscape(SPACE, surface)


def _plateaus(rng: np.random.Generator) -> Landscape:
    """Terraces: a fiftieth of the space is equally good, and so is each terrace above it."""
    bowl = _any_bowl(rng)
    edges = np.quantile(_better_half(rng, bowl, len(SPACE)), [0.04, 0.2, 0.5, 1.0])
    heights = np.array([0.0, 1.0, 2.0, 4.0, 7.0])

    def surface(points: FloatArray) -> FloatArray:
        return heights[np.searchsorted(edges, bowl(points))]

    return Landscape(SPACE, surface)


def _slow(rng: np.random.Generator) -> Landscape:
    """The better, the more slowly learnt."""
    return Landscape(SPACE, _any_bowl(rng), quality=lambda above: 0.45 * np.exp(-above / 4.0))


def _early(rng: np.random.Generator) -> Landscape:
    """A low learning rate and a high temperature look bad at first, whatever they end at."""

    def lag(points: FloatArray) -> FloatArray:
        return 0.3 * (1.0 - points[:, _RATE]) + 0.2 * points[:, _TEMPERATURE]

    return Landscape(SPACE, _any_bowl(rng), lag=lag)


def _noisy(rng: np.random.Generator) -> Landscape:
    """The noise grows with the learning rate: sd from a third to 1.7 times the usual."""

    def noise(points: FloatArray) -> FloatArray:
        return np.exp(1.6 * (points[:, _RATE] - 0.7))

    return Landscape(SPACE, _any_bowl(rng), noise=noise)


def _collapses(rng: np.random.Generator) -> Landscape:
    """5 to 30 % of runs collapse, depending on the configuration."""
    where = _smooth(rng, len(SPACE))

    def collapse(points: FloatArray) -> FloatArray:
        return 0.05 + 0.25 / (1.0 + np.exp(-1.5 * where(points)))

    return Landscape(SPACE, _any_bowl(rng), collapse=collapse)


def _misled(rng: np.random.Generator) -> Landscape:
    """Valid itself is wrong: alike for neighbours, and a little for each configuration."""
    error = _smooth(rng, len(SPACE))
    return Landscape(
        SPACE, _any_bowl(rng), valid=lambda points: 0.7 * error(points), valid_own=0.3
    )


def _wide(rng: np.random.Generator) -> Landscape:
    """Eight parameters of which three matter."""
    return Landscape(_WIDE, _bowl(rng, len(_WIDE), 3))


def _mixed(rng: np.random.Generator) -> Landscape:
    """A choice that moves the best temperature, a whole number, a weight that may be absent."""
    bowl, weight = _bowl(rng, 3, 3), _bowl(rng, 1, 1)
    spread = float(_better_half(rng, bowl, 3).std())
    offsets = spread * rng.permutation([0.0, 0.7, 1.5, 3.0])
    moves = rng.uniform(-0.15, 0.15, 4)
    without = spread * rng.uniform(0.0, 3.0)
    depth = spread * rng.uniform(2.0, 4.0)

    def surface(points: FloatArray) -> FloatArray:
        batch, layers, _, omega2, temperature, rate = points.T
        chosen = batch.astype(np.int64)
        total = bowl(np.column_stack([temperature + moves[chosen], rate, layers]))
        absent = np.isnan(omega2)
        part = depth * weight(np.where(absent, 0.0, omega2)[:, None])
        return np.asarray(total + offsets[chosen] + np.where(absent, without, part))

    return Landscape(_MIXED, surface)


KINDS: dict[str, Callable[[np.random.Generator], Landscape]] = {
    "bowl-2": _bowl_2,
    "bowl-5": _bowl_5,
    "wells": _wells,
    "cliff": _cliff,
    "plateaus": _plateaus,
    "slow": _slow,
    "early": _early,
    "noisy": _noisy,
    "collapses": _collapses,
    "misled": _misled,
    "mixed": _mixed,
    "wide": _wide,
}
"""Draws a landscape of each kind."""
