"""Whole study folders from a seeded simulation, written through the real table store.

No trial is trained: errors come from a response surface over the real hyperparameters, plus
effects of seed, video and utterance. The layout and the order of rows are those of a real study.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hscl.config import Config, preset
from hscl.metrics import evaluate
from tune.table_store import TableStore

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
ROLES = ("screen", "race", "confirm")
PARTS = ("screen", "race", "primary", "end")
"""How far a study may have come: in the middle of a phase, or finished."""


@dataclass(frozen=True)
class Simulated:
    """What a simulated study is like.

    Attributes:
        sampler: "tpe", "list" or "grid".
        until: One of `PARTS`: in the middle of screen, race or confirm, or "end".
        gap: True difference winner − default on new videos, before the seed's luck.
        video_sd: Spread of the video's part of a difference; large: nobody can tell.
        seed_sd: Spread over seeds.
        failures: How many of the default's and of the screen's trials fail.
        name: The study's name, which is user input.
    """

    sampler: str = "tpe"
    until: str = "end"
    seed: int = 0
    gap: float = -0.05
    video_sd: float = 0.02
    utterance_sd: float = 0.1
    seed_sd: float = 0.015
    trials: int = 24
    epochs: int = 9
    race_seeds: int = 4
    confirm_seeds: int = 10
    keep: int = 3
    videos: int = 20
    failures: int = 0
    margin: float = 0.02
    metric: str = "mae"
    name: str = "mosi temperature"
    known: dict[str, dict[str, Any]] = field(default_factory=dict)


def write_study(folder: Path, what: Simulated | None = None) -> Path:
    """Write a study folder.

    Args:
        folder: Where; must not exist.
        what: What it is like.

    Returns:
        The folder.
    """
    return _Writer(folder, what or Simulated()).write()


class _Writer:
    def __init__(self, folder: Path, what: Simulated) -> None:
        self.folder = folder
        self.what = what
        self.rng = np.random.default_rng(what.seed)
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("configs", "trials", "reports", "predictions", "plan")
        }
        self.seq = 0
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.base = preset("mosi").with_overrides({"train.epochs": what.epochs})
        self.configs: dict[str, Config] = {}
        self.quality: dict[str, float] = {}
        self.seed_effects: dict[int, float] = {}
        self.layout = {
            "valid": self._utterances(max(what.videos // 2, 4), "v"),
            "test": self._utterances(what.videos, "t"),
        }

    def write(self) -> Path:
        self.folder.mkdir(parents=True)
        (self.folder / "study.toml").write_text(self._specification(), encoding="utf-8")
        if self.what.sampler in {"list", "grid"}:
            self._fixed()
        else:
            self._searched()
        store = TableStore(self.folder)
        for table, rows in self.rows.items():
            store.append(table, rows)
        return self.folder

    # --- the study's course ---------------------------------------------------------------------

    def _searched(self) -> None:
        what = self.what
        self._seeds()
        self._plan("phase_begun", phase="screen", seeds=[1])
        default = self._config(self.base, "default")
        for name, values in what.known.items():
            self._config(self.base.with_overrides(values), "known", name=name)
        while len(self.configs) < what.trials:
            self._config(self.base.with_overrides(self._draw()), "sampler")
        values = self._screen()
        if what.until == "screen":
            return
        ranked = [c for c in sorted(values, key=lambda c: values[c]) if c != default]
        finalists = [*ranked[: what.keep], default]
        self._plan("phase_begun", phase="race", seeds=list(self._race_seeds))
        for rank, config_id in enumerate(finalists, 1):
            self._plan("finalists", phase="race", config_id=config_id, note=f"rank {rank}")
        means: dict[str, list[float]] = {c: [] for c in finalists}
        for seed in self._race_seeds[: 2 if what.until == "race" else None]:
            for config_id in finalists:
                if seed == self._race_seeds[-1] and config_id == ranked[what.keep - 1]:
                    continue  # dropped before the last round
                means[config_id].append(self._trial(config_id, "race", seed))
        if what.until == "race":
            return
        self._plan(
            "dropped",
            phase="race",
            config_id=ranked[what.keep - 1],
            other_config_id=ranked[0],
            value=0.004,
        )
        winner = min(ranked[: what.keep], key=lambda c: float(np.mean(means[c])))
        self._plan("winner", config_id=winner, other_config_id=default, value=means[winner][0])
        self.quality[winner] = self.quality[default] + what.gap
        self._confirm([winner, default], winner)

    def _fixed(self) -> None:
        self._seeds()
        default = self._config(self.base, "default")
        if self.what.sampler == "list":
            for name, values in ABLATIONS.items():
                self._config(self.base.with_overrides(values), "known", name=name)
        else:
            for temperature in GRID["loss.temperature"]:
                for omega2 in GRID["loss.omega2"]:
                    point = {"loss.temperature": temperature, "loss.omega2": omega2}
                    if self.base.with_overrides(point).config_id != default:
                        self._config(self.base.with_overrides(point), "sampler")
        self._confirm(list(self.configs), None)

    def _screen(self) -> dict[str, float]:
        """The screen with rungs at 1 and 3: the better half goes on. Returns complete values."""
        complete: dict[str, float] = {}
        order = list(self.configs)
        if self.what.until == "screen":
            order = order[: self.what.trials * 2 // 3]
        rungs: dict[int, list[float]] = {1: [], 3: []}
        for place, config_id in enumerate(order):
            fails = 0 < place <= self.what.failures
            value = self._trial(config_id, "screen", 1, rungs=rungs, fails=fails)
            if self.rows["trials"][-1]["state"] == "done":
                complete[config_id] = value
        if self.what.until == "screen":
            self._event(order[-1], "screen", 2, "started")
        return complete

    def _confirm(self, config_ids: list[str], winner: str | None) -> None:
        seeds = list(self._confirm_seeds)
        self._plan("phase_begun", phase="confirm", seeds=seeds)
        if winner is not None:
            self._plan(
                "primary",
                config_id=winner,
                other_config_id=config_ids[-1],
                value=self.what.margin,
            )
        self._plan("look", phase="confirm", value=1.0, seeds=seeds)
        opens = self.what.sampler != "grid"
        if opens:
            self._plan("test_opened", phase="confirm")
        if self.what.until != "end":
            seeds = seeds[: len(seeds) // 3]
        default = next(iter(self.configs))
        for number, seed in enumerate(seeds):
            for config_id in config_ids:
                fails = config_id == default and number < self.what.failures
                self._trial(config_id, "confirm", seed, test=opens, fails=fails)

    # --- one trial ------------------------------------------------------------------------------

    def _trial(
        self,
        config_id: str,
        phase: str,
        seed: int,
        *,
        rungs: dict[int, list[float]] | None = None,
        test: bool = False,
        fails: bool = False,
    ) -> float:
        """Rows of one trial; its best valid metric."""
        trial_id = f"{config_id}-{seed}"
        self._event(config_id, phase, seed, "started")
        luck = self._luck(seed) + self.rng.normal(0, self.what.seed_sd)
        final = self.quality[config_id] + luck
        pace = self.rng.uniform(0.5, 0.9)
        best = np.inf
        for epoch in range(1, self.what.epochs + 1):
            valid = final + 0.5 * np.exp(-pace * epoch) + abs(self.rng.normal(0, 0.006))
            best = min(best, valid)
            if fails and epoch == 3:
                self._event(
                    config_id,
                    phase,
                    seed,
                    "failed",
                    error="NonFiniteError: the loss is nan at epoch 3, step 14 <b>&",
                )
                return float("inf")
            stop = False
            if rungs is not None and epoch in rungs:
                rungs[epoch].append(best)
                rank = sorted(rungs[epoch]).index(best) + 1
                stop = len(rungs[epoch]) >= 2 and rank > len(rungs[epoch]) // 2
            self._report(trial_id, epoch, valid, stop=stop)
            if stop:
                self._event(config_id, phase, seed, "pruned")
                return float(best)
        if phase != "screen":
            self._predict(trial_id, config_id, "valid", luck)
        if test:
            self._predict(trial_id, config_id, "test", luck)
        self._event(config_id, phase, seed, "done")
        return float(best)

    def _report(self, trial_id: str, epoch: int, mae: float, *, stop: bool) -> None:
        wins = float(np.clip(1.05 - 0.3 * mae, 0, 1))
        seconds = 12.0 + self.rng.gamma(2.0, 1.0)
        self.time += timedelta(seconds=seconds)
        self.seq += 1
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
        self.rows["reports"].append(
            {"seq": self.seq, "trial_id": trial_id, "epoch": epoch, "attempt": 0, "stop": stop}
            | {"finished": epoch == self.what.epochs, "collapsed": False}
            | {f"valid_{name}": value for name, value in metrics.items()}
            | {f"loss_{name}": value for name, value in losses.items()}
            | {"loss_total": mae + 0.2, "loss_task": mae, "seconds": seconds}
            | {"steps": 40, "peak_memory": 900_000_000}
        )

    def _predict(self, trial_id: str, config_id: str, split: str, luck: float) -> None:
        labels, videos, utterances, base, spread = self.layout[split]
        digest = np.random.default_rng([int(config_id, 16) % 2**32, len(split)])
        of_video = digest.normal(0, self.what.video_sd, len(set(videos)))
        numbers = {video: n for n, video in enumerate(dict.fromkeys(videos))}
        of_utterance = digest.normal(0, self.what.utterance_sd, len(labels))
        size = base + self.quality[config_id] - self.quality_of_default() + luck
        size = size + np.array([of_video[numbers[v]] for v in videos]) + of_utterance
        error = np.abs(size + self.rng.normal(0, 0.25, len(labels)))
        predictions = labels + error * spread
        for n, video in enumerate(videos):
            self.rows["predictions"].append(
                {
                    "trial_id": trial_id,
                    "split": split,
                    "utterance": utterances[n],
                    "video": video,
                    "label": float(labels[n]),
                    "prediction": float(predictions[n]),
                }
            )
        assert np.isfinite(evaluate(labels, predictions)["mae"])

    # --- rows and draws -------------------------------------------------------------------------

    def quality_of_default(self) -> float:
        return next(iter(self.quality.values()))

    def _config(self, config: Config, origin: str, name: str | None = None) -> str:
        config_id = config.config_id
        values = config.dotted()
        if config_id in self.configs:
            return config_id
        searched = list(GRID) if self.what.sampler == "grid" else list(SPACE)
        if self.what.sampler == "list":
            searched = []
        self.rows["configs"].append(
            {
                "config_id": config_id,
                "number": len(self.configs),
                "origin": origin,
                "name": name,
                "config": config.to_json(),
                "hscl_version": "0.1.0",
            }
            | {key: values[key] for key in searched}
        )
        self.configs[config_id] = config
        self.quality[config_id] = _surface(values)
        return config_id

    def _event(
        self, config_id: str, phase: str, seed: int, state: str, *, error: str | None = None
    ) -> None:
        self.seq += 1
        self.rows["trials"].append(
            {
                "seq": self.seq,
                "trial_id": f"{config_id}-{seed}",
                "config_id": config_id,
                "phase": phase,
                "seed": seed,
                "attempt": 0,
                "state": state,
                "time": self.time,
                "error": error,
                "host": "node-1",
                "precision": "fp32",
            }
        )

    def _plan(self, kind: str, **values: Any) -> None:
        self.seq += 1
        self.rows["plan"].append({"seq": self.seq, "kind": kind, "time": self.time} | values)

    def _seeds(self) -> None:
        self._race_seeds = tuple(range(11, 11 + self.what.race_seeds))
        self._confirm_seeds = tuple(range(101, 101 + self.what.confirm_seeds))
        if self.what.sampler not in {"list", "grid"}:
            self._plan("seeds", phase="screen", seeds=[1])
            self._plan("seeds", phase="race", seeds=list(self._race_seeds))
        self._plan("seeds", phase="confirm", seeds=list(self._confirm_seeds))

    def _luck(self, seed: int) -> float:
        if seed not in self.seed_effects:
            self.seed_effects[seed] = float(self.rng.normal(0, self.what.seed_sd))
        return self.seed_effects[seed]

    def _draw(self) -> dict[str, float]:
        return {
            name: float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
            for name, (_, low, high) in SPACE.items()
        }

    def _utterances(self, videos: int, prefix: str) -> tuple[Any, ...]:
        counts = self.rng.integers(8, 16, videos)
        names = [f"{prefix}{v:02d}" for v, count in enumerate(counts) for _ in range(count)]
        labels = np.clip(self.rng.normal(0, 1.5, len(names)), -3, 3).round(1)
        base = 0.75 + self.rng.normal(0, 0.2, len(names))
        sign = self.rng.choice([-1.0, 1.0], len(names))
        return labels, names, [str(n) for n in range(len(names))], base, sign

    def _specification(self) -> str:
        what = self.what
        name = what.name.replace("\\", "\\\\").replace('"', '\\"')
        lines = [
            "[study]",
            f'name = "{name}"',
            f'metric = "{what.metric}"',
            f"seed = {what.seed}",
            "[base]",
            'preset = "mosi"',
            f'"train.epochs" = {what.epochs}',
            "[sampler]",
            f'kind = "{what.sampler}"',
        ]
        if what.sampler == "list":
            for label, values in ABLATIONS.items():
                lines += ["[[known]]", f'name = "{label}"']
                lines += [f'"{key}" = {_toml(value)}' for key, value in values.items()]
        else:
            lines += [f"trials = {what.trials}"] if what.sampler != "grid" else []
            for label, values in what.known.items():
                lines += ["[[known]]", f'name = "{label}"']
                lines += [f'"{key}" = {_toml(value)}' for key, value in values.items()]
            lines.append("[space]")
            if what.sampler == "grid":
                lines += [f'"{key}" = {{ choice = {options} }}' for key, options in GRID.items()]
            else:
                lines += [
                    f'"{key}" = {{ {kind} = [{low}, {high}] }}'
                    for key, (kind, low, high) in SPACE.items()
                ]
        if what.sampler not in {"list", "grid"}:
            lines += ["[scheduler]", 'kind = "asha"', "grace_epochs = 1", "reduction_factor = 3"]
            lines += ["[race]", f"keep = {what.keep}", f"seeds = {list(self._planned('race'))}"]
        lines += ["[confirm]", f"seeds = {list(self._planned('confirm'))}"]
        lines.append(f"margin = {what.margin}")
        return "\n".join(lines) + "\n"

    def _planned(self, phase: str) -> range:
        if phase == "race":
            return range(11, 11 + self.what.race_seeds)
        return range(101, 101 + self.what.confirm_seeds)


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
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
