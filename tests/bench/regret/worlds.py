"""Worlds in which whole searches are judged by regret: one for each kind and key.

A world says what a study may search, where its default lies (better than about 75 % of the
space), what each configuration is truly worth, and what each run reports. It is a pure function
of (kind, key, noise, epochs). The metric is MAE. Its unit is the standard deviation of the true
values among the better half of the space, `UNIT` in every world; `noise` is the standard
deviation between seeds in that unit.
"""

import math
import zlib
from collections.abc import Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hscl.config import Config
from regret.surfaces import KINDS, snap
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec

__all__ = ["PATIENCE", "UNIT", "Searched", "Values", "World"]

FloatArray = npt.NDArray[np.float64]
Values = tuple[Value | None, ...]
"""Of the searched parameters in the space's order; None where one takes no part."""

UNIT = 0.015
"""MAE. On MOSI's official folds a spread of configurations like this one is typical."""
_BEST = 0.75
_WORST = 0.5  # above the best: no configuration is worse than so much
_COLLAPSED = (
    8.0  # units that a collapsed run loses: as much as a constant prediction would, capped
)
_SHARED = 0.15  # of the variance between seeds: what a seed does to every configuration alike
_POINTS = 4_096  # points that tell what the space holds
_START, _PACE = 0.5, 0.9  # what is left to learn before the first epoch; its rate of decay
PATIENCE = 1_000
"""No training ends before its last epoch by itself."""


class Searched(Protocol):
    """What arms may know of a world.

    Attributes:
        key: Seeds what an arm draws.
        epochs: Length of a training.
        default: Where the default lies.
    """

    key: int
    epochs: int
    default: Values

    @property
    def spec(self) -> StudySpec:
        """A study with defaults, for its space and distributions."""

    def study(self, **sections: Mapping[str, Any]) -> StudySpec:
        """A study of this world, with further tables of the study file."""

    def values_of(self, config: Config) -> Values:
        """What is searched in a configuration."""

    def values_in(self, point: Mapping[str, Value]) -> Values:
        """The same of a point of the space."""

    def report(self, values: Values, seed: int, epoch: int) -> float:
        """Valid metric of a run after an epoch, from 1."""

    def objective(self, config: Config, seed: int, epoch: int) -> float:
        """The same as `tune.simulate.study.simulate` asks for it."""

    def test(self, values: Values, seed: int) -> float:
        """Test metric of a run, as confirm sees it."""

    def stands_for(self, values: Values) -> Values:
        """The configuration that is trained where this one is proposed."""


