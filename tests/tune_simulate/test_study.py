"""Whole studies in memory: they end, double nothing, and a killed one becomes the undisturbed."""

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, seen, shuffled, study

from hscl.config import Config
from tune.simulate.study import SimulatedRun, SimulatedTrialError, simulate
from tune.states import TrialState
from tune.study.spec import StudySpec

SHAPES = st.fixed_dictionaries(
    {
        "trials": st.integers(1, 12),
        "refine": st.sampled_from([0, 1, 2, 5]),
        "confirm": st.sampled_from([0, 1, 3]),
        "keep": st.sampled_from([1, 2, "all"]),
        "epochs": st.sampled_from([0, 90, 200]),
    }
)
LIMITED = "budget.epochs = 150\nsampler.trials = 'auto'\nrefine.trials = 'auto'"
KNOWN = '[[known]]\n"loss.alpha" = 0.3\n[[known]]\n"loss.temperature" = 0.3\n'


def shaped(shape: dict[str, Any], sampler: str) -> StudySpec:
    keep = shape["keep"] if shape["trials"] >= 4 else 1
    budget = "" if sampler == "list" else f"budget.epochs = {shape['epochs']}\n"
    confirm = shape["confirm"] if sampler != "list" else max(1, shape["confirm"])
    return study(
        f"sampler.trials = {shape['trials']}\n"
        f"refine.trials = {shape['refine']}\n"
        f"confirm = {{ keep = {keep!r}, seeds = {confirm} }}\n{budget}"
        + (KNOWN if sampler == "list" else ""),
        sampler=sampler,
    )


@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 9),
    failing=st.sampled_from([0.0, 0.3, 1.0]),
    shape=SHAPES,
    sampler=st.sampled_from(["random", "list"]),
)
@settings(max_examples=60, deadline=None)
def test_a_study_always_ends_and_runs_no_trial_twice(
    seed: int, slots: int, failing: float, shape: dict[str, Any], sampler: str
) -> None:
    objective = noisy(seed, failing=failing)
    run = simulate(shaped(shape, sampler), objective, slots=slots, pick=shuffled(seed))
    assert run.done is not None
    starts = Counter(r["trial_id"] for r in run.tables["trials"] if r["state"] == "started")
    ends = Counter(r["trial_id"] for r in run.tables["trials"] if r["state"] != "started")
    assert set(starts.values()) <= {1}
    assert starts == ends
    cells = Counter((r["trial_id"], r["epoch"]) for r in run.tables["reports"])
    assert set(cells.values()) <= {1}
    for trial_id, trial in run.history.trials.items():
        epochs = [r["epoch"] for r in run.tables["reports"] if r["trial_id"] == trial_id]
        assert epochs == list(range(1, trial.epoch + 1))
    phases = [r["phase"] for r in run.tables["trials"] if r["state"] == "started"]
    assert phases == sorted(phases, key=["screen", "refine", "confirm"].index)
    seqs = sorted(r["seq"] for name in ("trials", "reports", "plan") for r in run.tables[name])
    assert seqs == list(range(len(seqs)))


@given(
    seed=st.integers(0, 10**6),
    kills=st.lists(st.integers(1, 60), max_size=6),
    text=st.sampled_from(["", LIMITED]),
)
@settings(max_examples=15, deadline=None)
def test_one_at_a_time_a_killed_study_becomes_the_undisturbed_one(
    seed: int, kills: list[int], text: str
) -> None:
    objective, spec = noisy(seed, failing=0.1), study(text)
    undisturbed = simulate(spec, objective)
    run = SimulatedRun(spec, objective)
    for reports in kills:
        run = SimulatedRun(spec, objective, tables=run.run(reports).tables)
    run.run()
    assert seen(run) == seen(undisturbed)
    assert run.history.configs == undisturbed.history.configs


@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(2, 5),
    kills=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
@settings(max_examples=20, deadline=None)
def test_with_several_slots_a_killed_study_loses_and_doubles_nothing(
    seed: int, slots: int, kills: list[int]
) -> None:
    objective, pick = noisy(seed, failing=0.1), shuffled(seed)
    run = SimulatedRun(study(), objective, slots=slots, pick=pick)
    for reports in kills:
        tables = run.run(reports).tables
        run = SimulatedRun(study(), objective, slots=slots, pick=pick, tables=tables)
    run.run()
    cells = Counter((r["trial_id"], r["epoch"]) for r in run.tables["reports"])
    assert set(cells.values()) == {1}
    for row in run.tables["reports"]:
        trial = run.history.trials[row["trial_id"]]
        config = Config.from_json(run.history.configs[trial.config_id].config)
        assert row["valid_mae"] == objective(config, trial.seed, row["epoch"])
    ends = Counter(r["trial_id"] for r in run.tables["trials"] if r["state"] != "started")
    assert set(ends.values()) == {1}
    assert set(ends) == set(run.history.trials)


