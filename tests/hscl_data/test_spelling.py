"""One name in several spellings: told where no two become one, and everything known agrees."""

from hypothesis import given
from hypothesis import strategies as st

from hscl.data.ids import Key
from hscl.data.spelling import respelled


def _always(_ours: Key, _theirs: Key) -> bool:
    return True


def test_each_kind_of_damage_is_told() -> None:
    ours = [Key("Ab-1", "1"), Key("100178", "12"), Key("x.y", "0")]
    theirs = [Key("ab-1.MP4", "0001"), Key("0100178", "12.0"), Key("X.Y", "00.00")]
    assert respelled(ours, theirs, _always) == dict(zip(ours, theirs, strict=True))


def test_names_that_are_there_as_they_are_need_no_other_spelling() -> None:
    keys = [Key("v", "01"), Key("w", "1")]
    assert respelled(keys, [Key("v", "01"), Key("W", "1")], _always) == {keys[1]: Key("W", "1")}


def test_nothing_is_respelled_where_two_names_would_become_one() -> None:
    two = [Key("dQw4", "1"), Key("dqw4", "1")]
    assert respelled(two, [Key("DQW4", "1")], _always) == {}
    assert respelled([Key("DQW4", "1")], two, _always) == {}


def test_nothing_is_respelled_where_one_pair_does_not_agree() -> None:
    ours, theirs = [Key("v", "1"), Key("v", "2")], [Key("v", "01"), Key("v", "02")]
    assert len(respelled(ours, theirs, _always)) == 2
    assert respelled(ours, theirs, lambda key, _: key.utterance == "1") == {}


@given(st.sets(st.integers(0, 99), min_size=1), st.integers(1, 5))
def test_numbers_with_leading_zeros_are_always_told(numbers: set[int], digits: int) -> None:
    ours = [Key("v", str(number)) for number in numbers]
    theirs = [Key("v", str(number).zfill(digits)) for number in numbers]
    told = respelled(ours, theirs, _always)
    expected = dict(zip(ours, theirs, strict=True))
    assert told == {key: other for key, other in expected.items() if key not in theirs}
