"""What a model folder says about itself."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hscl.config import Config
from hscl.errors import InputError
from hscl.metrics import METRICS
from hscl.trained.record import ModelRecord, SeedRun, mean_sd, read_folder, write_folder


def run(seed: int, mae: float, corr: float = 0.5) -> SeedRun:
    """A finished seed with some metrics."""
    valid = {**dict.fromkeys(METRICS, 0.5), "mae": mae, "corr": corr}
    reports: list[dict[str, Any]] = [{"epoch": 1, "valid": valid, "losses": {"total": 1.5}}]
    return SeedRun(seed, 1, valid, reports, "cpu", "fp32")


@pytest.fixture
def record() -> ModelRecord:
    return ModelRecord(
        config_id="0123456789ab",
        digest="d" * 64,
        fit="train",
        metric="mae",
        seeds=[3, 1, 2],
        widths={"text": 384, "audio": 5, "vision": None},
        splits={"train": 100, "valid": 20},
        missing={"audio": 2},
        versions={"hscl": "0.1.0"},
    )


def test_mean_and_deviation_are_those_by_hand() -> None:
    assert mean_sd([1.0, 2.0, 4.0]) == pytest.approx(
        {"mean": 7 / 3, "sd": math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2)}
    )


def test_undefined_values_are_left_out_of_mean_and_deviation() -> None:
    assert mean_sd([1.0, math.nan, 3.0]) == pytest.approx({"mean": 2, "sd": math.sqrt(2)})
    single = mean_sd([1.0])
    assert single["mean"] == 1.0
    assert math.isnan(single["sd"])
    assert all(math.isnan(value) for value in mean_sd([math.nan]).values())


def test_runs_stay_in_the_order_of_the_seeds_and_none_comes_twice(record: ModelRecord) -> None:
    for seed in (2, 3, 2):
        record = record.with_run(run(seed, seed / 10))
    assert [r.seed for r in record.runs] == [3, 2]
    assert record.summary()["mae"]["mean"] == pytest.approx(0.25)


def test_a_folder_says_again_what_was_written(tmp_path: Path, record: ModelRecord) -> None:
    config = Config().with_overrides({"loss.temperature": 0.07})
    record = record.with_run(run(1, 0.1 + 0.2, corr=math.nan))
    write_folder(tmp_path / "m", config, record, "# card\n")
    config_back, back = read_folder(tmp_path / "m")
    assert config_back == config
    assert repr(back.runs[0].valid) == repr(record.runs[0].valid)  # NaN included
    assert (back.seeds, back.widths, back.missing) == (record.seeds, record.widths, {"audio": 2})
    assert (tmp_path / "m" / "README.md").read_text() == "# card\n"


def test_what_is_undefined_is_null_for_other_programs(tmp_path: Path, record: ModelRecord) -> None:
    write_folder(tmp_path, Config(), record.with_run(run(1, 0.5, corr=math.nan)), "")
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["runs"][0]["valid"]["corr"] is None


def test_a_folder_without_models_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hscl train CONFIG"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match="hscl train CONFIG"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"layout": 1}', '{"layout": 1, "summary": {}, "runs": [{}]}', "null"],
)
def test_a_damaged_record_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged"):
        read_folder(tmp_path)


def test_a_record_of_another_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"layout": 99}')
    with pytest.raises(InputError, match="layout 1, but has 99"):
        read_folder(tmp_path)
