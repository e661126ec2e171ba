"""The size of a study equals what a study does when nothing is stopped."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import branched, study

from hscl.config import Config
from tune.simulate.study import simulate
from tune.states import Phase
from tune.study.sections import ResourcesSection
from tune.study.size import size_of, trials_that_fit
from tune.study.toml import parse_spec


def improving(config: Config, seed: int, epoch: int) -> float:
    """Nobody ends early and nobody is clearly worse."""
    return 1 / epoch


@given(
    trials=st.integers(2, 10),
    refine=st.integers(0, 5),
    keep=st.sampled_from(["1", "2", "'all'"]),
    confirm=st.integers(0, 4),
)
@settings(max_examples=25, deadline=None)
def test_a_study_that_stops_nobody_does_exactly_what_was_planned(
    trials: int, refine: int, keep: str, confirm: int
) -> None:
    keep = "1" if trials + refine == 2 else keep
    spec = study(
        f"sampler.trials = {trials}\nscheduler.kind = 'none'\nrefine.trials = {refine}\n"
        f"confirm = {{ keep = {keep}, seeds = {confirm} }}"
    )
    size = size_of(spec)
    run = simulate(spec, improving)
    assert {part.phase for part in size.phases} == {t.phase for t in run.history.trials.values()}
    for phase in size.phases:
        its = [trial for trial in run.history.trials.values() if trial.phase is phase.phase]
        assert len(its) == phase.trainings
        assert sum(trial.epoch for trial in its) == phase.epochs
        assert {trial.seed for trial in its} == set(phase.seeds)
        assert len({trial.config_id for trial in its}) == phase.configurations
        assert not phase.estimated
    assert size.trainings == len(run.history.trials)
    assert size.epochs == size.usual_epochs == len(run.tables["reports"])
    assert not size.estimated


@given(trainings=st.integers(15, 60), share=st.floats(0.1, 0.9), confirm=st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_a_study_with_a_total_that_stops_nobody_does_about_what_was_planned(
    trainings: int, share: float, confirm: int
) -> None:
    spec = study(
        f"budget.epochs = {9 * trainings}\nscheduler.kind = 'none'\nconfirm.seeds = {confirm}\n"
        f"sampler.trials = 'auto'\nrefine = {{ trials = 'auto', share = {share} }}"
    )
    size = size_of(spec)
    run = simulate(spec, improving)
    phases = [trial.phase for trial in run.history.trials.values()]
    for phase in size.phases:
        off = 0 if phase.phase is Phase.CONFIRM else 1
        assert abs(phases.count(phase.phase) - phase.trainings) <= off
        assert phase.estimated is bool(off)
    assert len(phases) == trainings
    assert size.epochs <= 9 * trainings == len(run.tables["reports"])


@pytest.mark.parametrize("epochs", [72, 99, 135, 180, 270, 450])
def test_known_points_are_planned_as_screened_first(epochs: int) -> None:
    known = "".join(f'[[known]]\n"loss.alpha" = {n}.5\n' for n in range(1, 13))
    spec = study(
        f"budget.epochs = {epochs}\nscheduler.kind = 'none'\nsampler.trials = 'auto'\n"
        f"refine = {{ trials = 'auto', share = 0.9 }}\n{known}"
    )
    planned = {part.phase: part.trainings for part in size_of(spec).phases}
    phases = [trial.phase for trial in simulate(spec, improving).history.trials.values()]
    assert planned == {phase: phases.count(phase) for phase in phases}


FINITE = (
    "[space]\n'loss.low' = { choice = [true, false] }\n'train.batch_size' = { int = [31, 32] }\n"
)


@pytest.mark.parametrize("text", ["", "confirm.keep = 9", "confirm.keep = 'all'"])
def test_a_space_of_few_points_is_planned_with_no_more_of_them(text: str) -> None:
    known = "[[known]]\n'loss.alpha' = 3.0\n"
    open_size = "sampler.trials = 'auto'\nrefine.trials = 'auto'\nscheduler.kind = 'none'\n"
    spec = study(f"{open_size}{text}\nbudget.epochs = 2000\n{known}", space=FINITE)
    size = size_of(spec)
    run = simulate(spec, improving)
    # Four points, the default outside them (its batches are of 128), and the known one.
    assert size.phases[0].configurations == 6
    phases = [trial.phase for trial in run.history.trials.values()]
    assert {p.phase: p.trainings for p in size.phases} == {p: phases.count(p) for p in phases}
    assert not size.estimated
    assert size.epochs == len(run.tables["reports"])


def test_the_branches_of_a_finite_space_have_no_more_than_their_points() -> None:
    spec = branched("[budget]\nepochs = 2000\n[sampler]\ntrials = 'auto'")
    assert size_of(spec).estimated
    tree = spec.tree() | {"space": {"model.kind": spec.space["model.kind"].to_toml()}}
    screen, _ = size_of(parse_spec(tree)).phases
    assert (screen.trainings, screen.estimated) == (3, False)


@pytest.mark.parametrize(
    ("keep", "epochs"), [("4", 150), ("4", 230), ("4", 600), ("'all'", 150), ("'all'", 600)]
)
def test_confirm_is_planned_for_as_many_as_the_total_leaves_a_trial(
    keep: str, epochs: int
) -> None:
    spec = study(
        f"sampler.trials = 'auto'\nrefine.trials = 'auto'\nscheduler.kind = 'none'\n"
        f"confirm = {{ keep = {keep}, seeds = 5 }}\nbudget.epochs = {epochs}"
    )
    size = size_of(spec)
    run = simulate(spec, improving)
    phases = [trial.phase for trial in run.history.trials.values()]
    planned = {part.phase: part for part in size.phases}
    assert planned[Phase.CONFIRM].trainings == phases.count(Phase.CONFIRM)
    assert sum(part.epochs for part in size.phases) < epochs + spec.longest_trial
    searched = sum(part.trainings for part in size.phases if part.phase.searches)
    assert abs(searched - sum(phase.searches for phase in phases)) <= 1


def test_a_search_that_keeps_all_for_no_confirm_is_planned_without() -> None:
    size = size_of(study("confirm = { keep = 'all', seeds = 0 }\nsampler.trials = 'auto'"))
    assert {part.phase for part in size.phases} == {Phase.SCREEN, Phase.REFINE}


def test_hours_that_hold_no_candidate_are_said_to_confirm_nothing() -> None:
    spec = study("budget.hours = 0.02\nsampler.trials = 'auto'\nrefine.trials = 'auto'")
    size = size_of(spec, seconds_per_epoch=1.2)  # 60 epochs, but confirm and two trainings are 72
    assert [(part.phase, part.trainings, part.epochs) for part in size.phases] == [
        (Phase.SCREEN, 1, 9)
    ]
    told = "budget.hours must be at least 0.024 (confirm's 54 epochs and two full trainings of 9)"
    assert size.unconfirmed == f"{told}, but is 0.02"
    assert size_of(spec, seconds_per_epoch=0.9).unconfirmed == ""


def test_hours_are_counted_by_a_measured_epoch() -> None:
    spec = study("budget.hours = 1.0\nsampler.trials = 'auto'\nrefine.trials = 'auto'")
    counted = study("budget.epochs = 200\nsampler.trials = 'auto'\nrefine.trials = 'auto'")
    assert size_of(spec, seconds_per_epoch=18.0).phases == size_of(counted).phases


def test_a_table_is_all_confirm() -> None:
    size = size_of(study('[[known]]\n"loss.high" = false', sampler="list"))
    assert [(p.phase, p.configurations, p.trainings) for p in size.phases] == [
        (Phase.CONFIRM, 2, 6)
    ]
    assert (size.pairs, size.comparisons, size.opens_test) == (3, 1, True)


def test_stopping_early_is_what_makes_usual_less_than_most() -> None:
    size = size_of(study(epochs=9))
    assert size.rungs == (1, 3)
    # 1 + 2/3 + 6/9 epochs of 9 on average, for 12 trials of the screen.
    assert size.epochs - size.usual_epochs == round(12 * (9 - 7 / 3))


def test_a_budget_limits_the_plan() -> None:
    size = size_of(study("budget.epochs = 200"))
    assert size.usual_epochs <= size.epochs <= 200


def test_hours_follow_from_a_measured_epoch() -> None:
    size = size_of(study())
    usual, most = size.hours(36.0, concurrent=2)
    assert most == pytest.approx(size.epochs * 36 / 3600 / 2)
    assert usual < most
    assert size_of(study("budget.hours = 1.0")).hours(36.0)[1] == 1.0


def test_seeds_of_an_earlier_study_are_avoided() -> None:
    spec = study()
    used = spec.seed_plan().all
    seeds = {seed for phase in size_of(spec, used).phases for seed in phase.seeds}
    assert not seeds & set(used)


GIB = 2.0**30
BIG = {"CPU": 8.0, "GPU": 2.0, "memory": 64.0 * GIB, "a100": 1.0}


@pytest.mark.parametrize(
    ("node", "resources", "trials"),
    [
        (BIG, {"gpus": 0.0}, 8),
        (BIG, {"cpus": 0.1, "gpus": 0.1}, 20),
        (BIG, {"cpus": 4.0, "gpus": 0.5}, 2),
        (BIG, {"gpus": 3.0}, 0),
        (BIG, {"gpus": 0.0, "memory_gib": 24.0}, 2),
        (BIG, {"gpus": 0.0, "custom": {"a100": 0.5}}, 2),
        (BIG, {"custom": {"tpu": 1.0}}, 0),
        (BIG, {"gpus": 0.25}, 8),
        ({"CPU": 64.0, "GPU": 2.0}, {"gpus": 0.25}, 8),
        ({"CPU": 64.0}, {"gpus": 0.5}, 0),
        ({"CPU": 2.0}, {"cpus": 0.1}, 20),
        ({}, {}, 0),
    ],
)
def test_a_node_takes_as_many_trials_as_its_scarcest_resource_allows(
    node: dict[str, float], resources: dict[str, Any], trials: int
) -> None:
    assert trials_that_fit(ResourcesSection(**resources), node) == trials


def test_gpus_not_given_are_one_a_trial_where_there_are_any() -> None:
    machine = {"CPU": 32.0, "GPU": 4.0}
    assert trials_that_fit(ResourcesSection(), machine) == 4
    assert trials_that_fit(ResourcesSection(), {"CPU": 32.0}) == 32
    # On a node without GPUs none runs where other nodes have some: each of the study asks for one.
    assert trials_that_fit(ResourcesSection(), {"CPU": 32.0}, gpus_there=4.0) == 0
