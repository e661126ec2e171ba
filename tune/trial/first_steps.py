"""Times a study's own first steps, to say beforehand how long it will take."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hscl.config import Config
from tune.display import listing
from tune.study.spec import StudySpec

if TYPE_CHECKING:
    from hscl.training.loop import Training
    from hscl.training.prepared import TrainingData

__all__ = [
    "configs_by_kind",
    "gpu_advice",
    "gpu_share",
    "measured_text",
    "time_first_steps",
]

_STEPS = 6  # of each configuration; the first epoch of them warms up and is not counted
_GPU_CONTEXT = 600 * 2**20  # bytes that a process takes of a GPU beside its tensors
_LONGER = 1.5  # later batches may be longer than the first, and blocks don't fit without gaps
_MOST_SHARE = 8  # trainings on one GPU, more of which would only wait for each other


def time_first_steps(spec: StudySpec, data: str) -> dict[str, Any]:
    """Train each kind of model in the study for a few steps, on the node that this runs on.

    A kind is timed on the first configuration that is known of it, such as what was published.

    Args:
        spec: The study.
        data: Where the data are.

    Returns:
        `seconds_per_epoch`, scaled up to all of train and valid; in bytes `peak_memory`, and what
        a training takes on the disk: `kept_bytes` once it is over, `running_bytes` until then;
        the seconds that it `took` once the data were prepared; `gpu_share`, the share of the GPU
        that it ran on which is enough for it, 0 on a CPU. Of several kinds these are the mean
        seconds, each counted as often as a list has it, and the most bytes; `models` has the
        seconds of each kind.
    """
    import torch  # noqa: PLC0415 - on a node only

    from hscl.data.dataset import Dataset  # noqa: PLC0415
    from hscl.training.prepared import preparation_key, prepare  # noqa: PLC0415
    from tune.trial.data import local_copy, on_its_device  # noqa: PLC0415

    threads = max(1, int(spec.resources.cpus))
    torch.set_num_threads(threads)
    here = {"train.epochs": 2, "run.threads": threads, "run.precision": spec.base.run.precision}
    counted, gpus = configs_by_kind(spec), spec.resources.gpus
    configs = {
        kind: on_its_device(one, gpus).with_overrides(here) for kind, (one, _) in counted.items()
    }
    dataset = Dataset.open(local_copy(data))
    first = next(iter(configs.values()))
    prepared = {preparation_key(first): prepare(dataset, first)}
    began = time.monotonic()
    timed: dict[str, dict[str, float]] = {}
    for kind, config in configs.items():
        key = preparation_key(config)
        if key not in prepared:
            prepared[key] = prepare(dataset, config)
        timed[kind] = _time(config, prepared[key], spec.study.metric)
    most = {name: max(one[name] for one in timed.values()) for name in next(iter(timed.values()))}
    models = {kind: one["seconds_per_epoch"] for kind, one in timed.items()}
    often = {kind: count for kind, (_, count) in counted.items()}
    mean = sum(often[kind] * models[kind] for kind in models) / sum(often.values())
    took = time.monotonic() - began
    return most | {"seconds_per_epoch": mean, "models": models, "took": took}


def configs_by_kind(spec: StudySpec) -> dict[str, tuple[Config, int]]:
    """A configuration of each kind of model, and how often the kind counts.

    Args:
        spec: The study.

    Returns:
        By kind, the default's first: what is known of it, else the default with this kind; of a
        list its rows, of a search 1, as each kind has or may have an equal part.
    """
    points = spec.compared_points if spec.compares_all else spec.start_points
    found: dict[str, tuple[Config, int]] = {}
    for point in points:
        kind = point.config.model.kind
        first, count = found.get(kind, (point.config, 0))
        found[kind] = first, count + 1 if spec.compares_all else 1
    searched = spec.space.get("model.kind")
    for kind in () if searched is None else map(str, searched.values):
        if kind not in found:
            found[kind] = spec.base.with_overrides({"model.kind": kind}), 1
    return found


def measured_text(models: Mapping[str, float]) -> str:
    """Whose epoch the seconds are: "of the default", or of which kinds the mean is."""
    if len(models) == 1:
        return "of the default"
    each = listing([f"{kind} {seconds:.2g}" for kind, seconds in models.items()])
    return f"on average ({each})"


def gpu_share(peak: int, whole: int) -> float:
    """The share of a GPU that is enough for a training.

    Args:
        peak: Bytes that it allocated at most in its first steps.
        whole: Bytes that the GPU has; 0 for none.

    Returns:
        1, ½, ¼ or ⅛, so that as many fit beside each other; 0 without a GPU.
    """
    if not whole:
        return 0.0
    fitting = whole / (_LONGER * peak + _GPU_CONTEXT)
    return 1.0 / next((n for n in (_MOST_SHARE, 4, 2) if n <= fitting), 1)


def gpu_advice(spec: StudySpec, timed: Mapping[str, Any]) -> str:
    """What a study that gives each trial more of a GPU than it needs could do; else empty.

    Args:
        spec: The study.
        timed: What `time_first_steps` found.
    """
    share, asked = timed.get("gpu_share", 0.0), spec.resources.gpus
    if not 0.0 < share < (1.0 if asked is None else asked):
        return ""
    return f"resources.gpus = {share:g} would let {1 / share:.0f} trials share a GPU"


def _time(config: Config, whole: "TrainingData", metric: str) -> dict[str, float]:
    """Seconds and bytes of one configuration."""
    from hscl.training.loop import Training  # noqa: PLC0415 - torch

    count = len(whole.train)
    few = min(count, _STEPS * config.train.batch_size)
    share = few / count
    valid = whole.valid and _first(whole.valid, max(1, round(share * len(whole.valid))))
    part = replace(whole, train=_first(whole.train, few), valid=valid)
    training = Training(config, part, seed=0, metric=metric)
    next(iter(training))
    kept, running = _saved_bytes(training)
    *_, last = training
    return {
        "kept_bytes": float(kept),
        "running_bytes": float(running),
        "seconds_per_epoch": last.seconds / share,
        "peak_memory": float(last.peak_memory),
        "gpu_share": gpu_share(last.peak_memory, _gpu_memory(training.device)),
    }


def _gpu_memory(device: Any) -> int:
    import torch  # noqa: PLC0415 - on a node only

    if device.type != "cuda":
        return 0
    return int(torch.cuda.get_device_properties(device).total_memory)


def _saved_bytes(training: "Training") -> tuple[int, int]:
    """What its checkpoint takes: once it is over, and at most while it goes on.

    The best epoch's weights stay; until the end the optimizer's state is there, and the current
    weights where they are not the best.
    """
    with tempfile.TemporaryDirectory(prefix="hscl-first-steps-") as folder:
        state = training.save(folder)
        sizes = {path: path.stat().st_size for path in Path(folder).iterdir()}
    kept = sum(size for path, size in sizes.items() if path != state)
    return kept, 2 * kept + sizes[state]


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
