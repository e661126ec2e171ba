"""Curves, costs and names, computed from hand-made tables."""

import math
from typing import Any

import pyarrow as pa
import pytest
import small_study

from tune.evidence.curves import (
    TrialEnd,
    labels_of,
    progress_of_search,
    stopped_at,
)
from tune.states import Phase, TrialState
from tune.tables.fold import fold
from tune.tables.history import History
from tune.tables.schemas import to_arrow


def _event(seq: int, trial: str, state: str, phase: str = "screen", **more: Any) -> dict[str, Any]:
    config, seed = trial.split("-")
    row = {"seq": seq, "trial_id": trial, "config_id": config, "phase": phase, "seed": int(seed)}
    return row | {"attempt": 1, "state": state, "time": None} | more


def _report(seq: int, trial: str, epoch: int, mae: float | None, **more: Any) -> dict[str, Any]:
    row = {"seq": seq, "trial_id": trial, "epoch": epoch, "attempt": 1, "stop": False}
    row |= {"finished": False, "collapsed": False, "valid_mae": mae, "seconds": 2.0}
    return row | more


def _arrow(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as they are read back; `time` plays no part here."""
    columns = [field for field in to_arrow(table, []).schema if field.name != "time"]
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


@pytest.fixture
def trials() -> pa.Table:
    events = [
        _event(0, "aa-1", "started"),
        _event(4, "aa-1", "done"),
        _event(5, "bb-1", "started"),
        _event(8, "bb-1", "pruned"),
        _event(9, "cc-1", "started"),
        _event(11, "cc-1", "failed", error="NaN"),
        _event(12, "aa-7", "started", "confirm"),
    ]
    return _arrow("trials", events)


@pytest.fixture
def reports() -> pa.Table:
    rows = [
        _report(7, "bb-1", 2, 0.9, stop=True),  # rows may come in any order
        _report(1, "aa-1", 1, 1.0),
        _report(2, "aa-1", 2, None),
        _report(3, "aa-1", 3, 0.8, finished=True),
        _report(6, "bb-1", 1, 0.95, collapsed=True),
        _report(10, "cc-1", 1, 0.7, collapsed=True),
    ]
    return _arrow("reports", rows)


def _folded(trials: pa.Table, reports: pa.Table, metric: str = "mae") -> History:
    none = {name: _arrow(name, []) for name in ("configs", "plan")}
    spec = small_study.study(f'[study]\nmetric = "{metric}"')
    return fold(spec, none | {"trials": trials, "reports": reports})


def _labelled(configs: list[dict[str, Any]], plan: list[dict[str, Any]]) -> History:
    rows = {"configs": configs, "trials": [], "reports": [], "plan": plan}
    return fold(small_study.study(), {name: _arrow(name, mine) for name, mine in rows.items()})


def test_curves_are_ordered_by_epoch_and_keep_the_best_value(
    trials: pa.Table, reports: pa.Table
) -> None:
    curves = _folded(trials, reports).trials
    assert list(curves) == ["aa-1", "bb-1", "cc-1", "aa-7"]
    assert list(curves["aa-1"].curve) == [1, 2, 3]
    assert math.isnan(curves["aa-1"].curve[2])
    assert list(curves["aa-1"].best.values()) == [1.0, 1.0, 0.8]
    assert curves["aa-1"].seconds == 6.0
    assert list(curves["bb-1"].best.values()) == [0.95, 0.9]
    assert curves["cc-1"].error == "NaN"
    assert curves["aa-7"].phase is Phase.CONFIRM
    assert curves["aa-7"].value is None


def test_where_higher_wins_the_best_is_the_highest(trials: pa.Table, reports: pa.Table) -> None:
    renamed = reports.set_column(
        reports.column_names.index("valid_corr"), "valid_corr", reports["valid_mae"]
    )
    history = _folded(trials, renamed, "corr")
    assert list(history.trials["aa-1"].best.values()) == [1.0, 1.0, 1.0]
    assert progress_of_search(history, renamed).best == (1.0,) * 6


def test_no_reports_give_curves_without_epochs(trials: pa.Table) -> None:
    none = _arrow("reports", [])
    history = _folded(trials, none)
    assert all(not one.curve and one.seconds == 0.0 for one in history.trials.values())
    assert progress_of_search(history, none).epochs == ()


def test_a_trial_is_collapsed_when_its_last_epoch_is(trials: pa.Table, reports: pa.Table) -> None:
    history = _folded(trials, reports)
    assert [one.trial_id for one in history.trials.values() if one.collapsed] == ["cc-1"]


def test_progress_counts_epochs_over_trials_in_the_order_of_their_reports(
    trials: pa.Table, reports: pa.Table
) -> None:
    progress = progress_of_search(_folded(trials, reports), reports)
    assert progress.epochs == (1, 2, 3, 4, 5, 6)
    assert progress.best == (1.0, 1.0, 0.8, 0.8, 0.8, 0.7)
    assert progress.holder == ("aa", "aa", "aa", "aa", "aa", "cc")
    # The failed trial has no end on the map: it is no result.
    assert progress.ends == (
        TrialEnd(3, 0.8, "aa", TrialState.DONE),
        TrialEnd(5, 0.9, "bb", TrialState.PRUNED),
    )
    assert progress.seconds == 12.0


def test_rungs_count_the_trials_that_ended_at_them(trials: pa.Table, reports: pa.Table) -> None:
    history = _folded(trials, reports)
    assert stopped_at(history.trials.values(), (1, 2, 4)) == {1: 0, 2: 1, 4: 0}


def _config(number: int, config_id: str, origin: str, name: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"config_id": config_id, "number": number, "origin": origin}
    return row | {"config": "{}", "hscl_version": "0", "name": name}


def test_labels_name_the_winner_the_default_and_points_of_a_grid() -> None:
    configs = [
        _config(0, "d0", "default", "default"),
        _config(1, "k1", "known", "paper <i>"),
        _config(2, "s2", "sampler", None),
        _config(3, "g3", "sampler", "loss.temperature = 0.1, model.text.finetune = True"),
        _config(4, "w4", "sampler", "sampled 4"),
    ]
    plan = [
        {"seq": 1, "kind": "finalists", "config_id": "s2"},
        {"seq": 2, "kind": "winner", "config_id": "w4"},
    ]
    labels = labels_of(_labelled(configs, plan))
    assert {key: (label.text, label.role) for key, label in labels.items()} == {
        "d0": ("default", "default"),
        "k1": ("paper <i>", "known"),
        "s2": ("configuration 2", "finalist"),
        "g3": ("temperature = 0.1, text.finetune = True", "other"),
        "w4": ("winner (configuration 4)", "winner"),
    }
    assert labels["k1"].markup == "paper &lt;i&gt;"


def test_two_configurations_of_one_name_are_told_apart() -> None:
    configs = [
        _config(0, "aaaa1", "default", "x"),
        *(_config(n, f"{n}bbbb", "known", "x") for n in (1, 2)),
    ]
    labels = labels_of(_labelled(configs, []))
    assert [label.text for label in labels.values()] == ["default", "x [1bbb]", "x [2bbb]"]
