"""Whole simulated studies: the real planner, samplers and tables, with a world for training.

A world has a true value for every configuration, and effects of seeds, videos and utterances on
valid and test. Nothing is trained: a trial's report is its learning curve, its end the world's
predictions.
"""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.config import Config
from hscl.metrics import METRIC
from tune.engine.judging import judging
from tune.simulate.runs import RandomEffects, draw_labels, video_layout
from tune.simulate.study import SimulatedRun, SimulatedTrialError
from tune.states import Phase, TrialState
from tune.stats.pseudo_values import pseudo_values
from tune.study.spec import StudySpec
from tune.tables.schemas import SCHEMAS, to_arrow

__all__ = ["Surface", "World", "flat_surface", "hscl_surface", "run_study"]

FloatArray = npt.NDArray[np.float64]
Surface = Callable[[Config], float]

_VALID_VIDEOS, _VALID_UTTERANCES = 10, 229  # MOSI's valid split


def flat_surface(config: Config) -> float:
    """Every configuration is worth the same: nothing to be found."""
    return 0.75


def hscl_surface(config: Config) -> float:
    """A true MAE over the real hyperparameters: bowls on log scales, alpha without any effect.

    Two of them matter much and the others little, as is usual (Bergstra and Bengio 2012). The low
    level's weight matters more at a low temperature: sharp similarities make large gradients.
    """
    temperature = math.log(config.loss.temperature / 0.15)
    low = math.log(config.loss.omega1 / 0.03)
    high = math.log(config.loss.omega2 / 0.1)
    rate = math.log(config.train.lr_text / 3e-5)
    bowl = 0.02 * temperature**2 + 0.001 * low**2 + 0.001 * high**2 + 0.016 * rate**2
    return 0.74 + min(bowl - 0.003 * temperature * low, 0.6)


@dataclass
class World:
    """What is true, and what varies. Everything follows from `key`, configuration and seed.

    Attributes:
        key: Names the world; another one has other videos, utterances and luck.
        surface: True MAE of a configuration, over all seeds and videos.
        effects: Of the difference of two configurations; `failure_rate` is that of trials.
        videos: Test videos.
        utterances: Test utterances.
        slow: Largest share by which a configuration may lag behind others at the same epoch.
    """

    key: int
    surface: Surface = hscl_surface
    effects: RandomEffects = field(default_factory=RandomEffects)
    videos: int = 31
    utterances: int = 686
    slow: float = 0.3
    _memory: dict[tuple[str | int, ...], Any] = field(default_factory=dict)
    _names: dict[int, tuple[Config, str]] = field(default_factory=dict)

    def split(self, name: str) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Layout and labels of "valid" or "test"."""

        def draw() -> tuple[npt.NDArray[np.int64], FloatArray]:
            sizes = {
                "valid": (_VALID_VIDEOS, _VALID_UTTERANCES),
                "test": (self.videos, self.utterances),
            }
            layout = video_layout(*sizes[name])
            return layout, draw_labels(self._rng(name), layout)

        drawn: tuple[npt.NDArray[np.int64], FloatArray] = self._once(("split", name), draw)
        return drawn

    def predictions(self, config: Config, seed: int, split: str) -> FloatArray:
        """(U,) predictions of the best epoch of one run."""
        _, labels = self.split(split)
        name = self._name(config)

        def draw() -> FloatArray:
            return self._expected_error(config, split)

        expected: FloatArray = self._once(("expected", name, split), draw)
        error = expected + self._luck(name, seed)
        noise = self._rng(name, seed, split).normal(0.0, self.effects.error, labels.size)
        error += 0.5**0.5 * noise  # each side has half the variance of a difference
        predictions: FloatArray = labels - np.where(labels > 0.0, 1.0, -1.0) * error
        return predictions

    def objective(self, metric: str, epochs: int) -> Callable[[Config, int, int], float]:
        """(configuration, seed, epoch) → valid metric, for `tune.simulate.study.simulate`.

        Args:
            metric: Of `hscl.metrics.METRICS`.
            epochs: The longest trial.
        """

        def value(config: Config, seed: int, epoch: int) -> float:
            run = ("curve", self._name(config), seed)
            curve = self._once(run, lambda: self._curve(config, seed, metric, epochs))
            if math.isnan(curve[epoch - 1]):
                raise SimulatedTrialError(f"the loss was not finite in epoch {epoch}")
            return float(curve[epoch - 1])

        return value

    def _expected_error(self, config: Config, split: str) -> FloatArray:
        """(U,) errors of a configuration over all seeds."""
        layout, labels = self.split(split)
        base = self._once(
            ("base", split), lambda: self._rng(split, "base").normal(0.0, 0.4, labels.size)
        )
        rng, halved = self._rng(self._name(config), split), 0.5**0.5
        error: FloatArray = base + self.surface(config)
        error += rng.normal(0.0, self.effects.video * halved, int(layout[-1]) + 1)[layout]
        error += rng.normal(0.0, self.effects.utterance * halved, labels.size)
        return error

    def _curve(self, config: Config, seed: int, metric: str, epochs: int) -> list[float]:
        """Valid metric by epoch: what is left to learn halves at the configuration's own pace."""
        name = self._name(config)
        _, labels = self.split("valid")
        final = float(
            pseudo_values(metric, labels, self.predictions(config, seed, "valid")).mean()
        )
        lag = self._once(("lag", name), lambda: self._rng(name, "pace").random())
        rng = self._rng(name, seed, "curve")
        left = 0.5 * np.exp(-0.9 * (1.0 - self.slow * lag) * np.arange(1, epochs + 1))
        left += np.abs(rng.normal(0.0, 0.004, epochs))
        left -= left.min()  # the best epoch is the one whose predictions are kept
        values: FloatArray = final + left if METRIC[metric].lower_wins else final - left
        if rng.random() < self.effects.failure_rate:
            values[rng.integers(epochs) :] = np.nan
        curve: list[float] = values.tolist()
        return curve

    def _luck(self, name: str, seed: int) -> float:
        """What a seed does to a configuration; a part of it is the same for all."""

        def shared() -> float:
            return float(self._rng("seed", seed).normal(0.0, 0.3 * self.effects.seed))

        def own() -> float:
            return float(self._rng(name, seed).normal(0.0, 0.5**0.5 * self.effects.seed))

        luck: float = self._once(("seed", seed), shared) + self._once(("luck", name, seed), own)
        return luck

    def _once(self, key: tuple[str | int, ...], draw: Callable[[], Any]) -> Any:
        if key not in self._memory:
            self._memory[key] = draw()
        return self._memory[key]

    def _name(self, config: Config) -> str:
        """A configuration's content, remembered by object: to hash a tree takes longer."""
        if id(config) not in self._names:
            self._names[id(config)] = config, config.model_dump_json()
        return self._names[id(config)][1]

    def _rng(self, *names: str | int) -> np.random.Generator:
        text = "/".join(str(name) for name in names)
        return np.random.default_rng([self.key, zlib.crc32(text.encode()), len(text)])