@pytest.mark.parametrize("slots", [1, 4])
def test_trials_that_run_at_once_report_in_turn(slots: int) -> None:
    reports = simulate(study(), noisy(), slots=slots).tables["reports"]
    reported = [row["trial_id"] for row in reports]
    widest = 0
    for trial_id in set(reported):
        own = [place for place, one in enumerate(reported) if one == trial_id]
        widest = max([widest, *(later - place for place, later in itertools.pairwise(own))])
    assert widest == slots


def test_an_end_that_was_decided_but_not_written_is_written_by_the_next_process() -> None:
    objective = noisy()
    run = SimulatedRun(study(), objective).run(40)
    for state in ("pruned", "done"):
        index, end = next(
            (i, r) for i, r in enumerate(run.tables["trials"]) if r["state"] == state
        )
        cut = end["seq"]
        tables = {
            name: [row for row in rows if row.get("seq", -1) < cut]
            for name, rows in run.tables.items()
        }
        tables["trials"] = run.tables["trials"][:index]
        started = {row["config_id"] for row in tables["trials"]}
        tables["configs"] = [r for r in run.tables["configs"] if r["config_id"] in started]
        again = SimulatedRun(study(), objective, tables=tables)
        again.run(1)
        ends = [r for r in again.tables["trials"] if r["trial_id"] == end["trial_id"]]
        assert [r["state"] for r in ends] == ["started", state]
        assert again.history.trials[end["trial_id"]].attempt == 1


def test_training_ends_by_its_own_patience() -> None:
    def objective(config: Config, seed: int, epoch: int) -> float:
        return abs(epoch - 3) + 1.0

    run = simulate(study('[base]\n"train.patience" = 2\n[scheduler]\nkind = "none"'), objective)
    assert {trial.epoch for trial in run.history.trials.values()} == {5}
    assert {trial.value for trial in run.history.trials.values()} == {1.0}
    assert {trial.state for trial in run.history.trials.values()} == {TrialState.DONE}


def test_a_value_that_is_no_number_fails_the_trial_and_says_when() -> None:
    def objective(config: Config, seed: int, epoch: int) -> float:
        if config.loss.temperature < 0.3:
            return float("nan") if epoch == 2 else 0.9
        return 0.9 - epoch / 100

    run = simulate(study('[scheduler]\nkind = "none"'), objective)
    failed = [t for t in run.history.trials.values() if t.state is TrialState.FAILED]
    assert failed
    assert {trial.error for trial in failed} == {"non-finite metric at epoch 2"}
    assert {trial.epoch for trial in failed} == {1}


@pytest.mark.parametrize("slots", [1, 4])
def test_if_everything_fails_the_study_stops_after_a_few_and_says_why(slots: int) -> None:
    def objective(config: Config, seed: int, epoch: int) -> float:
        raise SimulatedTrialError("CUDA error: no kernel image")

    run = simulate(study(), objective, slots=slots)
    assert run.done is not None
    assert run.done.gave_up
    assert "CUDA error: no kernel image" in run.done.note
    assert 5 <= len(run.history.trials) < 5 + slots
    # Asking again gives the same answer and starts nothing.
    again = SimulatedRun(study(), objective, slots=slots, tables=run.tables).run()
    assert again.tables == run.tables


def test_a_person_who_asks_again_after_that_gets_the_failed_ones_tried_again() -> None:
    def broken(config: Config, seed: int, epoch: int) -> float:
        raise SimulatedTrialError("disk full")

    run = simulate(study(), broken)
    row = {"kind": "resumed", "phase": None, "note": "again", "seq": 10**6, "seeds": None}
    tables = run.tables | {"plan": [*run.tables["plan"], row]}
    repaired = SimulatedRun(study(), noisy(), tables=tables).run()
    assert repaired.done is not None
    assert not repaired.done.gave_up
    states = Counter(trial.state for trial in repaired.history.trials.values())
    assert states[TrialState.FAILED] == 0
    first = list(repaired.history.trials.values())[:5]
    assert [trial.attempt for trial in first] == [2] * 5
    still = SimulatedRun(study(), broken, tables=tables).run()
    assert len(still.history.trials) == 5
    assert still.done is not None
    assert still.done.gave_up
