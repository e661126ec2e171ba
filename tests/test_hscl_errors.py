"""Errors name what is near."""

from hscl.errors import HsclError, InputError, RunError, did_you_mean, visible


def test_a_near_name_is_offered_and_else_all_are_listed() -> None:
    assert did_you_mean("alpa", ["alpha", "omega1"]) == "did you mean 'alpha'?"
    assert did_you_mean("zzz", ["b", "a"]) == "valid are: a, b"


def test_exit_codes_are_those_of_the_contract() -> None:
    assert (HsclError.exit_code, InputError.exit_code, RunError.exit_code) == (1, 2, 1)


def test_what_would_steer_a_terminal_is_written_out() -> None:
    assert visible("a\x1b[31m\r\x07b\u202e\nc é–−") == "a\\x1b[31m\\r\\x07b\\u202e\nc é–−"
