"""Curves, costs and names, computed from hand-made tables."""

import math
from typing import Any

import pyarrow as pa
import pytest

from tune.evidence.curves import (
    collapsed_trials,
    labels_of,
    progress_of_screen,
    stopped_at,
    trial_curves,
)
from tune.states import Phase, TrialState
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


def test_curves_are_ordered_by_epoch_and_keep_the_best_value(
    trials: pa.Table, reports: pa.Table
) -> None:
    curves = {c.trial_id: c for c in trial_curves(trials, reports, "mae", lower_wins=True)}
    assert list(curves) == ["aa-1", "bb-1", "cc-1", "aa-7"]
    assert curves["aa-1"].epochs == (1, 2, 3)
    assert math.isnan(curves["aa-1"].values[1])
    assert curves["aa-1"].best == (1.0, 1.0, 0.8)
    assert curves["aa-1"].seconds == 6.0
    assert curves["bb-1"].best == (0.95, 0.9)
    assert curves["cc-1"].error == "NaN"
    assert curves["aa-7"].phase is Phase.CONFIRM
    assert math.isnan(curves["aa-7"].value)


def test_where_higher_wins_the_best_is_the_highest(trials: pa.Table, reports: pa.Table) -> None:
    renamed = reports.set_column(
        reports.column_names.index("valid_corr"), "valid_corr", reports["valid_mae"]
    )
    curves = trial_curves(trials, renamed, "corr", lower_wins=False)
    assert curves[0].best == (1.0, 1.0, 1.0)


def test_no_reports_give_curves_without_epochs(trials: pa.Table) -> None:
    curves = trial_curves(trials, _arrow("reports", []), "mae", lower_wins=True)
    assert all(curve.epochs == () and curve.seconds == 0.0 for curve in curves)


def test_progress_counts_epochs_over_trials_in_the_order_of_their_reports(
    trials: pa.Table, reports: pa.Table
) -> None:
    curves = trial_curves(trials, reports, "mae", lower_wins=True)
    progress = progress_of_screen(curves, lower_wins=True)
    assert progress.epochs == (1, 2, 3, 4, 5, 6)
    assert progress.best == (1.0, 1.0, 0.8, 0.8, 0.8, 0.7)
    assert progress.holder == ("aa", "aa", "aa", "aa", "aa", "cc")
    # The failed trial has no end on the map: it is no result.
    assert progress.ends == ((3, 0.8, "aa", TrialState.DONE), (5, 0.9, "bb", TrialState.PRUNED))
    assert progress.seconds == 12.0


def test_rungs_count_the_trials_that_ended_at_them(trials: pa.Table, reports: pa.Table) -> None:
    curves = trial_curves(trials, reports, "mae", lower_wins=True)
    assert stopped_at(curves, (1, 2, 4)) == {1: 0, 2: 1, 4: 0}


def test_a_trial_is_collapsed_when_its_last_epoch_is(reports: pa.Table) -> None:
    assert collapsed_trials(reports) == {"cc-1": 1}


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
    labels = labels_of(_arrow("configs", configs), _arrow("plan", plan))
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
    labels = labels_of(_arrow("configs", configs), _arrow("plan", []))
    assert [label.text for label in labels.values()] == ["default", "x [1bbb]", "x [2bbb]"]
