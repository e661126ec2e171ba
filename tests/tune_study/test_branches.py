"""A screen a model: who searches what, with how much, and what is refused."""

import tomllib
from typing import Any

import pytest
from small_study import branched, study

from hscl.errors import InputError
from tune.study.branches import branches_of
from tune.study.size import size_of
from tune.study.toml import dump_spec, parse_spec


def test_each_branch_begins_at_its_own_settings_and_searches_what_is_active_in_it() -> None:
    branches = branches_of(branched())
    assert list(branches) == ["hscl", "mult", "lf-dnn"]  # the default's first
    assert {kind: list(branch.space) for kind, branch in branches.items()} == {
        "hscl": ["train.lr", "loss.temperature"],
        "mult": ["train.lr", "model.mult.layers"],
        "lf-dnn": ["train.lr"],
    }
    assert not any(some.when for branch in branches.values() for some in branch.space.values())
    mult = branches["mult"].base
    assert (mult.model.kind, mult.train.schedule, mult.train.epochs) == ("mult", "constant", 9)


def test_what_hangs_on_a_parameter_of_another_branch_is_no_part_of_this_one() -> None:
    spec = branched(
        '[space]\n"train.schedule" = { choice = ["step", "linear"], when = { "model.kind" = '
        '"hscl" } }\n"train.warmup" = { uniform = [0.0, 0.5], when = { "train.schedule" = '
        '"linear" } }'
    )
    spaces = {kind: branch.space for kind, branch in branches_of(spec).items()}
    assert spaces["hscl"]["train.warmup"].when == (("train.schedule", "linear"),)
    assert "train.warmup" not in spaces["mult"]


def test_the_epochs_that_confirm_leaves_are_shared_equally() -> None:
    spec = branched('[sampler]\ntrials = "auto"\n[budget]\nepochs = 300')
    assert {branch.budget.epochs for branch in branches_of(spec).values()} == {
        (300 - 3 * 3 * 9) // 3  # three winners, three seeds, nine epochs
    }


def test_the_size_says_the_equal_part_of_each() -> None:
    size = size_of(branched())
    screen, confirm = size.phases
    assert (screen.branches, screen.trainings) == (("hscl", "mult", "lf-dnn"), 3 * 5)
    assert (confirm.configurations, size.comparisons) == (3, 2)


def test_a_study_without_branches_says_nothing_of_them_and_keeps_its_digest() -> None:
    spec = study("scheduler.reduction_factor = 3\nrefine.share = 0.5")  # the defaults of then
    assert branches_of(spec) == {}
    assert "\nper" not in dump_spec(spec)
    assert spec.digest != branched().digest
    assert spec.digest == "0bb0acfa23a78bccc7662690ef539a443c6ed8e0d702df1a7e4494d9f9168b1e"


def test_a_branched_study_comes_back_from_its_file() -> None:
    spec = branched()
    again = parse_spec(tomllib.loads(dump_spec(spec)), frozen=True)
    assert again == spec
    assert again.digest == spec.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[sampler]\nper = "train.lr"', "must name a choice"),
        ('[sampler]\nper = "model.form"', "must name a choice"),
        ('[space]\n"model.kind" = { choice = ["hscl", "mult"] }', "must offer 'lf-dnn' too"),
        ('[space]\n"model.kind" = { choice = ["hscl", "mult", "lf-dnn", "misa"] }', "'misa', at"),
        ('[sampler]\nkind = "grid"\ntrials = "auto"', "but sampler 'grid' has none"),
        ("[refine]\ntrials = 4", "refine.trials must be 0"),
        ("[confirm]\nkeep = 2", "confirm.keep must be 1"),
        ('[sampler]\ntrials = "auto"\n[budget]\nhours = 2.0', "budget.hours must not"),
        ('[sampler]\ntrials = "auto"\n[budget]\nepochs = 100', "must be at least 108"),
        ("[sampler]\ntrials = 0", "sampler.trials"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        branched(text)


def test_a_row_may_say_how_long_it_trains_but_asha_needs_one_length() -> None:
    rows: dict[str, Any] = {"known": [{"preset": "mosi-mult", "train.epochs": 40}]}
    tree = tomllib.loads(dump_spec(branched())) | rows
    with pytest.raises(InputError, match=r"train.epochs must be 9 as in \[base\]"):
        parse_spec(tree)
