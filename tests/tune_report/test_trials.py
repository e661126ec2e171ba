"""The table of trials sorted, filtered and drawn."""

import io
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from study_factory import Simulated, evidence_of

from hscl.errors import InputError
from tune.evidence.search.trials import trials_table
from tune.report.trials import filtered, render_trials, sorted_by, trials_text

WHAT = Simulated(trials=8, epochs=4, refined=3, confirm_seeds=5, failures=1, seed=1)


def _table() -> pa.Table:
    return trials_table(evidence_of(WHAT))


def _kept(*conditions: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = filtered(_table(), conditions).to_pylist()
    return rows


def test_conditions_keep_the_rows_that_a_loop_over_them_keeps() -> None:
    rows = _table().to_pylist()
    cool = [row for row in rows if row["loss.temperature"] < 0.2]
    assert 0 < len(cool) < len(rows)
    assert _kept("loss.temperature < 0.2") == _kept("temperature < 0.2") == cool
    assert _kept("2 * loss.alpha >= loss.omega1") == [
        row for row in rows if 2 * row["loss.alpha"] >= row["loss.omega1"]
    ]
    stopped = [row for row in rows if row["state"] == "pruned"]
    assert _kept("state == pruned") == _kept("state == 'pruned'") == stopped
    assert _kept("state != pruned", "temperature < 0.2") == [
        row for row in cool if row["state"] != "pruned"
    ]
    # Without a value nothing can be said.
    assert [row["number"] for row in _kept("test > 0")] == [
        row["number"] for row in rows if row["test"] is not None
    ]


def test_a_number_may_stand_on_either_side() -> None:
    rows = _table().to_pylist()
    few = [row for row in rows if row["seeds"] == 1]
    assert 0 < len(few) < len(rows)
    assert _kept("1 == seeds") == _kept("seeds == 1") == few


def test_names_are_drawn_as_they_are() -> None:
    rows = trials_table(evidence_of(Simulated(sampler="list", confirm_seeds=2, epochs=2)))
    names = pa.array([f"[b]{n}" for n in rows["name"].to_pylist()])
    wild = rows.set_column(rows.column_names.index("name"), "name", names)
    for markup in (True, False):
        console = Console(file=io.StringIO(), width=300, record=True, markup=markup)
        console.print(render_trials(wild, "mae"))
        text = console.export_text()
        assert text.count("[b]") == len(rows)
        assert "\\" not in text


def test_switches_are_written_as_they_are_shown_or_as_in_a_file() -> None:
    rows = trials_table(evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3)))
    names = [
        filtered(rows, [f"loss.high == {word}"])["name"].to_pylist() for word in ("off", "false")
    ]
    assert names == [["− high"], ["− high"]]


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("temprature < 1", "did you mean"),
        ("state < 2", "holds words"),
        ("valid", "compares nothing"),
        ("__import__('os') == 1", "none of these"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(condition: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        filtered(_table(), [condition])


def test_values_are_sorted_best_first_and_gaps_stand_last() -> None:
    rows = _table()
    assert sorted_by(rows, "number", "mae").equals(rows)
    valid = sorted_by(rows, "valid", "mae")["valid"].to_pylist()
    assert valid == sorted(valid)
    assert sorted_by(rows, "valid", "corr")["valid"].to_pylist() == valid[::-1]
    assert sorted_by(rows, "-valid", "mae")["valid"].to_pylist() == valid[::-1]
    tested = sorted_by(rows, "test", "mae")["test"].to_pylist()
    assert tested[0] is not None
    assert tested[-1] is None
    assert sorted_by(filtered(rows, ["number < 0"]), "valid", "mae").num_rows == 0
    with pytest.raises(InputError, match="did you mean 'seconds'"):
        sorted_by(rows, "second", "mae")


def test_people_see_deviations_beside_values_and_the_winner_named() -> None:
    text = trials_text(_table(), "mae")
    assert {"#", "configuration", "temperature", "valid MAE", "test MAE"} <= set(text.columns)
    (place,) = text.strong
    winner = text.rows[place]
    names = {int(row[0]): row[1] for row in text.rows}
    assert names.pop(0) == "default"
    assert winner[1] == names.pop(int(winner[0])) == "winner"
    assert set(names.values()) == {""}  # the number says it
    assert " ± " in winner[text.columns.index("valid MAE")]
    assert "failed" in text.columns
    # What no row has needs no column.
    assert "failed" not in trials_text(filtered(_table(), ["failures == 0"]), "mae").columns


def test_a_row_stays_a_line_and_markup_in_names_is_text() -> None:
    evidence = evidence_of(
        Simulated(
            trials=3,
            refined=2,
            epochs=3,
            confirm_seeds=5,
            known=(("[red] a point", "loss.temperature", 0.2),),
        )
    )
    table = trials_table(evidence)
    console = Console(width=400, file=io.StringIO(), record=True)
    console.print(render_trials(table, "mae"))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert len(lines) == table.num_rows + 2
    assert any("[red] a point" in line for line in lines)
