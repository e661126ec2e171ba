"""Mistakes in a study that show without data or machine: each named by its key."""

from collections.abc import Callable, Iterable

import numpy as np

from hscl.config import Config
from hscl.errors import InputError
from tune.states import Origin
from tune.study.allocation import allocation_of, branches_need, confirm_epochs
from tune.study.branches import starts_by_branch
from tune.study.spec import StartPoint, StudySpec

__all__ = ["find_mistakes", "repeated_points"]

_DRAWS = 10_000
"""Points drawn before a set of constraints is said to be satisfied by nothing."""
_LARGEST_GRID = 10_000


def find_mistakes(spec: StudySpec, complete: set[str]) -> list[str]:
    """What is wrong with a specification whose sections are each right by themselves.

    Args:
        spec: A draft; sections not in `complete` are missing from it.
        complete: The names of the sections that could be read.

    Returns:
        One line a mistake.
    """
    checks: list[tuple[str, Callable[[StudySpec], list[str]]]] = [
        ("base", _points),
        ("base space", _satisfiable),
        ("base space sampler refine", _sampler),
        ("base space sampler scheduler refine confirm budget", _branches),
        ("base space sampler scheduler", _epochs),
        ("base space sampler scheduler refine confirm budget", _kept),
        ("study confirm", _seeds),
        ("sampler confirm", _table),
        ("base space sampler confirm budget", _budget),
    ]
    return [
        mistake
        for needs, check in checks
        if complete >= set(needs.split())
        for mistake in check(spec)
    ]


def _points(spec: StudySpec) -> list[str]:
    mistakes = [
        f"[[known]] ({point.name}): {key} says how to execute, not what; set it in [base]"
        for point in spec.known
        for key in point.overrides
        if key.startswith("run.")
    ]
    starts = spec.start_points
    mistakes += repeated_points(starts, lambda config: repr(sorted(config.values().items())))
    names: set[str] = set()
    for start in starts:
        if start.name in names:
            mistakes.append(f"[[known]] ({start.name}): names must differ; 'default' is taken too")
        names.add(start.name)
    return mistakes


def repeated_points(points: Iterable[StartPoint], identity: Callable[[Config], str]) -> list[str]:
    """Points that are a configuration which came before.

    Args:
        points: Those that are known beforehand, the default first.
        identity: What only equal configurations have in common.

    Returns:
        One line a point.
    """
    mistakes = []
    found: dict[str, str] = {}
    for number, point in enumerate(points):
        what = "the default" if number == 0 else repr(point.name)
        same = found.setdefault(identity(point.config), what)
        if same is not what:
            table = "[space]" if point.origin is Origin.SAMPLER else "[[known]]"
            mistakes.append(
                f"{table} ({point.name}): is the same configuration as {same}; remove it"
            )
    return mistakes


def _satisfiable(spec: StudySpec) -> list[str]:
    space = spec.searched
    if not space.rules:
        return []
    rng = np.random.default_rng(0)
    if any(space.allows(space.draw(rng)) for _ in range(_DRAWS)):
        return []
    rules = " and ".join(map(repr, spec.rules))
    drawn = f"none of {_DRAWS:,} points drawn satisfies {rules}"
    return [f"constraints.rules must leave something of the space, but {drawn}"]


def _sampler(spec: StudySpec) -> list[str]:
    kind, trials, starts = spec.sampler.kind, spec.sampler.trials, len(spec.start_points)
    if spec.sampler.per is not None:
        return []  # counted for each branch
    if kind == "list":
        return [] if spec.known else ["sampler.kind = 'list' needs [[known]] points to compare"]
    if kind == "grid":
        return _grid(spec)
    if trials != "auto" and trials < starts:
        count = f"the default and {starts - 1} [[known]] points count"
        return [f"sampler.trials must be at least {starts}, as {count}, but is {trials}"]
    more = trials == "auto" or trials > starts or spec.refine.trials not in {0, "auto"}
    if more and not spec.space:
        return [f"[space] must name what sampler {kind!r} may vary, but is empty"]
    return []


