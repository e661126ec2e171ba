"""Distributions, points, conditions and grids."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hscl.config import Config, preset
from hscl.errors import InputError
from tune.study.rules import parse_rule
from tune.study.space import Distribution, Point, Space

BASE = Config()
TEMPERATURE = Distribution("log_uniform", (0.03, 1.0))
FINETUNE = Distribution("choice", (True, False))
LR_TEXT = Distribution("log_uniform", (1e-6, 1e-4), when=(("model.text.finetune", True),))
BATCH = Distribution("int", (16, 18), when=(("train.lr_text", 5e-5),))


def conditional() -> Space:
    return Space(
        BASE,
        {
            # The child stands first: the order of the file must not matter.
            "train.lr_text": LR_TEXT,
            "loss.temperature": TEMPERATURE,
            "model.text.finetune": FINETUNE,
        },
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_every_point_drawn_is_in_the_space_and_makes_a_configuration(seed: int) -> None:
    space = conditional()
    point = space.draw(np.random.default_rng(seed))
    assert space.contains(point)
    assert ("train.lr_text" in point) == point["model.text.finetune"]
    assert space.point_of(space.to_config(point)) == point
    assert space.inside(space.to_config(point)) == point


def test_a_log_range_is_drawn_evenly_over_its_logarithm() -> None:
    rng = np.random.default_rng(0)
    drawn = [math.log(float(TEMPERATURE.draw(rng))) for _ in range(4000)]
    shares = (np.array(drawn) - math.log(0.03)) / (0 - math.log(0.03))
    assert np.histogram(shares, 4, (0, 1))[0] / 4000 == pytest.approx([0.25] * 4, abs=0.03)


def test_whole_numbers_include_both_bounds_and_true_is_not_one() -> None:
    rng = np.random.default_rng(0)
    three = Distribution("int", (16, 18))
    assert {three.draw(rng) for _ in range(100)} == {16, 17, 18} == set(three.options() or ())
    assert three.contains(17)
    assert not three.contains(17.5)
    assert not Distribution("int", (0, 1)).contains(True)
    assert not FINETUNE.contains(1)
    assert not TEMPERATURE.contains("a")
    assert not TEMPERATURE.contains(math.nan)


def test_an_inactive_parameter_keeps_the_base_value() -> None:
    space = conditional()
    config = space.to_config({"loss.temperature": 0.1, "model.text.finetune": False})
    assert config.train.lr_text == BASE.train.lr_text
    assert not space.contains(
        {"loss.temperature": 0.1, "model.text.finetune": False, "train.lr_text": 1e-5}
    )
    assert not space.contains({"loss.temperature": 0.1, "model.text.finetune": True})


def test_a_child_of_an_inactive_parent_is_inactive() -> None:
    space = Space(
        BASE,
        {
            "train.batch_size": BATCH,
            "train.lr_text": LR_TEXT,
            "model.text.finetune": FINETUNE,
        },
    )
    point: Point = {"model.text.finetune": False}
    assert space.contains(point)
    assert space.point_of(space.to_config(point)) == point


def test_a_configuration_that_differs_elsewhere_is_outside() -> None:
    space = conditional()
    assert space.inside(BASE) is not None
    assert space.inside(BASE.with_overrides({"run.threads": 3})) is not None
    assert space.inside(preset("released")) is None
    assert space.inside(BASE.with_overrides({"loss.temperature": 2.0})) is None


def test_values_take_the_type_of_their_key() -> None:
    space = Space(BASE, {"loss.alpha": Distribution("int", (0, 3))})
    point = space.draw(np.random.default_rng(1))
    assert type(point["loss.alpha"]) is float
    assert space.contains(point)


def test_conditions_in_a_circle_are_an_error() -> None:
    one = Distribution("choice", (True, False), when=(("loss.high", True),))
    other = Distribution("choice", (True, False), when=(("loss.low", True),))
    with pytest.raises(InputError, match="wait for each other"):
        Space(BASE, {"loss.low": one, "loss.high": other})


def test_a_grid_is_the_product_of_its_values_less_what_rules_forbid() -> None:
    weights, temperatures = (0.1, 0.5, 1.0), (0.1, 0.5)
    space = Space(
        BASE,
        {
            "loss.omega2": Distribution("choice", weights),
            "loss.temperature": Distribution("choice", temperatures),
        },
        [parse_rule("loss.omega2 <= loss.temperature")],
    )
    expected = [
        {"loss.omega2": w, "loss.temperature": t}
        for w, t in itertools.product(weights, temperatures)
        if w <= t
    ]
    assert list(space.grid()) == expected
    assert space.grid_size() == 6


def test_a_grid_names_an_inactive_parameter_once() -> None:
    space = Space(
        BASE,
        {
            "model.text.finetune": FINETUNE,
            "train.lr_text": Distribution(
                "choice", (1e-5, 5e-5), when=(("model.text.finetune", True),)
            ),
        },
    )
    assert list(space.grid()) == [
        {"model.text.finetune": True, "train.lr_text": 1e-5},
        {"model.text.finetune": True, "train.lr_text": 5e-5},
        {"model.text.finetune": False},
    ]


def test_a_continuous_range_has_no_grid() -> None:
    space = conditional()
    assert space.grid_size() is None
    with pytest.raises(InputError, match="list its values"):
        next(space.grid())


def test_rules_look_at_the_whole_configuration() -> None:
    space = Space(BASE, {"loss.omega2": Distribution("uniform", (0.0, 1.0))})
    bound = Space(BASE, space.parameters, [parse_rule("loss.omega2 <= 10 * loss.omega1")])
    assert bound.allows({"loss.omega2": 0.1})
    assert not bound.allows({"loss.omega2": 0.11})
    assert space.allows({"loss.omega2": 0.11})
