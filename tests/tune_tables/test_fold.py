"""The fold of whole Arrow tables is what a driver had, and takes tables with lost rows."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fold_by_rows import fold_by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, shuffled, study

from hscl.config import Config
from tune.planner.decisions import plan_row
from tune.simulate.study import SimulatedRun, SimulatedTrialError, simulate
from tune.states import Kind, TrialState
from tune.study.spec import StudySpec
from tune.tables.fold import fold, read_tables
from tune.tables.history import History
from tune.tables.schemas import to_arrow
from tune.tables.store import TableStore

Tables = dict[str, pa.Table]


def arrow_of(run: SimulatedRun) -> Tables:
    return {name: to_arrow(name, rows) for name, rows in run.tables.items()}


def told(history: History) -> dict[str, Any]:
    """All that a history holds, in its order; NaN as text, which equals itself."""
    plan = [{key: row[key] for key in ("seq", "kind", "note")} for row in history.plan]
    return {
        "configs": list(history.configs.items()),
        "trials": repr(list(history.trials.values())),
        "open": list(history.open),
        "unstarted": list(history.unstarted),
        "screen": list(history.search_trials),
        "plan": plan,
        "rungs": history.rungs,
        "values": {rung: history.rung_values(rung) for rung in history.rungs},
        "spent": (history.epochs, history.seconds),
        "failures": repr(history.failures),
        "ending": (history.ending, history.gave_up, history.winner),
    }


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 5), most=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_whole_tables_give_what_the_driver_had(seed: int, slots: int, most: int) -> None:
    run = SimulatedRun(study(), noisy(seed, failing=0.1), slots=slots, pick=shuffled(seed))
    run.run(most_reports=most)
    assert told(fold(run.spec, arrow_of(run))) == told(run.history)


@pytest.mark.parametrize("metric", ["mae", "corr"])
def test_missing_values_and_uneven_seconds_fold_as_they_are_applied(metric: str) -> None:
    run = SimulatedRun(study(f'study.metric = "{metric}"'), noisy(3), slots=3, pick=shuffled(3))
    run.run(most_reports=60)
    for n, row in enumerate(run.tables["reports"]):
        row["seconds"] = None if n % 7 == 0 else 0.1 * n + 1e-9
        row["collapsed"] = n % 5 == 0
        if n % 3 == 0:
            row[f"valid_{metric}"] = (None, math.nan, -math.inf)[n % 9 // 3]
    again = fold_by_rows(run.spec, **run.tables)
    assert told(fold(run.spec, arrow_of(run))) == told(again)


def test_the_order_of_rows_does_not_matter() -> None:
    run = simulate(study(), noisy(5))
    tables = arrow_of(run)
    turned = {
        name: table.take(pa.array(range(len(table) - 1, -1, -1))) for name, table in tables.items()
    }
    assert told(fold(run.spec, turned)) == told(run.history)


def test_only_the_columns_that_a_history_takes_are_read(tmp_path: Path) -> None:
    run = simulate(study(), noisy(6))
    store = TableStore(tmp_path)
    now = datetime(2026, 11, 28, tzinfo=UTC)
    for name, rows in run.tables.items():
        stamped = [row | {"time": now} if "time" in row else row for row in rows]
        store.append(name, stamped)
    tables = read_tables(store, run.spec)
    assert "loss_total" not in tables["reports"].column_names
    assert told(fold(run.spec, tables)) == told(run.history)


def broken(config: Config, seed: int, epoch: int) -> float:
    raise SimulatedTrialError("CUDA is not there")


def given_up() -> tuple[StudySpec, Tables, SimulatedRun]:
    """A study in which everything failed, which a person started again, and which then ended."""
    run = simulate(study(), broken)
    assert run.done is not None
    assert run.done.gave_up
    before = arrow_of(run)
    rows = run.tables
    seq = 1 + max(row["seq"] for name in ("trials", "reports", "plan") for row in rows[name])
    rows["plan"].append({"seq": seq, **plan_row(Kind.RESUMED), "time": None})
    again = SimulatedRun(run.spec, noisy(), tables=rows).run()
    return run.spec, before, again


def test_a_study_that_gave_up_was_resumed_and_finished_is_over_and_did_not_give_up() -> None:
    spec, before, run = given_up()
    first = fold(spec, before).ending
    assert first is not None
    assert first.gave_up
    assert "trials failed" in first.note
    history = fold(spec, arrow_of(run))
    assert history.gave_up is None
    assert history.ending is not None
    assert (history.ending.gave_up, history.ending.note) == (False, "")
    assert told(history) == told(run.history)


def test_a_lost_resumption_does_not_hide_that_a_trial_was_begun_again() -> None:
    spec, _, run = given_up()
    tables = arrow_of(run)
    tables["plan"] = tables["plan"].filter(pc.not_equal(tables["plan"]["kind"], "resumed"))
    states = {name: trial.state for name, trial in fold(spec, tables).trials.items()}
    assert states == {name: trial.state for name, trial in run.history.trials.items()}


def test_a_trial_without_its_configuration_or_its_first_event_keeps_its_reports() -> None:
    run = simulate(study(), noisy(8))
    tables = arrow_of(run)
    first = next(iter(run.history.trials))
    begun = pc.and_(
        pc.equal(tables["trials"]["trial_id"], first),
        pc.equal(tables["trials"]["state"], "started"),
    )
    lost = tables | {
        "configs": tables["configs"].slice(1),
        "trials": tables["trials"].filter(pc.invert(begun)),
    }
    history = fold(run.spec, lost)
    assert history.trials[first] == run.history.trials[first]
    assert history.default is None
    assert history.ending is None  # nothing can be compared with a default that is lost


def test_reports_without_any_event_of_their_trial_are_left_out() -> None:
    run = simulate(study(), noisy(9))
    tables = arrow_of(run)
    gone = next(iter(run.history.trials))
    tables["trials"] = tables["trials"].filter(pc.not_equal(tables["trials"]["trial_id"], gone))
    history = fold(run.spec, tables)
    assert gone not in history.trials
    assert history.epochs == run.history.epochs - len(run.history.trials[gone].curve)


def test_empty_tables_are_a_study_that_has_not_begun() -> None:
    spec, names = study(), ("configs", "trials", "reports", "plan")
    history = fold(spec, {name: to_arrow(name, []) for name in names})
    assert (history.trials, history.epochs, history.ending) == ({}, 0, None)
    assert all(not some for some in history.rungs.values())
    assert TrialState.DONE not in {trial.state for trial in history.trials.values()}
