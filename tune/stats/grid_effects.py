"""A grid study's shares and response curves: its cells, analysed exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tune.stats.effects import SEED, Response, VarianceShare
from tune.stats.factorial import FactorialAnalysis, analyse_grid
from tune.stats.significance import holm
from tune.study.space import Point, Space, Value

__all__ = ["GridEffects", "GridRun", "grid_effects"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GridRun:
    """A finished run at a point of the grid.

    Attributes:
        point: Where.
        seed: On which seed.
        value: Its best valid value, as a loss.
    """

    point: Point
    seed: int
    value: float


@dataclass(frozen=True)
class GridEffects:
    """What an exact analysis of variance says.

    Attributes:
        shares: The seed's, the parameters', the interactions'; empty where the grid isn't whole.
        responses: One curve a parameter.
        notes: In words.
    """

    shares: tuple[VarianceShare, ...]
    responses: tuple[Response, ...]
    notes: tuple[str, ...]


def grid_effects(space: Space, runs: Sequence[GridRun]) -> GridEffects:
    """Analyse a grid.

    Args:
        space: The search space; all its parameters have finitely many values.
        runs: Finished runs at points of the space.
    """
    levels = {
        name: options
        for name, distribution in space.parameters.items()
        if len(options := distribution.options() or ()) > 1
    }
    if any(space.parameters[name].when for name in levels):
        note = "Not every parameter is active everywhere, so that the grid is no full table."
        return GridEffects((), (), (f"{note} No shares are given.",))
    values, left_out = _cells(levels, runs)
    if not levels or values.shape[-1] < 2:
        note = "The grid is not whole on two or more seeds (yet): no shares are given."
        return GridEffects((), (), (note,))
    if np.ptp(values) == 0.0:
        return GridEffects(
            (VarianceShare(SEED, 0.0),), (), ("Every run ended with the same value.",)
        )
    found = analyse_grid(values)
    names = list(levels)
    shares = _shares(found, names)
    by_name = {share.name: share for share in shares}
    cells = int(np.prod(values.shape[:-1]))
    what = f"{cells} configurations on {values.shape[-1]} seeds, the seeds as blocks"
    notes = [f"Exact analysis of variance of {what}."]
    if left_out:
        notes.append(f"{left_out} seeds lack a configuration and are left out.")
    responses = (
        _response(by_name[name], levels[name], found, axis, runs)
        for axis, name in enumerate(names)
    )
    return GridEffects(shares, tuple(responses), tuple(notes))


def _cells(levels: dict[str, Sequence[Value]], runs: Sequence[GridRun]) -> tuple[FloatArray, int]:
    """(L₁, …, L_k, S) of the seeds on which every cell has a value, and how many others."""
    seeds = sorted({run.seed for run in runs})
    shape = tuple(len(options) for options in levels.values())
    values = np.full((*shape, len(seeds)), np.nan)
    for run in runs:
        if all(name in run.point for name in levels):
            place = tuple(options.index(run.point[name]) for name, options in levels.items())
            values[(*place, seeds.index(run.seed))] = run.value
    whole = np.isfinite(values).all(axis=tuple(range(len(shape))))
    return values[..., whole], int((~whole).sum())


def _shares(found: FactorialAnalysis, names: Sequence[str]) -> tuple[VarianceShare, ...]:
    whole = found.seed_component + sum(effect.component for effect in found.effects)
    main = [effect for effect in found.effects if len(effect.axes) == 1]
    corrected = dict(zip((e.axes for e in main), holm([effect.p for effect in main]), strict=True))
    shares = [VarianceShare(SEED, found.seed_component / whole)]
    for effect in found.effects:
        p = corrected.get(effect.axes)
        shares.append(
            VarianceShare(
                " × ".join(names[axis] for axis in effect.axes),
                effect.component / whole,
                null=effect.chance / whole,
                matters=None if p is None else p < 0.05,
                p=p,
            )
        )
    return tuple(shares)


def _response(
    share: VarianceShare,
    options: Sequence[Value],
    found: FactorialAnalysis,
    axis: int,
    runs: Sequence[GridRun],
) -> Response:
    mean = found.marginal_means[axis]
    half = 1.96 * found.seed_component**0.5
    rising = sorted(range(len(options)), key=lambda i: _order(options, i))
    return Response(
        name=share.name,
        values=tuple(options[i] for i in rising),
        mean=tuple(float(mean[i]) for i in rising),
        low=tuple(float(mean[i]) - half for i in rising),
        high=tuple(float(mean[i]) + half for i in rising),
        observed=tuple(
            (run.point[share.name], run.value) for run in runs if share.name in run.point
        ),
        log=_spans_decades(options),
        matters=share.matters,
        p=share.p,
    )


def _order(options: Sequence[Value], place: int) -> float:
    """Numbers rise; anything else keeps the study's order."""
    numbers = [float(o) for o in options if not isinstance(o, bool | str)]
    return numbers[place] if len(numbers) == len(options) else float(place)


def _spans_decades(options: Sequence[Value]) -> bool:
    numbers = [float(o) for o in options if not isinstance(o, bool | str)]
    return len(numbers) == len(options) and min(numbers) > 0 and max(numbers) >= 10 * min(numbers)
