"""Real trainings, replayed: every search of `bench_regret.py` against a table of recorded runs.

`record_mosi.py` trained 256 configurations with 4 seeds each on MOSI's official folds. A replay is
a search among them. A configuration that is proposed stands for the nearest recorded one that the
search has not had yet (in the unit cube of the space; the default for itself), and each of its
runs for one of the four recorded: a search has the use of three seeds, in an order that belongs to
the replay, and the same one for all configurations as long as that is possible. It is told which
configuration ran: its proposals lie a quarter of the width of the space from it in the mean, those
of plain Optuna, which begins several times as many, more than half; in 600 epochs that has nearly
all. (A search that proposes more than 256 gets the nearest again, with the run that it had.)

What a replay comes to is the mean test MAE of what is exported over the runs of that configuration
that did not choose it; confirm costs its epochs and says nothing, as its runs would be those that
judge.

Replays draw on one table: 200 of them export plain Optuna's pick from two dozen configurations,
each of which was tested three times. So a second standard error stands beside that over replays:
by configuration that is exported, as if other configurations had been recorded. That of a
difference to the default has the default's own error in it, of its four runs.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from record_mosi import RUNS, SPACE
from scipy.stats import spearmanr

from hscl.config import Config
from hscl.errors import InputError
from regret.arms import search
from regret.worlds import PATIENCE, Values
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec

__all__ = ["Recorded", "Replay", "facts", "read_recorded", "replays", "show"]

FloatArray = npt.NDArray[np.float64]
Row = dict[str, Any]

Over = Callable[..., Iterable[Any]]

Exported = tuple[FloatArray, FloatArray]
"""By replay: test MAE of what an arm exports, and which recorded configuration that is."""

_CLIP = 1.0  # MAE: a run that ends above has collapsed


class Recorded:
    """The table as arrays.

    Attributes:
        points: (C, d) configurations in the unit cube; the first is the default.
        values: (C, d) the same as searched.
        valid: (C, S, E) MAE after each epoch.
        test: (C, S) MAE of the epoch that valid chose.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take one row a training, every configuration on the same seeds."""
        ordered = sorted(rows, key=lambda row: (row["configuration"], row["seed"]))
        seeds = len({row["seed"] for row in rows})
        self.values = np.array([[row[name] for name in SPACE] for row in ordered[::seeds]])
        low, high = np.log(np.array(list(SPACE.values()))).T
        self.points = (np.log(self.values) - low) / (high - low)
        shape = (len(self.values), seeds)
        self.valid = np.array([row["valid_mae"] for row in ordered]).reshape(*shape, -1)
        self.test = np.array([row["test_mae"] for row in ordered]).reshape(shape)


@cache
def read_recorded(file: Path = RUNS) -> Recorded:
    """The recorded trainings."""
    return Recorded(pq.read_table(file).to_pylist())


class Replay:
    """One search's view of the recorded trainings; another search needs another one.

    Attributes:
        key: Names the replay.
        epochs: Length of a training.
        default: Where the default lies.
    """

    def __init__(self, recorded: Recorded, key: int) -> None:
        self.key = key
        self._recorded = recorded
        self.epochs = recorded.valid.shape[2]
        self.default: Values = tuple(map(float, recorded.values[0]))
        self._order = np.random.default_rng([key, 2]).permutation(recorded.test.shape[1])
        self._of_config = attrgetter(*SPACE)
        self._nearest: dict[Values, int] = {self.default: 0}
        self._seeds: dict[int, int] = {}
        self._runs: dict[int, dict[int, int]] = {}

    def study(self, **sections: Mapping[str, Any]) -> StudySpec:
        """A study of the recorded trainings' space."""
        base = {"train.epochs": self.epochs, "train.patience": PATIENCE}
        space = {name: {"log_uniform": list(bounds)} for name, bounds in SPACE.items()}
        at_default = dict(zip(SPACE, self.default, strict=True))
        return parse_spec({"base": base | at_default, "space": space, **sections})

    @cached_property
    def spec(self) -> StudySpec:
        """A study with defaults, for its space and distributions."""
        return self.study()

    def values_of(self, config: Config) -> Values:
        """What is searched in a configuration."""
        values: Values = self._of_config(config)
        return values

    def values_in(self, point: Mapping[str, Value]) -> Values:
        """The same of a point of the space."""
        return tuple(point[name] for name in SPACE)

    def stands_for(self, values: Values) -> Values:
        """The nearest recorded configuration that the search has not had yet.

        The same values where it has had all: they get the nearest again.
        """
        if values in self._nearest or self._spent:
            return values
        place = self.place(values)
        recorded: Values = tuple(map(float, self._recorded.values[place]))
        self._nearest[recorded] = place
        return recorded

    def objective(self, config: Config, seed: int, epoch: int) -> float:
        """The recorded valid MAE, as `tune.simulate.study.simulate` asks for it."""
        return self.report(self.values_of(config), seed, epoch)

    def report(self, values: Values, seed: int, epoch: int) -> float:
        """The recorded valid MAE after an epoch, from 1."""
        place = self.place(values)
        return float(self._recorded.valid[place, self._run(place, seed), epoch - 1])

    def test(self, values: Values, seed: int) -> float:
        """Nothing: the runs that confirm would have are those that judge the replay."""
        return 0.0

    def place(self, values: Values) -> int:
        """Which recorded configuration these values stand for."""
        if values not in self._nearest:
            low, high = np.log(np.array(list(SPACE.values()))).T
            point = (np.log(np.array(values, dtype=np.float64)) - low) / (high - low)
            distances = ((self._recorded.points - point) ** 2).sum(axis=1)
            if not self._spent:
                distances[list(self._nearest.values())] = np.inf
            self._nearest[values] = int(np.argmin(distances))
        return self._nearest[values]

    @property
    def _spent(self) -> bool:
        """Whether the search has had every recorded configuration."""
        return len(set(self._nearest.values())) == len(self._recorded.values)

    def _run(self, place: int, seed: int) -> int:
        """Which recorded run a seed of the search is; the last of the order is never one."""
        runs = self._runs.setdefault(place, {})
        if seed not in runs:
            usable = len(self._order) - 1
            first = self._seeds.setdefault(seed, len(self._seeds))
            wanted = [int(self._order[(first + i) % usable]) for i in range(usable)]
            fresh = [run for run in wanted if run not in runs.values()]
            runs[seed] = (fresh or wanted)[0]
        return runs[seed]

    def unseen_valid(self, values: Values) -> FloatArray:
        """(runs,) valid MAE of the runs that the search has not seen."""
        place = self.place(values)
        seen = list(self._runs.get(place, {}).values())
        return np.delete(self._recorded.valid[place].min(axis=1), seen)

    def judge(self, values: Values, confirmed: frozenset[int] = frozenset()) -> float:
        """Mean test MAE over the runs that did not choose.

        Args:
            values: What is exported.
            confirmed: Seeds whose runs chose nothing.
        """
        place = self.place(values)
        runs = self._runs.get(place, {})
        used = [run for seed, run in runs.items() if seed not in confirmed]
        return float(np.delete(self._recorded.test[place], used).mean())


