"""What `hscl search` says before and after, in words that the tables bear out."""

from pathlib import Path

import numpy as np
import pytest
from study_factory import Simulated, write_study
from synthetic import study

from tune.planning import detectable_with
from tune.search_words import detection_words, ending_words, plan_words
from tune.seed_budget import detectable_in_seed_sds
from tune.simulator import video_layout
from tune.study import open_study


def test_the_plan_names_phases_trainings_seeds_rungs_and_time() -> None:
    text = "\n".join(plan_words(study(), seconds_per_epoch=3600.0, at_once=2))
    seeds = study().seed_plan()
    assert "screen   6 configurations × 1 seed = 6 trainings, at most 24 epochs" in text
    assert "race     3 configurations × 3 seeds = 9 trainings, at most 36 epochs" in text
    assert f"; seeds {seeds.race[0]}, {seeds.race[1]}" in text
    assert "confirm  2 configurations × 2 seeds = 4 trainings" in text
    assert "rungs    epochs 1, 2" in text
    assert "at most 19 trainings, 76 epochs" in text
    assert "at most 38.0 h: 2 at once" in text
    assert "test     opened in confirm" in text
    closed = "\n".join(plan_words(study(confirm={"seeds": 0}), None, 1))
    assert "test     never opened" in closed
    assert "measured" not in closed


def test_a_study_that_spends_little_on_its_screen_is_told_what_more_trials_cost() -> None:
    sizes = {"confirm": {"seeds": 10}, "base": {"train.epochs": 20}}
    text = "\n".join(plan_words(study(sampler={"kind": "random", "trials": 32}, **sizes), None, 1))
    assert "a further configuration takes about " in text
    many = study(sampler={"kind": "random", "trials": 500}, **sizes)
    assert "  split " not in "\n".join(plan_words(many, None, 1))
    known = [{"name": "low", "loss.temperature": 0.1}]
    table = study(sampler={"kind": "list", "trials": 2}, space={}, known=known)
    assert "  split " not in "\n".join(plan_words(table, None, 1))


MOSI = np.bincount(video_layout()).tolist()


def test_what_seeds_and_test_set_can_show_is_said_beforehand() -> None:
    ten = study(confirm={"seeds": 10})
    text = "\n".join(detection_words(ten, MOSI))
    assert (
        f"10 pairs of seeds find a difference of {detectable_in_seed_sds(10):.2f} standard" in text
    )
    found = detectable_with(10, MOSI, 0.02)
    assert (
        f"these 31 test videos find a true MAE difference of about {found.difference:.3f}" in text
    )
    assert "below that expect 'undecided'; one margin (0.02) needs about" in text
    assert "2 seeds give no verdict" in "\n".join(detection_words(study(), MOSI))
    assert "evidence none" in "\n".join(detection_words(study(confirm={"seeds": 0}), None))


def test_a_test_set_of_few_videos_and_another_metric_are_told_apart() -> None:
    ten = {"seeds": 10}
    few = "\n".join(detection_words(study(confirm=ten), [60, 50, 40]))
    assert "can show nothing: test has 3 videos" in few
    other = "\n".join(detection_words(study(study={"metric": "corr"}, confirm=ten), MOSI))
    assert "31 test videos set a limit" in other
    assert "MAE" not in other


def test_each_of_many_comparisons_needs_a_larger_difference() -> None:
    known = [{"name": str(low), "loss.temperature": low} for low in (0.1, 0.2, 0.3)]
    table = study(
        sampler={"kind": "list", "trials": 4}, space={}, known=known, confirm={"seeds": 10}
    )
    text = detection_words(table, MOSI)[0]
    assert f"{detectable_in_seed_sds(10, 0.05 / 3):.2f} standard deviations" in text
    assert "each of 3 comparisons" in text


@pytest.mark.parametrize("sampler", ["random", "list"])
def test_the_end_names_the_winner_and_the_next_commands(tmp_path: Path, sampler: str) -> None:
    known = (("hot", "loss.temperature", 0.9),)
    what = Simulated(sampler=sampler, known=known, trials=8, gap=-0.4, failures=1)
    opened = open_study(write_study(tmp_path / "s", what))
    text = "\n".join(ending_words(opened))
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
