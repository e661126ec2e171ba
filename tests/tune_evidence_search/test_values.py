"""A configuration's trials, state and value."""

from dataclasses import replace

from study_factory import Simulated, evidence_of

from tune.evidence.search.values import (
    best_epoch,
    furthest_trials,
    state_of,
    trials_of,
    varied_names,
    varied_values,
)
from tune.states import Phase, TrialState
from tune.tables.records import TrialRecord

WHAT = Simulated(trials=8, epochs=4, refined=3, confirm_seeds=5, failures=1, seed=1)


def test_seeds_that_have_just_begun_do_not_move_a_configurations_value() -> None:
    history = evidence_of(replace(WHAT, until="confirm")).history
    default = history.default
    assert default is not None
    counted = furthest_trials(history, default.config_id)
    assert counted
    assert {trial.state for trial in counted} == {TrialState.DONE}
    assert {trial.phase for trial in counted} == {"confirm"}


def test_the_best_epoch_is_the_first_that_reached_the_value() -> None:
    evidence = evidence_of(WHAT)
    for trial in evidence.trials:
        curve = list(trial.curve.values())
        assert best_epoch(trial) == 1 + curve.index(min(curve))
    nothing = TrialRecord("a-1", "a", evidence.trials[0].phase, 1)
    assert best_epoch(nothing) is None


def test_a_configuration_is_open_while_one_of_its_trials_is_else_as_the_best_of_them_ended() -> (
    None
):
    def state(*states: TrialState) -> str:
        return state_of([TrialRecord("a-1", "a", Phase.SCREEN, 1, state=one) for one in states])

    done, failed, started = TrialState.DONE, TrialState.FAILED, TrialState.STARTED
    assert state(done, started) == "started"
    assert state(done, failed) == "done"
    assert state(TrialState.PRUNED) == "pruned"
    assert state() == "waiting"


def test_trials_are_those_of_the_configuration_and_values_those_of_its_row() -> None:
    evidence = evidence_of(WHAT)
    for config_id, record in evidence.history.configs.items():
        assert {trial.trial_id for trial in trials_of(evidence.history, config_id)} == {
            row["trial_id"]
            for row in evidence.tables["trials"].to_pylist()
            if row["config_id"] == config_id
        }
        assert set(varied_values(evidence.spec, record)) == set(varied_names(evidence.spec))