def replay(key: int, arm: str, total: int, slots: int = 1) -> tuple[float, int, int, int]:
    """Test MAE of what an arm exports; epochs; configurations begun; which is exported."""
    world = Replay(read_recorded(), key)
    ended = search(arm, world, total, slots=slots)
    judged = world.judge(ended.exported, ended.confirmed)
    return judged, ended.epochs, len(ended.proposed), world.place(ended.exported)


def replays(
    arms: Sequence[str], total: int, keys: Sequence[int], *, slots: int, over: Over
) -> tuple[list[Row], list[str]]:
    """What each arm exports at a total, over replays.

    Args:
        arms: See `regret.arms.search`.
        total: Epochs.
        keys: Of the replays.
        slots: The product's trials at once.
        over: `map`, or that of a pool of processes.

    Returns:
        A row an arm, with differences to plain Optuna and to the default paired by replay; and
        what can't be done at this total, in words.
    """
    found: dict[str, FloatArray] = {}
    missing = []
    for arm in dict.fromkeys(("default-alone", *arms)):
        ask = partial(replay, arm=arm, total=total, slots=slots)
        try:
            found[arm] = np.array(list(over(ask, keys)), dtype=np.float64).T
        except InputError as why:
            missing.append(f"{arm}: {why}")
    rows = []
    for arm in (one for one in arms if one in found):
        tests, epochs, configurations, places = found[arm]
        row: Row = {"arm": arm, "kind": "recorded", "total": total, "worlds": len(keys)}
        row |= {"epochs": read_recorded().valid.shape[2], "slots": slots}
        row["test_mae"], row["se"] = _mean(tests)
        row["exports"] = len(set(places.tolist()))
        for name, reference in (("optuna", "optuna"), ("default", "default-alone")):
            if reference in found:
                others, _, _, their_places = found[reference]
                row[f"to_{name}"], row[f"se_to_{name}"] = _mean(tests - others)
                error = _table_se((tests, places), (others, their_places))
                if name == "default":  # in all replays it is the same mean of the same runs
                    error = math.hypot(error, float((places != 0.0).mean()) * _default_se())
                row[f"table_se_to_{name}"] = error
        row["spent"], row["configurations"] = float(epochs.mean()), float(configurations.mean())
        rows.append(row)
    return rows, missing


