"""Final training: one configuration on several seeds, resumable, into a model folder.

Test is never opened here. A run that was killed goes on after the last saved epoch of the seed it
was in; the models are bit for bit those of an undisturbed run.
"""

import platform
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

import hscl.metrics
from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.errors import InputError, did_you_mean
from hscl.files import is_unfinished, one_at_a_time, remove_unfinished
from hscl.trained.card import model_card
from hscl.trained.folder import seed_folder, write_seed
from hscl.trained.missing import count_missing
from hscl.trained.record import (
    CONFIG,
    METRICS_FILE,
    ModelRecord,
    SeedRun,
    read_folder,
    read_metrics,
    write_folder,
)
from hscl.training.execution import choose_threads, resolve_device, resolve_precision
from hscl.training.loop import NonFiniteError, Training, check_metric
from hscl.training.prepared import TrainingData, merge_for_fit, prepare
from hscl.training.reports import EpochReport
from hscl.training.resuming import STATE

__all__ = ["FinalTraining", "Listener", "check_seeds", "prepare_final", "train_final"]

_STATES = ".training"
# Checkpoints may take up to this share of the time.
_CHECKPOINT_SHARE = 0.05


class Listener(Protocol):
    """Whoever wants to know how a final training gets on."""

    def began(self, seed: int, epoch: int, how: str) -> None:
        """A seed begins, or goes on after an epoch; how it is computed."""

    def reported(self, seed: int, report: EpochReport) -> None:
        """An epoch of a seed is done."""

    def finished(self, run: SeedRun) -> None:
        """A seed's model is in place."""


@dataclass(frozen=True)
class FinalTraining:
    """What is to be trained.

    Attributes:
        config: The configuration, its number of epochs replaced where that was asked for.
        data: Prepared; train and valid merged where that was asked for.
        seeds: One training each.
        metric: Chooses each seed's epoch.
        fit: "train" or "train+valid".
    """

    config: Config
    data: TrainingData
    seeds: tuple[int, ...]
    metric: str
    fit: str


