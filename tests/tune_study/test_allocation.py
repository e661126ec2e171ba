"""How epochs are shared out, against counts that are made one by one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import study

from tune.study.allocation import allocation_of, confirm_epochs, rungs_of, usual_length
from tune.study.spec import StudySpec


def auto(text: str = "") -> StudySpec:
    """A study whose counts follow from its epochs."""
    return study(f"sampler.trials = 'auto'\nrefine.trials = 'auto'\n{text}")


def test_what_confirm_needs_is_every_trial_at_full_length() -> None:
    # (winner + default) × 3 seeds, 9 epochs each.
    assert confirm_epochs(study(), candidates=11) == 2 * 3 * 9
    assert confirm_epochs(study("confirm.keep = 4"), candidates=11) == 5 * 3 * 9
    assert confirm_epochs(study("confirm.keep = 4"), candidates=2) == 3 * 3 * 9
    assert confirm_epochs(study("confirm.keep = 'all'"), candidates=11) == 12 * 3 * 9
    assert confirm_epochs(study("confirm = { seeds = [1, 2, 3, 4], looks = 2 }"), 11) == 2 * 2 * 9
    assert confirm_epochs(study("confirm.seeds = 0"), candidates=11) == 0


def test_without_any_size_a_study_is_fifty_full_trainings() -> None:
    assert auto().budget.epochs == 50 * 9
    # Or twice what confirm takes: (1 + 1) × 40 trainings.
    assert auto("confirm.seeds = 40").budget.epochs == 2 * 80 * 9
    assert auto("budget.epochs = 300").budget.epochs == 300
    assert auto("budget.hours = 2.0").budget.epochs == 0
    assert study().budget.epochs == 0


def test_one_count_gives_the_other_by_the_share() -> None:
    # 24 configurations × 7/3 epochs are 56, which is .4 of what selects; .6 of it are 84.
    share = "share = 0.6"
    refined = study(f"sampler.trials = 24\nrefine = {{ trials = 'auto', {share} }}")
    assert refined.refine.trials == round(84 / 9)
    screened = study(f"sampler.trials = 'auto'\nrefine = {{ trials = 9, {share} }}")
    assert screened.sampler.trials == round(9 * 9 * (0.4 / 0.6) / (7 / 3))
    assert study("sampler.trials = 2\nrefine.trials = 'auto'").refine.trials == 1
    assert study("sampler.trials = 'auto'\nrefine.trials = 0").budget.epochs == 50 * 9
    # With a limit both stay open.
    open_end = study("sampler.trials = 24\nrefine.trials = 'auto'\nbudget.epochs = 300")
    assert open_end.refine.trials == "auto"


@given(
    total=st.integers(100, 2000),
    share=st.floats(0.05, 0.95),
    refine=st.one_of(st.just("auto"), st.integers(0, 60)),
)
def test_refine_takes_its_share_and_no_more_than_its_trainings_need(
    total: int, share: float, refine: int | str
) -> None:
    spec = study(
        f"budget.epochs = {total}\nsampler.trials = 'auto'\n"
        f"refine = {{ trials = {refine!r}, share = {share} }}"
    )
    found = allocation_of(spec)
    selecting = total - 2 * 3 * 9
    screen = found.screen_part(selecting)
    # One epoch after the other to refine, as long as it may take them.
    rest = float(selecting)
    needs = 9.0 * refine if isinstance(refine, int) else float("inf")
    taken = 0.0
    while taken + 1 <= share * selecting and taken + 1 <= needs:
        taken += 1
        rest -= 1
    assert screen == pytest.approx(rest, abs=1)
    assert found.refines is (refine != 0)


@pytest.mark.parametrize(
    ("trainings", "screened"), [(3, 1.5), (8, 6), (13, 10.4), (24, 12), (88, 88 / 3)]
)
@pytest.mark.parametrize("epochs", [9, 20])
def test_by_itself_refine_has_two_thirds_less_for_a_short_screen_and_at_least_a_fifth(
    epochs: int, trainings: int, screened: float
) -> None:
    spec = study("sampler.trials = 'auto'\nrefine.trials = 'auto'", epochs=epochs)
    found = allocation_of(spec)
    assert found.screen_part(trainings * epochs) == pytest.approx(screened * epochs)
    # In hours, where an epoch takes 0.02 of one.
    in_hours = found.screen_part(trainings * epochs * 0.02, each=0.02)
    assert in_hours == pytest.approx(screened * epochs * 0.02)
    few = allocation_of(study("refine.trials = 1\nbudget.epochs = 900", epochs=epochs))
    assert few.screen_part(trainings * epochs) == pytest.approx((trainings - 1) * epochs)


def test_without_a_total_refine_has_twice_the_screen() -> None:
    # 24 configurations × 7/3 epochs are 56; twice that is 12.4 trainings of 9 epochs.
    assert study("sampler.trials = 24\nrefine.trials = 'auto'").refine.trials == 12
    # 12 trainings are 108 epochs; half of that is 23 configurations.
    assert study("sampler.trials = 'auto'\nrefine.trials = 12").sampler.trials == 23


def test_in_hours_the_parts_are_the_same() -> None:
    found = allocation_of(study("refine = { trials = 3, share = 0.9 }\nbudget.hours = 1.0"))
    assert found.screen_part(60 * 0.02, each=0.02) == pytest.approx(0.02 * found.screen_part(60))


@given(
    epochs=st.integers(2, 60),
    grace=st.integers(1, 4),
    factor=st.integers(2, 4),
    after=st.integers(0, 60),
)
def test_the_usual_length_is_that_of_a_field_of_which_one_in_factor_passes(
    epochs: int, grace: int, factor: int, after: int
) -> None:
    text = f"scheduler = {{ grace_epochs = {grace}, reduction_factor = {factor} }}"
    spec = study(text, epochs=epochs)
    ahead = [rung for rung in rungs_of(spec) if rung > after]
    # Of the members that reach a rung every first of `factor` goes on.
    field, lengths = list(range(factor ** len(ahead))), []
    for rung in ahead:
        lengths += [rung - after] * (len(field) - len(field[::factor]))
        field = field[::factor]
    lengths += [max(0, epochs - after)] * len(field)
    assert usual_length(spec, after) == pytest.approx(sum(lengths) / len(lengths))


def test_rungs_are_whole_numbers_below_the_last_epoch() -> None:
    for epochs, grace, factor in itertools.product((1, 9, 10, 244), (1, 2), (2, 3, 10)):
        text = f"scheduler = {{ grace_epochs = {grace}, reduction_factor = {factor} }}"
        powers = {grace * factor**k for k in range(9)}
        rungs = rungs_of(study(text, epochs=epochs))
        assert rungs == tuple(epoch for epoch in range(1, epochs) if epoch in powers)
