"""Comparisons as rows, CSV and Parquet: the same numbers everywhere."""

import csv
import io
from dataclasses import replace
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from calibrated.world import World, run_study

from hscl.errors import InputError
from tune.evidence.comparison import compare_study
from tune.report.rows import (
    COLUMNS,
    Compared,
    as_csv,
    as_parquet,
    check_alike,
    pair_rows,
)
from tune.study.toml import parse_spec
from tune.tables.fold import fold


@cache
def _compared() -> Compared:
    spec = parse_spec(
        {
            "base": {"train.epochs": 3},
            "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
            "sampler": {"kind": "random", "trials": 6},
            "scheduler": {"kind": "none"},
            "refine": {"trials": 2},
            "confirm": {"seeds": 6, "keep": 2},
        }
    )
    tables = run_study(spec, World(2))[1]
    comparison = compare_study(fold(spec, tables), tables["predictions"])
    return Compared("runs/a", "ab" * 32, comparison, 3)


def test_a_row_holds_a_pair_on_a_metric_with_all_its_numbers() -> None:
    compared = _compared()
    rows = pair_rows([compared])
    assert len(rows) == 1 + 2 + 2 * 7  # the other metrics of both finalists
    primary = compared.comparison.primary
    assert primary is not None
    assert primary.new_videos is not None
    first = rows[0]
    assert first["role"] == "primary"
    assert first["new_videos_low"] == primary.new_videos.low
    assert first["verdict"] == primary.verdict
    assert first["first_mean"] == primary.means[0]
    assert first["data_digest"] == "ab" * 32
    assert {row["metric"] for row in rows[3:]} == {
        "corr",
        "acc7",
        "acc5",
        "acc2_has0",
        "acc2_non0",
        "f1_has0",
        "f1_non0",
    }


def test_what_a_pair_without_seeds_does_not_have_is_empty() -> None:
    compared, nan = _compared(), float("nan")
    primary = compared.comparison.primary
    assert primary is not None
    bare = replace(primary, seeds=(), means=(nan, nan), sds=(nan, nan))
    told = replace(compared, comparison=replace(compared.comparison, primary=bare))
    first, *_ = csv.DictReader(io.StringIO(as_csv(pair_rows([told]))))
    of_sides = ("first_mean", "first_sd", "second_mean", "second_sd")
    assert [first[name] for name in of_sides] == [""] * 4
    (row, *_) = pq.read_table(pa.BufferReader(as_parquet(pair_rows([told])))).to_pylist()
    assert [row[name] for name in of_sides] == [None] * 4


def test_csv_and_parquet_hold_the_rows() -> None:
    rows = pair_rows([_compared()])
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["metric"] for row in read] == [row["metric"] for row in rows]
    assert float(read[0]["difference"]) == rows[0]["difference"]
    table = pq.read_table(pa.BufferReader(as_parquet(rows)))
    assert table.to_pylist() == rows


def test_the_columns_are_those_of_real_rows_in_their_order() -> None:
    for row in pair_rows([_compared()]):
        assert list(row) == list(COLUMNS)


def test_nothing_compared_gives_the_same_columns_without_rows() -> None:
    rows = pair_rows([_compared()])
    assert as_csv([]) == as_csv(rows).splitlines(keepends=True)[0]
    full, empty = (pq.read_table(pa.BufferReader(as_parquet(some))) for some in (rows, []))
    assert empty.num_rows == 0
    assert empty.schema.names == list(rows[0])
    assert empty.schema == full.schema


def test_studies_are_side_by_side_only_with_one_metric_and_one_data_set() -> None:
    one = _compared()
    other = replace(one, where="runs/b", data_digest="cd" * 32)
    with pytest.raises(InputError, match="one data set"):
        check_alike([one, other])
    by_corr = replace(other, comparison=replace(one.comparison, metric="corr"))
    with pytest.raises(InputError, match="one metric"):
        check_alike([one, by_corr])
    assert check_alike([one, replace(one, where="runs/b")]) is None


def test_unknown_data_are_told_where_studies_stand_side_by_side() -> None:
    one = _compared()
    unknown = replace(one, where="runs/b", data_digest=None)
    warning = check_alike([one, unknown])
    assert warning is not None
    assert "runs/b" in warning
    assert "runs/a" not in warning
    assert check_alike([unknown]) is None


def test_the_whole_as_json_has_the_folder_the_digest_and_the_comparison() -> None:
    told = _compared().to_dict()
    assert told["folder"] == "runs/a"
    assert told["failed_trials"] == 3
    assert told["data_digest"] == "ab" * 32
    assert told["primary"]["metric"] == "mae"
