"""[space] and [constraints] as written, and what is wrong with them."""

from typing import Any

import pytest

from hscl.config import Config
from tune.study.space import Distribution
from tune.study.toml_space import read_rules, read_space

BASE = Config()


def space_of(table: dict[str, Any]) -> tuple[dict[str, Distribution], list[str]]:
    mistakes: list[str] = []
    return read_space(table, BASE, mistakes), mistakes


def test_all_forms_are_read_with_the_types_of_their_keys() -> None:
    space, mistakes = space_of(
        {
            "loss.temperature": {"log_uniform": [0.03, 1]},
            "loss": {"alpha": {"choice": [0, 1, 2.5]}},
            "train.batch_size": {"int": [16, 64]},
            "train.optimizer": {"choice": ["adam", "adamw"]},
            "train.lr": {"uniform": [1e-4, 1e-3], "when": {"train.optimizer": "adamw"}},
        }
    )
    assert mistakes == []
    assert space["loss.temperature"] == Distribution("log_uniform", (0.03, 1.0))
    assert space["loss.alpha"].values == (0.0, 1.0, 2.5)
    assert all(type(value) is float for value in space["loss.alpha"].values)
    assert space["train.lr"].when == (("train.optimizer", "adamw"),)


@pytest.mark.parametrize(
    ("key", "form", "expected"),
    [
        ("loss.temprature", {"uniform": [0, 1]}, "did you mean 'loss.temperature'?"),
        ("run.threads", {"int": [1, 2]}, "set it in [base]"),
        ("loss.alpha", {"normal": [0, 1]}, "must be one of { uniform"),
        ("loss.alpha", [0, 1], "must be one of { uniform"),
        ("loss.alpha", {"uniform": [0, 1], "int": [0, 1]}, "must be one of { uniform"),
        ("loss.alpha", {"uniform": [0, 1], "wen": {}}, "must be one of { uniform"),
        ("loss.alpha", {"uniform": [1, 0]}, "are they reversed?"),
        ("loss.alpha", {"uniform": [1, 1]}, "low < high"),
        ("loss.alpha", {"uniform": [0, float("inf")]}, "two finite numbers"),
        ("loss.alpha", {"uniform": [0]}, "two finite numbers"),
        ("loss.alpha", {"uniform": 3}, "must be a list"),
        ("loss.alpha", {"uniform": [True, 2]}, "two finite numbers"),
        ("loss.alpha", {"log_uniform": [0, 1]}, "0 has no logarithm"),
        ("loss.alpha", {"log_uniform": [-1, 1]}, "0 has no logarithm"),
        ("loss.alpha", {"choice": []}, "a list that is not empty"),
        ("loss.alpha", {"choice": [1, 1.0]}, "different values"),
        ("loss.alpha", {"choice": [[1], [2]]}, "valid number"),
        ("loss.alpha", {"uniform": [-1, 1]}, "greater than or equal to 0, but got -1"),
        ("loss.alpha", {"uniform": [0, 1], "when": 3}, "one value for each name"),
        ("train.batch_size", {"uniform": [16, 64]}, "is a whole number: use int or choice"),
        ("train.batch_size", {"int": [16.5, 64]}, "whole bounds"),
        ("train.batch_size", {"int": [1, 2**70]}, "within ±9007199254740992"),
        ("train.batch_size", {"int": [0, 64]}, "greater than or equal to 1"),
        ("train.batch_size", {"choice": [16, "32"]}, "valid integer"),
        ("loss.low", {"int": [0, 1]}, "use choice"),
        ("loss.low", {"choice": [0, 1]}, "valid boolean"),
        ("train.optimizer", {"choice": ["sgd"]}, "'adam' or 'adamw', but got 'sgd'"),
    ],
)
def test_a_wrong_distribution_is_named_by_its_key(key: str, form: Any, expected: str) -> None:
    _, mistakes = space_of({key: form})
    assert any(f"space.{key!r}" in line and expected in line for line in mistakes), mistakes


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"loss.lw": True}, "is no searched parameter; did you mean 'loss.low'?"),
        ({"loss.low": 3}, "never has the value 3"),
        ({"loss.low": 1}, "never has the value 1"),
    ],
)
def test_a_condition_names_a_searched_parameter_and_a_value_it_takes(
    when: dict[str, Any], expected: str
) -> None:
    _, mistakes = space_of(
        {
            "loss.low": {"choice": [True, False]},
            "loss.alpha": {"uniform": [0, 1], "when": when},
        }
    )
    assert any("space.'loss.alpha' when" in line and expected in line for line in mistakes)


