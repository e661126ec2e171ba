"""Whole simulated studies judged: quick versions of the benchmark's cells."""

import pytest

from calibrated.studies import _spec, null_study_claim, parameters_called
from calibrated.world import flat_surface
from tune.simulate.runs import RandomEffects


@pytest.mark.slow
def test_whole_studies_of_equal_configurations_seldom_claim() -> None:
    claims = [null_study_claim(key, "random", "asha") for key in range(20)]
    assert None not in claims
    # Nominal .05: six or more of twenty come by chance in 3 of 10,000.
    assert sum(map(bool, claims)) <= 5


def test_a_failed_trial_leaves_a_verdict_or_none() -> None:
    claims = {null_study_claim(key, "random", "asha", failures=0.5) for key in range(3)}
    assert claims <= {None, False, True}


@pytest.mark.slow
def test_what_matters_is_called_so_and_what_does_nothing_seldom() -> None:
    quiet = RandomEffects(seed=0.005, video=0.01, utterance=0.02, error=0.1)
    called = [parameters_called(key, "random", "none", effects=quiet) for key in range(12)]
    known = [one for one in called if one is not None]
    assert len(known) == 12
    assert sum(one["loss.alpha"] for one in known) <= 3
    assert sum(one["loss.temperature"] for one in known) >= 9


def test_where_nothing_matters_a_study_may_say_so_of_every_parameter() -> None:
    called = parameters_called(3, "random", "none", surface=flat_surface)
    assert called is not None
    assert set(called) == set(_spec().space)
