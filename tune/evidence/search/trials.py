"""One table of a study's trials: a row a configuration, or a row a trial.

The value of a configuration is that of its furthest phase, so that what confirm found on fresh
seeds stands in place of the single training that made it the winner.
"""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tune.evidence.comparison import StudyComparison
from tune.evidence.gather import Evidence
from tune.evidence.pairing import Seed
from tune.evidence.search.values import (
    best_epoch,
    furthest_trials,
    state_of,
    varied_names,
    varied_values,
)
from tune.search_model import SearchModel
from tune.states import Phase, TrialState
from tune.tables.history import History
from tune.tables.records import ConfigRecord, TrialRecord, config_label

__all__ = ["trials_table"]

_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()


def trials_table(evidence: Evidence, *, seeds: bool = False) -> pa.Table:
    """The table of trials.

    Args:
        evidence: The study. Test has values once a look at confirm is complete.
        seeds: A row a trial instead of a row a configuration.

    Returns:
        In order of proposal (and of start). Beside `number`, `config_id`, `name`, `role` and
        what the study varies, a configuration's row has `state`, `phases`, `seeds` that its value
        is the mean of, `best_epoch` (their median), `valid` and `valid_sd`, `predicted` and
        `predicted_sd`, `test` and `test_sd`, `seconds` of training and `failures`, both over all
        of its trials; a trial's row has `trial_id`, `phase`, `seed`, `attempt`, `state`, `epochs`,
        `best_epoch`, `valid`, `test`, `seconds`, `error`. Values are those of the study's metric.
    """
    history, comparison = evidence.history, evidence.comparison
    model = None if evidence.learnt is None or seeds else evidence.learnt.model
    of_config: dict[str, list[TrialRecord]] = {config_id: [] for config_id in history.configs}
    for trial in history.trials.values():
        of_config.setdefault(trial.config_id, []).append(trial)
    spoken = comparison if comparison is not None and comparison.split == "test" else None
    rows = []
    for config_id, record in history.configs.items():
        head = _head(history, record)
        if seeds:
            tested = _tested(spoken, config_id)
            rows += [head | _trial_row(trial, tested) for trial in of_config[config_id]]
        else:
            rows.append(
                head
                | _config_row(history, config_id, of_config[config_id])
                | _expected(model, config_id)
                | _test_mean(spoken, config_id)
            )
    for row in rows:
        row["role"] = evidence.labels[row["config_id"]].role
    columns = _columns(history, rows, _TRIAL if seeds else _CONFIG)
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


_CONFIG = {
    "state": _TEXT,
    "phases": _TEXT,
    "seeds": _WHOLE,
    "best_epoch": _WHOLE,
    "valid": _NUMBER,
    "valid_sd": _NUMBER,
    "predicted": _NUMBER,
    "predicted_sd": _NUMBER,
    "test": _NUMBER,
    "test_sd": _NUMBER,
    "seconds": _NUMBER,
    "failures": _WHOLE,
}
_TRIAL = {
    "trial_id": _TEXT,
    "phase": _TEXT,
    "seed": _WHOLE,
    "attempt": _WHOLE,
    "state": _TEXT,
    "epochs": _WHOLE,
    "best_epoch": _WHOLE,
    "valid": _NUMBER,
    "test": _NUMBER,
    "seconds": _NUMBER,
    "error": _TEXT,
}


def _columns(
    history: History, rows: Iterable[Mapping[str, Any]], rest: Mapping[str, pa.DataType]
) -> list[tuple[str, pa.DataType]]:
    """All columns in order; a parameter's type is that of its values."""
    kinds: dict[str, pa.DataType] = {}
    for name in varied_names(history.spec):
        values = [row[name] for row in rows if row.get(name) is not None]
        kinds[name] = pa.infer_type(values) if values else _NUMBER
    head = {"number": _WHOLE, "config_id": _TEXT, "name": _TEXT, "role": _TEXT}
    return [*head.items(), *kinds.items(), *rest.items()]


def _head(history: History, record: ConfigRecord) -> dict[str, Any]:
    """Which configuration, and its values."""
    names = {"number": record.number, "config_id": record.config_id}
    names |= {"name": config_label(record.number, record.name, history.spec.default_name)}
    return names | varied_values(history.spec, record)


def _config_row(history: History, config_id: str, trials: list[TrialRecord]) -> dict[str, Any]:
    counted = furthest_trials(history, config_id)
    values = [trial.value for trial in counted if trial.value is not None]
    epochs = [epoch for trial in counted if (epoch := best_epoch(trial)) is not None]
    return {
        "state": str(state_of(trials)),
        "phases": ", ".join(dict.fromkeys(str(trial.phase) for trial in trials)),
        "seeds": len(counted),
        "best_epoch": statistics.median_low(epochs) if epochs else None,
        "valid": statistics.fmean(values) if values else None,
        "valid_sd": statistics.stdev(values) if len(values) > 1 else None,
        "seconds": sum(trial.seconds for trial in trials),
        "failures": sum(trial.state is TrialState.FAILED for trial in trials),
    }


def _expected(model: SearchModel | None, config_id: str) -> dict[str, Any]:
    found = None if model is None else model.expected(config_id)
    return {} if found is None else {"predicted": found[0], "predicted_sd": found[1]}


def _test_mean(comparison: StudyComparison | None, config_id: str) -> dict[str, Any]:
    for one in () if comparison is None else comparison.configs:
        if one.config_id == config_id:
            return {"test": one.mean, "test_sd": one.sd}
    return {}


def _tested(comparison: StudyComparison | None, config_id: str) -> dict[Seed, float | None]:
    """Test's value by seed."""
    for one in () if comparison is None else comparison.configs:
        if comparison is not None and one.config_id == config_id:
            return dict(zip(comparison.seeds, one.scores, strict=True))
    return {}


def _trial_row(trial: TrialRecord, tested: Mapping[Seed, float | None]) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "phase": str(trial.phase),
        "seed": trial.seed,
        "attempt": trial.attempt,
        "state": str(trial.state),
        "epochs": trial.epoch,
        "best_epoch": best_epoch(trial),
        "valid": trial.value,
        "test": tested.get(trial.seed) if trial.phase is Phase.CONFIRM else None,
        "seconds": trial.seconds,
        "error": trial.error,
    }
