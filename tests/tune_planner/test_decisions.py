"""The rows of the plan table."""

from typing import Any

import pytest
from small_study import branched, noisy, study

from hscl.config import Config
from tune.planner.decisions import begin_confirm, begin_study, plan_row
from tune.planner.proposals import config_row
from tune.simulate.study import simulate
from tune.states import Kind, Origin, Phase
from tune.study.spec import StartPoint
from tune.tables.history import History

COLUMNS = {"kind", "phase", "config_id", "other_config_id", "seeds", "value", "note"}


def test_a_row_has_every_column_but_those_of_whoever_appends_it() -> None:
    row = plan_row(Kind.WINNER, phase=Phase.CONFIRM, seeds=(1, 2), value=3)
    assert set(row) == COLUMNS
    assert row["kind"] == "winner"
    assert type(row["kind"]) is str
    assert type(row["phase"]) is str
    assert row["seeds"] == [1, 2]
    assert type(row["value"]) is float


def test_a_table_study_begins_with_confirm_and_its_first_look() -> None:
    spec = study('[[known]]\n"loss.high" = false', sampler="list")
    rows = begin_study(spec, spec.seed_plan())
    assert [(row["kind"], row["phase"]) for row in rows] == [
        ("seeds", "confirm"),
        ("look_planned", "confirm"),
        ("phase_begun", "confirm"),
        ("look", "confirm"),
    ]


def test_all_looks_and_their_levels_are_in_the_plan_before_the_first() -> None:
    known = '[[known]]\n"loss.high" = false'
    for sampler, seeds, levels in (
        ("list", [10, 10], [0.025, 0.0335]),
        ("random", [6, 2, 2, 2, 8], [0.007, 0.0121, 0.0177, 0.0136, 0.0298]),
    ):
        spec = study(f"confirm = {{ seeds = 10, looks = 2 }}\n{known}", sampler=sampler)
        plan, rows = spec.seed_plan(), simulate(spec, noisy()).history.plan
        planned = [row for row in rows if row["kind"] == "look_planned"]
        assert [len(row["seeds"]) for row in planned] == seeds
        assert [row["value"] for row in planned] == levels
        assert [s for row in planned for s in row["seeds"]] == [s for o in plan.looks for s in o]
        first = next(row for row in rows if row["kind"] == "look")
        assert (first["seeds"], first["value"]) == (planned[0]["seeds"], 1)
        assert rows.index(planned[-1]) < rows.index(first)


def test_a_study_begins_with_its_seeds_and_the_screen() -> None:
    rows = begin_study(study(), study().seed_plan())
    assert [(row["kind"], row["phase"]) for row in rows] == [
        ("seeds", "screen"),
        ("seeds", "confirm"),
        ("phase_begun", "screen"),
    ]
    assert rows[-1]["note"] == "at most 12 configurations on one seed, stopped early"
    open_end = study("sampler.trials = 'auto'\nbudget.epochs = 300")
    note = begin_study(open_end, open_end.seed_plan())[-1]["note"]
    assert note == "configurations on one seed, stopped early"
    whole = study('scheduler.kind = "none"')
    note = begin_study(whole, whole.seed_plan())[-1]["note"]
    assert note == "at most 12 configurations on one seed"
    each = branched()
    note = begin_study(each, each.seed_plan())[-1]["note"]
    assert note.startswith("at most 5 configurations for each model.kind on one seed")


def searched(*values: float | None, metric: str = "mae") -> History:
    """A study whose search trained the default and others to these values; None: stopped."""
    spec = study(f'study.metric = "{metric}"\nconfirm.keep = 2')
    history = History(spec)
    for number, value in enumerate(values):
        config = Config().with_overrides({"loss.alpha": 0.1 + number})
        start = StartPoint(f"c{number}", Origin.SAMPLER, config)
        history.apply_config(config_row(spec, start, number))
        event: dict[str, Any] = {
            "trial_id": f"{number}-1",
            "config_id": config.config_id,
            "phase": "refine",
        }
        event |= {"seed": 1, "attempt": 1}
        history.apply_event(event | {"state": "started"})
        report = {"trial_id": f"{number}-1", "epoch": 1, f"valid_{metric}": value or 0.5}
        history.apply_report(report)
        history.apply_event(event | {"state": "pruned" if value is None else "done"})
    return history


def confirmed(history: History) -> list[dict[str, Any]]:
    return begin_confirm(history.spec, history, history.spec.seed_plan())


def test_the_winner_is_the_best_other_than_the_default_and_the_best_few_are_confirmed() -> None:
    history = searched(0.5, 0.6, 0.3, None, 0.4)
    default, _, best, _, second = history.configs
    rows = confirmed(history)
    assert [row["kind"] for row in rows] == [
        *("winner", "finalists", "finalists", "finalists", "primary", "look_planned"),
        *("phase_begun", "look"),
    ]
    winner, *finalists, primary, _, _, look = rows
    assert (winner["config_id"], winner["other_config_id"]) == (best, default)
    assert winner["value"] == 0.3
    assert [row["config_id"] for row in finalists[:3]] == [default, best, second]
    assert [row["value"] for row in finalists[:3]] == [0.5, 0.3, 0.4]
    assert (primary["config_id"], primary["other_config_id"]) == (best, default)
    assert look["seeds"] == [*history.spec.seed_plan().looks[0]]


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        ("mae", (0.5, 0.4), "observed 0.4000; the default: observed 0.5000"),
        ("mae", (0.4, 0.5), "observed 0.5000; the default was ahead: observed 0.4000"),
        ("corr", (0.5, 0.4), "observed 0.4000; the default was ahead: observed 0.5000"),
        ("mae", (None, 0.4), "observed 0.4000; the default did not complete"),
    ],
)
def test_the_note_on_the_winner_says_where_the_default_stood(
    metric: str, values: tuple[float | None, ...], said: str
) -> None:
    winner = confirmed(searched(*values, metric=metric))[0]
    assert winner["note"].endswith(said)


def test_without_another_complete_training_there_is_no_winner() -> None:
    (row,) = confirmed(searched(0.5, None))
    assert (row["kind"], row["config_id"]) == ("winner", None)
    assert "nothing to confirm" in row["note"]
