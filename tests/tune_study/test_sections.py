"""The tables with plain settings."""

import pytest
from pydantic import ValidationError

from tune.study.sections import (
    BudgetSection,
    ConfirmSection,
    RefineSection,
    ResourcesSection,
    SamplerSection,
    SchedulerSection,
    StudySection,
)

SECTIONS = (
    StudySection,
    SamplerSection,
    SchedulerSection,
    RefineSection,
    ConfirmSection,
    BudgetSection,
    ResourcesSection,
)


def test_defaults_are_those_of_the_contract() -> None:
    assert (StudySection().metric, StudySection().retries) == ("mae", 2)
    assert (SamplerSection().kind, SamplerSection().trials) == ("tpe", "auto")
    scheduler = SchedulerSection()
    assert (scheduler.kind, scheduler.grace_epochs, scheduler.reduction_factor) == ("asha", 1, 4)
    assert (RefineSection().trials, RefineSection().share) == ("auto", "auto")
    confirm = ConfirmSection()
    assert (confirm.keep, confirm.seeds, confirm.margin, confirm.looks) == (1, 6, 0.02, 1)


def test_every_key_says_what_it_is() -> None:
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


def test_nothing_is_changed_and_nothing_is_added() -> None:
    for section in SECTIONS:
        with pytest.raises(ValidationError):
            section.model_validate({"no such key": 1})
    with pytest.raises(ValidationError):
        StudySection().seed = 3


@pytest.mark.parametrize("seeds", [True, 1.0, "3", None, [-1], [True], [2**31]])
def test_seeds_are_a_number_or_a_list(seeds: object) -> None:
    with pytest.raises(ValidationError, match="number of seeds"):
        ConfirmSection.model_validate({"seeds": seeds})


def test_listed_seeds_keep_their_order() -> None:
    assert ConfirmSection.model_validate({"seeds": [3, 1, 2]}).seeds == (3, 1, 2)


@pytest.mark.parametrize("wrong", [{"gpus": 1.5}, {"cpus": 1e-9}, {"gpus": -1.0}])
def test_shares_that_ray_does_not_know_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ResourcesSection(**wrong)  # type: ignore[arg-type]
    assert ResourcesSection(cpus=0.5, gpus=2.0).gpus == 2.0
    assert ResourcesSection(gpus=0.25).gpus == 0.25


@pytest.mark.parametrize("none", [0, ()])
def test_a_phase_without_seeds_does_not_take_place(none: int | tuple[int, ...]) -> None:
    assert not ConfirmSection(seeds=none).takes_place
    assert ConfirmSection(seeds=(0,)).takes_place


def test_a_phase_counts_its_seeds_and_keeps_no_more_than_there_are() -> None:
    assert ConfirmSection(seeds=(7, 8, 9)).seed_count == ConfirmSection(seeds=3).seed_count == 3
    assert ConfirmSection(seeds=(1, 2, 3, 4), looks=2).seeds_a_look == 2
    assert ConfirmSection(seeds=4, looks=2).seeds_a_look == 4
    assert [ConfirmSection(keep=4).kept_of(n) for n in (0, 3, 9)] == [0, 3, 4]
    assert ConfirmSection(keep="all").kept_of(9) == 9


@pytest.mark.parametrize("trials", ["many", True, 1.0, None, -1])
def test_trials_are_a_number_or_what_fits(trials: object) -> None:
    for section in (SamplerSection, RefineSection):
        with pytest.raises(ValidationError, match='or more\\) or "auto"'):
            section.model_validate({"trials": trials})
    with pytest.raises(ValidationError):
        SamplerSection(trials=0)
    assert RefineSection(trials=0).trials == 0