def show(rows: Sequence[Row]) -> None:
    """One total's table; nothing where no arm could search."""
    if not rows:
        return
    print(f"\ntotal {rows[0]['total']} epochs, {rows[0]['worlds']} replays: test MAE of runs that")
    print("the search did not use, less that of plain Optuna, less that of the default; in")
    print("brackets the standard error by configuration that is exported")
    for row in rows:
        gaps = "".join(
            f"{row[f'to_{name}']:+10.4f} ± {row[f'se_to_{name}']:.4f}"
            f" ({row[f'table_se_to_{name}']:.4f})"
            if f"to_{name}" in row
            else " " * 28
            for name in ("optuna", "default")
        )
        print(
            f"{row['arm']:<24}{row['test_mae']:.4f} ± {row['se']:.4f}{gaps}   "
            f"{row['spent']:.0f} epochs, {row['configurations']:.0f} configurations, "
            f"{row['exports']} exported",
            flush=True,
        )


def _table_se(arm: Exported, reference: Exported) -> float:
    """Standard error of the difference of two arms' means, clustered by what they export.

    Liang and Zeger's (1986) for two means: what replays that export the same configuration are
    off by adds up before it is squared.
    """
    off = np.zeros(int(max(arm[1].max(), reference[1].max())) + 1)
    for (tests, places), sign in ((arm, 1.0), (reference, -1.0)):
        from_mean = sign * (tests - tests.mean()) / tests.size
        off += np.bincount(places.astype(np.int64), from_mean, off.size)
    return float(np.sqrt((off**2).sum()))


def _default_se() -> float:
    """Standard error of the default's mean test, by the scatter that all configurations have."""
    test = np.minimum(read_recorded().test, _CLIP)
    return _within(test) / math.sqrt(test.shape[1])


def _mean(values: FloatArray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / values.size**0.5)


def facts(recorded: Recorded) -> dict[str, float]:
    """What the table says of seeds and configurations.

    Returns:
        By name: means and spreads of test MAE, shares of variance (random effects of
        configuration and seed), and rank correlations of one run with the mean of the others.
    """
    test, valid = recorded.test, recorded.valid.min(axis=2)
    clipped = np.minimum(test, _CLIP)
    told = {"test MAE, mean": float(test.mean())}
    told["sd between seeds of one configuration"] = _within(test)
    told["the same, collapses clipped"] = _within(clipped)
    for name, values in (("test", test), ("test, clipped", clipped), ("valid", valid)):
        told[f"share of configuration, {name}"], told[f"share of seed, {name}"] = shares(values)
    told["one run's test and the others' mean test, Spearman"] = _ranks(test, test)
    told["one run's valid and the others' mean test, Spearman"] = _ranks(valid, test)
    told["one run's valid and the others' mean valid, Spearman"] = _ranks(valid, valid)
    told["best of all by three runs' mean valid, test of the fourth"] = _chosen(valid, test)
    told["best of all by three runs' mean test, test of the fourth"] = _chosen(test, test)
    return told


def _within(values: FloatArray) -> float:
    return float(values.var(axis=1, ddof=1).mean() ** 0.5)


def shares(values: FloatArray) -> tuple[float, float]:
    """Shares of a single run's variance: of the configuration, and of a seed that all share.

    Two-way random effects without replication, by analysis of variance (Searle, Casella and
    McCulloch 1992, section 4.3); what is left is of that seed on that configuration.

    Args:
        values: (C, S) one run a cell.
    """
    rows, columns = values.shape
    by_row = values.mean(axis=1, keepdims=True)
    by_column = values.mean(axis=0, keepdims=True)
    left = values - by_row - by_column + values.mean()
    error = float((left**2).sum()) / ((rows - 1) * (columns - 1))
    of_rows = max(0.0, (columns * float(by_row.var(ddof=1)) - error) / columns)
    of_columns = max(0.0, (rows * float(by_column.var(ddof=1)) - error) / rows)
    whole = of_rows + of_columns + error
    return of_rows / whole, of_columns / whole


def _ranks(one: FloatArray, others: FloatArray) -> float:
    """Mean over runs of the rank correlation of that run with the mean of the others."""
    correlations = [
        spearmanr(one[:, run], np.delete(others, run, axis=1).mean(axis=1)).statistic
        for run in range(one.shape[1])
    ]
    return float(np.mean(correlations))


def _chosen(by: FloatArray, test: FloatArray) -> float:
    """Mean over runs of that run's test where all the others chose."""
    others = (np.delete(by, run, axis=1).mean(axis=1) for run in range(by.shape[1]))
    return float(np.mean([test[np.argmin(means), run] for run, means in enumerate(others)]))