class World:
    """What is true, and what a run says.

    Attributes:
        kind: Of `regret.surfaces.KINDS`.
        key: Names the world among its kind; keys below 1,000 are for tuning, from 10,000 on for
            reporting.
        noise: Standard deviation between seeds, in units.
        epochs: Length of a training.
        landscape: Surface and deviations.
        best: The smallest true value in the space.
        default: Where the default lies.
    """

    def __init__(self, kind: str, key: int, noise: float = 1.0, epochs: int = 9) -> None:
        self.kind, self.key, self.noise, self.epochs = kind, key, noise, epochs
        rng = np.random.default_rng([key, zlib.crc32(kind.encode())])
        self.landscape = KINDS[kind](rng)
        self._names = tuple(self.landscape.space)
        self._forms = tuple(self.landscape.space.values())
        self._of_config = attrgetter(*self._names)
        self._set_scale(rng)
        self._curves: dict[tuple[Values, int], list[float]] = {}
        self._tests: dict[tuple[Values, int], float] = {}
        self._places: dict[Values, tuple[float, ...]] = {}
        self._shared: dict[int, float] = {}

    def _set_scale(self, rng: np.random.Generator) -> None:
        """Bring the better half's sd to `UNIT`; find the best, and a place for the default."""
        points = snap(self.landscape.space, rng.random((_POINTS, len(self._names))))
        raw = self.landscape.surface(points)
        lost = _COLLAPSED * UNIT * self.landscape.collapse(points)
        self._low, self._scale = float(raw.min()), 1.0
        # Collapses count in units and errors saturate: the scale is found in a few rounds.
        for _ in range(20):
            values = np.sort(self._saturated(raw) + lost)
            self._scale *= UNIT / float(values[: _POINTS // 2].std())
        cube = rng.random((_POINTS, len(self._names)))
        self.best = self._lowest(rng, cube)
        points = snap(self.landscape.space, cube)
        order = np.argsort(self._true(points), kind="stable")
        place = int(rng.integers(int(0.2 * _POINTS), int(0.3 * _POINTS)))
        self.default = self._values_at(points[order[place]])

    def _saturated(self, raw: FloatArray) -> FloatArray:
        """(n,) true values without collapses, of the surface's own."""
        above = self._scale * (raw - self._low)
        # Far above the best the error saturates: a constant prediction bounds it.
        return _BEST + np.where(above > 0.0, _WORST * np.tanh(above / _WORST), above)

    def _true(self, points: FloatArray) -> FloatArray:
        """(n,) true values, collapses included."""
        lost = _COLLAPSED * UNIT * self.landscape.collapse(points)
        return self._saturated(self.landscape.surface(points)) + lost

    def _lowest(self, rng: np.random.Generator, cube: FloatArray) -> float:
        """The smallest true value: everywhere first, then ever closer to the best places."""
        lowest = math.inf
        for width in (0.1, 0.05, 0.03, 0.015, 0.008, 0.004, 0.002, 0.001):
            values = self._true(snap(self.landscape.space, cube))
            lowest = min(lowest, float(values.min()))
            near = cube[np.argsort(values, kind="stable")[:32]]
            steps = rng.normal(0.0, width, (32, *near.shape))
            cube = np.vstack([near, np.clip(near + steps, 0.0, 1.0).reshape(-1, near.shape[1])])
        return lowest

    def _values_at(self, point: FloatArray) -> Values:
        return tuple(
            None if math.isnan(place) else _to_value(form, float(place))
            for form, place in zip(self._forms, point, strict=True)
        )

    def study(self, **sections: Mapping[str, Any]) -> StudySpec:
        """A study of this world.

        Args:
            sections: Further tables of the study file.
        """
        return parse_spec({"base": self.base, "space": self.landscape.space, **sections})

    @property
    def base(self) -> dict[str, Any]:
        """The `[base]` table: where the default lies, and the length of a training."""
        base: dict[str, Any] = {"train.epochs": self.epochs, "train.patience": PATIENCE}
        named = zip(self._names, self.default, strict=True)
        return base | {name: value for name, value in named if value is not None}

    @cached_property
    def spec(self) -> StudySpec:
        """A study with defaults, for its space and distributions."""
        return self.study()

    def values_of(self, config: Config) -> Values:
        """What is searched in a configuration."""
        return self._active(self._of_config(config))

    def values_in(self, point: Mapping[str, Value]) -> Values:
        """The same of a point of the space."""
        return tuple(point.get(name) for name in self._names)

    def _active(self, values: Values) -> Values:
        if self.kind != "mixed":
            return values
        known = dict(zip(self._names, values, strict=True))
        return tuple(
            value
            if all(known[p] == wanted for p, wanted in form.get("when", {}).items())
            else None
            for value, form in zip(values, self._forms, strict=True)
        )

    def true(self, values: Values) -> float:
        """Final value over all seeds."""
        return self._place(values)[0]

    def valid(self, values: Values) -> float:
        """What valid shows over all seeds: the true value and valid's error."""
        true, _, _, error, _ = self._place(values)
        return true + error

    def regret(self, values: Values) -> float:
        """How far a configuration lies above the best of the space, in units."""
        return max(0.0, self.true(values) - self.best) / UNIT

    def report(self, values: Values, seed: int, epoch: int) -> float:
        """Valid metric of a run after an epoch, from 1."""
        run = (values, seed)
        if run not in self._curves:
            self._train(run)
        return self._curves[run][epoch - 1]

    def test(self, values: Values, seed: int) -> float:
        """Test metric of a run: without what valid gets wrong."""
        run = (values, seed)
        if run not in self._tests:
            self._train(run)
        return self._tests[run]

    def stands_for(self, values: Values) -> Values:
        """The same: every configuration can be trained."""
        return values

    def objective(self, config: Config, seed: int, epoch: int) -> float:
        """The same as `report`, as `tune.simulate.study.simulate` asks for it."""
        return self.report(self.values_of(config), seed, epoch)

    def _place(self, values: Values) -> tuple[float, ...]:
        """True value, relative noise, chance to collapse, valid's error, share of lag."""
        if values not in self._places:
            land = self.landscape
            point = np.array(
                [[_to_unit(form, v) for form, v in zip(self._forms, values, strict=True)]]
            )
            true = float(self._true(point)[0])
            own = np.random.default_rng([self.key, _crc(values)])
            above = np.array([(true - self.best) / UNIT])
            error = UNIT * (float(land.valid(point)[0]) + land.valid_own * own.normal())
            lag = float(land.quality(above)[0] + land.lag(point)[0]) + 0.2 * own.random()
            collapse = float(land.collapse(point)[0])
            self._places[values] = (true, float(land.noise(point)[0]), collapse, error, lag)
        return self._places[values]

    def _train(self, run: tuple[Values, int]) -> None:
        """Draw a run: its end, and how it gets there."""
        values, seed = run
        true, relative, collapse, error, lag = self._place(values)
        if seed not in self._shared:
            self._shared[seed] = np.random.default_rng([self.key, seed]).normal()
        rng = np.random.default_rng([self.key, _crc(values), seed])
        luck = _SHARED**0.5 * self._shared[seed] + (1.0 - _SHARED) ** 0.5 * rng.normal()
        sd = self.noise * UNIT * relative
        collapsed = rng.random() < collapse
        final = true + sd * luck + _COLLAPSED * UNIT * (collapsed - collapse)
        pace = _PACE * (9.0 / self.epochs) ** 0.5 * (1.0 - lag - 0.05 * rng.random())
        left = _START * np.exp(-pace * np.arange(1, self.epochs + 1))
        left += np.abs(rng.normal(0.0, 0.004, self.epochs))
        left -= left.min()  # the best epoch is the one whose checkpoint is kept
        self._tests[run] = final
        self._curves[run] = (final + error + left).tolist()


def _crc(values: Values) -> int:
    return zlib.crc32(repr(values).encode())


def _to_unit(form: Mapping[str, Any], value: Value | None) -> float:
    """A value's place as surfaces take it."""
    if value is None:
        return math.nan
    if "choice" in form:
        return float(form["choice"].index(value))
    assert not isinstance(value, str)
    if "log_uniform" in form:
        low, high = map(math.log, form["log_uniform"])
        return (math.log(value) - low) / (high - low)
    low, high = form["uniform"] if "uniform" in form else form["int"]
    return float((value - low) / (high - low))


def _to_value(form: Mapping[str, Any], place: float) -> Value:
    if "choice" in form:
        value: Value = form["choice"][int(place)]
        return value
    low, high = next(form[kind] for kind in ("log_uniform", "uniform", "int") if kind in form)
    if "int" in form:
        return int(np.rint(low + place * (high - low)))
    if "uniform" in form:
        return float(min(max(low + place * (high - low), low), high))
    return float(min(max(low * (high / low) ** place, low), high))
