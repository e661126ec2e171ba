"""The plan in numbers equals what a study does when nothing is stopped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import study

from hscl.config import Config
from tune.simulate.study import simulate
from tune.states import Phase
from tune.study.size import plan_study, reserved_epochs


def improving(config: Config, seed: int, epoch: int) -> float:
    """Nobody ends early and nobody is clearly worse."""
    return 1 / epoch


@given(
    trials=st.integers(3, 10),
    keep=st.sampled_from(["1", "2", "'all'"]),
    race=st.integers(0, 5),
    confirm=st.integers(0, 4),
)
@settings(max_examples=25, deadline=None)
def test_a_study_that_stops_nobody_does_exactly_what_was_planned(
    trials: int, keep: str, race: int, confirm: int
) -> None:
    spec = study(
        f"sampler.trials = {trials}\nscheduler.kind = 'none'\n"
        f"race = {{ keep = {keep}, seeds = {race} }}\nconfirm.seeds = {confirm}"
    )
    plan = plan_study(spec)
    run = simulate(spec, improving)
    for phase in plan.phases:
        its = [trial for trial in run.history.trials.values() if trial.phase is phase.phase]
        assert len(its) == phase.trainings
        assert sum(trial.epoch for trial in its) == phase.epochs
        assert {trial.seed for trial in its} == set(phase.seeds)
        assert len({trial.config_id for trial in its}) == phase.configurations
    assert plan.trainings == len(run.history.trials)
    assert plan.epochs == plan.usual_epochs == len(run.tables["reports"])
    later = sum(phase.epochs for phase in plan.phases if phase.phase is not Phase.SCREEN)
    assert later == reserved_epochs(spec, trials - 1)


def test_a_table_is_all_confirm() -> None:
    plan = plan_study(study('[[known]]\n"loss.high" = false', sampler="list"))
    assert [(p.phase, p.configurations, p.trainings) for p in plan.phases] == [
        (Phase.CONFIRM, 2, 6)
    ]
    assert (plan.pairs, plan.comparisons, plan.opens_test) == (3, 1, True)


def test_stopping_early_is_what_makes_usual_less_than_most() -> None:
    plan = plan_study(study(epochs=9))
    assert plan.rungs == (1, 3)
    # 1 + 2/3 + 6/9 epochs of 9 on average, for 12 trials.
    assert plan.epochs - plan.usual_epochs == round(12 * (9 - 7 / 3))


def test_a_budget_limits_the_plan() -> None:
    plan = plan_study(study("budget.epochs = 200"))
    assert plan.epochs == 200
    assert plan.usual_epochs <= 200


def test_hours_follow_from_a_measured_epoch() -> None:
    plan = plan_study(study())
    usual, most = plan.hours(36.0, concurrent=2)
    assert most == pytest.approx(plan.epochs * 36 / 3600 / 2)
    assert usual < most
    assert plan_study(study("budget.hours = 1.0")).hours(36.0)[1] == 1.0


def test_seeds_of_an_earlier_study_are_avoided() -> None:
    spec = study()
    used = spec.seed_plan().all
    seeds = {seed for phase in plan_study(spec, used).phases for seed in phase.seeds}
    assert not seeds & set(used)
