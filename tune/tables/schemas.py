"""The Arrow schema of each table of a study, versioned: the contract that other scripts rely on.

A column may be added in a later version; none changes its meaning or goes.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hscl.errors import InputError
from tune.states import Origin, Phase, TrialState

__all__ = [
    "KEYS",
    "LOSSES",
    "METRICS",
    "SAID",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "check_columns",
    "check_version",
    "conformed",
    "first_of_each",
    "to_arrow",
    "unify",
]

SCHEMA_VERSION = 1
_METADATA_KEY = b"hscl_table"

METRICS = ("mae", "corr", "acc7", "acc5", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0")
"""Columns `valid_<metric>`; written out here because the tables are a contract of their own."""
_HSCL = ("low_ta", "low_tv", "sim_ta", "sim_tv", "high")
_MISA = ("similarity", "difference", "reconstruction")
_SELF_MM = ("text", "audio", "vision")
LOSSES = ("total", "task", *_HSCL, *_MISA, *_SELF_MM)
"""Columns `loss_<term>`, null where a kind of model has no such term."""

_TIME = pa.timestamp("us", tz="UTC")
_SAID = {"host": pa.string(), "precision": pa.string(), "parameters": pa.int64()}
SAID = tuple(_SAID)
"""What a worker says of itself and its model: of each epoch, and at a trial's end once more."""


def _schema(required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType]) -> pa.Schema:
    """A schema whose first columns are always there and whose others may be null."""
    columns = [pa.field(name, kind, nullable=False) for name, kind in required.items()]
    return pa.schema(columns + [pa.field(name, kind) for name, kind in optional.items()])


SCHEMAS: dict[str, pa.Schema] = {
    # One row per configuration; one more column per searched parameter, null where it is inactive.
    "configs": _schema(
        {
            "config_id": pa.string(),
            "number": pa.int64(),
            "origin": pa.string(),
            "config": pa.string(),
            "hscl_version": pa.string(),
        },
        {"name": pa.string()},
    ),
    # Events; a trial's last one is its state.
    "trials": _schema(
        {
            "seq": pa.int64(),
            "trial_id": pa.string(),
            "config_id": pa.string(),
            "phase": pa.string(),
            "seed": pa.int64(),
            "attempt": pa.int32(),
            "state": pa.string(),
            "time": _TIME,
        },
        {"error": pa.string(), **_SAID},
    ),
    # One row per trial and epoch.
    "reports": _schema(
        {
            "seq": pa.int64(),
            "trial_id": pa.string(),
            "epoch": pa.int32(),
            "attempt": pa.int32(),
            "stop": pa.bool_(),
            "finished": pa.bool_(),
            "collapsed": pa.bool_(),
        },
        {f"valid_{metric}": pa.float64() for metric in METRICS}
        | {f"loss_{term}": pa.float64() for term in LOSSES}
        | {"seconds": pa.float64(), "steps": pa.int64(), "peak_memory": pa.int64()}
        | _SAID,
    ),
    # One row per trial and utterance of a split.
    "predictions": _schema(
        {
            "trial_id": pa.string(),
            "split": pa.string(),
            "utterance": pa.string(),
            "video": pa.string(),
            "prediction": pa.float64(),
        },
        {"label": pa.float64(), "speaker": pa.string()},
    ),
    # What was decided, and when.
    "plan": _schema(
        {"seq": pa.int64(), "kind": pa.string(), "time": _TIME},
        {
            "phase": pa.string(),
            "config_id": pa.string(),
            "other_config_id": pa.string(),
            "seeds": pa.list_(pa.int64()),
            "value": pa.float64(),
            "note": pa.string(),
        },
    ),
}

KEYS: dict[str, tuple[str, ...]] = {
    "configs": ("config_id",),
    "trials": ("seq",),
    "reports": ("trial_id", "epoch"),
    "predictions": ("trial_id", "split", "video", "utterance"),
    "plan": ("seq",),
}
"""What makes a row one of its kind; readers keep the first row of each key."""


_WORDS: dict[str, type[StrEnum]] = {"origin": Origin, "phase": Phase, "state": TrialState}


