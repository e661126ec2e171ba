"""The one writer of a study's tables: numbers rows, folds them, and puts them in place in order.

Rows are first buffered and folded into the history, so that the next decision sees them at once.
Whatever is flushed, everything with a smaller `seq` is flushed with it or was before: a kill can
lose the newest rows, never one that a durable row was decided on.
"""

import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tune.states import NODE_BROKE, Kind, TrialState
from tune.study.spec import StudySpec
from tune.tables.fold import Readable, fold, read_tables
from tune.tables.schemas import SAID, SCHEMAS
from tune.trial.messages import NODE_LOST

__all__ = ["Recorder", "Store"]

Row = dict[str, Any]

_ORDER = ("configs", "reports", "predictions", "trials", "plan")
"""Tables in the order in which a flush writes them: an end after what it ends, a decision after
the ends that it was made on. (A decision is flushed before any start that follows from it.)"""
_FLUSH_S = 0.2


class Store(Readable, Protocol):
    """Where rows are kept: `tune.tables.store` on disk, `tune.tables.memory` for simulations."""

    def check(self) -> None:
        """Return if this process may write."""

    def append(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of a table; when this returns they are durable."""

    def commit(self) -> None:
        """Write down how many rows there are, so that a lost one is noticed."""


def _utc_now() -> datetime | None:
    return datetime.now(UTC)


class Recorder:
    """Everything known about a study, and the only way to add to it.

    Args:
        spec: The study.
        store: Its tables; this process holds the study's lock.
        host: The driver's; this machine's name where nothing is given.
        clock: The time of a row; None where no time passes.

    Attributes:
        history: The fold of all rows, those not yet flushed included.
        setbacks: For each trial how many of its attempts ended in a way that counts.
        predicted: Trials whose predictions are written.
        said: What the worker last said of itself (`SAID`), for each trial that had no end when
            this process began or has reported since.
        listeners: Called with a table's name and the rows of it that have just become durable.
    """

    def __init__(
        self,
        spec: StudySpec,
        store: Store,
        *,
        host: str | None = None,
        clock: Callable[[], datetime | None] = _utc_now,
    ) -> None:
        self.spec = spec
        self.listeners: list[Callable[[str, Sequence[Row]], None]] = []
        self._store = store
        self._waiting: dict[str, list[Row]] = {name: [] for name in _ORDER}
        self._flushed = time.monotonic()
        self._host = host or platform.node()
        self._clock = clock
        tables = read_tables(store, spec)
        self.history = fold(spec, tables)
        self.said: dict[str, Row] = {}
        self._heard: dict[str, int] = {}  # the attempt that said it
        if self.history.open:
            reports = store.read("reports", columns=[*SAID, "attempt"])
            names = pa.array(list(self.history.open), pa.string())
            for row in reports.filter(pc.is_in(reports["trial_id"], names)).to_pylist():
                self._hear(row)
        numbered = ("trials", "reports", "plan")
        last = [max(tables[name]["seq"].to_pylist(), default=-1) for name in numbered]
        self._seq = max(last) + 1
        events = tables["trials"].select(["trial_id", "state", "error"]).to_pylist()
        self.setbacks = Counter(
            event["trial_id"]
            for event in events
            if event["state"] == TrialState.STARTED and is_setback(event["error"])
        )
        done = store.read("predictions", columns=["trial_id"])
        self.predicted = set(done["trial_id"].unique().to_pylist())

    def add_config(self, row: Mapping[str, Any]) -> None:
        """Buffer a row of `configs`."""
        self.history.apply_config(row)
        self._waiting["configs"].append(dict(row))

    def add_event(self, row: Mapping[str, Any]) -> None:
        """Buffer an event of a trial; a start is flushed at once, with everything before it.

        An end may wait for a moment: until it is durable, the last report or the predictions say
        what it would.
        """
        row = {"host": self._host} | dict(row) | self._stamp()
        if row["state"] == TrialState.STARTED and is_setback(row.get("error")):
            self.setbacks[row["trial_id"]] += 1
        self.history.apply_event(row)
        self._waiting["trials"].append(row)
        if row["state"] == TrialState.STARTED:
            self.flush()

    def add_report(self, row: Mapping[str, Any]) -> bool:
        """Buffer a report; False where that epoch of that trial is recorded already."""
        if not self.history.apply_report(row):
            return False
        self._waiting["reports"].append({**row, "seq": self._number()})
        self._hear(row)
        return True

    def add_plan(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Buffer plan rows that belong together and flush everything."""
        if not rows:
            return
        for row in rows:
            stamped = dict(row) | self._stamp()
            self.history.apply_plan(stamped)
            self._waiting["plan"].append(stamped)
        self.flush()

    def add_predictions(self, trial_id: str, table: pa.Table) -> None:
        """Buffer a trial's predictions, all splits at once; a second time they are left out."""
        if trial_id not in self.predicted:
            self.predicted.add(trial_id)
            rows = table.append_column("trial_id", pa.array([trial_id] * len(table)))
            # What may be null may be left out.
            names = [name for name in SCHEMAS["predictions"].names if name in rows.column_names]
            self._waiting["predictions"] += rows.select(names).to_pylist()

    def said_of(self, trial_id: str, attempt: int) -> Row:
        """What is known of a trial whose attempt ends: `SAID`, and where it ran if that was heard.

        Another attempt had the same precision and as many parameters, but maybe another host.
        """
        told = {"host": None} | self.said.get(trial_id, {})
        return told if self._heard.get(trial_id) == attempt else told | {"host": None}

    def decided(self, kind: Kind) -> bool:
        """Whether the plan has a row of this kind."""
        return bool(self.history.plan_rows(kind))

    def flush(self) -> None:
        """Make every buffered row durable, in order."""
        for name in _ORDER:
            rows = self._waiting[name]
            if rows:
                self._waiting[name] = []
                self._store.append(name, rows)
                for listener in self.listeners:
                    listener(name, rows)
        self._store.commit()
        self._flushed = time.monotonic()

    def flush_if_due(self) -> None:
        """Flush if the oldest buffered row may be older than a moment.

        Either way the lock is looked at: a trial may be an hour from its next row.
        """
        self._store.check()
        if any(self._waiting.values()) and time.monotonic() - self._flushed > _FLUSH_S:
            self.flush()

    def _hear(self, report: Mapping[str, Any]) -> None:
        told = {name: report[name] for name in SAID if report.get(name) is not None}
        self.said.setdefault(report["trial_id"], {}).update(told)
        self._heard[report["trial_id"]] = report["attempt"]

    def _number(self) -> int:
        self._seq += 1
        return self._seq - 1

    def _stamp(self) -> Row:
        return {"seq": self._number(), "time": self._clock()}


def is_setback(reason: str | None) -> bool:
    """Whether the reason of a retry counts against `study.retries`."""
    return reason is not None and not reason.startswith((NODE_LOST, NODE_BROKE))
