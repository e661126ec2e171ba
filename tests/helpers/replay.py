"""Checks a finished or interrupted study against the planner, row by row.

What every run must satisfy, however it was disturbed: no (trial, epoch) twice, no gap in any
trial's epochs, one end event a trial, and every stop and every proposal equal to what the planner
answers on the rows with smaller `seq`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from synthetic import objective

from hscl.config import Config
from tune.planner.asha import should_stop
from tune.planner.proposals import propose
from tune.states import Phase, TrialState
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.store import TableStore
from tune.views.study import Study

MEASURED = ["seq", "time", "host", "seconds", "peak_memory", "attempt"]


def readers_view(study: Study) -> dict[str, list[dict[str, Any]]]:
    """The tables as readers see them, without what is measured, in an order of their own.

    Rows of `plan` that a driver adds about itself are left out.
    """
    view = {}
    for name in ("configs", "trials", "reports", "predictions", "plan"):
        rows = study.table(name).to_pylist()
        kept = [{k: v for k, v in row.items() if k not in MEASURED} for row in rows]
        view[name] = [row for row in kept if row.get("kind") != "resumed"]
    view["trials"].sort(key=lambda row: row["trial_id"])
    view["reports"].sort(key=lambda row: (row["trial_id"], row["epoch"]))
    view["predictions"].sort(
        key=lambda row: (row["trial_id"], row["split"], int(row["utterance"]))
    )
    return view


def raw_rows(study: Study, name: str) -> list[dict[str, Any]]:
    """All rows of a table, doubled ones too."""
    store = TableStore(study.folder)
    rows: list[dict[str, Any]] = store._read_parts(name, store.parts(name), None).to_pylist()
    return rows


def check(study: Study, *, over: bool = True, values: bool = True) -> None:
    """Assert all of the above.

    Args:
        study: What to check.
        over: Every trial must have ended.
        values: Every value must be the synthetic objective's.
    """
    configs = {row["config_id"]: row for row in raw_rows(study, "configs")}
    reports, events, plan = (raw_rows(study, n) for n in ("reports", "trials", "plan"))
    _check_numbers(reports, events, plan)
    ends = [row["trial_id"] for row in events if row["state"] != TrialState.STARTED]
    assert len(ends) == len(set(ends)), "one end event a trial"
    if over:
        assert set(ends) == {row["trial_id"] for row in events}
    seeds = {row["trial_id"]: (row["config_id"], row["seed"]) for row in events}
    if values:
        for row in reports:
            config_id, seed = seeds[row["trial_id"]]
            config = Config.from_json(configs[config_id]["config"])
            assert row["valid_mae"] == objective(config, seed, row["epoch"])
    tables = {"configs": [*configs.values()], "reports": reports, "trials": events, "plan": plan}
    replay(study.spec, tables)


def _check_numbers(*tables: list[dict[str, Any]]) -> None:
    reports = tables[0]
    epochs: dict[str, list[int]] = {}
    for row in reports:
        epochs.setdefault(row["trial_id"], []).append(row["epoch"])
    for trial_id, seen in epochs.items():
        assert seen == list(range(1, len(seen) + 1)), (trial_id, seen)
    for rows in tables:
        assert bool(np.all(np.diff([row["seq"] for row in rows]) > 0))
    everything = [row["seq"] for rows in tables for row in rows]
    assert len(everything) == len(set(everything))


def replay(spec: StudySpec, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Assert that every stop and every proposal is the planner's on the rows before it.

    Args:
        spec: The study.
        tables: All rows by table name.
    """
    configs = {row["config_id"]: row for row in tables["configs"]}
    history = History(spec)
    kinds = {"reports": "report", "trials": "event", "plan": "plan"}
    marked = [(row["seq"], kind, row) for name, kind in kinds.items() for row in tables[name]]
    for _, kind, row in sorted(marked, key=lambda item: item[0]):
        if kind == "plan":
            history.apply_plan(row)
        elif kind == "event":
            config = configs[row["config_id"]]
            if row["config_id"] not in history.configs:
                phase = Phase(row["phase"])
                proposal = propose(spec, history, len(history.configs), phase).config
                assert proposal == {key: config[key] for key in proposal or {}}
                history.apply_config(config)
            history.apply_event(row)
        else:
            value = row[f"valid_{spec.study.metric}"]
            ours = should_stop(
                spec, history, row["trial_id"], row["epoch"], value, finished=row["finished"]
            )
            assert ours == row["stop"], row
            history.apply_report(row)
