"""What the driver decides, as plain values; every step is what is written down."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_steps import engine, last_event, report, started
from synthetic import study

from hscl.encoders import resolve_encoder
from hscl.errors import RunError
from tune.states import Kind, Phase, TrialState
from tune.tables.schemas import SAID
from tune.tables.store import TableStore
from tune.trial.messages import NODE_LOST, Breakdown, Message, MessageKind
from tune.views.progress import plain_line
from tune.views.summary import summarise


def test_a_trial_is_written_down_as_started_before_anybody_hears_of_it(tmp_path: Path) -> None:
    new = engine(tmp_path)
    trial_id = started(new)
    rows = TableStore(tmp_path).read("trials").to_pylist()
    assert [(row["trial_id"], row["state"]) for row in rows] == [(trial_id, "started")]
    assert TableStore(tmp_path).read("configs")["number"].to_pylist() == [0]


def test_no_more_trials_are_in_hand_than_there_are_slots(tmp_path: Path) -> None:
    new = engine(tmp_path, slots=2)
    assert new.next_run("t1") is not None
    assert new.next_run("t2") is not None
    assert new.next_run("t3") is None
    assert not new.over


def test_a_complete_screen_trial_ends_with_its_last_report(tmp_path: Path) -> None:
    new = engine(tmp_path)
    trial_id = started(new)
    new.started("t1")
    assert all(new.on_message("t1", report(e, 1.0)) for e in (1, 2, 3))
    assert not new.on_message("t1", report(4, 1.0, finished=True))
    assert last_event(new)["trial_id"] == trial_id
    assert last_event(new)["state"] == TrialState.DONE
    assert last_event(new)["host"] == "node"
    assert last_event(new)["precision"] == "fp32"
    assert new.live == {}


def test_a_rung_stops_the_worse_and_its_row_says_so(tmp_path: Path) -> None:
    new = engine(tmp_path, slots=2)
    started(new, "t1")
    second = started(new, "t2")
    assert new.on_message("t1", report(1, 0.5))
    assert not new.on_message("t2", report(1, 0.9))
    assert last_event(new)["state"] == TrialState.PRUNED
    new.recorder.flush()
    rows = TableStore(tmp_path).read("reports").to_pylist()
    assert [(row["trial_id"] == second, row["stop"]) for row in rows] == [
        (False, False),
        (True, True),
    ]


def test_a_repeated_epoch_changes_nothing_and_is_not_compared_again(tmp_path: Path) -> None:
    first = engine(tmp_path, slots=2)
    trial_id = started(first)
    first.on_message("t1", report(1, 0.5))
    first.recorder.flush()
    again = engine(tmp_path, slots=2)
    assert started(again) == trial_id
    assert again.on_message("t1", report(1, 99.0))
    assert again.on_message("t1", report(2, 0.4))
    again.recorder.flush()
    assert TableStore(tmp_path).read("reports")["valid_mae"].to_pylist() == [0.5, 0.4]


def test_a_worker_that_skips_an_epoch_is_not_believed(tmp_path: Path) -> None:
    new = engine(tmp_path)
    started(new)
    with pytest.raises(RunError, match="must report epoch 1, not 2"):
        new.on_message("t1", report(2, 0.5))


def test_a_confirm_trial_goes_on_after_its_last_epoch_until_its_predictions_are_here(
    tmp_path: Path,
) -> None:
    known = [{"name": "w", "loss.omega1": 0.5}]
    spec = study(sampler={"kind": "list", "trials": 2}, known=known, confirm={"seeds": [5]})
    new = engine(tmp_path, spec)
    found = new.next_run("t1")
    assert found is not None
    assert found.phase is Phase.CONFIRM
    for epoch in (1, 2, 3):
        assert new.on_message("t1", report(epoch, 1.0))
    assert new.on_message("t1", report(4, 1.0, finished=True))
    sink = pa.BufferOutputStream()
    columns: dict[str, list[Any]] = {"split": ["test"], "utterance": ["u"], "video": ["v"]}
    table = pa.table(columns | {"label": [1.0], "prediction": [0.5]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content = bytes(sink.getvalue())
    assert not new.on_message("t1", Message(MessageKind.DONE, "node", "fp32", predictions=content))
    new.recorder.flush()
    assert TableStore(tmp_path).read("predictions")["trial_id"].to_pylist() == [found.trial_id]
    assert last_event(new)["state"] == TrialState.DONE
    assert new.recorder.decided(Kind.TEST_OPENED)


@pytest.mark.parametrize("kind", ["worker", "memory", "device", "system"])
def test_a_broken_trial_is_tried_again_as_often_as_the_study_says_then_has_failed(
    tmp_path: Path, kind: Any
) -> None:
    new = engine(tmp_path, study(study={"retries": 2}))
    trial_id = started(new)
    for attempt in (2, 3):
        new.on_breakdown("t1", Breakdown(kind, "it broke"))
        again = new.next_run("t1")
        assert again is not None
        assert (again.trial_id, again.attempt) == (trial_id, attempt)
        assert last_event(new)["error"] == f"{kind}: it broke"
    new.on_breakdown("t1", Breakdown(kind, "it broke"))
    assert last_event(new)["state"] == TrialState.FAILED
    assert last_event(new)["error"] == f"{kind}: it broke"


def test_a_lost_node_never_counts(tmp_path: Path) -> None:
    new = engine(tmp_path, study(study={"retries": 0}))
    trial_id = started(new)
    for _ in range(10):
        new.on_breakdown("t1", Breakdown(NODE_LOST, "node 3 is gone"))
        assert started(new) == trial_id
    new.on_breakdown("unknown", Breakdown("worker", "not ours"))
    assert list(new.live) == ["t1"]


def test_a_worker_that_was_silent_for_the_limit_has_timed_out(tmp_path: Path) -> None:
    new = engine(tmp_path, study(study={"retries": 0, "epoch_timeout_s": 5.0}))
    started(new)
    new.started("t1")
    new.on_message("t1", report(1, 1.0))
    new.live["t1"].seen -= 6
    new.on_breakdown("t1", Breakdown("worker", "died"))
    error = last_event(new)["error"]
    assert error == "timeout: epoch 2 took longer than study.epoch_timeout_s = 5"


def test_who_is_silent_after_the_last_epoch_has_timed_out_predicting(tmp_path: Path) -> None:
    limits = {"retries": 0, "epoch_timeout_s": 5.0}
    known = [{"name": "one", "loss.alpha": 0.3}]
    spec = study(study=limits, sampler={"kind": "list"}, space={}, known=known)
    new = engine(tmp_path, spec)
    started(new)
    new.started("t1")
    for epoch in (1, 2, 3, 4):
        assert new.on_message("t1", report(epoch, 1.0, finished=epoch == 4))
    new.live["t1"].seen -= 6
    new.on_breakdown("t1", Breakdown("worker", "died"))
    error = last_event(new)["error"]
    assert error == "timeout: predicting took longer than study.epoch_timeout_s = 5"


def test_the_trials_own_failure_is_final(tmp_path: Path) -> None:
    new = engine(tmp_path)
    started(new)
    assert not new.on_message("t1", Message(MessageKind.FAILED, "node", error="ValueError: no"))
    assert (last_event(new)["state"], last_event(new)["error"]) == ("failed", "ValueError: no")


def test_a_trial_that_ends_without_a_word_is_tried_again(tmp_path: Path) -> None:
    new = engine(tmp_path)
    trial_id = started(new)
    assert not new.on_message("t1", None)
    assert started(new) == trial_id
    assert last_event(new)["error"] == "worker: ended without a word"
    assert not new.on_message("gone", report(1, 1.0))


def test_once_it_is_stopping_nothing_new_begins_and_what_was_interrupted_stays_open(
    tmp_path: Path,
) -> None:
    new = engine(tmp_path, slots=2)
    trial_id = started(new)
    new.stopping = True
    assert new.next_run("t2") is None
    assert new.over
    assert new.on_message("t1", report(1, 1.0))
    assert not new.on_message("t1", Message(MessageKind.INTERRUPTED, "node"))
    assert new.live == {}
    assert list(new.history.open) == [trial_id]


def test_who_hangs_keeps_no_search_from_stopping_and_goes_on_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    new = engine(tmp_path, study(study={"retries": 0, "epoch_timeout_s": 600.0}))
    trial_id = started(new)
    new.started("t1")
    new.on_message("t1", report(1, 1.0))  # of .1 s
    new.live["t1"].seen -= 62.0
    assert new.overdue(10.0) == []
    new.stopping = True
    assert new.overdue(10.0) == ["t1"]
    new.live["t1"].seen += 2.0
    assert new.overdue(10.0) == []
    new.on_breakdown("t1", Breakdown("worker", "was killed"))
    assert new.live == {}
    assert list(new.history.open) == [trial_id]


def test_a_decision_that_was_killed_before_its_event_is_closed_without_running_again(
    tmp_path: Path,
) -> None:
    first = engine(tmp_path, slots=2)
    trial_id = started(first)
    for epoch in (1, 2, 3):
        first.on_message("t1", report(epoch, 1.0))
    row = report(4, 1.0, finished=True).row
    assert row is not None
    first.recorder.add_report(row | {"trial_id": trial_id, "attempt": 1, "stop": False})
    first.recorder.flush()
    again = engine(tmp_path, slots=2)
    assert started(again) != trial_id
    ends = {row["trial_id"]: row for row in TableStore(tmp_path).read("trials").to_pylist()}
    assert ends[trial_id]["state"] == "done"
    # What its worker said of itself, of which this driver heard nothing.
    assert [ends[trial_id][name] for name in SAID] == ["node", "fp32", 1_234]


def test_a_trial_that_breaks_before_its_first_word_keeps_what_its_earlier_attempt_said(
    tmp_path: Path,
) -> None:
    new = engine(tmp_path, study(study={"retries": 1}))
    started(new)
    new.on_message("t1", report(1, 1.0))
    new.on_breakdown("t1", Breakdown("memory", "too much"))
    started(new, "t2")
    new.on_breakdown("t2", Breakdown("memory", "too much"))
    end = last_event(new)
    assert (end["state"], end["precision"], end["parameters"]) == ("failed", "fp32", 1_234)
    assert end["host"] is None  # nobody knows where the second ran


def test_a_trial_of_which_nobody_heard_ends_without_a_host(tmp_path: Path) -> None:
    new = engine(tmp_path, study(study={"retries": 0}))
    started(new)
    new.on_breakdown("t1", Breakdown("worker", "died"))
    assert (last_event(new)["state"], last_event(new)["host"]) == ("failed", None)


def test_a_configuration_that_is_there_already_ends_the_run(tmp_path: Path) -> None:
    known = {"name": "mine", "model.text.encoder": resolve_encoder("minilm").location}
    new = engine(tmp_path, study(known=[known]), slots=2)
    assert new.next_run("t1") is not None
    with pytest.raises(RunError, match="configuration 1 must be a new one"):
        new.next_run("t2")
    assert TableStore(tmp_path).read("configs")["number"].to_pylist() == [0]


def test_the_first_failure_is_the_one_that_counts(tmp_path: Path) -> None:
    new = engine(tmp_path)
    new.fail(RunError("first"))
    new.fail(RunError("second"))
    assert str(new.failure) == "first"
    assert new.next_run("t1") is None


def test_a_worker_that_differs_from_the_driver_ends_the_run_and_no_trial(tmp_path: Path) -> None:
    new = engine(tmp_path)
    started(new)
    new.on_breakdown("t1", Breakdown("differs", "node-2 runs other code: torch 2.1, not 2.0"))
    assert isinstance(new.failure, RunError)
    assert "node-2 runs other code: torch 2.1, not 2.0; make the nodes equal" in str(new.failure)
    assert [trial.state for trial in new.history.trials.values()] == ["started"]
    assert new.next_run("t2") is None


def test_a_checkpoint_that_could_not_be_written_is_said_once_a_trial_and_in_the_status(
    tmp_path: Path,
) -> None:
    new = engine(tmp_path)
    trial_id = started(new)
    full = "[Errno 28] No space left on device"
    for epoch in (1, 2):
        new.on_message("t1", replace(report(epoch, 1.0), unsaved=full))
    (row,) = new.history.plan_rows(Kind.UNSAVED)
    assert f"{row['config_id']}-{row['seeds'][0]}" == trial_id
    assert plain_line(summarise(new.history)).endswith(
        f"1 trial could not write a checkpoint, the last one on node: {full}"
    )
