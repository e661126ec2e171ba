"""What a worker sends fits the tables exactly."""

import math

import numpy as np
import pyarrow as pa
from synthetic import Epoch, Split
from tiny_kinds import KINDS, WIDTHS, batch, tiny

from hscl.config import Config
from hscl.kinds.registry import build_model
from hscl.model.contract import Targets
from tune.tables.schemas import LOSSES, SCHEMAS, to_arrow
from tune.trial.rows import prediction_stream, prediction_table, report_row


def test_a_report_fills_its_columns_and_leaves_the_drivers_ones_to_it() -> None:
    valid = {"mae": 0.7, "corr": math.nan}
    row = report_row(Epoch(3, {"total": 1.5}, valid, True, False, True, 0.25, 4, 1 << 20))
    ours = {"seq": 0, "trial_id": "a-1", "attempt": 1, "stop": False}
    ours |= {"host": "h", "precision": "fp32", "parameters": 10}
    table = to_arrow("reports", [row | ours])
    assert set(row) | set(ours) == set(SCHEMAS["reports"].names)
    assert table["loss_total"].to_pylist() == [1.5]
    assert table["loss_high"].to_pylist() == [None]
    assert table["valid_acc7"].to_pylist() == [None]
    assert row["valid_corr"] is None  # not defined: missing, not NaN
    assert table["collapsed"].to_pylist() == [True]


def test_every_loss_term_of_every_kind_of_model_has_its_column(tiny_config: Config) -> None:
    whole, terms = batch([3, 2], [4, 1], [2, 3]), set()
    assert whole.labels is not None
    for kind in KINDS:
        model = build_model(tiny(tiny_config, kind), WIDTHS)
        model.begin(whole.labels)
        terms |= set(model.loss(model(whole), Targets(whole.rows, whole.labels)))
    assert terms == set(LOSSES)


def test_missing_labels_are_null() -> None:
    split = Split(["v", "w"], ["1", "2"], None)
    table = prediction_table("test", split, np.array([0.5, -1.0], dtype=np.float32))
    assert table["label"].null_count == 2
    labels = np.array([1.0, 2.0])
    table = prediction_table("test", Split(["v", "w"], ["1", "2"], labels), np.zeros(2))
    assert table["label"].to_pylist() == [1.0, 2.0]
    assert set(table.column_names) | {"trial_id"} == set(SCHEMAS["predictions"].names)


def test_a_trials_splits_travel_as_one_stream() -> None:
    names = ("valid", "test")
    tables = [prediction_table(n, Split(["v"], ["1"], None), np.ones(1)) for n in names]
    read = pa.ipc.open_stream(prediction_stream(tables)).read_all()
    assert read["split"].to_pylist() == ["valid", "test"]
    assert read.schema == tables[0].schema
