"""Comparisons as CSV, Parquet and terminal tables: the same numbers everywhere."""

import csv
import io
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tune.evidence_tables import (
    Compared,
    as_csv,
    as_parquet,
    pair_rows,
    render_studies,
    render_study,
)
from tune.simulated_studies import World, run_study
from tune.study_comparison import compare_study
from tune.study_toml import parse_spec


@cache
def _compared(kind: str = "random", known: int = 2) -> Compared:
    tree = {
        "study": {"name": "[bold] a study"},
        "base": {"train.epochs": 3},
        "sampler": {"kind": kind},
        "confirm": {"seeds": 6},
    }
    if kind == "list":
        temperatures = [0.1 + n / 50 for n in range(known)]
        tree["known"] = [{"name": f"[{t}]", "loss.temperature": t} for t in temperatures]
    else:
        tree |= {
            "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
            "sampler": {"kind": kind, "trials": 6},
            "scheduler": {"kind": "none"},
            "race": {"keep": 2, "seeds": 2},
            "confirm": {"seeds": 6, "keep": 2},
        }
    spec = parse_spec(tree)
    return Compared("runs/a", "ab" * 32, compare_study(spec, run_study(spec, World(2))[1]), 3)


def _shown(compared: Compared) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_study(compared))
    return console.export_text()


def test_a_row_holds_a_pair_on_a_metric_with_all_its_numbers() -> None:
    compared = _compared()
    rows = pair_rows([compared])
    assert len(rows) == 1 + 2 + 7
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


def test_csv_and_parquet_hold_the_rows() -> None:
    rows = pair_rows([_compared()])
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["metric"] for row in read] == [row["metric"] for row in rows]
    assert float(read[0]["difference"]) == rows[0]["difference"]
    table = pq.read_table(pa.BufferReader(as_parquet(rows)))
    assert table.to_pylist() == rows


def test_nothing_compared_gives_an_empty_csv() -> None:
    assert as_csv([]) == ""


def test_the_terminal_shows_both_questions_the_verdict_and_the_notes() -> None:
    compared = _compared()
    text = _shown(compared)
    primary = compared.comparison.primary
    assert primary is not None
    assert "on this test set" in text
    assert "on videos like these" in text
    assert f"Verdict: {primary.verdict}" in text
    assert "6 of 6" in text
    assert "Failed trials over all phases: 3" in text
    assert "this training and valid split" in text
    assert "corrected by Holm" in text


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    text = _shown(_compared("list"))
    assert "[0.1]" in text
    assert "[bold] a study" in text


def test_tables_name_their_reference_once() -> None:
    compared = _compared("list")
    reference = compared.comparison.names[compared.comparison.reference or ""]
    text = " ".join(_shown(compared).split())
    assert text.count(f"each minus {reference}") == 2  # once on MAE, once on the other metrics
    assert "Acc-7" in text


def test_long_lists_keep_other_metrics_for_the_machine() -> None:
    text = _shown(_compared("list", known=7))
    assert "49 rows, in --json and --format csv" in text


@pytest.mark.parametrize("kind", ["random", "list"])
def test_studies_side_by_side_show_each_ones_pairs(kind: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_studies([_compared(), _compared(kind)]))
    text = console.export_text()
    assert text.count("videos like these") >= 1
    assert text.count("(runs/a)") >= 3
