"""Rows -> the bytes of TensorBoard event files; the same rows always give the same bytes."""

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2

from hscl.config import Config
from hscl.metrics import METRIC, METRICS
from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.tables.schemas import LOSSES

__all__ = ["end_record", "experiment_file", "hyperparameters", "report_records", "start_records"]

Row = Mapping[str, Any]

_SCALARS = (
    {f"valid_{name}": f"valid/{name}" for name in METRICS}
    | {f"loss_{name}": f"loss/{name}" for name in LOSSES}
    | {"seconds": "cost/seconds_per_epoch", "peak_memory": "cost/peak_memory"}
)
_STATUS = {
    TrialState.DONE: api_pb2.STATUS_SUCCESS,
    TrialState.PRUNED: api_pb2.STATUS_SUCCESS,
    TrialState.FAILED: api_pb2.STATUS_FAILURE,
}


def hyperparameters(spec: StudySpec, config: str, name: str | None) -> dict[str, Any]:
    """What tells a configuration of the study from the others.

    Args:
        spec: The study.
        config: The resolved tree as JSON.
        name: What people call it.

    Returns:
        Every searched or listed name with its value, and the configuration's own name.
    """
    values = Config.from_json(config).dotted()
    return {"name": name or ""} | {key: values[key] for key in _names(spec)}


def experiment_file(spec: StudySpec) -> bytes:
    """The event file beside all runs: which hyperparameters and metrics there are."""
    searched = [summary_v2.HParam(name, _domain(spec, name)) for name in _names(spec)]
    hparams = [summary_v2.HParam("name"), *searched]
    first = [spec.study.metric, *(name for name in METRICS if name != spec.study.metric)]
    metrics = [
        summary_v2.Metric(
            f"valid/{name}",
            display_name=f"valid {METRIC[name].name}",
            description=METRIC[name].direction,
        )
        for name in first
    ]
    config = summary_v2.hparams_config_pb(hparams=hparams, metrics=metrics, time_created_secs=0)
    return _header(0.0) + _record(Event(wall_time=0.0, summary=config))


def start_records(params: Mapping[str, Any], group: str, began: datetime) -> bytes:
    """The head of a run's file: it belongs to a configuration's group of seeds.

    Args:
        params: See `hyperparameters`.
        group: The configuration; every run that names it is one of its sessions.
        began: When the trial was first started.
    """
    when = began.timestamp()
    summary = summary_v2.hparams_pb(dict(params), trial_id=group, start_time_secs=when)
    return _header(when) + _record(Event(wall_time=when, summary=summary))


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


def _names(spec: StudySpec) -> list[str]:
    listed = (name for point in spec.known for name in point.overrides)
    return list(dict.fromkeys([*spec.space, *listed]))


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


def _header(when: float) -> bytes:
    return _record(Event(wall_time=when, file_version="brain.Event:2"))


def _record(event: Event) -> bytes:
    """One record of the TFRecord format, with its checksums."""
    data: bytes = event.SerializeToString(deterministic=True)
    length = struct.pack("<Q", len(data))
    checks: Sequence[bytes] = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checks[0] + data + checks[1]
