"""Reads `[space]` and `[constraints]` of a study file, naming every mistake by its key."""

import math
from collections.abc import Mapping
from typing import Any

from hscl.config import Config
from hscl.config_kinds import own_table, uses
from hscl.errors import InputError, did_you_mean
from tune.study.rules import parse_rule
from tune.study.space import Distribution, Space

__all__ = ["read_rules", "read_space"]

_MOST_KEYS = 200
_MOST_OPTIONS = 1000
_FORMS = ("uniform", "log_uniform", "int", "choice")
_LARGEST = 2**53
"""Whole numbers up to here are exact as floats, which is how a sampler sees them."""


def read_space(
    table: Mapping[str, Any], base: Config, mistakes: list[str]
) -> dict[str, Distribution]:
    """Read `[space]`.

    Args:
        table: Its keys; a key may be a dotted name or nested tables.
        base: The configuration whose keys may be searched.
        mistakes: Grows by what is wrong.

    Returns:
        The distributions that can be read.
    """
    space: dict[str, Distribution] = {}
    forms = _forms(table)
    if too_much := _too_much(forms):
        mistakes += too_much
        return space
    unfit: list[tuple[str, Any]] = []
    for name, form in forms.items():
        try:
            space[name] = _distribution(name, form, base, unfit)
        except InputError as error:
            mistakes += [f"space.{name!r} {line}" for line in str(error).splitlines()]
    mistakes += _bad_conditions(space)
    if not mistakes:
        try:
            searched = Space(base, space)
        except InputError as error:
            mistakes.append(str(error))
        else:
            mistakes += _never_fitting(searched, unfit) or _idle(base, space)
    return space


def _bad_conditions(space: Mapping[str, Distribution]) -> list[str]:
    problems = []
    for name, distribution in space.items():
        for parent, value in distribution.when:
            if parent not in space:
                problem = f"is no searched parameter; {did_you_mean(parent, set(space) - {name})}"
            elif not space[parent].contains(value):
                problem = f"never has the value {value!r}"
            else:
                continue
            problems.append(f"space.{name!r} when: {parent!r} {problem}")
    return problems


def _too_much(forms: Mapping[str, Any]) -> list[str]:
    """What would take minutes to check."""
    if len(forms) > _MOST_KEYS:
        return [f"[space] must have at most {_MOST_KEYS} keys, but has {len(forms):,}"]
    lists = {
        name: len(values)
        for name, form in forms.items()
        for values in (form.values() if isinstance(form, Mapping) else ())
        if isinstance(values, list) and len(values) > _MOST_OPTIONS
    }
    return [
        f"space.{name!r} must offer at most {_MOST_OPTIONS:,} values, but offers {count:,}"
        for name, count in lists.items()
    ]


def read_rules(table: Mapping[str, Any], base: Config, mistakes: list[str]) -> list[str]:
    """Read `[constraints]`.

    Args:
        table: Its keys.
        base: The configuration whose keys a rule may name.
        mistakes: Grows by what is wrong.

    Returns:
        The rules that can be read, as written.
    """
    mistakes += [
        f"constraints.{key} is no key of [constraints]; {did_you_mean(key, ['rules'])}"
        for key in table
        if key != "rules"
    ]
    rules = table.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        mistakes.append(f"constraints.rules must be a list of texts, but got {rules!r}")
        return []
    values = base.dotted()
    good = []
    for text in rules:
        try:
            rule = parse_rule(text)
        except InputError as error:
            mistakes.append(f"constraints.rules: {error}")
            continue
        problems = [
            f"{name!r} is no configuration key; {did_you_mean(name, values)}"
            if name not in values
            else f"{name!r} is a text, not a number"
            for name in rule.names
            if isinstance(values.get(name, ""), str)
        ]
        mistakes += [f"constraints.rules: {text!r}: {problem}" for problem in problems]
        good += [] if problems else [rule.text]
    return good


def _idle(base: Config, space: Mapping[str, Distribution]) -> list[str]:
    """Searched parameters that mean nothing to a kind of model that they are searched for."""

    def kinds(name: str) -> set[str]:
        # Under which the parameter is active; conditions have no cycle.
        of_all = space.get("model.kind")
        given = (base.model.kind,) if of_all is None else of_all.values
        active = {str(kind) for kind in given}
        for parent, value in space[name].when:
            active &= {str(value)} if parent == "model.kind" else kinds(parent)
        return active

    mistakes = []
    for name in space:
        searched = kinds(name)
        idle = sorted(kind for kind in searched if not uses(kind, name))
        if idle:
            fitting = sorted(searched - set(idle)) or [own_table(name) or "hscl"]
            mistakes.append(
                f"space.{name!r} means nothing to model.kind = {idle[0]!r}, for which it would be "
                f'searched; give it when = {{ "model.kind" = "{fitting[0]}" }}, or leave it out'
            )
    return mistakes


