"""A budget is never exceeded, and confirm keeps what it needs."""

import pytest
from fold_by_rows import fold_by_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, shuffled, study

from hscl.config import Config
from tune.planner.budget import Answer, is_last, room_for_another, screen_is_over
from tune.simulate.study import SimulatedRun, simulate
from tune.states import Kind, Phase
from tune.study.allocation import rungs_of
from tune.tables.history import History

AUTO = "sampler.trials = 'auto'\nrefine.trials = 'auto'\n"


@given(
    epochs=st.integers(72, 500),
    share=st.floats(0.05, 0.95),
    slots=st.integers(1, 16),
    seed=st.integers(0, 10**6),
    keep=st.sampled_from(["1", "2", "'all'"]),
)
@settings(max_examples=25, deadline=None)
def test_the_whole_study_stays_within_its_epochs_and_confirm_is_complete(
    epochs: int, share: float, slots: int, seed: int, keep: str
) -> None:
    spec = study(f"budget.epochs = {epochs}\nconfirm.keep = {keep}\n{AUTO}refine.share = {share}")
    run = simulate(spec, noisy(seed), slots=slots, pick=shuffled(seed))
    assert len(run.tables["reports"]) <= epochs
    confirm = [trial for trial in run.history.trials.values() if trial.phase is Phase.CONFIRM]
    done = sum(
        trial.state == "done" and trial.config_id != run.spec.base.config_id
        for trial in run.history.search_trials.values()
    )
    kept = done if keep == "'all'" else min(int(keep), done)
    assert len(confirm) == ((1 + kept) * 3 if kept else 0)
    assert {trial.epoch for trial in confirm} <= {9}
    (reached,) = run.history.plan_rows(Kind.BUDGET_REACHED)
    assert "epochs are spent" in reached["note"]
    # Nothing that could still be tried is left.
    assert reached["value"] + 9 + (1 + kept) * 3 * 9 > epochs or keep != "1"


def test_a_budget_is_said_as_the_person_wrote_it() -> None:
    spec = study(f"budget.epochs = 1234\nsampler.kind = 'random'\n{AUTO}refine.share = 0.5")
    (reached,) = simulate(spec, noisy()).history.plan_rows(Kind.BUDGET_REACHED)
    assert " of 1,234 epochs are spent, confirm needs up to 54 epochs" in reached["note"]


def literal_parts(run: SimulatedRun, share: float) -> tuple[int, int]:
    """How many configurations screen and refine have, read off the rows of a run on one slot.

    One slot has one trial at a time, so that a trial begins with everything before it ended.
    """
    total, confirm, longest = run.spec.budget.epochs, 2 * 3 * 9, 9
    selecting = total - confirm
    lengths = [trial.epoch for trial in run.history.search_trials.values()]
    screen = refine = spent = 0
    for length in lengths:
        if not refine and spent < (1 - share) * selecting:
            screen += 1
        else:
            refine += 1
        assert spent + longest + confirm <= total
        spent += length
    assert spent + longest + confirm > total
    return screen, refine


