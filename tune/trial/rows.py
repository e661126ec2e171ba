"""What a worker sends, as columns of the tables."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tune.tables.schemas import LOSSES, METRICS
from tune.trial.workload import EpochLike, SplitLike

__all__ = ["prediction_stream", "prediction_table", "report_row"]


def report_row(report: EpochLike) -> dict[str, Any]:
    """A report as columns of the `reports` table."""
    return {
        "epoch": report.epoch,
        "finished": report.finished,
        "collapsed": report.collapsed,
        **{f"valid_{name}": _defined(report.valid.get(name)) for name in METRICS},
        **{f"loss_{name}": report.losses.get(name) for name in LOSSES},
        "seconds": report.seconds,
        "steps": report.steps,
        "peak_memory": report.peak_memory,
    }


def _defined(value: float | None) -> float | None:
    """A metric that is not defined is missing, not NaN."""
    return value if value is not None and math.isfinite(value) else None


def prediction_table(name: str, split: SplitLike, predictions: Any) -> pa.Table:
    """A split's predictions as columns of the `predictions` table, `trial_id` left out."""
    count = len(split.utterances)
    labels = np.full(count, np.nan) if split.labels is None else np.asarray(split.labels, float)
    speakers = split.speakers or [None] * count
    return pa.table(
        {
            "split": pa.array([name] * count, pa.string()),
            "utterance": pa.array(split.utterances, pa.string()),
            "video": pa.array(split.videos, pa.string()),
            "label": pa.array(labels, from_pandas=True),  # NaN becomes null
            "prediction": np.asarray(predictions, float),
            "speaker": pa.array(speakers, pa.string()),
        }
    )


def prediction_stream(tables: Sequence[pa.Table]) -> bytes:
    """A trial's predictions, all splits, as the Arrow stream of its last message."""
    whole = pa.concat_tables(tables)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, whole.schema, options=options) as stream:
        stream.write_table(whole)
    return bytes(sink.getvalue().to_pybytes())
