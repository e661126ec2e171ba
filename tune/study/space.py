"""What may vary in a study: dotted names with distributions, and points in that space.

A *point* is a mapping from the names of the active parameters to their values. A parameter with a
condition (`when`) is active where all the parameters that it names are active and have the given
values; an inactive one keeps the value of the base configuration.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from hscl.config import Config
from hscl.errors import InputError
from tune.study.rules import Rule

__all__ = ["Distribution", "Point", "Space", "Value"]

Value = bool | int | float | str
Point = dict[str, Value]


@dataclass(frozen=True)
class Distribution:
    """Where one parameter's values come from.

    Attributes:
        kind: "uniform" and "log_uniform" over [low, high], "int" over low, low + 1, …, high,
            "choice" among `values`.
        values: (low, high), or the choices.
        when: Names of other searched parameters and the value that each must have.
    """

    kind: Literal["uniform", "log_uniform", "int", "choice"]
    values: tuple[Value, ...]
    when: tuple[tuple[str, Value], ...] = ()

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high) of a numeric range."""
        low, high = self.values
        return float(low), float(high)

    @property
    def is_single(self) -> bool:
        """Whether there is one value only."""
        return len(set(self.values)) == 1

    def options(self) -> Sequence[Value] | None:
        """All values, where there are finitely many, in order; None for a continuous range."""
        if self.kind == "choice":
            return self.values
        if self.kind == "int":
            low, high = self.bounds
            return range(int(low), int(high) + 1)
        return None

    def contains(self, value: Value) -> bool:
        """Whether the value is one that this distribution can give."""
        if self.kind == "choice":
            return any(_same(value, option) for option in self.values)
        if isinstance(value, bool | str) or not math.isfinite(value):
            return False
        low, high = self.bounds
        return low <= value <= high and (self.kind != "int" or float(value).is_integer())

    def draw(self, rng: np.random.Generator) -> Value:
        """A value at random."""
        if self.kind == "choice":
            return self.values[int(rng.integers(len(self.values)))]
        low, high = self.bounds
        if self.kind == "int":
            return int(rng.integers(int(low), int(high) + 1))
        if self.kind == "uniform":
            return float(rng.uniform(low, high))
        drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
        return min(max(drawn, low), high)

    def to_toml(self) -> dict[str, Any]:
        """The section that a study file holds for it."""
        section: dict[str, Any] = {self.kind: list(self.values)}
        return section | ({"when": dict(self.when)} if self.when else {})


