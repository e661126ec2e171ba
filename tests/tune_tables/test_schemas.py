"""The tables' columns are a contract: written out here once more, so that no change is silent."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest

import hscl.metrics
from hscl.errors import InputError
from tune.tables.schemas import (
    KEYS,
    METRICS,
    SCHEMA_VERSION,
    SCHEMAS,
    check_columns,
    check_version,
    to_arrow,
    unify,
)

COLUMNS = {
    "configs": "config_id number origin config hscl_version name",
    "trials": "seq trial_id config_id phase seed attempt state time error host precision "
    "parameters",
    "reports": "seq trial_id epoch attempt stop finished collapsed valid_mae valid_corr "
    "valid_acc7 valid_acc5 valid_acc2_has0 valid_acc2_non0 valid_f1_has0 valid_f1_non0 "
    "loss_total loss_task loss_low_ta loss_low_tv loss_sim_ta loss_sim_tv loss_high "
    "loss_similarity loss_difference loss_reconstruction loss_text loss_audio loss_vision "
    "seconds steps peak_memory host precision parameters",
    "predictions": "trial_id split utterance video prediction label speaker",
    "plan": "seq kind time phase config_id other_config_id seeds value note",
}
CONFIG = {"config_id": "c", "number": 0, "origin": "default", "config": "{}", "hscl_version": "1"}


def test_the_columns_are_those_that_were_published() -> None:
    assert {name: " ".join(schema.names) for name, schema in SCHEMAS.items()} == COLUMNS
    assert SCHEMA_VERSION == 1


def test_every_metric_of_the_package_has_its_column() -> None:
    assert hscl.metrics.METRICS == METRICS


def test_every_key_is_made_of_columns_that_are_never_null() -> None:
    for name, keys in KEYS.items():
        assert not any(SCHEMAS[name].field(key).nullable for key in keys)


def test_missing_columns_become_null_and_unknown_ones_are_refused() -> None:
    table = to_arrow("plan", [{"seq": 1, "kind": "winner", "time": 0}])
    assert table["note"].to_pylist() == [None]
    assert json.loads(table.schema.metadata[b"hscl_table"]) == {
        "table": "plan",
        "schema_version": 1,
    }
    with pytest.raises(ValueError, match="surprise"):
        to_arrow("plan", [{"seq": 1, "kind": "winner", "time": 0, "surprise": 1}])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 3], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["a", "b"], pa.string()),
        (["a", 1], pa.string()),
        ([True, 1], pa.string()),
        ([None], pa.null()),
    ],
)
def test_a_parameters_column_has_the_plainest_type_that_holds_it(
    values: list[object], kind: pa.DataType
) -> None:
    rows = [CONFIG | {"train.lr": value} for value in values]
    table = to_arrow("configs", rows)
    assert table.schema.field("train.lr").type == kind
    if "a" not in values and kind != pa.string():
        assert table["train.lr"].to_pylist() == values


def test_parts_whose_parameters_differ_in_type_are_read_together() -> None:
    def part(value: object) -> pa.Schema:
        return to_arrow("configs", [CONFIG | {"p": value}]).schema

    assert unify("configs", [part(None), part(1)]).field("p").type == pa.int64()
    assert unify("configs", [part(1), part(0.5)]).field("p").type == pa.float64()
    assert unify("configs", [part(1), part("a")]).field("p").type == pa.string()
    assert unify("configs", []).names == SCHEMAS["configs"].names


def test_foreign_and_newer_files_are_refused() -> None:
    with pytest.raises(InputError, match="foreign"):
        check_version(pa.schema([]), "plan", "x.parquet")
    with pytest.raises(InputError, match="foreign"):
        check_version(to_arrow("trials", []).schema, "plan", "x.parquet")
    newer = json.dumps({"table": "plan", "schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(InputError, match="newer hscl"):
        check_version(pa.schema([], metadata={"hscl_table": newer}), "plan", "x.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop_columns(["state"]), "it has 0 columns state"),
        (lambda rows: with_column(rows, "seed", pa.nulls(1, pa.int64())), "seed has 1 values mi"),
        (lambda rows: with_column(rows, "seed", pa.array(["7"])), "seed is string, not int64"),
        (lambda rows: with_column(rows, "state", pa.array(["asleep"])), "state says 'asleep'"),
        (lambda rows: rows.append_column("seed", rows["seed"]), "it has 2 columns seed"),
        (lambda rows: rows.drop_columns(["error"]), ""),
    ],
)
def test_a_part_that_no_version_writes_is_refused(
    change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    row = {"seq": 1, "trial_id": "a-1", "config_id": "a", "phase": "screen", "seed": 1}
    row |= {"attempt": 1, "state": "done", "time": datetime(2026, 11, 28, tzinfo=UTC)}
    rows = to_arrow("trials", [row])
    check_columns(rows, "trials", "FILE")
    if not said:
        check_columns(change(rows), "trials", "FILE")  # an optional column came later
        return
    with pytest.raises(InputError, match=f"FILE must be a part as hscl writes it.*{said}"):
        check_columns(change(rows), "trials", "FILE")


def with_column(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), pa.field(name, column.type), column)
