"""How a study stands, counted from its tables."""

from datetime import timedelta
from pathlib import Path

import pytest
from study_factory import Simulated, write_study
from synthetic import objective, study

from tune.simulate.study import SimulatedRun
from tune.states import Phase
from tune.tables.history import History
from tune.views.study import open_study
from tune.views.summary import events_rate, summarise


def after(reports: int | None) -> History:
    return SimulatedRun(study(), objective).run(reports).history


def test_before_anything_there_is_nothing() -> None:
    summary = summarise(History(study()))
    assert (summary.state, summary.phase, summary.best) == ("not begun", None, None)
    assert summary.eta_s is None
    assert summary.planned == {"screen": 6, "refine": 3, "confirm": 4}


def test_in_the_screen_the_best_complete_trial_leads_with_one_seed() -> None:
    history = after(12)
    summary = summarise(history, epochs_per_minute=60.0)
    assert (summary.state, summary.phase) == ("unfinished", Phase.SCREEN)
    assert summary.trials["started"] == 1
    assert summary.epochs == 12
    done = [t for t in history.search_trials.values() if t.state == "done" and t.value is not None]
    assert done
    assert summary.best is not None
    assert summary.best.value == min(t.value for t in done if t.value is not None)
    assert summary.best.value_text().endswith("(one seed)")
    assert summary.eta_s is not None
    assert 20 < summary.eta_s < 120


def test_at_the_end_the_best_complete_training_of_screen_or_refine_leads() -> None:
    history = after(None)
    summary = summarise(history)
    assert summary.state == "done"
    assert summary.best is not None
    assert summary.best.value == min(
        t.value for t in history.search_trials.values() if t.state == "done" and t.value
    )
    trial = history.search_trials[summary.best.config_id]
    assert (summary.best.phase, summary.best.value) == (trial.phase, trial.value)
    assert summary.best.seeds == 1
    assert summary.eta_s is None
    for name, planned in summary.planned.items():  # the bars reach their end
        counts = summary.phases[name]
        assert planned == sum(counts.values()) > 0
        assert counts["started"] == 0


def test_of_a_table_the_mean_over_its_seeds_leads_with_its_spread(tmp_path: Path) -> None:
    opened = open_study(write_study(tmp_path / "s", Simulated(sampler="list", confirm_seeds=3)))
    best = summarise(opened.history).best
    assert best is not None
    assert best.phase is Phase.CONFIRM
    values = [
        trial.value
        for trial in opened.history.trials.values()
        if trial.config_id == best.config_id and trial.value is not None
    ]
    assert best.value == pytest.approx(sum(values) / 3)
    assert "±" in best.value_text()


def test_what_is_left_is_never_more_than_the_budget_holds() -> None:
    spec = study(budget={"epochs": 80}, sampler={"trials": "auto"}, refine={"trials": "auto"})
    run = SimulatedRun(spec, objective)
    while run.run(5).done is None:
        summary = summarise(run.history, epochs_per_minute=60.0)
        assert summary.state == "done" or (summary.eta_s or 0.0) <= 80 - summary.epochs
        assert summary.state == "done" or summary.eta_s is not None


def test_every_trial_is_counted_in_one_state_of_one_phase(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", Simulated(failures=2, trials=10))
    opened = open_study(folder)
    summary = summarise(opened.history)
    rows = opened.table("trials").to_pylist()
    for name, counts in summary.phases.items():
        for state, count in counts.items():
            found = [row for row in rows if (row["phase"], row["state"]) == (name, state)]
            assert len(found) == count
    assert summary.last_error == [row["error"] for row in rows if row["state"] == "failed"][-1]


def test_the_rate_is_that_of_the_trials_that_ended_last(tmp_path: Path) -> None:
    opened = open_study(write_study(tmp_path / "s", Simulated(trials=6)))
    events = opened.table("trials", events=True).to_pylist()
    begun = events[0]["time"]
    rate = events_rate(events, opened.history, begun)
    minutes = (events[-1]["time"] - begun).total_seconds() / 60
    assert rate == pytest.approx(opened.history.epochs / minutes, rel=0.2)
    assert events_rate([], opened.history, begun) is None


def test_neither_a_pause_nor_what_ran_before_it_counts_in_the_rate(tmp_path: Path) -> None:
    opened = open_study(write_study(tmp_path / "s", Simulated(trials=8)))
    events = opened.table("trials", events=True).to_pylist()
    rate = events_rate(events, opened.history, events[0]["time"])
    middle = next(
        n for n in range(len(events) // 2, len(events)) if events[n - 1]["state"] != "started"
    )
    night = timedelta(hours=14)
    late = [row | {"time": row["time"] + night} for row in events[middle:]]
    resumed = late[0]["time"]
    assert events_rate([*events[:middle], *late], opened.history, resumed) == pytest.approx(
        rate, rel=0.2
    )
    assert events_rate(events[:middle], opened.history, resumed) is None
    again = late[0] | {"attempt": 2}  # its epochs before are none of the second attempt's time
    rest = [row | {"time": row["time"] + night} for row in late[1:]]
    twice = [*events[:middle], late[0], again | {"time": again["time"] + night}, *rest]
    assert events_rate(twice, opened.history, resumed) == pytest.approx(rate, rel=0.2)