def _forms(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names to distributions as written: a table that holds a form is a distribution."""
    forms: dict[str, Any] = {}
    for key, value in table.items():
        nested = (
            isinstance(value, Mapping)
            and value
            and all(isinstance(below, Mapping) for below in value.values())
        )
        forms |= _forms(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return forms


def _distribution(
    name: str, form: Any, base: Config, unfit: list[tuple[str, Any]]
) -> Distribution:
    # `unfit` grows by the values that don't fit what the base has for other keys.
    values = base.dotted()
    if name not in values:
        raise InputError(f"is no configuration key; {did_you_mean(name, values)}")
    if name.startswith("run."):
        raise InputError("says how to execute, not what; set it in [base]")
    kinds = [key for key in form if key in _FORMS] if isinstance(form, Mapping) else []
    if len(kinds) != 1 or set(form) - {*kinds, "when"}:
        raise InputError(
            "must be one of { uniform = [low, high] }, { log_uniform = [low, high] }, "
            f"{{ int = [low, high] }}, {{ choice = […] }}, with or without when, but got {form!r}"
        )
    kind, given, when = kinds[0], form[kinds[0]], form.get("when", {})
    if not isinstance(given, list) or not given:
        raise InputError(f"{kind} must be a list that is not empty, but got {given!r}")
    if not isinstance(when, Mapping) or any(isinstance(v, list | Mapping) for v in when.values()):
        raise InputError(f"when must give one value for each name, but got {when!r}")
    problems = [] if kind == "choice" else _range_problems(kind, given, values[name])
    if kind == "choice" and len({(type(v) is bool, v) for v in map(_key, given)}) < len(given):
        problems.append(f"choice must hold different values, but got {given!r}")
    if not problems:
        problems = _value_problems(name, given, base, unfit)
    if problems:
        raise InputError("\n".join(problems))
    if kind in {"uniform", "log_uniform"} or (
        kind == "choice" and isinstance(values[name], float)
    ):
        given = [float(value) for value in given]
    return Distribution(kind, tuple(given), tuple(when.items()))


def _key(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else repr(value)


def _range_problems(kind: str, given: list[Any], current: Any) -> list[str]:
    if isinstance(current, bool | str):
        return [f"takes {current!r} and the like: use choice = […], not {kind}"]
    if isinstance(current, int) and kind != "int":
        return [f"is a whole number: use int or choice, not {kind}"]
    problem = _bounds_problem(kind, given)
    return [f"{kind} must have {problem}, but got {given!r}"] if problem else []


def _bounds_problem(kind: str, given: list[Any]) -> str | None:
    if len(given) != 2 or not all(type(v) in {int, float} and math.isfinite(v) for v in given):
        return "the form [low, high] with two finite numbers"
    low, high = given
    if kind == "int" and not (isinstance(low, int) and isinstance(high, int)):
        return "whole bounds"
    if kind == "int" and max(-low, high) > _LARGEST:
        return f"bounds within ±{_LARGEST}"
    if low > high or (low == high and kind != "int"):
        return "low < high (are they reversed?)"
    if kind == "log_uniform" and low <= 0:
        return "low > 0, as 0 has no logarithm"
    return None


def _value_problems(
    name: str, given: list[Any], base: Config, unfit: list[tuple[str, Any]]
) -> list[str]:
    problems, own = [], f"{name}: "
    for value in given:
        lines = _problems(base, {name: value})
        of_value = [line.removeprefix(own) for line in lines if line.startswith(own)]
        problems += [line.replace("Input should", "must", 1) for line in of_value]
        if lines and not of_value:
            unfit.append((name, value))
    return problems


def _never_fitting(space: Space, unfit: list[tuple[str, Any]]) -> list[str]:
    """Of the values that don't fit the base those that don't with their conditions either."""
    return [
        f"space.{name!r} {line}"
        for name, value in unfit
        for line in _problems(space.base, space.point_with(name, value))
    ]


def _problems(base: Config, values: Mapping[str, Any]) -> list[str]:
    try:
        base.with_overrides(values)
    except InputError as error:
        return str(error).splitlines()
    return []
