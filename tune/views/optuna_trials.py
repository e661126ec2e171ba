"""A study's configurations as trials of Optuna, in a file that optuna-dashboard opens.

A trial is a configuration with the numbers of `hscl trials`: its value is the mean over the seeds
of its furthest phase; each seed's value and all else are user attributes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from hscl.metrics import METRIC
from tune import states
from tune.evidence.gather import Evidence
from tune.evidence.search.values import furthest_trials, varied_names
from tune.study.space import Distribution, Value

__all__ = ["SQLITE", "write_optuna"]

SQLITE = frozenset({".db", ".sqlite", ".sqlite3"})
"""Suffixes of files that are written as SQLite; all others as Optuna's journal."""

_STATES = {
    states.TrialState.DONE: TrialState.COMPLETE,
    states.TrialState.PRUNED: TrialState.PRUNED,
    states.TrialState.FAILED: TrialState.FAIL,
    states.TrialState.STARTED: TrialState.RUNNING,
}

Row = Mapping[str, Any]


def write_optuna(evidence: Evidence, rows: pa.Table, out: Path) -> None:
    """Write a new file with one study.

    Args:
        evidence: The study.
        rows: Of `tune.evidence.search.trials.trials_table`, a row a configuration; all or some.
        out: A file that does not exist; SQLite or a journal by its suffix.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = (
        RDBStorage(f"sqlite:///{out}")
        if out.suffix.lower() in SQLITE
        else JournalStorage(JournalFileBackend(str(out)))
    )
    spec = evidence.spec
    study = optuna.create_study(
        storage=storage,
        study_name=spec.study.name,
        direction="minimize" if METRIC[spec.study.metric].lower_wins else "maximize",
    )
    study.set_user_attr("written by", "hscl trials --format optuna")
    study.set_user_attr("study", evidence.where)
    listed = rows.to_pylist()
    distributions = _distributions(evidence, listed)
    times = _times(evidence)
    # What has no first event has no time either, and Optuna wants one.
    first = min((began for began, _ in times.values()), default=datetime(2000, 1, 1))  # noqa: DTZ001
    study.add_trials(
        _trial(evidence, row, distributions, times.get(row["config_id"], (first, first)))
        for row in listed
    )


def _trial(
    evidence: Evidence,
    row: Row,
    distributions: Mapping[str, BaseDistribution],
    times: tuple[datetime, datetime],
) -> FrozenTrial:
    params = {name: row[name] for name in distributions if row.get(name) is not None}
    state = _STATES.get(row["state"], TrialState.WAITING)
    if state is TrialState.COMPLETE and row["valid"] is None:
        state = TrialState.FAIL
    counted = furthest_trials(evidence.history, row["config_id"])
    told = {
        name.replace("_", " "): value
        for name, value in row.items()
        if value is not None and name not in distributions and name != "number"
    }
    told |= {f"valid, seed {trial.seed}": trial.value for trial in counted}
    began, ended = times
    made = create_trial(
        state=state,
        value=row["valid"] if state is TrialState.COMPLETE else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=told,
        intermediate_values=_means([trial.best for trial in counted]),
    )
    made.datetime_start = None if state is TrialState.WAITING else began
    made.datetime_complete = ended if state.is_finished() else None
    return made


def _means(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean at each epoch that all curves have."""
    if not curves:
        return {}
    epochs = [epoch for epoch in curves[0] if all(epoch in curve for curve in curves)]
    return {epoch: sum(curve[epoch] for curve in curves) / len(curves) for epoch in epochs}


def _distributions(evidence: Evidence, rows: Sequence[Row]) -> dict[str, BaseDistribution]:
    """Each parameter's range, widened by the values that lie outside."""
    found = {}
    for name in varied_names(evidence.spec):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            found[name] = _distribution(evidence.spec.space.get(name), values)
    return found


def _distribution(declared: Distribution | None, values: Sequence[Value]) -> BaseDistribution:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or (declared is not None and declared.kind == "choice"):
        options = () if declared is None else declared.options() or ()
        return CategoricalDistribution(tuple(dict.fromkeys((*options, *values))))
    ends = [*numbers, *(() if declared is None else declared.bounds)]
    low, high = min(ends), max(ends)
    if declared is not None and declared.kind == "int":
        return IntDistribution(int(low), int(high))
    log = declared is not None and declared.kind == "log_uniform" and low > 0
    return FloatDistribution(float(low), float(high), log=log)


def _times(evidence: Evidence) -> dict[str, tuple[datetime, datetime]]:
    """When each configuration began and when it last ended, as Optuna has times: local, naive."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for row in evidence.tables["trials"].select(["config_id", "time"]).to_pylist():
        found[row["config_id"]].append(row["time"].astimezone().replace(tzinfo=None))
    return {config_id: (min(times), max(times)) for config_id, times in found.items()}
