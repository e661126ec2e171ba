"""A budget is never exceeded by the screen, and race and confirm keep what they need."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, shuffled, study

from tune.planner.budget import Answer, room_for_another
from tune.simulate.study import simulate
from tune.states import Kind, Phase
from tune.study.size import reserved_epochs
from tune.tables.history import History


def test_what_is_reserved_is_every_trial_at_full_length() -> None:
    # (3 + default) × 5 seeds and (winner + default) × 3 seeds, 9 epochs each.
    assert reserved_epochs(study(), candidates=11) == (4 * 5 + 2 * 3) * 9
    assert reserved_epochs(study(), candidates=2) == (3 * 5 + 2 * 3) * 9
    assert reserved_epochs(study("race.seeds = 0"), candidates=11) == 2 * 3 * 9
    everyone = study("race.keep = 'all'\nconfirm.keep = 'all'")
    assert reserved_epochs(everyone, candidates=11) == (12 * 5 + 12 * 3) * 9
    looks = study("confirm = { seeds = [1, 2, 3, 4], looks = 2 }")
    assert reserved_epochs(looks, candidates=11) == (4 * 5 + 2 * 2) * 9


@given(
    epochs=st.integers(162, 500),
    slots=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    keep=st.sampled_from(["3", "'all'"]),
)
@settings(max_examples=15, deadline=None)
def test_the_whole_study_stays_within_its_epochs(
    epochs: int, slots: int, seed: int, keep: str
) -> None:
    spec = study(f"budget.epochs = {epochs}\nrace.keep = {keep}\nsampler.trials = 40")
    run = simulate(spec, noisy(seed), slots=slots, pick=shuffled(seed))
    assert len(run.tables["reports"]) <= epochs
    reached = run.history.plan_rows(Kind.BUDGET_REACHED)
    assert len(reached) == (len(run.history.configs) < 40)
    for row in reached:
        assert "epochs are spent" in row["note"]


@given(hours=st.floats(0.06, 0.2), slots=st.integers(1, 6), seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_hours_are_training_time_from_the_tables(hours: float, slots: int, seed: int) -> None:
    # A simulated epoch takes a second.
    spec = study(f"budget.hours = {hours}\nsampler.trials = 30")
    run = simulate(spec, noisy(seed), slots=slots, pick=shuffled(seed))
    assert sum(row["seconds"] for row in run.tables["reports"]) / 3600 <= hours


def test_a_tight_budget_still_tries_something_beside_the_default() -> None:
    run = simulate(study("budget.epochs = 162"), noisy())
    assert len(run.history.configs) >= 2
    assert any(trial.phase is Phase.CONFIRM for trial in run.history.trials.values())


def test_before_the_first_epoch_is_measured_one_trial_runs_alone() -> None:
    spec = study("budget.hours = 5.0")
    history = History(spec)
    assert room_for_another(spec, history).answer is Answer.YES
    event = {"trial_id": "a-1", "config_id": "a", "phase": "screen", "seed": 1, "attempt": 1}
    history.apply_event(event | {"state": "started"})
    assert room_for_another(spec, history).answer is Answer.LATER
    history.apply_report({"trial_id": "a-1", "epoch": 1, "valid_mae": 0.5, "seconds": 1.0})
    assert room_for_another(spec, history).answer is Answer.YES


def test_a_first_trial_that_fails_before_its_first_epoch_blocks_nothing() -> None:
    spec = study("budget.hours = 5.0")
    history = History(spec)
    event = {"trial_id": "a-1", "config_id": "a", "phase": "screen", "seed": 1, "attempt": 1}
    history.apply_event(event | {"state": "started"})
    history.apply_event(event | {"state": "failed"})
    assert room_for_another(spec, history).answer is Answer.YES


def test_what_runs_may_leave_room_so_the_answer_waits() -> None:
    # Room for two full trials beside what is reserved: (1 + default) × 5 + 2 × 3 trials.
    spec = study("budget.epochs = 162\nrace.keep = 1")
    history = History(spec)
    answers = []
    for name in "ab":
        answers.append(room_for_another(spec, history).answer)
        event = {"trial_id": f"{name}-1", "config_id": name, "phase": "screen", "seed": 1}
        history.apply_event(event | {"state": "started", "attempt": 1})
    answers.append(room_for_another(spec, history).answer)
    for name in "ab":
        history.apply_report({"trial_id": f"{name}-1", "epoch": 1, "valid_mae": 0.5})
        event = {"trial_id": f"{name}-1", "config_id": name, "phase": "screen", "seed": 1}
        history.apply_event(event | {"state": "pruned", "attempt": 1})
    answers.append(room_for_another(spec, history).answer)
    assert answers == [Answer.YES, Answer.YES, Answer.LATER, Answer.YES]


@pytest.mark.parametrize("slots", [1, 3])
def test_known_points_count_too(slots: int) -> None:
    known = "".join(f'[[known]]\n"loss.alpha" = {n}.5\n' for n in range(1, 7))
    run = simulate(study("budget.epochs = 190\n" + known), noisy(), slots=slots)
    assert len(run.tables["reports"]) <= 190


def test_no_budget_is_no_limit() -> None:
    spec = study()
    assert room_for_another(spec, History(spec)).answer is Answer.YES