def check_seeds(seeds: Sequence[int], study: Collection[int]) -> tuple[int, ...]:
    """Refuse seeds that a study has used, and repeated ones.

    Args:
        seeds: Listed by hand.
        study: The seeds of the study that the configuration comes from.

    Returns:
        The seeds.

    Raises:
        InputError: There are none, one is below 0 or comes twice, or the study used it.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be different whole numbers from 0 on, but got {list(seeds)}")
    used = sorted(set(seeds) & set(study))
    if used:
        raise InputError(
            f"seeds of a final training must be fresh, but the study chose by {used}; "
            "leave them out of --seed-list"
        )
    return tuple(seeds)


def prepare_final(
    config: Config,
    dataset: Dataset,
    seeds: Sequence[int],
    *,
    metric: str = "mae",
    fit: Literal["train", "train+valid"] = "train",
    epochs: int | None = None,
) -> FinalTraining:
    """Prepare a final training; nothing is written but the cache of frozen text features.

    Args:
        config: The configuration.
        dataset: Its train and valid are opened.
        seeds: One training each.
        metric: The valid metric that chooses each seed's epoch.
        fit: "train+valid" trains on both, for deployment; then `epochs` is needed.
        epochs: Replaces `train.epochs`; the learning-rate schedule follows.

    Returns:
        What to train, with its data.

    Raises:
        InputError: The data do not fit the configuration, or the options do not fit together.
    """
    if metric not in hscl.metrics.METRIC:
        raise InputError(f"{metric!r} is no metric; {did_you_mean(metric, hscl.metrics.METRIC)}")
    if fit == "train+valid" and epochs is None:
        raise InputError(
            "--fit train+valid leaves no split to choose an epoch by, so it must come with "
            "--epochs E; take the best epochs of an ordinary training as a guide"
        )
    if fit == "train" and epochs is not None:
        raise InputError(
            "--epochs belongs to --fit train+valid; otherwise valid chooses the epoch, and "
            "train.epochs in the configuration says how many there are at most"
        )
    data = prepare(dataset, config)
    if fit == "train":
        check_metric(metric, data.valid, data.label_range)
    if epochs is not None:
        config = config.with_overrides({"train.epochs": epochs})
        data = merge_for_fit(data)
    return FinalTraining(config, data, tuple(seeds), metric, fit)


def train_final(final: FinalTraining, out: Path, listener: Listener) -> ModelRecord:
    """Train every seed that is not finished yet.

    Args:
        final: What to train.
        out: The model folder: new, empty, or begun by the same training.
        listener: Is told how it gets on.

    Returns:
        The folder's record, all seeds finished.

    Raises:
        InputError: The folder holds something else, or another process trains into it.
        NonFiniteError: A seed failed; the finished ones are kept.
    """  # noqa: DOC502 - raised by the steps
    new = _record_of(final)
    record = _continued(out, new)
    final = replace(final, config=_settled(final.config, record, out))
    # Can it be built?
    Training(final.config, final.data, seed=final.seeds[0], metric=final.metric)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        record = _continued(out, new)  # as another process may have finished meanwhile
        remove_unfinished(out)
        write_folder(out, final.config, record, model_card(final.config, record))
        for seed in final.seeds:
            if any(run.seed == seed for run in record.runs) and seed_folder(out, seed).is_dir():
                continue
            record = record.with_run(_train_seed(final, seed, out, listener))
            write_folder(out, final.config, record, model_card(final.config, record))
            shutil.rmtree(out / _STATES / f"seed-{seed}", ignore_errors=True)
        shutil.rmtree(out / _STATES, ignore_errors=True)
    return record


def _train_seed(final: FinalTraining, seed: int, out: Path, listener: Listener) -> SeedRun:
    training = Training(final.config, final.data, seed=seed, metric=final.metric)
    states = out / _STATES / f"seed-{seed}"
    if (states / STATE).exists():
        training.restore(states)
    listener.began(seed, training.epoch, training.how)
    saved, cost = time.monotonic(), 0.0
    try:
        for report in training:
            listener.reported(seed, report)
            if not report.finished and time.monotonic() - saved >= cost / _CHECKPOINT_SHARE:
                began = time.monotonic()
                training.save(states)
                saved = time.monotonic()
                cost = saved - began
    except NonFiniteError as error:
        raise NonFiniteError(
            f"seed {seed}: {error}. Finished seeds are kept; to go without this one, give the "
            "others by --seed-list"
        ) from error
    run = write_seed(out, training)
    listener.finished(run)
    return run


def _settled(config: Config, record: ModelRecord, out: Path) -> Config:
    """The configuration with a number of threads and a precision: the models depend on them.

    A folder's config.toml holds both, so that whoever goes on takes the same.
    """
    run = config.run
    threads, precision = run.threads, str(run.precision)
    if record.runs or (out / CONFIG).exists():  # else nothing was trained yet
        begun, _ = read_folder(out)
        threads = threads or begun.run.threads
        # Earlier versions left "auto" in config.toml, and took fp32 on every CPU.
        on_cpu = resolve_device(run.device).type == "cpu"
        used = [one.precision for one in record.runs] or ["fp32" if on_cpu else "auto"]
        told = [run.precision, begun.run.precision, used[0]]
        precision = next((one for one in told if one != "auto"), "auto")
    config = config.with_overrides({"run.precision": precision})
    return config.with_overrides(
        {
            "run.threads": choose_threads(threads, finetunes=config.model.text.finetune),
            "run.precision": resolve_precision(config, resolve_device(run.device)),
        }
    )


def _record_of(final: FinalTraining) -> ModelRecord:
    sizes = {final.fit: len(final.data.train)}
    if final.data.valid is not None:
        sizes["valid"] = len(final.data.valid)
    return ModelRecord(
        config_id=final.config.config_id,
        digest=final.data.digest,
        fit=final.fit,
        metric=final.metric,
        seeds=list(final.seeds),
        widths=dict(vars(final.data.widths)),
        splits=sizes,
        missing=count_missing(final.data.train, final.config),
        versions={
            "python": platform.python_version(),
            "hscl": version("hscl-search"),
            **{name: version(name) for name in ("torch", "transformers", "numpy", "safetensors")},
        },
        label_range=final.data.label_range,
    )


def _continued(out: Path, new: ModelRecord) -> ModelRecord:
    # The record to go on from: the folder's, where it is of the same training, else the new one.
    if not out.exists():
        return new
    if not (out / METRICS_FILE).exists():
        if out.is_dir() and all(is_unfinished(path.name) for path in out.iterdir()):
            return new
        raise InputError(
            f"{out} must be a new or empty folder, or one that hscl train began, but holds "
            "something else; give another --out"
        )
    old = read_metrics(out)
    differing = [
        f"{what} {getattr(old, name)} there, {getattr(new, name)} now"
        for name, what in _IDENTITY.items()
        if getattr(old, name) != getattr(new, name)
    ]
    finished = [run.seed for run in old.runs]
    if not set(finished) <= set(new.seeds):
        differing.append(
            f"finished seeds {finished} there, seeds {new.seeds} now (more may be added, no "
            "finished one left out)"
        )
    if differing:
        raise InputError(
            f"{out} must hold the same training to go on with it, but differs: "
            f"{'; '.join(differing)}. Give another --out"
        )
    return replace(new, runs=old.runs)


_IDENTITY = {
    "config_id": "configuration",
    "digest": "data",
    "fit": "fit",
    "metric": "metric",
    "label_range": "label range",
}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with one_at_a_time(folder, wait=False) as ours:
        if not ours:
            raise InputError(
                f"only one hscl train may write to {folder} at a time, and another one does; "
                "wait for it, or give another --out"
            )
        yield
