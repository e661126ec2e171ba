"""A study as runs of MLflow, in a file that `mlflow ui` opens.

A configuration is a run with the numbers of `hscl trials`, and each of its trainings a run nested
in it, with its curves.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from hscl.errors import InputError
from hscl.metrics import METRICS
from tune.evidence.gather import Evidence
from tune.evidence.search.values import trials_of, varied_names
from tune.states import TrialState
from tune.tables.records import TrialRecord
from tune.tables.schemas import LOSSES

__all__ = ["write_mlflow"]

_STATES = {
    TrialState.DONE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
_CURVES = (*(f"valid_{name}" for name in METRICS), *(f"loss_{name}" for name in LOSSES))
_MOST = 1000  # metrics that MLflow takes at once


def write_mlflow(evidence: Evidence, rows: pa.Table, out: Path, lies_at: Path) -> None:
    """Write a new file with one experiment.

    Args:
        evidence: The study.
        rows: Of `tune.evidence.search.trials.trials_table`, a row a configuration; all or some.
        out: An SQLite file that does not exist.
        lies_at: Where it will lie; what people add to a run in MLflow goes beside it.

    Raises:
        InputError: MLflow is not installed.
    """
    try:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(
            "--format mlflow needs MLflow, which is not installed: "
            "pip install 'hscl-search[mlflow]'"
        ) from None
    client = MlflowClient(tracking_uri=f"sqlite:///{out}")
    experiment = client.create_experiment(
        evidence.spec.study.name, artifact_location=f"{lies_at.resolve().as_uri()}.artifacts"
    )
    events: dict[str, list[int]] = defaultdict(list)
    for event in evidence.tables["trials"].select(["trial_id", "time"]).to_pylist():
        events[event["trial_id"]].append(int(event["time"].timestamp() * 1000))
    reports: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in evidence.tables["reports"].to_pylist():
        reports[report["trial_id"]].append(report)
    writer = _Writer(client, experiment, events, reports)
    names = set(varied_names(evidence.spec))
    for row in rows.to_pylist():
        told = {name: value for name, value in row.items() if value is not None}
        params = {name: value for name, value in told.items() if name in names}
        writer.write(told, params, trials_of(evidence.history, row["config_id"]))


class _Writer:
    """Writes runs through MLflow's client."""

    def __init__(
        self,
        client: Any,
        experiment: str,
        events: Mapping[str, list[int]],
        reports: Mapping[str, list[dict[str, Any]]],
    ) -> None:
        self._client, self._experiment = client, experiment
        self._events, self._reports = events, reports

    def write(
        self, row: Mapping[str, Any], params: Mapping[str, Any], trials: list[TrialRecord]
    ) -> None:
        """A configuration, then its trainings."""
        times = [time for trial in trials for time in self._events.get(trial.trial_id, ())]
        tags = {name: value for name, value in row.items() if isinstance(value, str)}
        run = self._begin(row["name"], min(times, default=0), tags)
        numbers = {
            name: float(value)
            for name, value in row.items()
            if name not in params and isinstance(value, int | float) and name != "number"
        }
        self._log(run, params, [(name, value, 0, 0) for name, value in numbers.items()])
        for trial in trials:
            self._write_trial(trial, params, row["name"], run)
        if row["state"] in _STATES:
            self._end(run, TrialState(row["state"]), max(times, default=0))

    def _write_trial(
        self, trial: TrialRecord, params: Mapping[str, Any], name: str, parent: str
    ) -> None:
        times = self._events.get(trial.trial_id, [0])
        tags = {
            "mlflow.parentRunId": parent,
            "trial_id": trial.trial_id,
            "phase": str(trial.phase),
            "seed": str(trial.seed),
            "state": str(trial.state),
        }
        run = self._begin(f"{name}, {trial.phase}, seed {trial.seed}", min(times), tags)
        curves = [
            (column, float(report[column]), min(times), report["epoch"])
            for report in self._reports.get(trial.trial_id, ())
            for column in _CURVES
            if report.get(column) is not None
        ]
        self._log(run, params, curves)
        if trial.ended:
            self._end(run, trial.state, max(times))

    def _begin(self, name: str, start: int, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(
            self._experiment, start_time=start, tags=dict(tags), run_name=name
        )
        return str(run.info.run_id)

    def _log(
        self, run: str, params: Mapping[str, Any], values: list[tuple[str, float, int, int]]
    ) -> None:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - an extra

        told = [Param(name, str(value)) for name, value in params.items()]
        self._client.log_batch(run, params=told)
        metrics = [Metric(*value) for value in values]
        for start in range(0, len(metrics), _MOST):
            self._client.log_batch(run, metrics=metrics[start : start + _MOST])

    def _end(self, run: str, state: TrialState, ended: int) -> None:
        self._client.set_terminated(run, status=_STATES[state], end_time=ended)
