"""TensorBoard: a view of the tables, written live beside them or rebuilt anywhere.

`tensorboard/<trial_id>/` is one run; all seeds of a configuration are one session group of the
HParams dashboard. Files can be removed at any time: the next start or `hscl tensorboard` makes
them again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hscl.errors import InputError
from tune.engine.driver import View
from tune.engine.engine import Engine
from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.tables.storage import Folder
from tune.views.study import Study
from tune.views.tensorboard_events import (
    end_record,
    experiment_file,
    hyperparameters,
    report_records,
    start_records,
)

__all__ = ["FOLDER", "TensorBoard", "rebuild"]

FOLDER = "tensorboard"
_FILE = "events.out.tfevents.hscl"

Row = Mapping[str, Any]


class TensorBoard(View):
    """Writes event files while a study runs; not for object storage, where nothing is appended."""

    def __init__(self) -> None:
        self._runs: _Runs | None = None
        self._waiting: list[tuple[str, Sequence[Row]]] = []

    def begin(self, engine: Engine, folder: Folder) -> None:
        """Bring the files up to the tables, then listen."""
        if folder.local is None:
            return
        with suppress(OSError):  # a view never ends a study
            self._runs = rebuild(Study(folder, engine.spec), folder.local / FOLDER)
        engine.recorder.listeners.append(lambda table, rows: self._waiting.append((table, rows)))

    def tick(self) -> None:
        """Write what has come since; not while a trial waits for an answer."""
        waiting, self._waiting = self._waiting, []
        if self._runs is not None:
            for table, rows in waiting:
                with suppress(OSError):
                    self._runs.add(table, rows)

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
    runs = _Runs(study.spec, root)
    runs.add("configs", study.table("configs").to_pylist())
    events: dict[str, list[Row]] = defaultdict(list)
    for event in study.table("trials", events=True).to_pylist():
        events[event["trial_id"]].append(event)
    needed = {trial_id for trial_id, mine in events.items() if not runs.is_whole(mine)}
    reports: dict[str, list[Row]] = defaultdict(list)
    if needed:
        for row in study.table("reports").to_pylist():
            if row["trial_id"] in needed:
                reports[row["trial_id"]].append(row)
    for trial_id in needed:
        runs.write(events[trial_id], reports[trial_id])
    return runs


class _Runs:
    """The event files of a study."""

    def __init__(self, spec: StudySpec, root: Path) -> None:
        self._spec = spec
        self._root = root
        self._params: dict[str, dict[str, Any]] = {}
        self._began: dict[str, datetime] = {}
        self._seconds: dict[str, float] = {}
        root.mkdir(parents=True, exist_ok=True)
        (root / _FILE).write_bytes(experiment_file(spec))

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows that have just become durable."""
        if table == "configs":
            for row in rows:
                params = hyperparameters(self._spec, row["config"], row["name"])
                self._params[row["config_id"]] = params
        elif table == "trials":
            for row in rows:
                self._add_event(row)
        elif table == "reports":
            by_trial: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                by_trial[row["trial_id"]].append(row)
            for trial_id, mine in by_trial.items():
                self._append(trial_id, self._reports(trial_id, mine))

    def is_whole(self, events: Sequence[Row]) -> bool:
        """Whether a trial has ended and its file ends with that."""
        path = self._path(events[0]["trial_id"])
        if events[-1]["state"] == TrialState.STARTED or not path.exists():
            return False
        end = _end(events[-1])
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(end)))
            return file.read() == end

    def write(self, events: Sequence[Row], reports: Sequence[Row]) -> None:
        """Write a trial's file anew."""
        trial_id, config_id = events[0]["trial_id"], events[0]["config_id"]
        self._began[trial_id] = events[0]["time"]
        self._seconds[trial_id] = 0.0
        content = start_records(self._params[config_id], config_id, events[0]["time"])
        content += self._reports(trial_id, reports)
        if events[-1]["state"] != TrialState.STARTED:
            content += _end(events[-1])
        path = self._path(trial_id)
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
        with self._path(trial_id).open("ab") as file:
            file.write(records)

    def _path(self, trial_id: str) -> Path:
        return self._root / trial_id / _FILE


def _end(event: Row) -> bytes:
    return end_record(TrialState(event["state"]), event["time"])
