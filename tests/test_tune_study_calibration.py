"""Whole simulated studies judged: quick versions of the benchmark's cells."""

import numpy as np
import pytest

from tune.simulated_studies import hscl_surface
from tune.study_calibration import (
    _best,
    _spec,
    better_half_sd,
    call_of_nothing,
    null_study_claim,
    regrets,
)


@pytest.mark.slow
def test_whole_studies_of_equal_configurations_seldom_claim() -> None:
    claims = [null_study_claim(key) for key in range(20)]
    assert None not in claims
    # Nominal .05: six or more of twenty come by chance in 3 of 10,000.
    assert sum(map(bool, claims)) <= 5


@pytest.mark.slow
def test_a_parameter_that_does_nothing_is_seldom_said_to_matter() -> None:
    calls = [call_of_nothing(key, "random", "none") for key in range(12)]
    known = [call for call in calls if call is not None]
    assert len(known) == 12
    assert sum(matters for _, matters in known) <= 3
    assert all(matters == (p < 0.05) for p, matters in known)


def test_nothing_can_be_better_than_the_best_point() -> None:
    space, rng = _spec().searched, np.random.default_rng(0)
    values = [hscl_surface(space.to_config(space.draw(rng))) for _ in range(300)]
    assert min(values) > hscl_surface(_best())
    below = sorted(values)[:150]
    assert better_half_sd() == pytest.approx(np.std(below), rel=0.25)


def test_regrets_are_never_negative_and_follow_the_key() -> None:
    one = regrets(1, 0.02, trials=10)
    assert min(one) >= 0.0
    assert one != regrets(2, 0.02, trials=10)
