"""Whole study folders from a seeded simulation, written through the real table store.

No trial is trained: errors come from a response surface over the real hyperparameters, plus
effects of seed, video and utterance. Everything else is real: the engine that drives Ray runs the
study over tables in memory, and the table store writes them.
"""

import atexit
import functools
import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.config import Config
from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.evidence.gather import Evidence, gather
from tune.planner.phases import Run
from tune.states import Kind, Phase
from tune.study.toml import dump_spec, parse_spec
from tune.tables.memory import MemoryStore
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.trial.messages import Message, MessageKind
from tune.trial.rows import prediction_stream, prediction_table

SPACE: dict[str, tuple[str, float, float]] = {
    "loss.temperature": ("log_uniform", 0.03, 1.0),
    "loss.alpha": ("log_uniform", 0.01, 1.0),
    "loss.omega1": ("log_uniform", 0.001, 0.3),
    "loss.omega2": ("log_uniform", 0.01, 1.0),
    "train.lr": ("log_uniform", 1e-4, 3e-3),
    "train.lr_text": ("log_uniform", 5e-6, 1e-4),
}
GRID: dict[str, list[float]] = {
    "loss.temperature": [0.05, 0.1, 0.5, 1.0],
    "loss.omega2": [0.01, 0.05, 0.1, 0.5],
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "− high": {"loss.high": False},
    "− low": {"loss.low": False, "loss.similarity": False},
    "similarity only": {"loss.low": False},
    "SupCon labels": {"loss.labels": "supcon"},
}
MODELS = {"MulT": "mult", "LF-DNN": "lf-dnn"}
FloatArray = npt.NDArray[np.float64]

_HOST = "node-1"

PARTS = ("screen", "refine", "confirm", "end")
"""How far a study may have come: in the middle of a phase, or finished."""


@dataclass(frozen=True)
class Simulated:
    """What a simulated study is like.

    Attributes:
        sampler: "random", "tpe", "list" or "grid".
        until: One of `PARTS`: in the middle of screen, refine or confirm, or "end".
        gap: True difference winner − default on new videos, before the seed's luck.
        video_sd: Spread of the video's part of a difference; large: nobody can tell.
        seed_sd: Spread over seeds.
        failures: How many of the default's and of the screen's trials fail.
        name: The study's name, which is user input.
        known: Points to try first: a name, a hyperparameter, its value.
        base: Hyperparameters of the default that differ from the preset, and their values.
        per_model: HSCL and `MODELS` have a screen each, of `trials` configurations.
    """

    sampler: str = "random"
    until: str = "end"
    seed: int = 0
    gap: float = -0.05
    video_sd: float = 0.02
    utterance_sd: float = 0.1
    seed_sd: float = 0.015
    trials: int = 24
    epochs: int = 9
    refined: int = 4
    confirm_seeds: int = 10
    videos: int = 20
    failures: int = 0
    margin: float = 0.02
    metric: str = "mae"
    name: str = "mosi temperature"
    known: tuple[tuple[str, str, float], ...] = ()
    base: tuple[tuple[str, float], ...] = ()
    per_model: bool = False


def write_study(folder: Path, what: Simulated | None = None) -> Path:
    """Write a study folder.

    Args:
        folder: Where; must not exist.
        what: What it is like.

    Returns:
        The folder.
    """
    return _Writer(folder, what or Simulated()).write()


