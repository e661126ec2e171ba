"""Numbers, intervals and names as reports write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.display import (
    bytes_text,
    count,
    duration_text,
    interval,
    listing,
    number,
    parameter_name,
    setting,
    share,
    signed,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (-0.0204, "−0.020"), (-0.0001, "0.000"), (math.nan, "–"), (None, "–")],
)
def test_numbers_have_fixed_digits_a_true_minus_and_no_minus_zero(
    value: float | None, shown: str
) -> None:
    assert number(value) == shown


@given(st.floats(-1e6, 1e6))
def test_a_shown_number_is_within_half_a_digit_of_the_value(value: float) -> None:
    assert abs(float(number(value, 4).replace("−", "-")) - value) <= 0.5001e-4


def test_differences_carry_their_sign_but_zero_has_none() -> None:
    assert [signed(v) for v in (0.02, -0.02, 0.0, 1e-9, math.inf)] == [
        "+0.020",
        "−0.020",
        "0.000",
        "0.000",
        "–",
    ]
    assert interval(-0.061, -0.004) == "−0.061 to −0.004"
    assert interval(math.nan, 0.1) == "–"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5e-5, "5e−5"),
        (0.0001, "0.0001"),
        (2.2361e-05, "2.24e−5"),
        (1e22, "1e22"),
        (128, "128"),
        (True, "on"),
        ("supcr", "supcr"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_settings_are_short_and_never_rounded_to_nothing(value: object, shown: str) -> None:
    assert setting(value) == shown


def test_a_parameter_without_a_name_of_its_own_keeps_the_dotted_one() -> None:
    assert parameter_name("train.lr") == "learning rate"
    assert parameter_name("train.clip") == "train.clip"


def test_counts_shares_and_durations_read_as_words() -> None:
    assert count(1, "seed") == "1 seed"
    assert count(1234, "seed") == "1,234 seeds"
    assert count(0, "entry", "entries") == "0 entries"
    assert [share(s) for s in (0.0, 0.001, 0.344, 1.0, None)] == [
        "0 %",
        "< 1 %",
        "34 %",
        "100 %",
        "–",
    ]
    assert [duration_text(s) for s in (12, 42, 89.6, 400, 1000)] == [
        "12 s",
        "42 s",
        "90 s",
        "7 min",
        "17 min",
    ]
    assert [duration_text(s) for s in (5400, 12_240, 90_000)] == ["1.5 h", "3.4 h", "25.0 h"]


def test_lists_end_in_and_and_say_how_many_they_leave_out() -> None:
    assert listing([]) == ""
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing([str(n) for n in range(9)], most=2) == "0, 1 and 7 more"


def test_bytes_are_short() -> None:
    sizes = [0, 999, 1500, 12_858_756, 154e6, 2.34e9, 1.2e12]
    texts = ["0 bytes", "999 bytes", "1.5 kB", "13 MB", "154 MB", "2.3 GB", "1,200 GB"]
    assert [bytes_text(size) for size in sizes] == texts
