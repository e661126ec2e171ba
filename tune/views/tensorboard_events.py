"""Rows -> the bytes of TensorBoard event files; the same rows always give the same bytes."""

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

from hscl.metrics import METRIC, METRICS
from tune.evidence.search.values import varied_names
from tune.states import Phase, TrialState
from tune.study.spec import StudySpec
from tune.tables.schemas import LOSSES

__all__ = [
    "SEEDS",
    "SPREAD",
    "best_tag",
    "end_record",
    "experiment_file",
    "header",
    "report_records",
    "row_records",
    "value_record",
]

Row = Mapping[str, Any]

# TensorBoard sorts groups of tags by character: a capital puts the metrics before cost and loss.
_SCALARS = (
    {f"valid_{name}": f"Valid/{name}" for name in METRICS}
    | {f"loss_{name}": f"loss/{name}" for name in LOSSES}
    | {"seconds": "cost/seconds_per_epoch", "peak_memory": "cost/peak_memory"}
)
SEEDS, SPREAD = "value/seeds", "value/sd"
"""Tags of how many seeds a configuration's value is the mean of, and of its deviation."""

_STATUS = {
    TrialState.DONE: api_pb2.STATUS_SUCCESS,
    TrialState.PRUNED: api_pb2.STATUS_SUCCESS,
    TrialState.FAILED: api_pb2.STATUS_FAILURE,
}


def experiment_file(spec: StudySpec) -> bytes:
    """The event file beside all runs: which hyperparameters and metrics there are."""
    searched = [summary_v2.HParam(name, _domain(spec, name)) for name in varied_names(spec)]
    # TensorBoard sorts hyperparameters by name and shows the first five: these come last.
    phases = [str(phase) for phase in Phase if phase is not Phase.RACE or spec.race is not None]
    told = [
        summary_v2.HParam("trial.phase", summary_v2.Discrete(phases)),
        summary_v2.HParam(
            "trial.state", summary_v2.Discrete([str(state) for state in TrialState])
        ),
    ]
    first, *rest = sorted(METRICS, key=lambda name: name != spec.study.metric)
    metrics = [_metric(first), *_MORE, *map(_metric, rest)]
    config = summary_v2.hparams_config_pb(
        hparams=[*searched, *told], metrics=metrics, time_created_secs=0
    )
    return header(0.0) + _record(Event(wall_time=0.0, summary=config))


def best_tag(metric: str) -> str:
    """The tag of a configuration's best value of a metric."""
    return f"value/{metric}"


def _metric(name: str) -> Any:
    return summary_v2.Metric(
        best_tag(name),
        display_name=f"valid {METRIC[name].name}",
        description=f"{METRIC[name].direction}; best so far, mean over the seeds",
    )


_MORE = (
    summary_v2.Metric(SEEDS, display_name="seeds", description="that the values are means of"),
    summary_v2.Metric(SPREAD, display_name="sd over seeds"),
)


def row_records(
    params: Mapping[str, Any], group: str, state: TrialState, values: Mapping[str, float]
) -> bytes:
    """A configuration's row of the HParams dashboard.

    Args:
        params: What tells it from the others, its phase and its state: text and numbers.
        group: Its name.
        state: How it stands.
        values: By tag.
    """
    start = summary_v2.hparams_pb(dict(params), trial_id=group, start_time_secs=0.0)
    records = header(0.0) + _record(Event(wall_time=0.0, summary=start)) + value_record(values)
    ended = datetime.fromtimestamp(0.0, UTC)
    return records if state is TrialState.STARTED else records + end_record(state, ended)


def value_record(values: Mapping[str, float]) -> bytes:
    """One event with a row's values; the last one counts."""
    told = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return _record(Event(wall_time=0.0, step=0, summary=Summary(value=told)))


def report_records(rows: Iterable[Row], began: datetime, seconds: float = 0.0) -> bytes:
    """One event an epoch, with every loss term and metric.

    Args:
        rows: Rows of `reports` of one trial, in order.
        began: When the trial was first started; an epoch's time is counted from it.
        seconds: Training time before these rows.
    """
    records = b""
    for row in rows:
        seconds += row.get("seconds") or 0.0
        when = began.timestamp() + seconds
        values = [
            Summary.Value(tag=tag, simple_value=row[column])
            for column, tag in _SCALARS.items()
            if row.get(column) is not None and math.isfinite(row[column])
        ]
        records += _record(Event(wall_time=when, step=row["epoch"], summary=Summary(value=values)))
    return records


def end_record(state: TrialState, ended: datetime) -> bytes:
    """The last event of a run: how its session ended."""
    when = ended.timestamp()
    info = plugin_data_pb2.SessionEndInfo(status=_STATUS[state], end_time_secs=when)
    content = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        tensor=metadata.NULL_TENSOR,
        metadata=metadata.create_summary_metadata(content),
    )
    return _record(Event(wall_time=when, summary=Summary(value=[value])))


def _domain(spec: StudySpec, name: str) -> Any:
    distribution = spec.space.get(name)
    if distribution is None:
        return None
    if distribution.kind == "choice":
        kinds = {type(value) for value in distribution.values}
        mixed = len(kinds) > 1
        values = [json.dumps(v) for v in distribution.values] if mixed else distribution.values
        return summary_v2.Discrete(list(values))
    low, high = distribution.bounds
    if distribution.kind == "int":
        return summary_v2.IntInterval(int(low), int(high))
    return summary_v2.RealInterval(low, high)


def header(when: float) -> bytes:
    """The first record of an event file."""
    return _record(Event(wall_time=when, file_version="brain.Event:2"))


def _record(event: Event) -> bytes:
    """One record of the TFRecord format, with its checksums."""
    data: bytes = event.SerializeToString(deterministic=True)
    length = struct.pack("<Q", len(data))
    checks: Sequence[bytes] = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]