@functools.cache
def evidence_of(what: Simulated) -> Evidence:
    """What a report knows of a simulated study; each is written once in a process."""
    room = Path(tempfile.mkdtemp(prefix="studies-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return gather(open_folder(write_study(room / "study", what)))


@dataclass(frozen=True)
class _Split:
    """A split as a worker sees it, and what makes its utterances hard.

    Attributes:
        labels: (U,) of the utterances.
        base: (U,) mean absolute error of any model.
        sign: (U,) side on which a model errs.
    """

    videos: list[str]
    utterances: list[str]
    labels: FloatArray
    base: FloatArray
    sign: FloatArray
    speakers: list[str | None] | None = None


class _Writer:
    """The engine over tables in memory, and a pretend worker; at the end all is written."""

    def __init__(self, folder: Path, what: Simulated) -> None:
        self.folder = folder
        self.what = what
        self.rng = np.random.default_rng(what.seed)
        self.spec = parse_spec(tomllib.loads(_specification(what)), name="simulated")
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.store = MemoryStore()
        recorder = Recorder(self.spec, self.store, host=_HOST, clock=lambda: self.time)
        recorder.listeners.append(self._on_rows)
        self.engine = Engine(recorder, lambda: 1)
        self.history = self.engine.history
        self.quality: dict[str, float] = {}
        self.seed_effects: dict[int, float] = {}
        self.splits = {
            "valid": self._split(max(what.videos // 2, 4), "v"),
            "test": self._split(what.videos, "t"),
        }

    def write(self) -> Path:
        self.folder.mkdir(parents=True)
        (self.folder / "study.toml").write_text(dump_spec(self.spec), encoding="utf-8")
        self._run()
        store = TableStore(self.folder)
        for table, rows in self.store.tables.items():
            store.append(table, rows)
        return self.folder

    def _run(self) -> None:
        """One trial at a time, until the study is over or interrupted."""
        while (run := self.engine.next_run("it")) is not None and not self._interrupted(run):
            for message in self._messages(run):
                if not self.engine.on_message("it", message):
                    break
        self.engine.recorder.flush()

    def _interrupted(self, run: Run) -> bool:
        """Whether the study has come as far as it should: into the middle of a phase."""
        ended = sum(
            trial.phase is run.phase and trial.ended for trial in self.history.trials.values()
        )
        stop_after = {
            "screen": (Phase.SCREEN, self.what.trials // 2),
            "refine": (Phase.REFINE, self.what.refined // 2),
            "confirm": (Phase.CONFIRM, 2 * self.what.confirm_seeds // 3),
        }
        phase, trials = stop_after.get(self.what.until, (None, 0))
        return run.phase is phase and ended >= trials

    def _messages(self, run: Run) -> Iterator[Message]:
        """What the worker sends of one trial."""
        number = self.history.configs[run.config_id].number
        confirmed = run.phase is Phase.CONFIRM
        luck = self._luck(run.seed) + self.rng.normal(0, self.what.seed_sd)
        final = self.quality[run.config_id] + luck
        pace = self.rng.uniform(0.5, 0.9)
        seeds = {t.seed for t in self.history.trials.values() if t.phase is Phase.CONFIRM}
        early = confirmed and number == 0 and len(seeds) <= self.what.failures
        fails = early or (run.phase is Phase.SCREEN and 0 < number <= self.what.failures)
        for epoch in range(1, self.what.epochs + 1):
            if fails and epoch == 3:
                error = "NonFiniteError: the loss is nan at epoch 3, step 14 <b>&"
                yield Message(MessageKind.FAILED, _HOST, "fp32", error=error)
            valid = final + 0.5 * np.exp(-pace * epoch) + abs(self.rng.normal(0, 0.006))
            yield Message(MessageKind.REPORT, _HOST, "fp32", row=self._report(epoch, float(valid)))
        tables = [self._predictions(run.config_id, "valid", luck)]
        if confirmed and self.spec.opens_test:
            tables.append(self._predictions(run.config_id, "test", luck))
        stream, size = prediction_stream(tables), 1_000 + number
        yield Message(MessageKind.DONE, _HOST, "fp32", predictions=stream, parameters=size)

    def _report(self, epoch: int, mae: float) -> dict[str, Any]:
        wins = float(np.clip(1.05 - 0.3 * mae, 0, 1))
        seconds = 12.0 + self.rng.gamma(2.0, 1.0)
        self.time += timedelta(seconds=seconds)
        metrics = {
            "mae": mae,
            "corr": wins - 0.05,
            "acc7": wins - 0.4,
            "acc5": wins - 0.35,
            "acc2_has0": wins,
            "acc2_non0": wins + 0.01,
            "f1_has0": wins - 0.005,
            "f1_non0": wins + 0.005,
        }
        losses = dict.fromkeys(("low_ta", "low_tv", "sim_ta", "sim_tv", "high"), 0.1)
        return (
            {"epoch": epoch, "finished": epoch == self.what.epochs, "collapsed": False}
            | {f"valid_{name}": value for name, value in metrics.items()}
            | {f"loss_{name}": value for name, value in losses.items()}
            | {"loss_total": mae + 0.2, "loss_task": mae, "seconds": seconds}
            | {"steps": 40, "peak_memory": 900_000_000}
        )

    def _predictions(self, config_id: str, name: str, luck: float) -> pa.Table:
        split = self.splits[name]
        digest = np.random.default_rng([int(config_id, 16) % 2**32, len(name)])
        of_video = digest.normal(0, self.what.video_sd, len(set(split.videos)))
        numbers = {video: n for n, video in enumerate(dict.fromkeys(split.videos))}
        of_utterance = digest.normal(0, self.what.utterance_sd, len(split.labels))
        size = split.base + self.quality[config_id] - self.quality_of_default() + luck
        size = size + np.array([of_video[numbers[v]] for v in split.videos]) + of_utterance
        error = np.abs(size + self.rng.normal(0, 0.25, len(split.labels)))
        return prediction_table(name, split, split.labels + error * split.sign)

    def quality_of_default(self) -> float:
        return next(iter(self.quality.values()))

    def _on_rows(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """How good a configuration is, once it is proposed; the winner is made what was asked."""
        for row in rows:
            if table == "configs":
                values = Config.from_json(row["config"]).dotted()
                self.quality[row["config_id"]] = _surface(values)
            elif table == "plan" and row["kind"] == Kind.WINNER and row["config_id"] is not None:
                self.quality[row["config_id"]] = self.quality_of_default() + self.what.gap

    def _luck(self, seed: int) -> float:
        if seed not in self.seed_effects:
            self.seed_effects[seed] = float(self.rng.normal(0, self.what.seed_sd))
        return self.seed_effects[seed]

    def _split(self, videos: int, prefix: str) -> _Split:
        counts = self.rng.integers(8, 16, videos)
        names = [f"{prefix}{v:02d}" for v, count in enumerate(counts) for _ in range(count)]
        labels = np.clip(self.rng.normal(0, 1.5, len(names)), -3, 3).round(1)
        base = 0.75 + self.rng.normal(0, 0.2, len(names))
        sign = self.rng.choice([-1.0, 1.0], len(names))
        return _Split(names, [str(n) for n in range(len(names))], labels, base, sign)


def _specification(what: Simulated) -> str:
    """The study file as a person would write it."""
    lines = [
        "[study]",
        f"name = {_toml(what.name)}",
        f'metric = "{what.metric}"',
        f"seed = {what.seed}",
        "[base]",
        f'"train.epochs" = {what.epochs}',
        *(f'"{key}" = {value}' for key, value in what.base),
        "[confirm]",
        f"seeds = {what.confirm_seeds}",
        f"margin = {what.margin}",
        "[sampler]",
        f'kind = "{what.sampler}"',
    ]
    known = {name: {key: value} for name, key, value in what.known}
    if what.sampler == "list":
        known = ABLATIONS
    if what.sampler not in {"list", "grid"}:
        lines += [
            f"trials = {what.trials}",
            *(['per = "model.kind"'] if what.per_model else []),
            "[scheduler]",
            'kind = "asha"',
            "[refine]",
            f"trials = {0 if what.per_model else what.refined}",
        ]
    for label, values in known.items():
        lines += ["[[known]]", f"name = {_toml(label)}"]
        lines += [f'"{key}" = {_toml(value)}' for key, value in values.items()]
    if what.per_model:
        for label, kind in MODELS.items():
            lines += ["[[known]]", f'name = "{label}"', f'preset = "mosi-{kind}"']
    if what.sampler == "grid":
        lines.append("[space]")
        lines += [f'"{key}" = {{ choice = {options} }}' for key, options in GRID.items()]
    elif what.sampler != "list":
        lines.append("[space]")
        when = ', when = { "model.kind" = "hscl" }'
        for key, (kind, a, b) in SPACE.items():
            alone = when if what.per_model and key != "train.lr" else ""
            lines.append(f'"{key}" = {{ {kind} = [{a}, {b}]{alone} }}')
        if what.per_model:
            lines.append(f'"model.kind" = {{ choice = {_toml(["hscl", *MODELS.values()])} }}')
    return "\n".join(lines) + "\n"


def _surface(values: dict[str, Any]) -> float:
    """True valid MAE of a configuration: temperature and text rate matter, alpha does not."""
    temperature = np.log(values["loss.temperature"] / 0.12)
    omega2 = np.log(values["loss.omega2"] / 0.1)
    text_rate = np.log(values["train.lr_text"] / 3e-5)
    rate = np.log(values["train.lr"] / 8e-4)
    size = 0.74 + 0.02 * temperature**2 + 0.008 * omega2**2 + 0.02 * text_rate**2
    size += 0.006 * rate**2
    size += 0.03 * (not values["loss.high"]) + 0.02 * (not values["loss.low"])
    return float(min(size, 1.1))


def _toml(value: Any) -> str:
    """Strings, numbers and booleans are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)