def _branches(spec: StudySpec) -> list[str]:
    """Where each value of a parameter has a screen of its own."""
    per, trials = spec.sampler.per, spec.sampler.trials
    if per is None:
        return []
    if spec.compares_all:
        none = f"sampler {spec.sampler.kind!r} has none"
        return [f"sampler.per gives screens an equal budget, but {none}; leave it out"]
    choice = spec.space.get(per)
    if choice is None or choice.kind != "choice" or choice.when or len(choice.values) < 2:
        return [f"sampler.per must name a choice in [space] of two or more, but is {per!r}"]
    starts = starts_by_branch(spec)
    mistakes = [
        f"[[known]] must hold a point with {per} = {value!r}, at which its screen begins"
        for value in choice.values
        if value not in starts
    ]
    mistakes += [
        f"[[known]] ({points[0].name}): space.{per!r} must offer {value!r} too"
        for value, points in starts.items()
        if value not in choice.values
    ]
    if mistakes:
        return mistakes
    most = max(map(len, starts.values()))
    if trials != "auto" and trials < most:
        count = "its default and [[known]] points count"
        mistakes.append(f"sampler.trials must be at least {most} a {per}, as {count}")
    if spec.refine.trials != 0:
        mistakes.append("refine.trials must be 0 with sampler.per; raise sampler.trials")
    if spec.confirm.keep != 1:
        mistakes.append("confirm.keep must be 1 with sampler.per: the winner of each screen")
    if spec.budget.hours:
        mistakes.append("budget.hours must not limit a study with sampler.per; use budget.epochs")
    need = branches_need(spec)
    if 0 < spec.budget.epochs < need:
        what = "confirm's and what the default and the known points need"
        mistakes.append(f"budget.epochs must be at least {need:,} ({what})")
    return mistakes


def _grid(spec: StudySpec) -> list[str]:
    size = spec.searched.grid_size() if spec.space else 0
    if size == 0:
        return ["[space] must name what the grid is made of, but is empty"]
    continuous = [name for name, some in spec.space.items() if some.options() is None]
    if continuous or size is None:
        return [
            f"space.{name!r} must be a choice or int for a grid; list its values with choice = […]"
            for name in continuous
        ]
    if size > _LARGEST_GRID:
        return [f"[space] must have at most {_LARGEST_GRID:,} grid points, but has {size:,}"]
    if next(spec.searched.grid(), None) is None:
        return ["constraints.rules must leave something of the grid, but no point satisfies them"]
    try:
        _ = spec.compared_points
    except InputError as error:
        must = "[space] must be a valid configuration at each point of the grid, but"
        return [f"{must} {line}" for line in str(error).splitlines()]
    return []


def _epochs(spec: StudySpec) -> list[str]:
    if spec.scheduler.kind == "none":
        return []
    mistakes = []
    if "train.epochs" in spec.space:
        reason = "rungs compare trials of one length"
        mistakes.append(f"space.'train.epochs' needs scheduler.kind = 'none': {reason}")
    must = f"train.epochs must be {spec.base.train.epochs} as in [base], or scheduler.kind 'none'"
    mistakes += [
        f"[[known]] ({point.name}): {must}, but is {point.overrides['train.epochs']}"
        for point in spec.known
        if "train.epochs" in point.overrides
    ]
    return mistakes


def _kept(spec: StudySpec) -> list[str]:
    keep = spec.confirm.keep
    found = allocation_of(spec)
    if spec.compares_all or keep == "all" or not spec.confirm.takes_place:
        return []
    if found.screen_trials is None or found.refine_trials is None:
        return []
    # The default may run alone, whatever would be kept of others.
    others = max(1, found.screen_trials - 1 + found.refine_trials)
    if keep <= others:
        return []
    what = "the configurations of screen and refine besides the default"
    return [f"confirm.keep must be at most {others}, {what}, but is {keep}"]


def _seeds(spec: StudySpec) -> list[str]:
    try:
        spec.seed_plan()
    except InputError as error:
        return str(error).splitlines()
    return []


def _table(spec: StudySpec) -> list[str]:
    if spec.compares_all and not spec.confirm.takes_place:
        return [f"confirm.seeds must be at least 1 for sampler {spec.sampler.kind!r}"]
    return []


def _budget(spec: StudySpec) -> list[str]:
    budget = spec.budget
    if spec.compares_all:
        if budget.epochs or budget.hours:
            none = f"sampler {spec.sampler.kind!r} has neither"
            return [f"[budget] limits screen and refine, but {none}; remove [budget]"]
        return []
    confirm = confirm_epochs(spec, candidates=1)
    least = confirm + 2 * spec.longest_trial
    if 0 < budget.epochs < least:
        what = f"confirm's {confirm:,} and two full trainings of {spec.longest_trial}"
        return [f"budget.epochs must be at least {least:,} ({what}), but is {budget.epochs:,}"]
    return []
