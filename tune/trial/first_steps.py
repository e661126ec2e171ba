"""Times a study's own first steps, to say beforehand how long it will take."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune.study.spec import StudySpec

if TYPE_CHECKING:
    from hscl.training.loop import Training

__all__ = ["time_first_steps"]

_STEPS = 6  # of the default configuration; the first epoch of them warms up and is not counted


def time_first_steps(spec: StudySpec, data: str) -> dict[str, float]:
    """Train the default configuration for a few steps, on the node that this runs on.

    Args:
        spec: The study.
        data: Where the data are.

    Returns:
        `seconds_per_epoch`, scaled up to all of train and valid; in bytes `peak_memory`, and what
        a training takes on the disk: `kept_bytes` once it is over, `running_bytes` until then.
    """
    import torch  # noqa: PLC0415 - on a node only

    from hscl.data.dataset import Dataset  # noqa: PLC0415
    from hscl.training.loop import Training  # noqa: PLC0415
    from hscl.training.prepared import prepare  # noqa: PLC0415
    from tune.trial.data import local_copy  # noqa: PLC0415

    threads = max(1, int(spec.resources.cpus))
    torch.set_num_threads(threads)
    config = spec.base.with_overrides({"train.epochs": 2, "run.threads": threads})
    whole = prepare(Dataset.open(local_copy(data)), config)
    count = len(whole.train)
    few = min(count, _STEPS * config.train.batch_size)
    share = few / count
    valid = whole.valid and _first(whole.valid, max(1, round(share * len(whole.valid))))
    part = replace(whole, train=_first(whole.train, few), valid=valid)
    began = time.monotonic()
    training = Training(config, part, seed=0, metric=spec.study.metric)
    next(iter(training))
    kept, running = _saved_bytes(training)
    *_, last = training
    return {
        "kept_bytes": float(kept),
        "running_bytes": float(running),
        "seconds_per_epoch": last.seconds / share,
        "peak_memory": float(last.peak_memory),
        "took": time.monotonic() - began,
    }


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
