"""Shares and curves of known surfaces, and honesty where little is known."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from hscl.config import preset
from tune.stats.effects import Ends, surrogate_effects
from tune.study.space import Distribution, Point, Space

SPACE = Space(
    preset("mosi"),
    {
        "loss.temperature": Distribution("log_uniform", (0.1, 1.0)),
        "loss.alpha": Distribution("log_uniform", (0.01, 1.0)),
        "loss.labels": Distribution("choice", ("supcr", "supcon", "none")),
    },
)


def _known(points: tuple[Point, ...], values: npt.NDArray[np.float64]) -> Ends:
    """Complete trials."""
    return Ends(points, values, values, np.ones(values.size, dtype=np.bool_))


def _ends(count: int, sd: float, seed: int = 0) -> Ends:
    """A line in log temperature of variance 1/12, an effect of labels of variance .02."""
    rng = np.random.default_rng(seed)
    points = tuple(SPACE.draw(rng) for _ in range(count))
    values = np.array(
        [
            math.log10(float(p["loss.temperature"])) + 0.3 * (p["loss.labels"] == "none")
            for p in points
        ]
    )
    values += rng.normal(0, sd, count)
    return _known(points, values)


def test_shares_are_those_of_the_true_surface() -> None:
    found = surrogate_effects(SPACE, _ends(300, 0.1), 0.1, np.random.default_rng(0))
    assert found is not None
    shares = {share.name: share for share in found.shares}
    whole = 1 / 12 + 0.09 * (1 / 3) * (2 / 3) + 0.01
    assert shares["loss.temperature"].part == pytest.approx(1 / 12 / whole, abs=0.06)
    assert shares["loss.labels"].part == pytest.approx(0.02 / whole, abs=0.05)
    assert shares["loss.alpha"].part < 0.02
    assert found.spread == pytest.approx(1 / 12 + 0.02, rel=0.2)
    assert found.noise == pytest.approx(0.1, rel=0.15)
    assert shares["loss.temperature"].matters
    assert shares["loss.labels"].matters
    assert not shares["loss.alpha"].matters
    for share in shares.values():
        assert share.low is not None
        assert share.high is not None
        assert share.low <= share.part + 0.02
        assert share.high >= share.part - 0.02


def test_curves_follow_the_surface_and_their_band_holds_new_trainings() -> None:
    found = surrogate_effects(SPACE, _ends(300, 0.1), 0.1, np.random.default_rng(0))
    assert found is not None
    curve = next(one for one in found.responses if one.name == "loss.temperature")
    assert curve.log
    assert (curve.values[0], curve.values[-1]) == (0.1, 1.0)
    truth = [math.log10(float(value)) + 0.1 for value in curve.values]
    assert curve.mean == pytest.approx(truth, abs=0.06)
    widths = np.subtract(curve.high, curve.low)
    assert (widths > 2 * 1.96 * 0.1).all()
    labels = next(one for one in found.responses if one.name == "loss.labels")
    assert labels.values == ("supcr", "supcon", "none")
    assert labels.mean[2] - labels.mean[0] == pytest.approx(0.3, abs=0.06)
    assert len(labels.observed) == 300


def test_stopped_trials_are_no_results_but_count() -> None:
    ends = _ends(120, 0.05)
    stopped = ends.high > -0.3
    low, high = ends.low.copy(), ends.high.copy()
    low[stopped] -= 0.2
    high[stopped] += 0.2
    rng = np.random.default_rng(1)
    found = surrogate_effects(SPACE, Ends(ends.points, low, high, ~stopped), 0.05, rng)
    assert found is not None
    curve = next(one for one in found.responses if one.name == "loss.temperature")
    assert len(curve.observed) == (~stopped).sum()
    assert curve.mean[-1] - curve.mean[0] == pytest.approx(1.0, abs=0.15)


def test_a_parameter_that_needs_another_is_shown_where_that_one_has_what_it_needs() -> None:
    # Labels alone move the value by .5, temperature by ± .2 where labels are "supcon": its curve
    # runs through its own trainings, and its share is a half of .2² / 3.
    conditional = Distribution("uniform", (0.1, 1.0), (("loss.labels", "supcon"),))
    space = Space(
        preset("mosi"),
        {
            "loss.labels": Distribution("choice", ("supcr", "supcon")),
            "loss.temperature": conditional,
        },
    )
    rng = np.random.default_rng(1)
    points = tuple(space.draw(rng) for _ in range(80))
    values = rng.normal(0.7, 0.01, 80)
    for place, point in enumerate(points):
        if "loss.temperature" in point:
            values[place] += 0.5 + 0.2 * (float(point["loss.temperature"]) - 0.55) / 0.45
    found = surrogate_effects(space, _known(points, values), 0.01, rng)
    assert found is not None
    curve = next(one for one in found.responses if one.name == "loss.temperature")
    truth = [1.2 + 0.2 * (float(value) - 0.55) / 0.45 for value in curve.values]
    assert curve.mean == pytest.approx(truth, abs=0.03)
    places = [float(value) for value in curve.values]
    trained = [float(value) for value, _ in curve.observed]
    low, high = (np.interp(trained, places, ends) for ends in (curve.low, curve.high))
    results = np.array([result for _, result in curve.observed])
    assert np.mean((low <= results) & (results <= high)) > 0.85
    shares = {share.name: share.part for share in found.shares}
    whole = 0.25**2 + 0.04 / 6 + 0.01**2
    assert shares["loss.temperature"] == pytest.approx(0.04 / 6 / whole, abs=0.02)
    assert shares["loss.labels"] == pytest.approx(0.25**2 / whole, abs=0.03)
    assert list(shares) == ["loss.labels", "loss.temperature"]  # a product would say it twice


def test_what_the_surrogate_cant_follow_is_part_of_the_whole() -> None:
    rng = np.random.default_rng(8)
    points = tuple(SPACE.draw(rng) for _ in range(100))
    values = rng.normal(0.0, 0.1, 100)  # of the configuration: the seed has a tenth of it
    found = surrogate_effects(SPACE, _known(points, values), 0.01, rng)
    assert found is not None
    assert found.noise == pytest.approx(0.1, rel=0.3)
    assert sum(share.part for share in found.shares) < 0.3
    half = found.responses[0].high[20] - found.responses[0].mean[20]
    assert half == pytest.approx(1.96 * 0.1, rel=0.3)


def test_too_few_trials_or_nothing_that_varies_say_nothing() -> None:
    rng = np.random.default_rng(2)
    assert surrogate_effects(SPACE, _ends(9, 0.1), 0.1, rng) is None
    fixed = Space(preset("mosi"), {"loss.alpha": Distribution("choice", (0.1,))})
    ends = _ends(20, 0.1)
    assert surrogate_effects(fixed, _known(({},) * 20, ends.low), 0.1, rng) is None
    stopped = Ends(ends.points, ends.low - 1, ends.high, np.zeros(20, dtype=np.bool_))
    assert surrogate_effects(SPACE, stopped, 0.1, rng) is None


def test_where_nothing_varies_nothing_is_said() -> None:
    ends = _ends(20, 0.1)
    level = _known(ends.points, np.full(20, 0.5))
    assert surrogate_effects(SPACE, level, 0.0, np.random.default_rng(2)) is None


def test_a_stopped_trial_whose_bounds_meet_is_no_result() -> None:
    ends = _ends(30, 0.05)
    complete = np.arange(30) < 20
    few = Ends(ends.points, ends.low, ends.high, complete)
    found = surrogate_effects(SPACE, few, 0.05, np.random.default_rng(6))
    assert found is not None
    assert [len(one.observed) for one in found.responses] == [20, 20, 20]


def test_without_the_seeds_spread_the_surrogates_noise_stands_for_it() -> None:
    found = surrogate_effects(SPACE, _ends(200, 0.1), None, np.random.default_rng(3))
    assert found is not None
    curve = found.responses[0]
    assert curve.high[20] - curve.mean[20] == pytest.approx(1.96 * 0.1, rel=0.25)


def test_the_largest_interaction_is_named() -> None:
    rng = np.random.default_rng(4)
    points = tuple(SPACE.draw(rng) for _ in range(300))
    values = np.array(
        [
            math.log10(float(p["loss.temperature"])) * math.log10(float(p["loss.alpha"]))
            for p in points
        ]
    )
    found = surrogate_effects(SPACE, _known(points, values), 0.05, rng)
    assert found is not None
    pairs = [share for share in found.shares if "×" in share.name]
    assert pairs[0].name == "loss.temperature × loss.alpha"
    assert pairs[0].part == max(pair.part for pair in pairs) > 0.02
    assert pairs[0].matters is None


def test_equal_generators_give_equal_answers() -> None:
    one, same = (
        surrogate_effects(SPACE, _ends(40, 0.1), 0.1, np.random.default_rng(5)) for _ in range(2)
    )
    assert one == same
