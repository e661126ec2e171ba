"""What `hscl search` says before and after, in words that the tables bear out."""

from pathlib import Path

import pytest
from study_factory import Simulated, write_study
from synthetic import study

from tune.study.size import size_of
from tune.views.search_text import ending_lines, size_lines
from tune.views.study import open_study


def test_the_plan_names_phases_trainings_seeds_rungs_and_time() -> None:
    text = "\n".join(size_lines(size_of(study()), seconds_per_epoch=3600.0, at_once=2))
    seeds = study().seed_plan()
    assert "screen   6 configurations × 1 seed = 6 trainings, at most 24 epochs" in text
    assert "refine   3 configurations × 1 seed = 3 trainings, at most 12 epochs" in text
    assert f"; seeds {seeds.looks[0][0]}, {seeds.looks[0][1]}" in text
    assert "confirm  2 configurations × 2 seeds = 4 trainings" in text
    assert "rungs    epochs 1, 2" in text
    assert "at most 13 trainings, 52 epochs" in text
    assert "at most 26.0 h: 2 at once" in text
    assert "test     opened in confirm" in text
    closed = "\n".join(size_lines(size_of(study(confirm={"seeds": 0})), None, 1))
    assert "test     never opened" in closed
    assert "measured" not in closed


def test_a_study_with_a_total_says_what_about_each_phase_has() -> None:
    auto = {"sampler": {"trials": "auto"}, "refine": {"trials": "auto", "share": 0.6}}
    text = "\n".join(size_lines(size_of(study(budget={"epochs": 200}, **auto)), None, 1))
    assert "refine   about 28 configurations × 1 seed = about 28 trainings, at most 112" in text
    assert "confirm  2 configurations × 2 seeds = 4 trainings, at most 16 epochs" in text
    assert "in all   about 68 trainings, at most 200 epochs; usually about 200" in text


def test_hours_that_hold_no_candidate_are_said_where_confirm_would_stand() -> None:
    auto = {"sampler": {"trials": "auto"}, "refine": {"trials": "auto"}}
    spec = study(budget={"hours": 0.005}, **auto)
    text = "\n".join(size_lines(size_of(spec, (), 1.0), 1.0, 1))
    assert "confirm  will not take place: budget.hours must be at least 0.0067 (confirm's" in text
    assert "confirm  2 configurations" not in text
    usual = "\n".join(size_lines(size_of(study(**auto, budget={"hours": 1.0}), (), 1.0), 1.0, 1))
    assert "will not take place" not in usual


def test_what_the_evidence_costs_is_said_where_there_is_a_search() -> None:
    text = "\n".join(size_lines(size_of(study(confirm={"seeds": 10})), None, 1))
    # 6 + 3 + 2 × 10 trainings of 4 epochs.
    assert "confirm takes up to 69 % of the epochs" in text
    assert "searches without confirm ended 12 % nearer to the best" in text
    assert "26 % nearer at 48 %" in text
    usual = "\n".join(size_lines(size_of(study(confirm={"seeds": 1})), None, 1))
    assert "takes up to" in usual
    assert "nearer to the best" not in usual
    closed = "\n".join(size_lines(size_of(study(confirm={"seeds": 0})), None, 1))
    known = [{"name": "low", "loss.temperature": 0.1}]
    table = study(sampler={"kind": "list", "trials": 2}, space={}, known=known)
    assert "price" not in closed + "\n".join(size_lines(size_of(table), None, 1))


@pytest.mark.parametrize("sampler", ["random", "list"])
def test_the_end_names_the_winner_and_the_next_commands(tmp_path: Path, sampler: str) -> None:
    known = (("hot", "loss.temperature", 0.9),)
    what = Simulated(sampler=sampler, known=known, trials=8, gap=-0.4, failures=1)
    opened = open_study(write_study(tmp_path / "s", what))
    text = "\n".join(ending_lines(opened))
    assert f"hscl compare {tmp_path}/s" in text
    assert "failed; the last one" in text
    if sampler == "list":
        assert "winner  " not in text
        assert "hscl export" not in text
        return
    winner = opened.history.configs[opened.history.plan_rows("winner")[0]["config_id"]]  # type: ignore[arg-type]
    assert text.startswith(f"Use {winner.name}, the winner.")
    assert "loss.temperature" in text
    assert "is better than" in text
    assert f"hscl export {tmp_path}/s --out best.toml" in text
