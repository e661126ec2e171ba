"""A training that takes no time: a response surface in place of a network, everything else real.

Module-level, so that Ray's workers find it by name.
"""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.config import Config
from hscl.errors import InputError
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.trial.messages import TrialOrder

UTTERANCES = 12


def objective(config: Config, seed: int, epoch: int) -> float:
    """Valid MAE: a valley in temperature and omega2, an effect of the seed, a falling curve."""
    surface = 0.15 * (math.log10(config.loss.temperature) + 1.1) ** 2
    surface += 0.1 * (math.log10(config.loss.omega2) + 0.3) ** 2
    luck = 0.01 * float(np.random.default_rng([seed, 7]).standard_normal())
    wobble = 0.004 * float(np.random.default_rng([seed, epoch]).standard_normal())
    return 0.9 + surface + luck + wobble + 0.3 / (epoch + 1)


def study(**tables: Any) -> StudySpec:
    """A small study over temperature and omega2: 6 screened, 3 refined, 2 confirmed."""
    tree: dict[str, Any] = {
        "study": {"name": "synthetic", "seed": 3, "epoch_timeout_s": 60.0},
        "base": {"train.epochs": 4},
        "space": {
            "loss.temperature": {"log_uniform": [0.03, 1.0]},
            "loss.omega2": {"log_uniform": [0.01, 1.0]},
        },
        "sampler": {"kind": "tpe", "trials": 6},
        "scheduler": {"reduction_factor": 2},
        "refine": {"trials": 3},
        "confirm": {"keep": 1, "seeds": 2},
        "resources": {"concurrent": 1, "gpus": 0.0},
    }
    for name, table in tables.items():
        tree[name] = tree.get(name, {}) | table if isinstance(table, dict) else table
    return parse_spec(tree, source="synthetic")


@dataclass(frozen=True)
class Epoch:
    epoch: int
    losses: dict[str, float]
    valid: dict[str, float]
    collapsed: bool
    best: bool
    finished: bool
    seconds: float
    steps: int
    peak_memory: int


@dataclass(frozen=True)
class Split:
    videos: list[str]
    utterances: list[str]
    labels: npt.NDArray[np.float64] | None
    speakers: list[str | None] | None = None


def split(name: str) -> Split:
    """Twelve utterances of four videos."""
    videos = [f"{name}-v{i % 4}" for i in range(UTTERANCES)]
    labels = np.random.default_rng(len(name)).uniform(-3, 3, UTTERANCES)
    return Split(videos, [str(i) for i in range(UTTERANCES)], labels)


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and where: each is (epoch, how often) and hits configurations by omega1.

    Attributes:
        marks: A folder in which faults that happen only so often are counted.
        raises: Every attempt of any trial with this omega1 raises at epoch 2.
        nan: Likewise, the metric is NaN.
        dies: The process is killed at epoch 2, on the first `times` attempts.
        dies_always: Likewise, on every attempt.
        hangs: Epoch 2 never ends, on the first `times` attempts.
        memory: Out of memory at epoch 2, on the first `times` attempts.
        all_raise: Every trial raises.
    """

    marks: str = ""
    raises: tuple[float, ...] = ()
    nan: tuple[float, ...] = ()
    dies: tuple[float, ...] = ()
    dies_always: tuple[float, ...] = ()
    hangs: tuple[float, ...] = ()
    memory: tuple[float, ...] = ()
    times: int = 1
    all_raise: bool = False

    def _again(self, trial: str) -> bool:
        marks = sorted(Path(self.marks).glob(f"{trial}.*"))
        if len(marks) >= self.times:
            return False
        (Path(self.marks) / f"{trial}.{len(marks)}").touch()
        return True

    def strike(self, order: TrialOrder, config: Config, epoch: int) -> float:
        """Do the damage that is due; return what is added to the metric."""
        omega1 = config.loss.omega1
        if self.all_raise:
            message = "nothing works here"
            raise ValueError(message)
        if epoch != 2:
            return 0.0
        if omega1 in self.raises:
            message = "this configuration\ncannot be trained"
            raise ValueError(message)
        if omega1 in self.nan:
            return math.nan
        if omega1 in self.dies_always or (omega1 in self.dies and self._again(order.trial_id)):
            os.kill(os.getpid(), signal.SIGKILL)
        if omega1 in self.hangs and self._again(order.trial_id):
            time.sleep(3600)
        if omega1 in self.memory and self._again(order.trial_id):
            raise MemoryError
        return 0.0


class Training:
    """Reports what the objective says."""

    precision = "fp32"
    parameters = 1_234

    def __init__(self, order: TrialOrder, config: Config, workload: "Synthetic") -> None:
        self.reports: list[Epoch] = []
        self._order = order
        self._config = config
        self._workload = workload

    def __iter__(self) -> Iterator[Epoch]:
        while not (self.reports and self.reports[-1].finished):
            epoch = len(self.reports) + 1
            began = time.perf_counter()
            time.sleep(self._workload.epoch_s)
            print("training epoch", epoch)
            extra = self._workload.faults.strike(self._order, self._config, epoch)
            value = objective(self._config, self._order.seed, epoch) + extra
            report = Epoch(
                epoch=epoch,
                losses={"total": value, "task": value / 2},
                valid={self._order.metric: value, "corr": 1 - value / 2},
                collapsed=False,
                best=True,
                finished=epoch == self._config.train.epochs,
                seconds=time.perf_counter() - began,
                steps=3,
                peak_memory=1 << 20,
            )
            self.reports.append(report)
            try:
                yield report
            except GeneratorExit:  # stopped at a rung: some libraries take their time to let go
                time.sleep(self._workload.unwind_s)
                raise

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "state.safetensors"
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps([asdict(report) for report in self.reports]))
        unfinished.replace(path)
        (folder / "best.txt").write_text(str(len(self.reports)))
        return path

    def restore(self, folder: Path) -> None:
        try:
            saved = json.loads((folder / "state.safetensors").read_text())
        except (OSError, ValueError) as error:
            message = f"{folder} holds no checkpoint"
            raise InputError(message) from error
        self.reports = [Epoch(**report) for report in saved]

    def predict(self, prepared: Split) -> npt.NDArray[np.float64]:
        rng = np.random.default_rng(self._order.seed)
        assert prepared.labels is not None
        noise: npt.NDArray[np.float64] = rng.normal(0, 0.5, len(prepared.labels))
        return prepared.labels + noise


@dataclass(frozen=True)
class Synthetic:
    """The workload."""

    epoch_s: float = 0.0
    unwind_s: float = 0.0
    faults: Faults = field(default_factory=Faults)

    def begin(self, order: TrialOrder, config: Config, data: Any) -> Training:
        assert isinstance(data["numbers"], np.ndarray)
        return Training(order, config, self)

    def split(self, name: str, order: TrialOrder, config: Config, data: Any) -> Split:
        if name == "test":
            assert order.phase == "confirm"
        return split(name)


@dataclass(frozen=True)
class Data:
    """The data that nobody looks at."""

    where: str = "/nowhere/synthetic.arrow"
    digest: str = "d" * 64
    label_range: float = 3.0

    def check(self, spec: StudySpec) -> None:
        """Every study is fine."""

    def shared_speakers(self, spec: StudySpec) -> str:
        return ""

    def cpu_precision(self, spec: StudySpec) -> str:
        return "fp32"

    def key(self, config: Config) -> str:
        return config.model.text.encoder

    def prepare(self, config: Config) -> dict[str, Any]:
        return {"numbers": np.arange(1000.0)}
