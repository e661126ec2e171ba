"""Tables as files: what other programs read back."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tune.tables.reading import as_bytes

ROWS: list[dict[str, Any]] = [
    {"name": 'a "b", c', "value": 0.1 + 0.2, "seeds": [1, 2], "count": 3},
    {"name": "é\nx", "value": None, "seeds": None, "count": 4},
]
TABLE = pa.Table.from_pylist(ROWS)


def test_parquet_is_the_same_table() -> None:
    assert pq.read_table(io.BytesIO(as_bytes(TABLE, "parquet"))).equals(TABLE)


def test_json_is_an_object_a_line() -> None:
    lines = [json.loads(line) for line in as_bytes(TABLE, "json").decode().splitlines()]
    assert lines == ROWS
    assert as_bytes(TABLE.slice(0, 0), "json") == b""


def test_json_has_every_digit_of_a_number_and_a_time_and_null_for_what_is_no_number() -> None:
    values = [5.123456789012345e-06, 1.2345678901234567, float("nan"), float("inf")]
    time = datetime(2026, 3, 2, 9, 0, 1, 801146, tzinfo=UTC)
    rows = pa.table({"value": values, "time": pa.array([time] * 4, pa.timestamp("us", tz="UTC"))})
    lines = [json.loads(line) for line in as_bytes(rows, "json").decode().splitlines()]
    assert [line["value"] for line in lines] == [*values[:2], None, None]
    assert {line["time"] for line in lines} == {"2026-03-02T09:00:01.801146Z"}
    whole = pa.table({"time": pa.array([time.replace(microsecond=0)], pa.timestamp("us", "UTC"))})
    assert as_bytes(whole, "json") == b'{"time":"2026-03-02T09:00:01.000000Z"}\n'


def test_csv_holds_lists_as_json_and_nothing_for_what_is_missing() -> None:
    rows = list(csv.DictReader(io.StringIO(as_bytes(TABLE, "csv").decode())))
    assert [row["name"] for row in rows] == [row["name"] for row in ROWS]
    assert float(rows[0]["value"]) == ROWS[0]["value"]
    assert json.loads(rows[0]["seeds"]) == [1, 2]
    assert (rows[1]["value"], rows[1]["seeds"], rows[1]["count"]) == ("", "", "4")


def test_a_whole_number_stays_whole_beside_a_missing_one() -> None:
    rows = pa.table({"parameters": pa.array([2**53 + 1, None])})
    assert as_bytes(rows, "csv").decode().split() == ["parameters", f"{2**53 + 1}", '""']
    lines = [json.loads(line) for line in as_bytes(rows, "json").decode().splitlines()]
    assert lines == [{"parameters": 2**53 + 1}, {"parameters": None}]


def test_what_a_spreadsheet_would_run_is_text_in_csv_and_numbers_and_ids_stay() -> None:
    rows = [
        {"name": "=1+1", "note": "@x", "error": "-", "utterance": "-v_1", "value": -0.5},
        {"name": "plain", "note": None, "error": "+", "utterance": "=v", "value": 1.0},
    ]
    text = as_bytes(pa.Table.from_pylist(rows), "csv").decode()
    read = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in read] == ["'=1+1", "plain"]
    assert [row["note"] for row in read] == ["'@x", ""]
    assert [row["error"] for row in read] == ["'-", "'+"]
    assert [row["utterance"] for row in read] == ["-v_1", "=v"]
    assert [row["value"] for row in read] == ["-0.5", "1.0"]
