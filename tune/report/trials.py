"""The table of trials for people and programs: sorted, filtered, drawn."""

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds
from rich import box
from rich.table import Table
from rich.text import Text

from hscl.errors import InputError, did_you_mean
from hscl.metrics import DIGITS, METRIC
from tune.display import MISSING, duration_text, number, setting
from tune.report.model import TextTable
from tune.study.rules import parse_rule
from tune.tables.records import config_label

__all__ = ["TRIAL_FORMATS", "filtered", "render_trials", "sorted_by", "trials_text"]

TRIAL_FORMATS = ("table", "csv", "json", "parquet")

_WORDS = re.compile(r"\s*([^\W\d][\w.]*)\s*(==|!=)\s*[\"']?([^\"'<>=]*?)[\"']?\s*")
"""A comparison of a column with a word, such as `state == pruned`."""

_SWITCH = {"on": True, "true": True, "off": False, "false": False}
"""What people write for a switch."""

_VALUES = {"valid": "valid_sd", "predicted": "predicted_sd", "test": "test_sd"}
"""Columns of the study's metric, and where the deviation of each stands."""


def filtered(rows: pa.Table, conditions: Sequence[str]) -> pa.Table:
    """The rows for which all conditions hold; one without a value in a named column holds none.

    Args:
        rows: From `tune.evidence.search.trials.trials_table`.
        conditions: Such as `loss.temperature < 0.2`, as the rules of `[constraints]` are written,
            or `state == pruned` for columns of words.

    Raises:
        InputError: A condition is neither, or names no column.
    """  # noqa: DOC502 - raised by _holds
    for condition in conditions:
        rows = rows.filter(pa.array(_holds(rows, condition), type=pa.bool_()))
    return rows


def _holds(rows: pa.Table, condition: str) -> list[bool]:
    """For each row whether a condition holds.

    Raises:
        InputError: It compares words by size, or calculates with them.
    """
    match = _WORDS.fullmatch(condition)
    if match is not None and not _is_number(rows, name := _column(rows, match[1])):
        switch = kinds.is_boolean(rows.schema.field(name).type)
        word = _SWITCH.get(match[3].lower()) if switch else match[3]
        cells = rows[name].to_pylist()
        return [cell is not None and (cell == word) is (match[2] == "==") for cell in cells]
    rule = parse_rule(condition)
    columns = {written: _column(rows, written) for written in rule.names}
    for name in columns.values():
        if not _is_number(rows, name):
            raise InputError(
                f"--filter may compare {name} with == and != only, as it holds words, but is "
                f"{condition!r}"
            )
    records = [
        {written: record[name] for written, name in columns.items()} for record in rows.to_pylist()
    ]
    return [None not in record.values() and rule.holds(record) for record in records]


def _column(rows: pa.Table, name: str) -> str:
    """The column of a name; of a dotted one the last part is enough, where only one has it.

    Raises:
        InputError: There is no such column.
    """
    if name in rows.column_names:
        return name
    short = [column for column in rows.column_names if column.endswith(f".{name}")]
    if len(short) != 1:
        valid = did_you_mean(name, rows.column_names)
        raise InputError(f"{name!r} is no column of trials; {valid}")
    return str(short[0])


def _is_number(rows: pa.Table, name: str) -> bool:
    kind = rows.schema.field(name).type
    return bool(kinds.is_floating(kind) or kinds.is_integer(kind))


def sorted_by(rows: pa.Table, column: str, metric: str) -> pa.Table:
    """Rows in another order; those without a value stand last.

    Args:
        rows: From `tune.evidence.search.trials.trials_table`.
        column: By which, rising, and the best first where it is a value of the metric; with a
            minus sign before it the other way round.
        metric: The study's.

    Raises:
        InputError: There is no such column.
    """  # noqa: DOC502 - raised by _column
    name = _column(rows, column.removeprefix("-"))
    best_is_high = name in _VALUES and not METRIC[metric].lower_wins
    falling = best_is_high is not column.startswith("-")
    cells = rows[name].to_pylist()
    known = [place for place, cell in enumerate(cells) if cell is not None]
    known.sort(key=lambda place: cells[place], reverse=falling)
    last = [place for place, cell in enumerate(cells) if cell is None]
    return rows.take(pa.array(known + last, type=pa.int64()))


def trials_text(rows: pa.Table, metric: str) -> TextTable:
    """The table as people read it: values with their deviations, durations, short heads.

    Args:
        rows: From `tune.evidence.search.trials.trials_table`; one or more columns of it.
        metric: The study's.
    """
    columns = [name for name in rows.column_names if name not in _LEFT_OUT]
    columns.sort(key=lambda name: name not in _FIRST)  # what came out before what went in
    records = rows.to_pylist()
    drop = {name for name in columns if name in _RARE and not any(r[name] for r in records)}
    columns = [name for name in columns if name not in drop]
    return TextTable(
        tuple(_head(name, rows, metric) for name in columns),
        tuple(tuple(_cell(name, record) for name in columns) for record in records),
        numeric=frozenset(
            place
            for place, name in enumerate(columns)
            if name != "number" and _is_number(rows, name)
        ),
        strong=frozenset(
            place for place, record in enumerate(records) if record.get("role") == "winner"
        ),
    )


_FIRST = {"number", "name", "phase", "seed", *_VALUES}
_LEFT_OUT = {"config_id", "trial_id", "role", *_VALUES.values()}
_RARE = {"predicted", "test", "failures", "error"}
_HEADS = {
    "number": "#",
    "name": "configuration",
    "best_epoch": "best epoch",
    "seconds": "trained",
    "failures": "failed",
}


def _head(name: str, rows: pa.Table, metric: str) -> str:
    if name in _VALUES:
        return f"{name} {METRIC[metric].name}"
    last = name.rpartition(".")[2]
    alone = sum(column.rpartition(".")[2] == last for column in rows.column_names) == 1
    return _HEADS.get(name, last if alone else name)


def _cell(name: str, record: dict[str, Any]) -> str:
    value = record[name]
    if name in _VALUES:
        sd = record.get(_VALUES[name])
        return number(value, DIGITS) + ("" if sd is None else f" ± {number(sd, DIGITS)}")
    if name == "seconds":
        return duration_text(value)
    if name == "name":
        place = record.get("number")  # which a configuration without a name of its own is called
        own = "" if place and value == config_label(place, None) else value
        winner = record["role"] == "winner"
        return (f"winner ({own})" if own else "winner") if winner else own
    if name == "failures":
        return str(value or "")
    if name == "error":
        return (value or "").splitlines()[0] if value else ""
    return MISSING if value is None else setting(value)


def render_trials(rows: pa.Table, metric: str) -> Table:
    """The same for the terminal.

    Args:
        rows: From `tune.evidence.search.trials.trials_table`.
        metric: The study's.
    """
    text = trials_text(rows, metric)
    table = Table(box=box.SIMPLE, pad_edge=False)
    for place, head in enumerate(text.columns):
        right = place in text.numeric
        table.add_column(head, justify="right" if right else "left", no_wrap=right)
    for place, row in enumerate(text.rows):
        table.add_row(*map(Text, row), style="bold" if place in text.strong else None)
    return table
