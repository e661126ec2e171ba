"""What a study will take on a cluster, from a timed probe of its own first steps."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tune.budget import reserved_epochs
from tune.study_spec import StudySpec

__all__ = ["Cost", "estimate", "time_first_steps"]

_STEPS = 6  # of the default configuration; the first epoch of them warms up and is not counted


@dataclass(frozen=True)
class Cost:
    """An estimate, upper bounds where early stopping makes it less.

    Attributes:
        trials: Trainings at most.
        epochs: Epochs at most: no trial of the screen is stopped.
        epochs_stopped: Epochs if every rung of the screen stops as many as it can.
        seconds_per_epoch: Of the default configuration, from the probe.
        at_once: Trials that run at the same time on the nodes that are there now.
        hours: Wall time for `epochs`.
        hours_stopped: Wall time for `epochs_stopped`.
    """

    trials: int
    epochs: int
    epochs_stopped: int
    seconds_per_epoch: float
    at_once: int
    hours: float
    hours_stopped: float

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)

    def in_words(self) -> str:
        """One line for a person."""
        stopped = ""
        if self.epochs_stopped < self.epochs:
            stopped = (
                f", down to {self.epochs_stopped:,} epochs and {self.hours_stopped:,.2g} h "
                "with early stopping"
            )
        return (
            f"cost: at most {self.trials:,} trials, {self.epochs:,} epochs of about "
            f"{self.seconds_per_epoch:.3g} s (measured), {self.at_once} at once: "
            f"{self.hours:,.2g} h{stopped}"
        )


def estimate(spec: StudySpec, seconds_per_epoch: float, nodes: list[Mapping[str, float]]) -> Cost:
    """Count a study's epochs and divide them by what runs at once.

    Args:
        spec: The study.
        seconds_per_epoch: Of the default configuration.
        nodes: Ray's resources of each node.

    Returns:
        The estimate.
    """
    longest = spec.longest_trial
    if spec.is_table:
        trials = len(spec.table_points) * _count(spec.confirm.seeds)
        epochs = stopped = trials * longest
    else:
        screen = spec.sampler.trials
        rest = reserved_epochs(spec, candidates=max(1, screen - 1))
        trials = screen + rest // longest
        epochs = screen * longest + rest
        stopped = min(epochs, _screen_stopped(spec) + rest)
    at_once = max(1, sum(_fits(spec, node) for node in nodes))
    if spec.resources.concurrent:
        at_once = min(at_once, spec.resources.concurrent)

    def hours(count: int) -> float:
        return count * seconds_per_epoch / at_once / 3600

    return Cost(trials, epochs, stopped, seconds_per_epoch, at_once, hours(epochs), hours(stopped))


def time_first_steps(spec: StudySpec, data: str) -> dict[str, float]:
    """Train the default configuration for a few steps, on the node that this runs on.

    Args:
        spec: The study.
        data: Where the data are.

    Returns:
        `seconds_per_epoch`, scaled up to all of train and valid, and `peak_memory` in bytes.
    """
    import torch  # noqa: PLC0415 - on a node only

    from hscl.data.dataset import Dataset  # noqa: PLC0415
    from hscl.data.prepared import prepare  # noqa: PLC0415
    from hscl.training import Training  # noqa: PLC0415
    from tune.data_place import local_copy  # noqa: PLC0415

    torch.set_num_threads(max(1, int(spec.resources.cpus)))
    config = spec.base.with_overrides({"train.epochs": 2})
    whole = prepare(Dataset.open(local_copy(data)), config)
    count = len(whole.train)
    few = min(count, _STEPS * config.train.batch_size)
    share = few / count
    valid = whole.valid and _first(whole.valid, max(1, round(share * len(whole.valid))))
    part = replace(whole, train=_first(whole.train, few), valid=valid)
    began = time.monotonic()
    *_, last = Training(config, part, seed=0, metric=spec.study.metric)
    return {
        "seconds_per_epoch": last.seconds / share,
        "peak_memory": float(last.peak_memory),
        "took": time.monotonic() - began,
    }


def _first(split: Any, count: int) -> Any:
    """The first utterances of a prepared split."""
    rows = range(count)

    def taken(ragged: Any) -> Any:
        return None if ragged is None else ragged.take(list(rows))

    return replace(
        split,
        videos=split.videos[:count],
        utterances=split.utterances[:count],
        labels=None if split.labels is None else split.labels[:count],
        text=taken(split.text),
        audio=taken(split.audio),
        vision=taken(split.vision),
    )


def _screen_stopped(spec: StudySpec) -> int:
    """Epochs of a screen in which each rung lets one in `reduction_factor` go on."""
    longest, trials = spec.longest_trial, spec.sampler.trials
    if spec.scheduler.kind == "none":
        return trials * longest
    epochs, level, alive = 0, 0, float(trials)
    rung = spec.scheduler.grace_epochs
    while rung < longest:
        epochs += round(alive * (rung - level))
        alive = max(1.0, alive / spec.scheduler.reduction_factor)
        level, rung = rung, rung * spec.scheduler.reduction_factor
    return epochs + round(alive * (longest - level))


def _fits(spec: StudySpec, node: Mapping[str, float]) -> int:
    slots = node.get("CPU", 0.0) / spec.resources.cpus
    if spec.resources.gpus:
        slots = min(slots, node.get("GPU", 0.0) / spec.resources.gpus)
    return int(slots + 1e-9)


def _count(seeds: int | tuple[int, ...]) -> int:
    return seeds if isinstance(seeds, int) else len(seeds)
