"""The recorded trainings are those that the recorder would make, every one with its seeds."""

import math

import pyarrow.parquet as pq
import pytest
from record_mosi import RUNS, SPACE, configurations, tasks


def test_the_record_holds_every_configuration_on_every_seed() -> None:
    rows = pq.read_table(RUNS).to_pylist()
    points = configurations(256)
    assert [(row["configuration"], row["seed"]) for row in rows] == sorted(
        (number, seed) for number, _, seed in tasks(256, 4)
    )
    for row in rows:
        point = points[row["configuration"]]
        assert {name: row[name] for name in SPACE} == pytest.approx(point, rel=1e-12)
        best = min(row["valid_mae"])
        assert row["valid_mae"].index(best) + 1 == row["best_epoch"]
        assert math.isfinite(row["test_mae"])


def test_the_points_lie_in_the_space_and_the_default_is_the_first() -> None:
    default, *drawn = configurations(256)
    assert default["loss.temperature"] == 0.5
    for point in drawn:
        assert all(low <= point[name] <= high for name, (low, high) in SPACE.items())
