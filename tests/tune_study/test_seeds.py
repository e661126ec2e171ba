"""Seeds are derived once, differ everywhere, and say so where they can't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hscl.errors import InputError
from tune.study.seeds import LARGEST, plan_seeds


@given(
    seed=st.integers(0, 10**9),
    confirm=st.integers(0, 20),
    looks=st.integers(1, 4),
    avoid=st.lists(st.integers(1, LARGEST), max_size=30),
)
def test_no_seed_is_used_twice(seed: int, confirm: int, looks: int, avoid: list[int]) -> None:
    plan = plan_seeds(seed, confirm, looks=looks, avoid=avoid)
    assert [len(look) for look in plan.looks] == [confirm] * looks
    assert len(set(plan.all)) == len(plan.all)
    assert not set(plan.all) & set(avoid)
    assert all(1 <= one <= LARGEST for one in plan.all)
    assert plan == plan_seeds(seed, confirm, looks=looks, avoid=avoid)


def test_the_studys_seed_matters() -> None:
    assert not set(plan_seeds(0, 20).all) & set(plan_seeds(1, 20).all)


def test_derived_seeds_stay_the_same_from_version_to_version() -> None:
    # A study resumes on its seeds: changing the derivation would orphan every study on disk.
    assert plan_seeds(0, 3).all == (70442, 184088, 773, 866088)


def test_listed_seeds_are_taken_in_order_and_kept_from_the_derived_ones() -> None:
    first = plan_seeds(0, 1).screen
    plan = plan_seeds(0, [first, 8, 7, 6], looks=2)
    assert plan.looks == ((first, 8), (7, 6))
    assert plan.screen not in {first, 8, 7, 6}


def test_a_further_declared_look_leaves_all_other_seeds_as_they_are() -> None:
    assert plan_seeds(3, 5, looks=2).all[:6] == plan_seeds(3, 5).all


def test_all_mistakes_in_lists_come_in_one_message() -> None:
    with pytest.raises(InputError) as caught:
        plan_seeds(0, [2, 3, 3, 3, 4], looks=2, avoid=[4])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "confirm.seeds must differ" in lines[0]
    assert "confirm.seeds must be fresh" in lines[1]
    assert "shared evenly" in lines[2]


def test_refine_trains_on_the_screens_seed_so_that_all_values_compare_alike() -> None:
    plan = plan_seeds(4, 6)
    assert plan.refine == plan.screen
