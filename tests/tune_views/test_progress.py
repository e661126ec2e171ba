"""What a person sees while a study runs, in a terminal and in a log."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_steps import report
from rich.console import Console
from synthetic import study

from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.tables.history import History
from tune.tables.lock import Holder
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.progress import SearchProgress, render, status_text, trial_text
from tune.views.summary import StudyStatus, summarise


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Recorder(study(), TableStore(tmp_path)), lambda: 1)


def watch(engine: Engine, where: Path, *, terminal: bool) -> str:
    """One trial of three epochs, drawn after each."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    view = SearchProgress(console, plain_s=0.0)
    view.begin(engine, open_folder(where))
    engine.next_run("t1")
    for epoch in (1, 2, 3):
        engine.on_message("t1", report(epoch, 1 / epoch))
        view._next = 0.0
        view.tick()
    engine.stopping = True
    view.tick()
    view.end()
    view.end()
    return out.getvalue()


def test_plain_lines_where_it_is_no_terminal(engine: Engine, tmp_path: Path) -> None:
    lines = watch(engine, tmp_path, terminal=False).splitlines()
    assert lines[0] == f"synthetic -> {tmp_path}"
    assert lines[1].startswith("screen: 1 running · 1 epoch")
    assert lines[3].startswith("screen: 1 running · 3 epochs")
    assert lines[4].startswith("stopping: running epochs end and are saved")
    assert len(lines) == 6
    assert "\x1b" not in "".join(lines)


def test_bars_for_every_phase_in_a_terminal(engine: Engine, tmp_path: Path) -> None:
    text = watch(engine, tmp_path, terminal=True)
    for words in ("screen", "refine", "confirm", "0/6", "0/3", "0/4", "1 running", "3 epochs"):
        assert words in text


def test_a_running_trial_has_a_row_with_epoch_value_and_rung(engine: Engine) -> None:
    engine.next_run("t1")
    engine.on_message("t1", report(1, 0.5))
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(render(summarise(engine.history)))
    (row,) = [line for line in console.export_text().splitlines() if "epoch 1/" in line]
    seed = engine.live["t1"].seed
    rung = min(r for r in engine.history.rungs if r > 1) if len(engine.history.rungs) > 1 else None
    assert row.split("  ")[1] == "default"
    assert f"seed {seed}" in row
    assert "0.5000" in row
    assert rung is None or f"compared at epoch {rung}" in row


def status(history: History, holder: Holder | None) -> StudyStatus:
    then = datetime(2026, 1, 1, 12, 0, 40, tzinfo=UTC)
    return StudyStatus(summarise(history), then - timedelta(seconds=40), holder, then)


def holder(**changed: Any) -> Holder:
    here = Path.cwd()
    words = ("hscl", "search", f"{here}/runs/my study", "--data", "/far/mosi.arrow")
    told: dict[str, Any] = {
        "running": False,
        "host": "node-1",
        "pid": 7,
        "since": "2026-01-01T11:55:40Z",
        "go_on": words,
    }
    return Holder(**told | changed)


NOON = "2026-01-01T12:00:00Z"
GOES_ON = "go on with: hscl search 'runs/my study' --data /far/mosi.arrow"


@pytest.mark.parametrize(
    ("who", "alive", "said"),
    [
        (holder(running=True), "running", "running, by process 7 on node-1 for 5 min"),
        (
            holder(running=True, silent_s=600.0),
            "silent",
            "silent: process 7 on node-1 has it, but gave no sign of life for 10 min",
        ),
        (holder(), "died", "died: process 7 on node-1 is gone"),
        (
            holder(at=NOON, why="stopped"),
            "stopped",
            "stopped by a person 40 s ago",
        ),
        (
            holder(at=NOON, why="disk full"),
            "failed",
            "failed 40 s ago: disk full",
        ),
        (None, "unfinished", "unfinished"),
    ],
)
def test_status_tells_what_runs_from_what_was_stopped_or_died_and_what_goes_on(
    engine: Engine, who: Holder | None, alive: str, said: str
) -> None:
    engine.next_run("t1")
    engine.on_message("t1", report(1, 0.5))
    told = status(engine.history, who)
    assert told.alive == alive
    lines = status_text(told, 100).splitlines()
    assert lines[0].startswith(f"synthetic: {said}")
    assert "last event 40 s ago" in lines
    assert (GOES_ON in lines) == (who is not None and alive != "running")
    waits = "1 running" if alive == "running" else "1 to go on with"
    assert any(waits in line for line in lines)
    assert any("epoch 1/" in line for line in lines) == (alive == "running")


def test_the_command_that_goes_on_is_one_line_in_any_width(engine: Engine) -> None:
    engine.next_run("t1")
    assert GOES_ON in status_text(status(engine.history, holder()), 20).splitlines()


def test_trials_are_counted_value_text() -> None:
    counts = {"started": 2, "done": 5, "pruned": 0, "failed": 1}
    assert trial_text(counts) == "2 running, 5 done, 1 failed"
    assert trial_text({}) == "no trials yet"