def run_study(spec: StudySpec, world: World) -> tuple[SimulatedRun, dict[str, pa.Table]]:
    """Run a whole study in a world.

    Args:
        spec: The study.
        world: What is true.

    Returns:
        The finished run, and all five tables as a real study has them.
    """

    def predictions() -> pa.Table:
        return _predictions(spec, world, run)

    objective = world.objective(spec.study.metric, spec.longest_trial)
    run = SimulatedRun(spec, objective, judge=judging(predictions))
    run.run()
    tables = {name: to_arrow(name, rows) for name, rows in run.tables.items()}
    tables["predictions"] = predictions()
    return run, tables


def _predictions(spec: StudySpec, world: World, run: SimulatedRun) -> pa.Table:
    splits = {name: _columns(world, name) for name in ("valid", "test")}
    parts = []
    for trial in run.history.trials.values():
        if trial.state is not TrialState.DONE or trial.phase.searches:
            continue
        config = run.config_of(trial.config_id)
        tested = trial.phase is Phase.CONFIRM and spec.opens_test
        for split in ["valid", "test"] if tested else ["valid"]:
            predictions = world.predictions(config, trial.seed, split)
            own = {
                "trial_id": pa.repeat(trial.trial_id, predictions.size),
                "prediction": pa.array(predictions),
            }
            parts.append(_in_order(splits[split] | own))
    return pa.concat_tables(parts) if parts else SCHEMAS["predictions"].empty_table()


def _columns(world: World, split: str) -> dict[str, pa.Array]:
    """The columns that all runs have in common."""
    layout, labels = world.split(split)
    return {
        "split": pa.repeat(split, labels.size),
        "utterance": pa.array([str(u) for u in range(labels.size)]),
        "video": pa.array([f"{split}{video:03d}" for video in layout]),
        "label": pa.array(labels),
        "speaker": pa.nulls(labels.size, pa.string()),
    }


def _in_order(columns: Mapping[str, pa.Array]) -> pa.Table:
    schema = SCHEMAS["predictions"]
    return pa.table([columns[name] for name in schema.names], schema=schema)