# Shares in 64ths: products with them are exact, so that rounding decides nothing.
@given(epochs=st.integers(100, 500), part=st.integers(4, 60), seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_refine_begins_once_the_screen_has_spent_its_part(
    epochs: int, part: int, seed: int
) -> None:
    share = part / 64
    spec = study(f"budget.epochs = {epochs}\n{AUTO}refine.share = {share}")
    run = simulate(spec, noisy(seed))
    phases = [trial.phase for trial in run.history.search_trials.values()]
    assert (phases.count(Phase.SCREEN), phases.count(Phase.REFINE)) == literal_parts(run, share)


@pytest.mark.parametrize("slots", [4, 16])
def test_many_slots_start_no_extra_wave_of_the_screen(slots: int) -> None:
    spec = study(f"budget.epochs = 450\n{AUTO}refine.share = 0.5")
    part = 0.5 * (450 - 54)
    for seed in range(3):
        run = simulate(spec, noisy(seed), slots=slots, pick=shuffled(seed))
        trials = run.history.search_trials.values()
        spent = sum(trial.epoch for trial in trials if trial.phase is Phase.SCREEN)
        # A wave would be `slots` trials of 7/3 epochs usually, 37 with 16 slots.
        assert abs(spent - part) < 0.25 * part


@given(
    hours=st.floats(0.03, 0.2),
    share=st.floats(0.1, 0.9),
    slots=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=10, deadline=None)
def test_hours_are_training_time_from_the_tables(
    hours: float, share: float, slots: int, seed: int
) -> None:
    # A simulated epoch takes a second.
    spec = study(f"budget.hours = {hours}\n{AUTO}refine.share = {share}")
    run = simulate(spec, noisy(seed), slots=slots, pick=shuffled(seed))
    spent = sum(row["seconds"] for row in run.tables["reports"]) / 3600
    assert spent <= hours
    assert spent > hours - 2 * 9 / 3600 or not run.history.winner


def test_a_tight_budget_still_tries_something_beside_the_default() -> None:
    run = simulate(study(f"budget.epochs = 72\n{AUTO}"), noisy())
    assert len(run.history.configs) >= 2
    assert any(trial.phase is Phase.CONFIRM for trial in run.history.trials.values())


def test_the_default_and_the_known_points_are_screened_though_the_part_is_spent() -> None:
    known = "".join(f'[[known]]\n"loss.alpha" = {n}.5\n' for n in range(1, 5))
    spec = study(f"budget.epochs = 300\n{AUTO}refine.share = 0.99\n{known}")
    run = simulate(spec, noisy())
    phases = [trial.phase for trial in run.history.search_trials.values()]
    assert phases.count(Phase.SCREEN) == 5


def test_counts_end_both_phases_although_epochs_are_left() -> None:
    run = simulate(study("budget.epochs = 2000\nsampler.trials = 7\nrefine.trials = 2"), noisy())
    phases = [trial.phase for trial in run.history.search_trials.values()]
    assert (phases.count(Phase.SCREEN), phases.count(Phase.REFINE)) == (7, 2)
    assert not run.history.plan_rows(Kind.BUDGET_REACHED)


def test_without_refine_the_screen_has_all_that_selects() -> None:
    run = simulate(
        study("budget.epochs = 200\nsampler.trials = 'auto'\nrefine.trials = 0"), noisy()
    )
    assert {trial.phase for trial in run.history.search_trials.values()} == {Phase.SCREEN}
    spent = sum(trial.epoch for trial in run.history.search_trials.values())
    assert 200 - 54 - 9 < spent <= 200 - 54


@pytest.mark.parametrize("grace", [1, 2])
def test_a_trial_that_runs_counts_with_what_it_usually_still_takes(grace: int) -> None:
    spec = study(
        f"budget.epochs = 120\n{AUTO}refine.share = 0.5\nscheduler.grace_epochs = {grace}"
    )
    part = 0.5 * (120 - 54)
    history = History(spec)
    running = 0
    while not screen_is_over(spec, history):
        running += 1
        config = Config().with_overrides({"loss.alpha": running / 100})
        row = {"config_id": config.config_id, "number": running - 1, "origin": "sampler"}
        history.apply_config(row | {"name": "", "config": config.to_json()})
        event = {"trial_id": f"{running}-1", "config_id": config.config_id, "phase": "screen"}
        history.apply_event(event | {"seed": 1, "attempt": 1, "state": "started"})
    first, second = rungs_of(spec)
    usual = first + (second - first) / 3 + (9 - second) / 9
    assert (running - 1) * usual < part <= running * usual


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
    # Room for two full trials beside what is reserved: 2 × 3 trials.
    spec = study("budget.epochs = 72")
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
    run = simulate(study("budget.epochs = 100\n" + known), noisy(), slots=slots)
    assert len(run.tables["reports"]) <= 100


def test_no_budget_is_no_limit() -> None:
    spec = study()
    assert room_for_another(spec, History(spec)).answer is Answer.YES


@pytest.mark.parametrize("size", ["refine.trials = 4", "budget.epochs = 300\nrefine.share = 0.5"])
@pytest.mark.parametrize("slots", [1, 5])
def test_the_last_of_refine_begins_after_all_others_have_ended(size: str, slots: int) -> None:
    spec = study(f"sampler.trials = 12\nconfirm.seeds = 3\n{size}")
    run = simulate(spec, noisy(2), slots=slots, pick=shuffled(2))
    trials = list(run.history.search_trials.values())
    refined = [trial for trial in trials if trial.phase is Phase.REFINE]
    rows = run.tables["trials"]
    begun = next(r["seq"] for r in rows if r["trial_id"] == refined[-1].trial_id)
    ended = [
        r["seq"]
        for r in rows
        if r["phase"] != "confirm"
        and r["state"] != "started"
        and r["trial_id"] != refined[-1].trial_id
    ]
    assert max(ended) < begun
    assert len(ended) == len(trials) - 1


@pytest.mark.parametrize(
    ("keep", "totals"), [("1", (72, 80, 91)), ("3", (100, 111)), ("'all'", (300, 337, 391))]
)
def test_whatever_confirm_keeps_refine_knows_its_last_training_beforehand(
    keep: str, totals: tuple[int, ...]
) -> None:
    for epochs in totals:
        spec = study(
            f"budget.epochs = {epochs}\nconfirm = {{ keep = {keep}, seeds = 3 }}\n"
            f"{AUTO}refine.share = 0.4\n[base]\n'train.epochs' = 3"
        )
        run = simulate(spec, noisy(epochs))
        *before, last = run.tables["configs"]
        trials = run.history.search_trials
        ended = {trials[row["config_id"]].trial_id for row in before}
        events, reports = (
            [row for row in run.tables[name] if row["trial_id"] in ended]
            for name in ("trials", "reports")
        )
        begun = [row for row in run.tables["plan"] if row["phase"] in {Phase.SCREEN, Phase.REFINE}]
        plan = [row for row in begun if row["kind"] == Kind.PHASE_BEGUN]
        assert trials[last["config_id"]].phase is Phase.REFINE
        assert is_last(run.spec, fold_by_rows(run.spec, before, events, reports, plan))
