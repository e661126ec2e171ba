"""Points of a search space as rows of numbers, and back: what a model of the space works on.

A *code* is a row with one number a parameter: where a numeric value lies in its range (0 … 1 in
equal steps of prior probability), the place of a choice among its options, NaN where the parameter
is inactive.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tune.study.space import Distribution, Point, Value

__all__ = ["Encoding"]

FloatArray = npt.NDArray[np.float64]

_MIDDLE = 0.5  # of a range; also the code of one that holds a single value
_PRODUCTS = 0.25  # prior variance of an interaction's weight in the trend, a main effect's is 1
_CURVED = 0.25  # of a quadratic term's


class Encoding:
    """Codes of one space.

    Attributes:
        names: The parameters, each after those that its condition names.
        is_choice: (D,) whether a parameter's values have no order.
    """

    def __init__(self, parameters: Mapping[str, Distribution]) -> None:
        """Take distributions by name, each after those that its condition names."""
        self.names = tuple(parameters)
        self._distributions = tuple(parameters.values())
        self.is_choice = np.array([d.kind == "choice" for d in self._distributions])
        # Its one value has one code, wherever it comes from.
        self._single = np.array([d.kind != "choice" and d.is_single for d in self._distributions])
        self._columns = {name: place for place, name in enumerate(self.names)}

    def codes(self, points: Sequence[Mapping[str, Value]]) -> FloatArray:
        """(N, D) codes of points; a value outside its range is taken to the nearer end."""
        rows = np.full((len(points), len(self.names)), np.nan)
        for place, (name, distribution) in enumerate(
            zip(self.names, self._distributions, strict=True)
        ):
            for row, point in enumerate(points):
                if name in point:
                    rows[row, place] = _code(distribution, point[name])
        return rows

    def point(self, code: FloatArray) -> Point:
        """The point that a code (D,) stands for."""
        return {
            name: _value(distribution, float(where))
            for name, distribution, where in zip(
                self.names, self._distributions, code, strict=True
            )
            if not math.isnan(where)
        }

    def draw(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count, D) codes at random, each active parameter from its distribution."""
        return self._active_only(self._draw_all(rng, count))

    def step(self, rng: np.random.Generator, codes: FloatArray, sd: FloatArray) -> FloatArray:
        """(N, D) codes near others.

        Args:
            rng: The source of all draws.
            codes: (N, D) where to start.
            sd: (N,) of the normal step in each number; a choice is drawn anew as often as that.

        Returns:
            Steps are reflected at the ends of a range; parameters that turn active are drawn.
        """
        drawn = self._draw_all(rng, len(codes))
        moved = codes + rng.normal(size=codes.shape) * sd[:, None]
        moved = 1.0 - np.abs(1.0 - np.abs(moved))
        anew = rng.random(codes.shape) < sd[:, None]
        rows = np.where(self.is_choice, np.where(anew, drawn, codes), moved)
        rows = np.where(np.isnan(codes), drawn, rows)
        for place, distribution in enumerate(self._distributions):
            if distribution.kind == "int":
                rows[:, place] = _to_options(distribution, np.clip(rows[:, place], 0.0, 1.0))
        return self._active_only(rows)

    def places(self, codes: FloatArray) -> FloatArray:
        """(N, E) coordinates of codes, whose distances are how much codes differ.

        A range has one, between 0 and 1; an inactive parameter counts as its middle. A choice has
        one an option, and one for being inactive: two options are 1 apart.
        """
        columns = []
        for place, distribution in enumerate(self._distributions):
            column = codes[:, place]
            missing = np.isnan(column)
            if self.is_choice[place]:
                options = np.where(missing, -1, column).astype(np.int64)
                table = math.sqrt(0.5) * np.eye(len(distribution.values) + 1)
                columns.append(table[options])
            else:
                columns.append(np.where(missing, _MIDDLE, column)[:, None])
        return np.hstack(columns)

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """(E,) the parameter to which a coordinate belongs."""
        sizes = [len(d.values) + 1 if d.kind == "choice" else 1 for d in self._distributions]
        return np.repeat(np.arange(len(sizes)), sizes)

    def trend(self, codes: FloatArray) -> FloatArray:
        """(N, P) terms of a quadratic trend, each scaled by the sd of its weight's prior.

        Legendre polynomials of degree 1 and 2, orthonormal over a continuous range; contrasts of
        each choice's options, whose variances add up to 1; products of the first terms of every
        two parameters. Inactive: 0.
        """
        first, more = [], []
        for place, distribution in enumerate(self._distributions):
            column = codes[:, place]
            missing = np.isnan(column)
            if self.is_choice[place]:
                count = len(distribution.values)
                options = np.where(missing, 0, column).astype(np.int64)
                table = (np.eye(count) - 1.0 / count) * math.sqrt(count / max(count - 1, 1))
                terms = np.where(missing[:, None], 0.0, table[options])
                first.append(terms[:, 0])
                more.append(terms[:, 1:])
            else:
                x = np.where(missing, 0.0, 2.0 * column - 1.0)
                first.append(math.sqrt(3.0) * x)
                curved = math.sqrt(5.0) * (1.5 * x**2 - 0.5)
                more.append(math.sqrt(_CURVED) * np.where(missing, 0.0, curved)[:, None])
        linear = np.column_stack(first)
        i, j = np.triu_indices(linear.shape[1], 1)
        products = math.sqrt(_PRODUCTS) * linear[:, i] * linear[:, j]
        return np.hstack([linear, *more, products])

    def _draw_all(self, rng: np.random.Generator, count: int) -> FloatArray:
        """(count, D) codes at random without regard to conditions."""
        rows = rng.random((count, len(self.names)))
        for place, distribution in enumerate(self._distributions):
            rows[:, place] = _to_options(distribution, rows[:, place])
        return rows

    def _active_only(self, rows: FloatArray) -> FloatArray:
        rows[:, self._single] = _MIDDLE
        for place, distribution in enumerate(self._distributions):
            for parent, value in distribution.when:
                of_parent = self._columns[parent]
                wanted = _code(self._distributions[of_parent], value)
                off = ~np.isclose(rows[:, of_parent], wanted)
                rows[off, place] = np.nan
        return rows


def _code(distribution: Distribution, value: Value) -> float:
    if distribution.kind == "choice":
        for place, option in enumerate(distribution.values):
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return float(place)
        raise ValueError(f"{value!r} is none of {distribution.values}")
    if distribution.is_single:
        return _MIDDLE
    low, high = distribution.bounds
    number = float(value)
    if distribution.kind == "log_uniform":
        low, high, number = math.log(low), math.log(high), math.log(max(number, low))
    return min(max((number - low) / (high - low), 0.0), 1.0)


def _value(distribution: Distribution, where: float) -> Value:
    if distribution.kind == "choice":
        return distribution.values[round(where)]
    low, high = distribution.bounds
    if distribution.kind == "int":
        return round(low + where * (high - low))
    if distribution.kind == "uniform":
        return min(max(low + where * (high - low), low), high)
    value = math.exp(math.log(low) + where * (math.log(high) - math.log(low)))
    return min(max(value, low), high)


def _to_options(distribution: Distribution, uniform: FloatArray) -> FloatArray:
    """Numbers between 0 and 1 as codes that the distribution can give."""
    options = distribution.options()
    if options is None:
        return uniform
    chosen = np.minimum(np.floor(uniform * len(options)), len(options) - 1)
    if distribution.kind == "choice":
        return chosen
    return chosen / max(len(options) - 1, 1)
