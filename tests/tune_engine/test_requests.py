"""What people ask of a running study becomes rows, and what follows from them."""

from pathlib import Path

import pytest
from disk_study import DATA, go_on, small
from engine_steps import engine, last_event, report, started

from tune.engine.driver import run_search
from tune.engine.engine import Engine
from tune.engine.opening import SearchOptions
from tune.engine.recorder import Recorder
from tune.engine.requests import NOTE, STOP, Requests, leave, remove, waiting
from tune.planner.phases import Close, Run, next_step
from tune.states import Kind, TrialState
from tune.tables.reading import open_tables
from tune.tables.records import Ending
from tune.tables.storage import open_folder
from tune.tables.store import TableStore


def take(one: Engine, folder: Path) -> None:
    Requests(open_folder(folder), one.recorder).take_if_due()


def again(folder: Path, one: Engine) -> Recorder:
    """As the next driver finds it."""
    return Recorder(one.spec, TableStore(folder))


def test_a_trial_that_a_person_stopped_ends_with_its_next_report_and_says_so(
    tmp_path: Path,
) -> None:
    one = engine(tmp_path)
    trial_id = started(one)
    leave(open_folder(tmp_path), STOP, trial_id)
    take(one, tmp_path)
    assert waiting(open_folder(tmp_path)) == []
    (row,) = one.history.plan_rows(Kind.TRIAL_STOPPED)
    assert f"{row['config_id']}-{row['seeds'][0]}" == trial_id
    assert one.on_message("t1", report(1, 0.5)) is False
    end = last_event(one)
    assert (end["trial_id"], end["state"]) == (trial_id, TrialState.PRUNED)
    assert end["error"] == "stopped by a person"
    assert again(tmp_path, one).history.trials[trial_id].state is TrialState.PRUNED
    following = one.next_run("t2")
    assert following is not None
    assert following.trial_id != trial_id


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_driver_killed_after_the_decision_leaves_one_that_the_next_honours(
    tmp_path: Path, epochs: int
) -> None:
    one = engine(tmp_path)
    trial_id = started(one)
    for epoch in range(1, epochs + 1):
        assert one.on_message("t1", report(epoch, 0.5))
    leave(open_folder(tmp_path), STOP, trial_id)
    take(one, tmp_path)
    history = again(tmp_path, one).history  # the end is in nobody's tables
    step = next_step(one.spec, history, set())
    if epochs:
        assert step == Close(trial_id, TrialState.PRUNED)
    else:  # it has nothing to be told as yet: it ends with its first report
        assert isinstance(step, Run)
        assert step.trial_id == trial_id
        second = engine(tmp_path)
        assert started(second) == trial_id
        assert second.on_message("t1", report(1, 0.5)) is False


def test_what_is_asked_twice_or_too_late_adds_nothing(tmp_path: Path) -> None:
    one, folder = engine(tmp_path), open_folder(tmp_path)
    trial_id = started(one)
    for _ in range(2):
        leave(folder, STOP, trial_id)
    leave(folder, STOP, "nobody-1")
    take(one, tmp_path)
    assert len(one.history.plan_rows(Kind.TRIAL_STOPPED)) == 1
    one.on_message("t1", report(1, 0.5))
    leave(folder, STOP, trial_id)
    take(one, tmp_path)
    assert len(one.history.plan_rows(Kind.TRIAL_STOPPED)) == 1
    assert waiting(folder) == []


def test_a_note_is_a_row_once_however_often_its_file_comes_back(tmp_path: Path) -> None:
    one, folder = engine(tmp_path), open_folder(tmp_path)
    asked = leave(folder, NOTE, "the second run")
    left = folder.read(f"requests/{asked.name}")
    take(one, tmp_path)
    folder.write(f"requests/{asked.name}", left)  # as a kill before its removal leaves it
    take(one, tmp_path)
    (row,) = again(tmp_path, one).history.plan_rows(Kind.NOTE)
    assert row["note"] == asked.row_text


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_requests_wait_in_order_until_they_are_removed(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "disk" else request.getfixturevalue("bucket")
    folder = open_folder(root)
    assert waiting(folder) == []
    asked = [
        leave(folder, NOTE, "first – ü"),
        leave(folder, STOP, "a-1"),
        leave(folder, NOTE, "x"),
    ]
    assert waiting(folder) == asked
    remove(folder, asked[0])
    assert waiting(folder) == asked[1:]


def test_what_is_no_request_is_left_alone(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    for name, text in (
        ("a", b"\xff"),
        ("b", b"[]"),
        ("c", b'{"kind": "rm", "text": "", "who": ""}'),
    ):
        folder.write(f"requests/{name}.json", text)
    asked = leave(folder, NOTE, "n")
    assert waiting(folder) == [asked]
    assert len(folder.files("requests")) == 4


def test_a_note_on_a_study_that_is_over_is_taken_up_by_the_next_search(tmp_path: Path) -> None:
    where = tmp_path / "study"
    assert go_on(where, small())
    asked = SearchOptions(out=str(where))
    plan = open_tables(where).table("plan").num_rows
    assert not run_search(small(), DATA, asked).ran
    leave(open_folder(where), NOTE, "looks right")
    outcome = run_search(small(), DATA, asked)
    assert (outcome.ran, outcome.done) == (False, Ending())
    assert waiting(open_folder(where)) == []
    tables = open_tables(where)
    (row,) = tables.history.plan_rows(Kind.NOTE)
    assert row["note"].startswith("looks right (")
    assert (tables.table("plan").num_rows, tables.history.ending) == (plan + 1, Ending())
    assert not run_search(small(), DATA, asked).ran
