"""What a person sees while a study runs, in a terminal and in a log."""

import io
from pathlib import Path

import pytest
from engine_steps import report
from rich.console import Console
from synthetic import study

from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.progress import SearchProgress, trial_text


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
    assert lines[1].startswith("screen: 1 running · 1 epochs")
    assert lines[3].startswith("screen: 1 running · 3 epochs")
    assert lines[4].startswith("stopping: running epochs end and are saved")
    assert len(lines) == 6
    assert "\x1b" not in "".join(lines)


def test_bars_for_every_phase_in_a_terminal(engine: Engine, tmp_path: Path) -> None:
    text = watch(engine, tmp_path, terminal=True)
    for words in ("screen", "refine", "confirm", "0/6", "0/3", "0/4", "1 running", "3 epochs"):
        assert words in text


def test_trials_are_counted_value_text() -> None:
    counts = {"started": 2, "done": 5, "pruned": 0, "failed": 1}
    assert trial_text(counts) == "2 running, 5 done, 1 failed"
    assert trial_text({}) == "no trials yet"