class Space:
    """Distributions by dotted name, the constraints, and the base configuration they vary."""

    def __init__(
        self, base: Config, parameters: Mapping[str, Distribution], rules: Sequence[Rule] = ()
    ) -> None:
        """Take a checked space (`tune.study.checks`): names exist, conditions have no cycle."""
        self.base = base
        self.parameters = dict(parameters)
        self.rules = tuple(rules)
        self._base_tree = base.model_dump()
        self._base_values = base.dotted()
        self._ordered = tuple(_parents_first(self.parameters))

    @property
    def ordered(self) -> tuple[str, ...]:
        """All names, each after those that its condition names."""
        return self._ordered

    def is_active(self, name: str, point: Mapping[str, Value]) -> bool:
        """Whether a parameter takes part, given the values of those before it in `ordered`."""
        return all(
            parent in point and _same(point[parent], value)
            for parent, value in self.parameters[name].when
        )

    def draw(self, rng: np.random.Generator) -> Point:
        """A point at random, each active parameter from its distribution; rules not looked at."""
        point: Point = {}
        for name in self.ordered:
            if self.is_active(name, point):
                point[name] = self.parameters[name].draw(rng)
        return self.canonical(point)

    def needed(self, name: str) -> Point:
        """What a parameter, to be active, needs of others, and they of others."""
        found: Point = {}
        for parent, value in self.parameters[name].when:
            found |= {parent: value, **self.needed(parent)}
        return found

    def point_with(self, name: str, value: Value) -> Point:
        """A point at which one parameter has this value, else as near to the base as there is.

        Args:
            name: The parameter. Those that its condition names, and that theirs name, have the
                values that it needs.
            value: Its value, one of its distribution.

        Returns:
            The point; every other active parameter has the base's value if it can, else its first.
        """
        needed = self.needed(name) | {name: value}
        point: Point = {}
        for other in self.ordered:
            if self.is_active(other, point):
                some, mine = self.parameters[other], self._base_values[other]
                nearest = mine if some.contains(mine) else some.values[0]
                point[other] = needed.get(other, nearest)
        return self.canonical(point)

    def canonical(self, point: Mapping[str, Value]) -> Point:
        """The same point in the space's own order and each value in its key's own type."""
        return {
            name: float(point[name]) if isinstance(self._base_values[name], float) else point[name]
            for name in self.parameters
            if name in point
        }

    def contains(self, point: Mapping[str, Value]) -> bool:
        """Whether exactly the active parameters are there, each within its distribution."""
        return set(point) <= set(self.parameters) and all(
            self.is_active(name, point) == (name in point)
            and (name not in point or self.parameters[name].contains(point[name]))
            for name in self.ordered
        )

    def allows(self, point: Mapping[str, Value]) -> bool:
        """Whether the configuration at this point satisfies every constraint."""
        values = self._base_values | dict(point)
        return all(rule.holds(values) for rule in self.rules)

    def to_config(self, point: Mapping[str, Value]) -> Config:
        """The base configuration with the point's values.

        Args:
            point: Names and values.

        Returns:
            A resolved configuration.

        Raises:
            InputError: The values don't make a valid configuration.
        """  # noqa: DOC502 - raised by with_overrides
        tree: dict[str, Any] = self._base_tree
        for name, value in point.items():
            tree = _changed(tree, name.split("."), value)
        try:
            return Config.model_validate(tree)
        except ValidationError:
            return self.base.with_overrides(point)  # says in words what is wrong

    def point_of(self, config: Config) -> Point:
        """A configuration's values of the active parameters, inside the space or not."""
        values = {}
        for name in self.ordered:
            with suppress(AttributeError):  # a table of a registered model that it does not have
                values[name] = attrgetter(name)(config)
        return self.point_in(values)

    def point_in(self, values: Mapping[str, Value]) -> Point:
        """The same from dotted values; a name that is missing there is missing in the point."""
        point: Point = {}
        for name in self.ordered:
            if name in values and self.is_active(name, point):
                point[name] = values[name]
        return self.canonical(point)

    def inside(self, config: Config) -> Point | None:
        """The point that a configuration is, or None where it is no point of this space.

        A configuration that differs from the base in anything that is not searched is outside:
        its value says nothing about the point that its searched parameters would name.
        """
        point = self.point_of(config)
        mine, its = self._base_values, config.dotted()
        same_rest = all(
            name.startswith("run.") or name in point or its.get(name, mine[name]) == mine[name]
            for name in mine
        )
        return point if same_rest and self.contains(point) else None

    def grid(self) -> Iterator[Point]:
        """All points of a finite space that satisfy the rules, the last parameter fastest.

        Yields:
            Distinct points.

        Raises:
            InputError: A parameter has a continuous range.
        """
        for name, distribution in self.parameters.items():
            if distribution.options() is None:
                raise InputError(
                    f"space.{name!r} must be a choice or int for a grid, but is "
                    f"{distribution.kind}; list its values with choice = […]"
                )
        for point in self._extend({}, 0):
            if self.allows(point):
                yield self.canonical(point)

    def grid_size(self) -> int | None:
        """The product of the numbers of values, an upper bound of the grid; None if continuous."""
        size = 1
        for distribution in self.parameters.values():
            options = distribution.options()
            if options is None:
                return None
            size *= len(options)
        return size

    def _extend(self, point: Point, depth: int) -> Iterator[Point]:
        if depth == len(self.ordered):
            yield point
            return
        name = self.ordered[depth]
        if not self.is_active(name, point):
            yield from self._extend(point, depth + 1)
            return
        for value in self.parameters[name].options() or ():
            yield from self._extend(point | {name: value}, depth + 1)


def _changed(tree: Mapping[str, Any], path: Sequence[str], value: Value) -> dict[str, Any]:
    """A copy with one leaf changed; branches beside the path are shared."""
    head, *rest = path
    return {**tree, head: _changed(tree[head], rest, value) if rest else value}


def _same(left: Value, right: Value) -> bool:
    """Equality that tells True from 1, but not 1 from 1.0."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _parents_first(parameters: Mapping[str, Distribution]) -> Iterator[str]:
    placed: set[str] = set()
    waiting = list(parameters)
    while waiting:
        ready = [n for n in waiting if all(p in placed for p, _ in parameters[n].when)]
        if not ready:
            raise InputError(f"space: the conditions of {', '.join(waiting)} wait for each other")
        # One at a time, so that the file's order stays wherever conditions allow.
        placed.add(ready[0])
        waiting.remove(ready[0])
        yield ready[0]