def to_arrow(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of the table's schema.

    Args:
        table: The table's name.
        rows: One mapping per row. Missing columns become null. Only `configs` may have further
            columns, one per searched parameter; their types follow from the values.

    Returns:
        The table, with the schema's version in its metadata.

    Raises:
        ValueError: If a row has a column that the schema lacks.
    """
    schema = SCHEMAS[table]
    extra = [
        name for name in dict.fromkeys(n for row in rows for n in row) if name not in schema.names
    ]
    if extra and table != "configs":
        message = f"rows of {table!r} must have the columns {schema.names}, but also have {extra}"
        raise ValueError(message)
    columns = [pa.array([r.get(f.name) for r in rows], type=f.type) for f in schema]
    parameters = [_parameter_column([row.get(name) for row in rows]) for name in extra]
    fields = list(schema) + [pa.field(n, c.type) for n, c in zip(extra, parameters, strict=True)]
    version = json.dumps({"table": table, "schema_version": SCHEMA_VERSION})
    whole = pa.schema(fields, metadata={_METADATA_KEY: version})
    return pa.Table.from_arrays(columns + parameters, schema=whole)


def _parameter_column(values: list[Any]) -> pa.Array:
    """A column of the plainest type that holds all values; text (JSON) where they are mixed."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array(values, type=pa.float64())
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        return pa.array(values)
    texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    return pa.array(texts, type=pa.string())


def unify(table: str, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The one schema that the parts of a table are read with.

    Args:
        table: The table's name.
        schemas: The parts' schemas; parameters may differ in type from part to part.

    Returns:
        The table's schema followed by the parameters' columns; conflicting types become text.
    """
    base = SCHEMAS[table]
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            if field.name in base.names:
                continue
            seen = kinds.get(field.name, field.type)
            kinds[field.name] = seen if seen == field.type else _wider(seen, field.type)
    metadata = schemas[0].metadata if schemas else None
    parameters = [pa.field(name, kind) for name, kind in kinds.items()]
    return pa.schema(list(base) + parameters, metadata=metadata)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if pa.types.is_null(one):
        return other
    if pa.types.is_null(other):
        return one
    numbers = {pa.int64(), pa.float64()}
    return pa.float64() if {one, other} <= numbers else pa.string()


def check_columns(
    piece: pa.Table, table: str, where: str, columns: Sequence[str] | None = None
) -> None:
    """Refuse a part that is not what any version writes; none of it can be trusted then.

    Args:
        piece: The part's rows.
        table: The table that it belongs to.
        where: The file, for the message.
        columns: Those that were read; all of them if not given.

    Raises:
        InputError: A required column is missing or has nulls, a column has another type, or a word
            is none that tables use.
    """
    for field in SCHEMAS[table]:
        if columns is not None and field.name not in columns:
            continue
        wrong = _wrong_with(piece, field)
        if wrong:
            raise InputError(f"{where} must be a part as hscl writes it, but is damaged: {wrong}")


def _wrong_with(piece: pa.Table, field: pa.Field) -> str:
    """What is wrong with a column; empty: nothing."""
    count = piece.schema.names.count(field.name)
    if count != 1:
        return f"it has {count} columns {field.name}" if count or not field.nullable else ""
    column = piece[field.name]
    if column.type != field.type:
        return f"its column {field.name} is {column.type}, not {field.type}"
    if column.null_count and not field.nullable:
        return f"its column {field.name} has {column.null_count} values missing"
    if field.name in _WORDS:
        words = set(pc.unique(column).to_pylist()) - {None, *_WORDS[field.name]}
        if words:
            return f"its column {field.name} says {min(words)!r}"
    return ""


def check_version(schema: pa.Schema, table: str, where: str) -> None:
    """Refuse a file that is no part of this table, or of a later version.

    Args:
        schema: The file's schema.
        table: The table it should belong to.
        where: The file, for the message.

    Raises:
        InputError: If the file is foreign or newer than this program.
    """
    raw = (schema.metadata or {}).get(_METADATA_KEY)
    try:
        stamp = json.loads(raw or b"{}")
        known = (str(stamp["table"]), int(stamp["schema_version"]))
    except (ValueError, KeyError, TypeError):
        known = ("", 0)
    if known[0] != table:
        raise InputError(f"{where} must be a part of the table {table!r}, but is a foreign file")
    if known[1] > SCHEMA_VERSION:
        message = (
            f"{where} must have schema version {SCHEMA_VERSION} or less, but has "
            f"{known[1]}; it was written by a newer hscl, so use that"
        )
        raise InputError(message)


def conformed(piece: pa.Table, schema: pa.Schema) -> pa.Table:
    """The piece with exactly these columns; missing ones null."""
    if piece.schema.equals(schema):
        return piece
    columns = [
        piece[field.name].cast(field.type)
        if field.name in piece.column_names
        else pa.nulls(len(piece), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def first_of_each(data: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The first row of each key, in order; the table itself where no key comes twice."""
    if not len(data):
        return data
    codes = np.zeros(len(data), dtype=np.int64)
    for key in keys:
        column = data[key].combine_chunks().dictionary_encode()
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    ordered = np.sort(codes)
    if bool(np.all(ordered[1:] != ordered[:-1])):
        return data
    _, first = np.unique(codes, return_index=True)
    return data.take(pa.array(np.sort(first)))