@pytest.mark.parametrize(
    ("base", "encoders", "finetuned"),
    [
        # What can be trained is only searched where there is something to train …
        ({"model.text.finetune": False, "model.text.encoder": "file"}, "minilm", [True, False]),
        # … and what can't be is left alone where the other can't be trained.
        ({}, "file", [False]),
    ],
)
def test_a_value_need_only_fit_where_its_conditions_hold(
    base: dict[str, Any], encoders: str, finetuned: list[bool]
) -> None:
    table = {
        "model.text.encoder": {"choice": ["minilm", "file"]},
        "model.text.finetune": {"choice": finetuned, "when": {"model.text.encoder": encoders}},
    }
    mistakes: list[str] = []
    assert len(read_space(table, BASE.with_overrides(base), mistakes)) == 2
    assert mistakes == []


def test_a_value_that_fits_nowhere_is_named() -> None:
    table = {
        "model.text.encoder": {"choice": ["minilm", "file"]},
        "model.audio_input": {"choice": ["own", "shuffled"]},
    }
    mistakes: list[str] = []
    read_space(table, BASE.with_overrides({"model.modalities": "text"}), mistakes)
    assert any("space.'model.text.encoder'" in line for line in mistakes)
    assert any("space.'model.audio_input'" in line for line in mistakes)


def test_conditions_in_a_circle_are_a_mistake() -> None:
    both = [True, False]
    _, mistakes = space_of(
        {
            "loss.low": {"choice": both, "when": {"loss.high": True}},
            "loss.high": {"choice": both, "when": {"loss.low": True}},
        }
    )
    assert mistakes == ["space: the conditions of loss.low, loss.high wait for each other"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"rule": []}, "constraints.rule is no key of [constraints]; did you mean 'rules'?"),
        ({"rules": "loss.alpha < 1"}, "constraints.rules must be a list of texts"),
        ({"rules": ["loss.alpha"]}, "it compares nothing"),
        ({"rules": ["loss.alpa < 1"]}, "'loss.alpa' is no configuration key; did you mean"),
        ({"rules": ["train.optimizer < 1"]}, "'train.optimizer' is a text, not a number"),
    ],
)
def test_a_wrong_rule_is_named(table: dict[str, Any], expected: str) -> None:
    mistakes: list[str] = []
    read_rules(table, BASE, mistakes)
    assert len(mistakes) == 1
    assert expected in mistakes[0]


def test_what_is_searched_must_mean_something_to_every_kind_it_is_searched_for() -> None:
    kinds = {"model.kind": {"choice": ["hscl", "mult"]}}
    wide = {"model.mult.layers": {"int": [1, 4], "when": {"model.kind": "mult"}}}
    warm = {"loss.temperature": {"uniform": [0.1, 1.0], "when": {"model.kind": "hscl"}}}
    below = {"loss.alpha": {"uniform": [0.0, 1.0], "when": {"loss.low": True}}}
    low = {"loss.low": {"choice": [True, False], "when": {"model.kind": "hscl"}}}
    assert (
        space_of(kinds | wide | warm | below | low | {"train.lr": {"uniform": [0.1, 1]}})[1] == []
    )
    _, mistakes = space_of(kinds | wide | {"loss.temperature": {"uniform": [0.1, 1.0]}})
    (mistake,) = mistakes
    assert mistake.startswith("space.'loss.temperature' means nothing to model.kind = 'mult'")
    assert mistake.endswith('give it when = { "model.kind" = "hscl" }, or leave it out')
    _, mistakes = space_of({"model.mult.layers": {"int": [1, 4]}})
    assert "means nothing to model.kind = 'hscl'" in mistakes[0]
