"""Cost: what a study does, divided by what runs at once, timed on its own first steps."""

from pathlib import Path
from typing import Any

import pytest

from cluster.doctor.cost import estimate, time_first_steps
from hscl.data.demo import write_demo
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec

BIG = {"CPU": 8.0, "GPU": 2.0, "memory": 64.0 * 2**30, "a100": 1.0}
SMALL = {"CPU": 2.0}


def _spec(**tables: Any) -> StudySpec:
    base = {"train.epochs": 9, "model.text.finetune": False, "train.batch_size": 16}
    space = {"loss.temperature": {"uniform": [0.1, 0.9]}}
    return parse_spec({"base": base, "space": space} | tables)


def timed(seconds: float) -> dict[str, Any]:
    return {
        "start_seconds": 36.0,
        "seconds_per_epoch": seconds,
        "models": {"hscl": seconds},
        "kept_bytes": 2e6,
        "running_bytes": 5e6,
    }


def test_hours_are_epochs_times_seconds_over_trials_at_once() -> None:
    spec = _spec(
        sampler={"kind": "random", "trials": 9},
        scheduler={"kind": "none"},
        refine={"trials": 4},
        confirm={"seeds": 5},
        resources={"cpus": 2.0, "gpus": 0.0},
    )
    cost = estimate(spec, timed(100.0), [BIG, SMALL])
    trials = 9 + 4 + 5 * 2
    assert cost.trials == trials
    assert cost.epochs == trials * 9
    assert cost.at_once == 4 + 1
    assert cost.hours == pytest.approx(trials * 9 * 100 / 5 / 3600 + 0.01)
    assert ", with 36 s to start up; " in cost.cost_text()
    assert f"{trials} trials" in cost.cost_text()
    assert cost.disk_bytes == trials * 2e6 + 5 * 5e6
    assert "at most 71 MB on the disk" in cost.cost_text()


def test_early_stopping_lowers_the_usual_cost_but_not_the_limit() -> None:
    tables: dict[str, Any] = {
        "sampler": {"trials": 16},
        "refine": {"trials": 0},
        "confirm": {"seeds": 0},
    }
    full = estimate(_spec(**tables, scheduler={"kind": "none"}), timed(1.0), [SMALL])
    asha = estimate(_spec(**tables), timed(1.0), [SMALL])
    assert asha.epochs == full.epochs == 16 * 9
    # Rungs at 1 and 4: 16 · 1 + 4 · 3 + 1 · 5 epochs where a fourth goes on at each.
    assert asha.usual_epochs == 16 + 12 + 5
    assert "early stopping" in asha.cost_text()
    assert "early stopping" not in full.cost_text()


def test_a_total_says_about_how_many_trials_it_holds() -> None:
    share = {"refine": {"share": 0.6}}
    limited = {"budget": {"epochs": 450}} | share
    text = estimate(_spec(**limited), timed(1.0), [SMALL]).cost_text()
    assert text.startswith(
        "cost: about 100 trials in at most 450 epochs of about 1 s of the default"
    )
    hours = estimate(_spec(budget={"hours": 0.25}, **share), timed(2.0), [SMALL])
    assert hours.cost_text().startswith("cost: about 100 trials in at most 442 epochs")


def test_where_gpus_are_not_given_a_trial_of_a_cluster_with_gpus_takes_one() -> None:
    node = {"CPU": 32.0, "GPU": 4.0}
    assert estimate(_spec(), timed(1.0), [node]).at_once == 4
    assert estimate(_spec(), timed(1.0), [node, {"CPU": 32.0}]).at_once == 4
    assert estimate(_spec(resources={"gpus": 0.0}), timed(1.0), [node]).at_once == 32
    assert estimate(_spec(), timed(1.0), [{"CPU": 32.0}]).at_once == 32


def test_a_limit_on_concurrency_is_respected() -> None:
    spec = _spec(resources={"gpus": 0.0, "concurrent": 3})
    assert estimate(spec, timed(1.0), [BIG]).at_once == 3
    assert estimate(_spec(), timed(1.0), [{"CPU": 0.0}]).at_once == 1


def test_the_first_steps_are_timed_and_scaled_to_the_whole_of_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    write_demo(tmp_path / "demo.arrow", utterances=400)
    found = time_first_steps(_spec(), str(tmp_path / "demo.arrow"))
    assert found["seconds_per_epoch"] > 0
    assert found["peak_memory"] > 2**20
