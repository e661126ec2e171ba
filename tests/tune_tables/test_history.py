"""The fold of the tables: the same however it is built, and a report counts once."""

import math
from collections import Counter
from typing import Any

import pytest
from fold_by_rows import fold_by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, shuffled, study

from tune.planner.phases import Wait, next_step
from tune.simulate.study import SimulatedRun, simulate
from tune.states import Kind, Origin, Phase, TrialState
from tune.tables.history import History
from tune.tables.records import Ending

EVENT: dict[str, Any] = {
    "trial_id": "a-1",
    "config_id": "a",
    "phase": "screen",
    "seed": 1,
    "attempt": 1,
    "error": None,
}


def state_of(history: History) -> dict[str, Any]:
    return {
        "configs": history.configs,
        "trials": history.trials,
        "open": history.open,
        "plan": history.plan,
        "rungs": history.rungs,
        "values": {rung: history.rung_values(rung) for rung in history.rungs},
        "spent": (history.epochs, history.seconds),
        "failures": history.failures,
        "order": list(history.trials),
    }


@given(seed=st.integers(0, 10**6), slots=st.integers(1, 5), most=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_folding_whole_tables_gives_what_the_driver_had(seed: int, slots: int, most: int) -> None:
    run = SimulatedRun(study(), noisy(seed, failing=0.1), slots=slots, pick=shuffled(seed))
    run.run(most_reports=most)
    folded = fold_by_rows(run.spec, **run.tables)
    assert state_of(folded) == state_of(run.history)


def test_a_repeated_epoch_changes_nothing() -> None:
    history = History(study())
    history.apply_event(EVENT | {"seq": 0, "state": "started"})
    row = {"seq": 1, "trial_id": "a-1", "epoch": 1, "valid_mae": 0.5, "seconds": 2.0}
    assert history.apply_report(row)
    assert history.apply_report(row | {"epoch": 2, "valid_mae": 0.4})
    before = state_of(history)
    assert not history.apply_report(row | {"valid_mae": 0.1, "seconds": 9.0})
    assert not history.apply_report(row | {"epoch": 2, "valid_mae": 0.1})
    assert state_of(history) == before
    assert history.trials["a-1"].curve == {1: 0.5, 2: 0.4}
    assert history.seconds == 4.0


def test_values_that_are_no_numbers_are_missing() -> None:
    history = History(study())
    history.apply_event(EVENT | {"seq": 0, "state": "started"})
    for epoch, value in enumerate((None, math.nan, -math.inf, 0.5, None), 1):
        history.apply_report({"seq": epoch, "trial_id": "a-1", "epoch": epoch, "valid_mae": value})
    trial = history.trials["a-1"]
    assert [trial.best[epoch] for epoch in (4, 5)] == [0.5, 0.5]
    assert all(math.isnan(trial.best[epoch]) for epoch in (1, 2, 3))
    assert trial.value == 0.5
    assert history.rungs == {1: {}, 3: {}}


def test_an_unfinished_trial_is_open_until_its_end_and_keeps_its_attempt() -> None:
    history = History(study())
    history.apply_event(EVENT | {"seq": 0, "state": "started"})
    history.apply_event(EVENT | {"seq": 1, "state": "started", "attempt": 2})
    assert list(history.open) == ["a-1"]
    assert history.open_in(Phase.SCREEN) == 1
    assert history.trials["a-1"].attempt == 2
    history.apply_event(EVENT | {"seq": 2, "state": "failed", "error": "boom", "attempt": 2})
    assert not history.open
    assert history.open_in(Phase.SCREEN) == 0
    assert history.trials["a-1"].error == "boom"


def test_a_trials_last_event_is_its_state() -> None:
    history = History(study())
    for seq, state in enumerate(("started", "done", "failed")):
        history.apply_event(EVENT | {"seq": seq, "state": state})
    assert history.trials["a-1"].state is TrialState.FAILED
    assert not history.open
    # A start after an end: a person had the study go on.
    history.apply_event(EVENT | {"seq": 3, "state": "started", "attempt": 2})
    assert list(history.open) == ["a-1"]
    assert history.open_in(Phase.SCREEN) == 1


def test_reports_of_a_trial_that_no_event_tells_of_say_nothing() -> None:
    history = History(study())
    row = {"seq": 1, "trial_id": "a-1", "epoch": 1, "valid_mae": 0.5, "seconds": 2.0}
    assert not history.apply_report(row)
    assert (history.trials, history.epochs, history.seconds) == ({}, 0, 0.0)


def test_columns_of_inactive_parameters_are_no_parameters() -> None:
    history = History(study())
    history.apply_config(
        {
            "config_id": "a",
            "number": 0,
            "origin": "known",
            "name": "mine",
            "config": "{}",
            "hscl_version": "1",
            "loss.alpha": 0.3,
            "train.lr": None,
        }
    )
    record = history.configs["a"]
    assert record.params == {"loss.alpha": 0.3}
    assert record.origin is Origin.KNOWN
    assert history.default == record
    assert list(history.unstarted) == ["a"]


@pytest.mark.parametrize(("metric", "best"), [("mae", 0.2), ("corr", 0.8)])
def test_better_follows_the_metric(metric: str, best: float) -> None:
    history = History(study(f'[study]\nmetric = "{metric}"'))
    assert history.better(0.2, 0.8) == history.better(0.8, 0.2) == best
    assert history.better(math.nan, 0.5) == history.better(0.5, math.nan) == 0.5
    assert math.isnan(history.better(math.nan, math.nan))


def test_plan_rows_are_found_by_kind_and_phase() -> None:
    history = simulate(study(), noisy()).history
    assert len(history.plan_rows(Kind.PHASE_BEGUN)) == 3
    assert len(history.plan_rows(Kind.PHASE_BEGUN, Phase.REFINE)) == 1
    assert history.plan_rows(Kind.GAVE_UP) == []
    assert history.earlier_seeds == ()


def _ends(event: dict[str, Any]) -> bool:
    return bool(event["state"] != "started")


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        ("random", ""),
        ("random", "refine.trials = 0"),
        ("random", "confirm.seeds = 0"),
        ("random", "confirm.looks = 2"),
        ("random", "sampler.trials = 1"),
        ("list", '[[known]]\nname = "flat"\n"loss.high" = false'),
    ],
)
def test_a_study_has_ended_exactly_when_the_planner_has_nothing_more(
    sampler: str, text: str
) -> None:
    for failing in (0.0, 0.3, 1.0):
        run = SimulatedRun(study(text, sampler=sampler), noisy(failing=failing), slots=2)
        while True:
            step, ending = next_step(run.spec, run.history, frozenset()), run.history.ending
            assert isinstance(step, Ending) == (ending is not None)
            if ending is None:  # with nothing in hand, there is something to do
                assert not isinstance(step, Wait)
            else:
                assert step == ending
                ended = {trial["trial_id"] for trial in run.tables["trials"] if _ends(trial)}
                begun = {trial["trial_id"] for trial in run.tables["trials"]}
                look = [row for row in run.tables["plan"] if row["kind"] == "look"]
                seeds = look[0]["seeds"] if look else []
                confirmed = [t for t in run.tables["trials"] if t["phase"] == "confirm"]
                cells = {(t["config_id"], t["seed"]) for t in confirmed if _ends(t)}
                many = len({t["config_id"] for t in confirmed})
                assert ending.gave_up or ended == begun
                assert ending.gave_up or len(cells) == many * len(seeds)
            if run.done is not None:
                break
            run.run(most_reports=1)


