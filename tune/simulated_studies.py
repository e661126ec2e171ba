"""Whole simulated studies: the real planner, samplers and tables, with a world for training.

A world has a true value for every configuration, and effects of seeds, videos and utterances on
valid and test. Nothing is trained: a trial's report is its learning curve, its end the world's
predictions.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.config import Config
from hscl.metrics import MODE
from tune.pseudo_values import pseudo_values
from tune.simulated_run import SimulatedRun, SimulatedTrialError, simulate
from tune.simulator import Effects, draw_labels, video_layout
from tune.states import Phase, TrialState
from tune.study_spec import StudySpec
from tune.table_schemas import SCHEMAS, to_arrow

__all__ = ["World", "flat_surface", "hscl_surface", "run_study"]

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
    effects: Effects = field(default_factory=Effects)
    videos: int = 31
    utterances: int = 686
    slow: float = 0.3
    _splits: dict[str, tuple[npt.NDArray[np.int64], FloatArray]] = field(default_factory=dict)
    _curves: dict[tuple[str, int], FloatArray] = field(default_factory=dict)
    _names: dict[Config, str] = field(default_factory=dict)

    def split(self, name: str) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Layout and labels of "valid" or "test"."""
        if name not in self._splits:
            sizes = {
                "valid": (_VALID_VIDEOS, _VALID_UTTERANCES),
                "test": (self.videos, self.utterances),
            }
            layout = video_layout(*sizes[name])
            self._splits[name] = layout, draw_labels(self._rng(name), layout)
        return self._splits[name]

    def predictions(self, config: Config, seed: int, split: str) -> FloatArray:
        """(U,) predictions of the best epoch of one run."""
        layout, labels = self.split(split)
        halved, sds = 0.5**0.5, self.effects
        fixed, own = (
            self._rng(self._name(config), split),
            self._rng(self._name(config), seed, split),
        )
        error = self.surface(config) + 0.4 * self._rng(split, "base").normal(size=labels.size)
        error += fixed.normal(0.0, sds.video * halved, int(layout[-1]) + 1)[layout]
        error += fixed.normal(0.0, sds.utterance * halved, labels.size)
        error += self._luck(config, seed) + own.normal(0.0, sds.error * halved, labels.size)
        return labels - np.where(labels > 0.0, 1.0, -1.0) * error

    def objective(self, metric: str, epochs: int) -> Callable[[Config, int, int], float]:
        """(configuration, seed, epoch) → valid metric, for `tune.simulated_run.simulate`.

        Args:
            metric: Of `hscl.metrics.METRICS`.
            epochs: The longest trial.
        """

        def value(config: Config, seed: int, epoch: int) -> float:
            run = self._name(config), seed
            if run not in self._curves:
                self._curves[run] = self._curve(config, seed, metric, epochs)
            reached = float(self._curves[run][epoch - 1])
            if math.isnan(reached):
                raise SimulatedTrialError(f"the loss was not finite in epoch {epoch}")
            return reached

        return value

    def _curve(self, config: Config, seed: int, metric: str, epochs: int) -> FloatArray:
        """Valid metric by epoch: what is left to learn halves at the configuration's own pace."""
        _, labels = self.split("valid")
        final = float(
            pseudo_values(metric, labels, self.predictions(config, seed, "valid")).mean()
        )
        pace = 0.9 * (1.0 - self.slow * self._rng(self._name(config), "pace").random())
        rng = self._rng(self._name(config), seed, "curve")
        left = 0.5 * np.exp(-pace * np.arange(1, epochs + 1))
        left += np.abs(rng.normal(0.0, 0.004, epochs))
        left -= left.min()  # the best epoch is the one whose predictions are kept
        curve: FloatArray = final + left if MODE[metric] == "min" else final - left
        if rng.random() < self.effects.failure_rate:
            curve[rng.integers(epochs) :] = np.nan
        return curve

    def _luck(self, config: Config, seed: int) -> float:
        shared = self._rng("seed", seed).normal(0.0, 0.3 * self.effects.seed)
        own = self._rng(self._name(config), seed).normal(0.0, self.effects.seed * 0.5**0.5)
        return float(shared + own)

    def _name(self, config: Config) -> str:
        """A configuration's content; its identity looks at the text encoder's files each time."""
        if config not in self._names:
            self._names[config] = config.to_json()
        return self._names[config]

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
    run = simulate(spec, world.objective(spec.study.metric, spec.longest_trial))
    tables = {name: to_arrow(name, rows) for name, rows in run.tables.items()}
    tables["predictions"] = _predictions(spec, world, run)
    return run, tables


def _predictions(spec: StudySpec, world: World, run: SimulatedRun) -> pa.Table:
    parts = []
    for trial in run.history.trials.values():
        if trial.state is not TrialState.DONE or trial.phase is Phase.SCREEN:
            continue
        config = Config.from_json(run.history.configs[trial.config_id].config)
        splits = ["valid"]
        if trial.phase is Phase.CONFIRM and spec.opens_test:
            splits.append("test")
        parts += [_rows(world, config, trial.trial_id, trial.seed, split) for split in splits]
    return pa.concat_tables(parts) if parts else SCHEMAS["predictions"].empty_table()


def _rows(world: World, config: Config, trial_id: str, seed: int, split: str) -> pa.Table:
    layout, labels = world.split(split)
    columns = {
        "trial_id": pa.array([trial_id] * labels.size),
        "split": pa.array([split] * labels.size),
        "utterance": pa.array([str(u) for u in range(labels.size)]),
        "video": pa.array([f"{split}{video:03d}" for video in layout]),
        "prediction": pa.array(world.predictions(config, seed, split)),
        "label": pa.array(labels),
    }
    schema = SCHEMAS["predictions"]
    return pa.table([columns[name] for name in schema.names], schema=schema)
