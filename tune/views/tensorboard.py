"""TensorBoard: a view of the tables, written live beside them or rebuilt anywhere.

`tensorboard/7-confirm-s3/` is one run: configuration, phase and seed; its curves.
`tensorboard/configurations/7-confirm-done/` is a configuration's row of the HParams dashboard: its
values, and the best so far as every other page has it, the mean over the seeds of its furthest
phase. TensorBoard keeps the first text that it sees of a run, so the row moves to another folder
when its phase or state change. Files can be removed at any time: what is to be written next, the
next start, or `hscl tensorboard` makes them again.
"""

import os
import shlex
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hscl.errors import HsclError, InputError
from hscl.metrics import METRICS
from tune.engine.driver import View
from tune.engine.engine import Engine
from tune.evidence.search.values import (
    best_epoch,
    furthest_trials,
    state_of,
    trials_of,
    varied_values,
)
from tune.states import TrialState
from tune.tables.history import History
from tune.tables.storage import Folder
from tune.views.study import Study
from tune.views.tensorboard_events import (
    SEEDS,
    SPREAD,
    best_tag,
    end_record,
    experiment_file,
    header,
    report_records,
    row_records,
    value_record,
)

__all__ = ["FOLDER", "TensorBoard", "rebuild"]

FOLDER = "tensorboard"
_FILE = "events.out.tfevents.hscl"
_ROWS = "configurations"

Row = Mapping[str, Any]


class TensorBoard(View):
    """Writes event files while a study runs; not for object storage, where nothing is appended.

    Args:
        say: Takes the one line that says why no more files are written.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say = say
        self._study: Study | None = None
        self._runs: _Runs | None = None
        self._waiting: list[tuple[str, Sequence[Row]]] = []

    def begin(self, engine: Engine, folder: Folder) -> None:
        """Bring the files up to the tables, then listen."""
        if folder.local is None:
            return
        self._study = Study(folder, engine.spec)
        self._rebuild()
        if self._runs is not None:
            engine.recorder.listeners.append(
                lambda table, rows: self._waiting.append((table, rows))
            )

    def tick(self) -> None:
        """Write what has come since; not while a trial waits for an answer."""
        waiting, self._waiting = self._waiting, []
        if self._runs is None or not waiting:
            return
        try:
            for table, rows in waiting:
                self._runs.add(table, rows)
            self._runs.write_rows()
        except Exception:  # noqa: BLE001 - files were removed, it may be; the tables have it all
            self._rebuild()

    def _rebuild(self) -> None:
        """Make all files from the tables as they are now, or give up: a view ends no study."""
        if self._study is None or self._study.folder.local is None:
            return
        folder, root = self._study.folder, self._study.folder.local / FOLDER
        try:
            self._runs = rebuild(Study(folder, self._study.spec), root)
        except Exception as error:  # noqa: BLE001 - said, and the study goes on
            self._runs = None
            self._say(
                f"no files for TensorBoard are written any more: {_reason(error)}. The search "
                "goes on; once the cause is removed, make them with: "
                f"hscl tensorboard {shlex.quote(folder.uri)}"
            )

    def end(self) -> None:
        """Write the rest."""
        self.tick()


def rebuild(study: Study, root: Path) -> "_Runs":
    """Make all event files from a study's tables.

    Args:
        study: The study.
        root: A folder of its own; files of complete trials that are right already stay.

    Returns:
        What new rows can be added to.

    Raises:
        InputError: If the folder holds something else.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} must be a folder for TensorBoard, but is a file")
    runs = _Runs(study.history, root)
    events: dict[str, list[Row]] = defaultdict(list)
    for event in study.table("trials", events=True).to_pylist():
        events[event["trial_id"]].append(event)
    runs.remove_others(mine[0] for mine in events.values())
    needed = {trial_id for trial_id, mine in events.items() if not runs.is_whole(mine)}
    reports: dict[str, list[Row]] = defaultdict(list)
    for row in study.table("reports").to_pylist():
        runs.note_best(row)
        if row["trial_id"] in needed:
            reports[row["trial_id"]].append(row)
    for trial_id in needed:
        runs.write(events[trial_id], reports[trial_id])
    runs.write_rows()
    return runs