def test_a_screen_that_its_budget_ended_plans_no_more_than_it_ran() -> None:
    open_end = simulate(study("confirm.looks = 2"), noisy()).history
    assert open_end.planned[Phase.SCREEN] == open_end.spec.sampler.trials
    history = simulate(study("budget.epochs = 150\nsampler.trials = 40"), noisy()).history
    assert history.plan_rows(Kind.BUDGET_REACHED)
    ran = Counter(trial.phase for trial in history.trials.values())
    assert history.planned == ran
    assert ran[Phase.SCREEN] < 40


def test_what_is_planned_is_what_has_run_and_what_is_still_to_come() -> None:
    spec = study("sampler.trials = 5\nrefine.trials = 3")
    run = SimulatedRun(spec, noisy(), slots=2)
    while run.done is None:
        assert run.history.planned == {Phase.SCREEN: 5, Phase.REFINE: 3, Phase.CONFIRM: 6}
        run.run(most_reports=5)
    open_end = study("budget.epochs = 200\nsampler.trials = 'auto'\nrefine.trials = 'auto'")
    run = SimulatedRun(open_end, noisy(), slots=2)
    while run.done is None:
        begun = Counter(trial.phase for trial in run.history.trials.values())
        assert begun <= Counter(run.history.planned)
        run.run(most_reports=5)
    assert begun == run.history.planned


def test_every_seed_that_was_used_or_put_aside_is_known() -> None:
    spec = study("confirm.looks = 3")
    history = simulate(spec, noisy()).history
    assert history.used_seeds == {*spec.seed_plan().all}
    assert len(history.used_seeds) == 1 + 3 * 3
    assert History(spec).used_seeds == set()


def test_failures_of_both_searching_phases_are_tried_again_together() -> None:
    for first, again in (("screen", 2), ("confirm", 1)):
        history = History(study())
        for name, phase in (("a", first), ("b", "refine" if first == "screen" else "screen")):
            event = EVENT | {"trial_id": f"{name}-1", "config_id": name, "phase": phase}
            history.apply_event(event | {"state": "started"})
            history.apply_event(event | {"state": "failed"})
        history.apply_plan({"kind": "resumed", "phase": None, "note": ""})
        assert len(history.open) == again


def test_who_is_confirmed_is_the_default_and_the_finalists() -> None:
    history = simulate(study("confirm.keep = 2"), noisy()).history
    default = history.default
    assert default is not None
    assert history.confirmed == tuple(history.finalists(Phase.CONFIRM))
    assert history.confirmed[:2] == (default.config_id, history.winner)
    assert history.primary == (history.winner, default.config_id)
    assert len(history.looks) == 1
    assert all(
        history.has_ended(one, seed) for one in history.confirmed for seed in history.looks[0]
    )
    assert history.without_winner is None
