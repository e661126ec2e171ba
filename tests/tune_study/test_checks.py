"""What is wrong with a study whose tables are each right by themselves."""

import pytest
from small_study import SPACE, study

from hscl.errors import InputError

TEXT = """
space.model.text.encoder.choice = ['minilm', 'file']
space.model.text.finetune.choice = [true, false]
"""
ALPHA = '[space]\n"loss.alpha" = { uniform = [0.0, 1.0] }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[sampler]\ntrials = 2\n[refine]\ntrials = 1\n[confirm]\nkeep = 3",
            "confirm.keep must be at most 2, the configurations of screen and refine besides",
        ),
        ("[confirm]\nkeep = 12\n[refine]\ntrials = 0", "confirm.keep must be at most 11, the"),
        ("[confirm]\nseeds = [1, 1]", "confirm.seeds must differ, but 1 stand there twice"),
        ("[confirm]\nlooks = 2\nseeds = [1, 2, 3]", "must be shared evenly"),
        (
            '[constraints]\nrules = ["loss.temperature > 1"]',
            "must leave something of the space, but none of 10,000 points drawn satisfies",
        ),
        ("[[known]]", "is the same configuration as the default; remove it"),
        (
            '[[known]]\n"loss.alpha" = 0.3\n[[known]]\n"loss.alpha" = 0.3',
            "is the same configuration as 'known 1'; remove it",
        ),
        ('[[known]]\nname = "default"\n"loss.alpha" = 0.3', "names must differ"),
        ('[[known]]\n"run.threads" = 3', "run.threads says how to execute"),
        (
            '[sampler]\ntrials = 1\n[[known]]\n"loss.alpha" = 0.3',
            "sampler.trials must be at least 2, as the default and 1 [[known]] points count",
        ),
        ('[[known]]\n"train.epochs" = 3', "train.epochs must be 9 as in [base]"),
        ("[budget]\nepochs = 10", "budget.epochs must be at least 72"),
    ],
)
def test_what_contradicts_itself_is_said_with_its_key(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        study(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "space", "sampler", "expected"),
    [
        ("", "", "random", "[space] must name what sampler 'random' may vary"),
        ("sampler.trials = 'auto'", "", "random", "[space] must name what sampler 'random'"),
        ("sampler.trials = 1", "", "random", "[space] must name what sampler 'random' may vary"),
        ("", SPACE, "list", "needs [[known]] points"),
        ("", "", "grid", "[space] must name what the grid is made of"),
        ("", SPACE, "grid", "space.'loss.temperature' must be a choice or int for a grid"),
        (
            '[constraints]\nrules = ["loss.temperature > 2"]',
            '[space]\n"loss.temperature" = { choice = [0.1, 1.0] }',
            "grid",
            "must leave something of the grid",
        ),
        (
            "",
            "[space.train]\nbatch_size = { int = [1, 200] }\npatience = { int = [1, 200] }",
            "grid",
            "at most 10,000 grid points, but has 40,000",
        ),
        (
            '[base]\n"model.text.finetune" = false',
            TEXT,
            "grid",
            "study: [space] must be a valid configuration at each point of the grid, but model.",
        ),
        (
            "[budget]\nepochs = 1000",
            '[space]\n"loss.low" = { choice = [true, false] }',
            "grid",
            "[budget] limits screen and refine, but sampler 'grid' has neither",
        ),
        (
            "[confirm]\nseeds = 0",
            '[space]\n"loss.low" = { choice = [true, false] }',
            "grid",
            "confirm.seeds must be at least 1 for sampler 'grid'",
        ),
        (
            "",
            '[space]\n"train.epochs" = { int = [2, 9] }',
            "random",
            "space.'train.epochs' needs scheduler.kind = 'none'",
        ),
    ],
)
def test_a_sampler_gets_what_it_needs(text: str, space: str, sampler: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        study(text, space=space, sampler=sampler)
    assert expected in str(caught.value)


def test_the_number_of_epochs_may_be_searched_without_a_scheduler() -> None:
    space = '[space]\n"train.epochs" = { int = [2, 30] }'
    spec = study('[scheduler]\nkind = "none"', space=space)
    assert spec.longest_trial == 30


def test_the_default_alone_needs_no_space() -> None:
    alone = study("sampler.trials = 1\nrefine.trials = 'auto'\nconfirm.seeds = 0", space="")
    assert [point.name for point in alone.start_points] == ["default"]
    assert not alone.space
    assert alone.refine.trials == 0  # there is nothing to propose


def test_a_budget_that_just_fits_is_accepted() -> None:
    # Confirm: 2 configurations × 3 seeds, and two trainings, 9 epochs each.
    assert study("[budget]\nepochs = 72").budget.epochs == 72
