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
    assert "race     3 configurations × 3 seeds = 9 trainings, at most 36 epochs" in text
    assert f"; seeds {seeds.race[0]}, {seeds.race[1]}" in text
    assert "confirm  2 configurations × 2 seeds = 4 trainings" in text
    assert "rungs    epochs 1, 2" in text
    assert "at most 19 trainings, 76 epochs" in text
    assert "at most 38.0 h: 2 at once" in text
    assert "test     opened in confirm" in text
    closed = "\n".join(size_lines(size_of(study(confirm={"seeds": 0})), None, 1))
    assert "test     never opened" in closed
    assert "measured" not in closed


def test_a_study_that_spends_little_on_its_screen_is_told_what_more_trials_cost() -> None:
    sizes = {"confirm": {"seeds": 10}, "base": {"train.epochs": 20}}
    few = study(sampler={"kind": "random", "trials": 32}, **sizes)
    text = "\n".join(size_lines(size_of(few), None, 1))
    assert "a further configuration takes about " in text
    many = study(sampler={"kind": "random", "trials": 500}, **sizes)
    assert "  split " not in "\n".join(size_lines(size_of(many), None, 1))
    known = [{"name": "low", "loss.temperature": 0.1}]
    table = study(sampler={"kind": "list", "trials": 2}, space={}, known=known)
    assert "  split " not in "\n".join(size_lines(size_of(table), None, 1))


@pytest.mark.parametrize("sampler", ["random", "list"])
def test_the_end_names_the_winner_and_the_next_commands(tmp_path: Path, sampler: str) -> None:
    known = (("hot", "loss.temperature", 0.9),)
    what = Simulated(sampler=sampler, known=known, trials=8, gap=-0.4, failures=1)
    opened = open_study(write_study(tmp_path / "s", what))
    text = "\n".join(ending_lines(opened))
    assert f"hscl compare {tmp_path}/s" in text
    assert "trials failed; the last one" in text
    if sampler == "list":
        assert "winner  " not in text
        assert "hscl export" not in text
        return
    winner = opened.history.configs[opened.history.plan_rows("winner")[0]["config_id"]]  # type: ignore[arg-type]
    assert f"winner   {winner.name} ({winner.config_id}): loss.temperature = " in text
    assert "is better than" in text
    assert f"hscl export {tmp_path}/s --out best.toml" in text
