"""Where values lie on a parameter's axis."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.charts.axes import INACTIVE, axis_of
from tune.study.space import Distribution


def test_ratios_are_equal_steps_on_a_logarithmic_axis() -> None:
    axis = axis_of("train.lr", Distribution("log_uniform", (1e-4, 1e-2)), [1e-3])
    assert axis.place(1e-4) == pytest.approx(0.0)
    assert axis.place(1e-3) == pytest.approx(0.5)
    assert axis.place(1e-2) == pytest.approx(1.0)
    assert [label for _, label in axis.ticks()] == ["0.0001", "0.001", "0.01"]


def test_known_points_outside_the_range_widen_the_axis() -> None:
    axis = axis_of("loss.alpha", Distribution("uniform", (0.0, 1.0)), [0.5, 2.0])
    assert axis.place(2.0) == 1.0
    assert axis.place(1.0) == 0.5


def test_choices_are_spaced_evenly_and_strangers_come_after_them() -> None:
    axis = axis_of("loss.labels", Distribution("choice", ("supcr", "supcon")), ["none", "supcr"])
    assert [axis.place(v) for v in ("supcr", "supcon", "none")] == [0.0, 0.5, 1.0]


def test_whole_numbers_are_choices_while_they_are_few() -> None:
    few = axis_of("train.batch_size", Distribution("int", (1, 4)), [])
    many = axis_of("train.batch_size", Distribution("int", (1, 400)), [])
    assert few.options == (1, 2, 3, 4)
    assert many.options is None


def test_an_inactive_parameter_lies_below_its_axis() -> None:
    axis = axis_of("loss.alpha", Distribution("uniform", (0.0, 1.0)), [])
    assert axis.place(None) == INACTIVE < 0.0


def test_an_axis_without_width_puts_everything_in_its_middle() -> None:
    axis = axis_of("loss.alpha", Distribution("uniform", (0.3, 0.3)), [0.3])
    assert axis.place(0.3) == 0.5


@given(st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=6, unique=True))
def test_places_keep_the_order_of_values(values: list[float]) -> None:
    axis = axis_of("x", Distribution("log_uniform", (1e-3, 1.0)), values)
    places = [axis.place(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 and math.isfinite(place) for place in places)
