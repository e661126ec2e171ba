"""Whole simulated studies come out of the real planner, and their world is what it says."""

import numpy as np
import pyarrow.compute as pc
import pytest

from calibrated.world import World, flat_surface, hscl_surface, run_study
from hscl.config import preset
from hscl.metrics import evaluate
from tune.simulate.runs import RandomEffects
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec


def _spec(kind: str = "random", **confirm: object) -> StudySpec:
    return parse_spec(
        {
            "study": {"name": "simulated"},
            "base": {"train.epochs": 9},
            "space": {
                "loss.temperature": {"log_uniform": [0.03, 1.0]},
                "train.lr_text": {"log_uniform": [5e-6, 1e-4]},
            },
            "sampler": {"kind": kind, "trials": 8},
            "refine": {"trials": 3},
            "confirm": {"seeds": 5} | confirm,
        }
    )


def test_all_five_tables_are_filled_as_a_real_study_fills_them() -> None:
    run, tables = run_study(_spec(), World(1))
    assert run.done is not None
    assert tables["configs"].num_rows == 8 + 3
    phases = set(tables["trials"]["phase"].to_pylist())
    assert phases == {"screen", "refine", "confirm"}
    predictions = tables["predictions"]
    test = predictions.filter(pc.equal(predictions["split"], "test"))
    assert test.num_rows == 2 * 5 * 686
    searched = {
        row["trial_id"] for row in tables["trials"].to_pylist() if row["phase"] != "confirm"
    }
    assert not searched & set(predictions["trial_id"].to_pylist())


def test_a_trials_best_report_is_the_metric_of_its_valid_predictions() -> None:
    run, tables = run_study(_spec(), World(2))
    predictions = tables["predictions"]
    trial = next(t for t in run.history.trials.values() if t.phase == "confirm" and t.ended)
    rows = predictions.filter(
        pc.and_(
            pc.equal(predictions["trial_id"], trial.trial_id),
            pc.equal(predictions["split"], "valid"),
        )
    )
    mae = evaluate(rows["label"].to_numpy(), rows["prediction"].to_numpy())["mae"]
    assert trial.value == pytest.approx(mae, abs=1e-12)


def test_the_mean_error_of_many_runs_is_the_surfaces_value() -> None:
    config = preset("mosi").with_overrides({"loss.temperature": 0.4})
    effects = RandomEffects(seed=0.02, video=0.02, utterance=0.02)
    maes = []
    for key in range(20):
        world = World(key, effects=effects)
        _, labels = world.split("test")
        runs = [world.predictions(config, seed, "test") for seed in range(3)]
        maes += [evaluate(labels, run)["mae"] for run in runs]
    # |error| is a little above its mean where single errors turn negative.
    assert np.mean(maes) == pytest.approx(hscl_surface(config), abs=0.04)


def test_worlds_differ_by_key_and_a_world_repeats_itself() -> None:
    config = preset("mosi")
    one, same, other = World(3), World(3), World(4)
    assert np.array_equal(one.predictions(config, 7, "test"), same.predictions(config, 7, "test"))
    assert not np.array_equal(
        one.predictions(config, 7, "test"), other.predictions(config, 7, "test")
    )
    assert not np.array_equal(
        one.predictions(config, 7, "test"), one.predictions(config, 8, "test")
    )


def test_alpha_does_nothing_and_temperature_does() -> None:
    base = preset("mosi")
    assert hscl_surface(base.with_overrides({"loss.alpha": 0.9})) == hscl_surface(base)
    assert hscl_surface(base.with_overrides({"loss.temperature": 0.05})) != hscl_surface(base)
    assert flat_surface(base) == flat_surface(base.with_overrides({"loss.temperature": 0.05}))


def test_failures_come_at_the_rate_asked_for() -> None:
    states: list[str] = []
    for key in range(5, 10):  # in one study of twenty runs none may fail
        _, tables = run_study(_spec(), World(key, effects=RandomEffects(failure_rate=0.3)))
        states += tables["trials"]["state"].to_pylist()
    assert 0.05 < states.count("failed") / states.count("started") < 0.6


def test_a_grid_opens_no_test() -> None:
    spec = parse_spec(
        {
            "base": {"train.epochs": 3},
            "space": {"loss.temperature": {"choice": [0.1, 0.5]}},
            "sampler": {"kind": "grid"},
            "confirm": {"seeds": 2},
        }
    )
    _, tables = run_study(spec, World(6))
    assert set(tables["predictions"]["split"].to_pylist()) == {"valid"}
