"""Rows are numbered, folded at once, and durable in an order that a kill can't turn around."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import small_study
from replay import replay
from small_study import noisy, shuffled
from synthetic import study

from tune.engine.recorder import Recorder
from tune.planner.decisions import plan_row
from tune.planner.proposals import propose
from tune.simulate.study import SimulatedRun
from tune.states import Kind, Phase
from tune.tables.history import History
from tune.tables.memory import MemoryStore
from tune.tables.store import TableStore
from tune.trial.messages import NODE_LOST

SPEC = study()


def recorder(folder: Path) -> Recorder:
    return Recorder(SPEC, TableStore(folder))


def event(trial: str, state: str, **more: Any) -> dict[str, Any]:
    config_id, seed = trial.split("-")
    about = {"config_id": config_id, "phase": "screen", "seed": int(seed), "attempt": 1}
    return {"trial_id": trial, "state": state, "error": None} | about | more


def report(trial: str, epoch: int, **more: Any) -> dict[str, Any]:
    flags = {"stop": False, "finished": False, "collapsed": False, "attempt": 1}
    return {"trial_id": trial, "epoch": epoch, "valid_mae": 1 / epoch} | flags | more


@pytest.fixture
def trial(tmp_path: Path) -> str:
    """A started trial of the default, written by an earlier process."""
    first = recorder(tmp_path)
    config = propose(SPEC, History(SPEC), 0, Phase.SCREEN).config
    assert config is not None
    first.add_config(config)
    name = f"{config['config_id']}-7"
    first.add_event(event(name, "started"))
    return name


def rows(folder: Path, table: str, column: str) -> list[Any]:
    values: list[Any] = TableStore(folder).read(table)[column].to_pylist()
    return values


def test_reports_wait_for_a_moment_and_are_folded_at_once(tmp_path: Path, trial: str) -> None:
    now = recorder(tmp_path)
    assert now.add_report(report(trial, 1))
    assert now.history.trials[trial].epoch == 1
    now.flush_if_due()
    assert rows(tmp_path, "reports", "epoch") == []
    now._flushed -= 1
    now.flush_if_due()
    assert rows(tmp_path, "reports", "epoch") == [1]


def test_a_start_is_durable_at_once_with_everything_before_it(tmp_path: Path, trial: str) -> None:
    now = recorder(tmp_path)
    now.add_report(report(trial, 1))
    now.add_event(event(trial, "done"))
    assert rows(tmp_path, "trials", "state") == ["started"]
    now.add_event(event(trial.split("-", maxsplit=1)[0] + "-8", "started"))
    assert rows(tmp_path, "trials", "state") == ["started", "done", "started"]
    (reported,) = rows(tmp_path, "reports", "seq")
    assert reported < rows(tmp_path, "trials", "seq")[1]


def test_an_epoch_that_is_recorded_already_is_dropped(tmp_path: Path, trial: str) -> None:
    now = recorder(tmp_path)
    now.add_report(report(trial, 1))
    now.flush()
    again = recorder(tmp_path)
    assert not again.add_report(report(trial, 1, valid_mae=99.0))
    assert again.add_report(report(trial, 2))
    again.flush()
    assert rows(tmp_path, "reports", "epoch") == [1, 2]
    assert rows(tmp_path, "reports", "valid_mae") == [1.0, 0.5]


def test_numbers_rise_over_all_tables_and_processes(tmp_path: Path, trial: str) -> None:
    for epoch in (1, 2):
        now = recorder(tmp_path)
        now.add_report(report(trial, epoch))
        now.add_plan([plan_row(Kind.ROUND), plan_row(Kind.ROUND)])
    tables = [rows(tmp_path, name, "seq") for name in ("trials", "reports", "plan")]
    assert tables == [[0], [1, 4], [2, 3, 5, 6]]


def test_in_memory_the_same_rows_are_kept_without_a_clock(tmp_path: Path) -> None:
    memory = MemoryStore()
    kept = []
    for new in (Recorder(SPEC, memory, host="h", clock=lambda: None), recorder(tmp_path)):
        config = propose(SPEC, new.history, 0, Phase.SCREEN).config
        assert config is not None
        name = f"{config['config_id']}-7"
        new.add_config(config)
        new.add_event(event(name, "started"))
        new.add_report(report(name, 1))
        new.add_plan([plan_row(Kind.ROUND, seeds=[3])])
        kept.append(new)
    measured = ["time", "host"]
    for table in ("configs", "trials", "reports", "plan"):
        durable, held = (store.read(table) for store in (TableStore(tmp_path), memory))
        names = [name for name in durable.column_names if name not in measured]
        assert held.select(names).to_pylist() == durable.select(names).to_pylist()
    assert memory.tables["trials"][0]["time"] is None
    assert memory.tables["trials"][0]["host"] == "h"
    again = Recorder(SPEC, memory)
    assert again.history.trials == kept[1].history.trials
    again.add_plan([plan_row(Kind.ROUND)])
    assert memory.tables["plan"][-1]["seq"] == 3


def test_predictions_are_written_once_before_the_end(tmp_path: Path, trial: str) -> None:
    table = pa.table(
        {
            "split": ["valid"],
            "utterance": ["u"],
            "video": ["v"],
            "label": [1.0],
            "prediction": [0.5],
        }
    )
    for _ in range(2):
        now = recorder(tmp_path)
        now.add_predictions(trial, table)
        now.add_predictions(trial, table)
        now.flush()
    assert rows(tmp_path, "predictions", "trial_id") == [trial]


def test_retries_that_count_are_remembered_over_a_restart(tmp_path: Path, trial: str) -> None:
    now = recorder(tmp_path)
    now.add_event(event(trial, "started", attempt=2))  # the driver was killed: nobody's fault
    now.add_event(event(trial, "started", attempt=3, error=f"{NODE_LOST}: gone"))
    now.add_event(event(trial, "started", attempt=4, error="memory: too much"))
    assert now.setbacks == {trial: 1}
    assert recorder(tmp_path).setbacks == {trial: 1}


def test_a_view_hears_of_rows_once_they_are_durable(tmp_path: Path, trial: str) -> None:
    heard: list[tuple[str, int, int]] = []
    now = recorder(tmp_path)
    now.listeners.append(
        lambda table, new: heard.append(
            (table, len(new), TableStore(tmp_path).read(table).num_rows)
        )
    )
    now.add_report(report(trial, 1))
    now.add_event(event(trial, "done"))
    assert heard == []
    now.flush()
    assert heard == [("reports", 1, 1), ("trials", 1, 2)]


def test_what_a_trials_worker_said_of_itself_is_known_to_the_next_driver(
    tmp_path: Path, trial: str
) -> None:
    now = recorder(tmp_path)
    now.add_report(report(trial, 1) | {"host": "a", "precision": "fp32", "parameters": 7})
    now.add_report(report(trial, 2) | {"host": "b", "precision": "bf16"})
    assert now.said == {trial: {"host": "b", "precision": "bf16", "parameters": 7}}
    now.flush()
    assert recorder(tmp_path).said == now.said


def test_a_decision_is_never_durable_without_the_end_that_it_was_made_on(
    tmp_path: Path, trial: str
) -> None:
    writer = recorder(tmp_path)
    at_each: list[tuple[str, list[str]]] = []
    writer.listeners.append(
        lambda table, _: at_each.append((table, rows(tmp_path, "trials", "state")))
    )
    writer.add_event(event(trial, "failed"))
    writer.add_plan([plan_row(Kind.WINNER, note="nothing")])
    assert ("plan", ["started", "failed"]) in at_each


# Of failures no report tells: they are known by their end alone.
FAILING = noisy(failing=0.15)
SMALL = small_study.study(
    "sampler.trials = 10\nrefine.trials = 4\nconfirm.seeds = 0", sampler="tpe"
)


class KilledError(Exception):
    """Nothing after it is written."""


class DiesAfter(MemoryStore):
    """A store whose process is killed right after it has written so many configurations."""

    def __init__(self, configs: int) -> None:
        super().__init__()
        self._left = configs

    def append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        super().append(table, rows)
        if table == "configs":
            self._left -= len(rows)
            if self._left <= 0:
                raise KilledError


@pytest.mark.parametrize("configs", [4, 9, 11, 12, 13, 14])
def test_a_configuration_is_durable_only_after_what_it_was_proposed_on(configs: int) -> None:
    first, store = SimulatedRun(SMALL, FAILING, slots=2, pick=shuffled(1)), DiesAfter(configs)
    first._store = first._recorder._store = store
    with pytest.raises(KilledError):
        first.run()
    again = SimulatedRun(SMALL, FAILING, slots=2, pick=shuffled(2), tables=store.tables).run()
    assert again.done is not None
    replay(SMALL, again.tables)
