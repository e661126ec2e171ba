"""Folds a study's Arrow tables into its history: a million reports take well below a second."""

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import TrialReports

__all__ = ["Readable", "fold", "metric_values", "read_tables", "report_columns"]

_EVENT = ["seq", "trial_id", "config_id", "phase", "seed", "attempt", "state", "error"]


class Readable(Protocol):
    """Where tables are read from: a folder, or memory."""

    def read(self, table: str, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a table, in the order in which they were appended."""


def read_tables(store: Readable, spec: StudySpec) -> dict[str, pa.Table]:
    """The tables that a history is made of.

    Args:
        store: The study's tables.
        spec: The study.

    Returns:
        `configs`, `trials`, `plan`, and of `reports` only the columns that a history takes.
    """
    return {
        "configs": store.read("configs"),
        "trials": store.read("trials"),
        "reports": store.read("reports", columns=report_columns(spec)),
        "plan": store.read("plan"),
    }


def fold(spec: StudySpec, tables: Mapping[str, pa.Table]) -> History:
    """What has happened in a study, from whole tables or from what is left of them.

    Rows may be lost: a trial whose configuration is not there is a trial all the same, and one
    whose first events are lost begins with those that are left. Reports of a trial without any
    event say nothing.

    Args:
        spec: The study.
        tables: `configs`, `trials`, `reports` and `plan`, their rows in any order.

    Returns:
        The same history as the driver had after its last append.
    """
    history = History(spec)
    if not any(map(len, tables.values())):
        return history  # a new study, of which simulations begin thousands
    for row in tables["configs"].sort_by("number").to_pylist():
        history.apply_config(row)
    events = tables["trials"].select(_EVENT).sort_by("seq").to_pylist()
    for row in events:
        history.begin_trial(row)
    _take_reports(history, tables["reports"])
    # Ends and decisions have an order among them: what a person's restart opens again had failed.
    told = ((row["seq"], history.apply_event, row) for row in events)
    decided = tables["plan"].sort_by("seq").to_pylist()
    plan = ((row["seq"], history.apply_plan, row) for row in decided)
    for _, apply, row in heapq.merge(told, plan, key=lambda item: item[0]):
        apply(row)
    return history


def metric_values(reports: pa.Table, spec: StudySpec) -> npt.NDArray[np.float64]:
    """The study's valid metric in each report (R,); NaN where it is no finite number."""
    values = _floats(reports[f"valid_{spec.study.metric}"])
    return np.where(np.isfinite(values), values, np.nan)


def report_columns(spec: StudySpec) -> list[str]:
    """The columns of `reports` that a history takes."""
    return ["seq", "stop", "finished", "collapsed", "seconds", f"valid_{spec.study.metric}"]


def _take_reports(history: History, reports: pa.Table) -> None:
    """All reports of the trials that there are."""
    names = pa.array(list(history.trials), type=pa.string())
    known = reports.select(["trial_id", "epoch", *report_columns(history.spec)])
    numbers = pc.index_in(known["trial_id"], value_set=names)
    known = known.append_column("number", numbers).filter(pc.is_valid(numbers))
    seconds = _floats(known.sort_by("seq")["seconds"].fill_null(0.0))
    history.epochs, history.seconds = len(known), _sum(seconds)
    for number, mine in _by_trial(known, history):
        history.apply_reports(names[number].as_py(), mine)


def _by_trial(reports: pa.Table, history: History) -> Iterator[tuple[int, TrialReports]]:
    """Each trial's number and its reports."""
    number, epoch = (reports[name].to_numpy() for name in ("number", "epoch"))
    order = np.lexsort((epoch, number))
    number, epoch = number[order], epoch[order]
    values = metric_values(reports, history.spec)[order]
    seconds = _floats(reports["seconds"].fill_null(0.0))[order]
    stop, finished, collapsed = (
        reports[name].to_numpy()[order] for name in ("stop", "finished", "collapsed")
    )
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    for begin, end in itertools.pairwise(bounds if len(number) else []):
        epochs = epoch[begin:end].tolist()
        best = history.best_so_far(values[begin:end]).tolist()
        yield (
            int(number[begin]),
            TrialReports(
                curve=dict(zip(epochs, values[begin:end].tolist(), strict=True)),
                best=dict(zip(epochs, best, strict=True)),
                stop=bool(stop[end - 1]),
                finished=bool(finished[begin:end].any()),
                collapsed=bool(collapsed[end - 1]),
                seconds=_sum(seconds[begin:end]),
            ),
        )


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers


def _sum(values: npt.NDArray[np.float64]) -> float:
    """The sum from first to last, which is what the driver has who adds one by one."""
    return float(np.cumsum(values)[-1]) if values.size else 0.0