class _Runs:
    """The event files of a study, and its rows folded, as far as they are durable."""

    def __init__(self, history: History, root: Path) -> None:
        self._history = history
        self._root = root
        self._names: dict[str, str] = {}
        self._began: dict[str, datetime] = {}
        self._seconds: dict[str, float] = {}
        self._best: dict[str, Row] = {}
        self._rows: dict[str, tuple[Path, dict[str, float]]] = {}
        self._changed: set[str] = set(history.configs)
        root.mkdir(parents=True, exist_ok=True)
        (root / _FILE).write_bytes(experiment_file(history.spec))

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows that have just become durable."""
        if table == "configs":
            for row in rows:
                self._history.apply_config(row)
        elif table == "plan":
            for row in rows:
                self._history.apply_plan(row)
        elif table == "trials":
            for row in rows:
                self._history.apply_event(row)
                self._changed.add(row["config_id"])
                self._add_event(row)
        elif table == "reports":
            by_trial: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                self._history.apply_report(row)
                self.note_best(row)
                by_trial[row["trial_id"]].append(row)
            for trial_id, mine in by_trial.items():
                self._append(trial_id, self._reports(trial_id, mine))

    def note_best(self, row: Row) -> None:
        """Keep what a trial reported at its best epoch."""
        trial = self._history.trials.get(row["trial_id"])
        if trial is not None and best_epoch(trial) == row["epoch"]:
            self._best[row["trial_id"]] = row
            self._changed.add(trial.config_id)

    def write_rows(self) -> None:
        """Bring the rows of the HParams dashboard up to the history."""
        changed, self._changed = self._changed, set()
        for config_id in changed:
            self._write_row(config_id)

    def _write_row(self, config_id: str) -> None:
        record, trials = self._history.configs.get(config_id), trials_of(self._history, config_id)
        counted = furthest_trials(self._history, config_id)
        if record is None or not trials:
            return
        phase = (counted or trials)[-1].phase
        state = TrialState(state_of(trials))
        folder = self._root / _ROWS / f"{record.number}-{phase}-{state}"
        before, told = self._rows.get(config_id, (None, {}))
        values = self._values(trial.trial_id for trial in counted)
        if folder == before:
            if values != told:
                _append(folder / _FILE, value_record(values))
        else:
            params = varied_values(self._history.spec, record)
            params |= {"trial.phase": str(phase), "trial.state": str(state)}
            folder.mkdir(parents=True, exist_ok=True)
            content = row_records(params, str(record.number), state, values)
            (folder / _FILE).write_bytes(content)
            if before is not None:
                _remove(before)
        self._rows[config_id] = folder, values

    def _values(self, trial_ids: Iterable[str]) -> dict[str, float]:
        """A row's values: means over trials, each at its best epoch."""
        best = [self._best[one] for one in trial_ids if one in self._best]
        values: dict[str, float] = {}
        for name in METRICS:
            known = [row[f"valid_{name}"] for row in best if row.get(f"valid_{name}") is not None]
            if known:
                values[best_tag(name)] = statistics.fmean(known)
            if name == self._history.spec.study.metric and len(known) > 1:
                values[SPREAD] = statistics.stdev(known)
        return values | {SEEDS: len(best)}

    def remove_others(self, trials: Iterable[Row]) -> None:
        """Remove what is of no trial (earlier versions named runs otherwise), and all rows."""
        kept = {self._path(row).parent for row in trials}
        rows = self._root / _ROWS
        for path in [*self._root.iterdir(), *(rows.iterdir() if rows.is_dir() else ())]:
            if path not in kept:
                _remove(path)

    def is_whole(self, events: Sequence[Row]) -> bool:
        """Whether a trial has ended and its file ends with that."""
        path = self._path(events[0])
        if events[-1]["state"] == TrialState.STARTED or not path.exists():
            return False
        end = _end(events[-1])
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(end)))
            return file.read() == end

    def write(self, events: Sequence[Row], reports: Sequence[Row]) -> None:
        """Write a trial's file anew."""
        trial_id = events[0]["trial_id"]
        self._began[trial_id] = events[0]["time"]
        self._seconds[trial_id] = 0.0
        content = header(events[0]["time"].timestamp()) + self._reports(trial_id, reports)
        if events[-1]["state"] != TrialState.STARTED:
            content += _end(events[-1])
        path = self._path(events[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _add_event(self, row: Row) -> None:
        trial_id = row["trial_id"]
        if row["state"] != TrialState.STARTED:
            self._append(trial_id, _end(row))
        elif trial_id not in self._began:
            self.write([row], [])

    def _reports(self, trial_id: str, rows: Sequence[Row]) -> bytes:
        records = report_records(rows, self._began[trial_id], self._seconds[trial_id])
        for row in rows:  # one by one, so that the bytes don't depend on who came together
            self._seconds[trial_id] += row.get("seconds") or 0.0
        return records

    def _append(self, trial_id: str, records: bytes) -> None:
        _append(self._root / self._names[trial_id] / _FILE, records)

    def _path(self, event: Row) -> Path:
        """A trial's file, by any of its events."""
        record = self._history.configs.get(event["config_id"])
        number = event["config_id"] if record is None else record.number
        name = f"{number}-{event['phase']}-s{event['seed']}"
        self._names[event["trial_id"]] = name
        return self._root / name / _FILE


def _reason(error: Exception) -> str:
    """What went wrong, for people; of what was not foreseen its kind as well."""
    known = isinstance(error, HsclError | OSError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _append(path: Path, records: bytes) -> None:
    """Write behind what a file holds; one that is gone has lost its head and is an error."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(records)


def _remove(folder: Path) -> None:
    """Remove a run's folder, if it holds nothing but its file."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [_FILE]:
        (folder / _FILE).unlink()
        folder.rmdir()


def _end(event: Row) -> bytes:
    return end_record(TrialState(event["state"]), event["time"])
