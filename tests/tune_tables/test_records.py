"""What a trial says about itself."""

import math

from tune.states import Phase, TrialState
from tune.tables.records import FailureStreak, TrialRecord, config_label


def trial(state: TrialState = TrialState.STARTED) -> TrialRecord:
    return TrialRecord("a-1", "a", Phase.SCREEN, 1, state=state)


def test_a_trial_without_reports_has_no_value() -> None:
    assert trial().epoch == 0
    assert trial().value is None
    assert not trial().ended


def test_the_value_is_the_best_so_far_and_missing_ones_are_none() -> None:
    one = trial()
    one.curve = {1: math.nan, 2: 0.5, 3: 0.7}
    one.best = {1: math.nan, 2: 0.5, 3: 0.5}
    assert (one.epoch, one.value) == (3, 0.5)
    one.curve, one.best = {1: math.nan}, {1: math.nan}
    assert one.value is None


def test_a_success_ends_a_streak_of_failures() -> None:
    streak = FailureStreak()
    for _ in range(3):
        streak.add(trial(TrialState.FAILED))
    assert (len(streak.last), streak.succeeded) == (3, 0)
    streak.add(trial(TrialState.PRUNED))
    streak.add(trial(TrialState.FAILED))
    assert (len(streak.last), streak.succeeded) == (1, 1)


def test_a_configuration_is_called_by_its_name_or_else_by_its_number() -> None:
    assert config_label(0, "default") == "default"
    assert config_label(0, "default", "published defaults with MiniLM").startswith("published")
    assert config_label(3, "paper") == "paper"
    assert {config_label(7, name) for name in (None, "", "sampled 7")} == {"configuration 7"}
    assert config_label(7, "sampled 8") == "sampled 8"  # a person's own choice of a name
