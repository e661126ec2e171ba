"""Who searches a world with a total of epochs: the product's own planner, or one of its rivals.

The arm "default" is the product as shipped, told only the space and the total. Words after it
change sections of its study file: "default confirm.seeds=4 sampler.kind=random". A rival may be
given less than the total, in trainings: "optuna less=12" is what plain Optuna finds where six
pairs of confirm are not paid for.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from hscl.config import Config
from regret.rivals import RIVALS, Search, check_total
from regret.worlds import Searched
from tune.engine.engine import Proposer
from tune.evidence.search.choice import reason_for_default
from tune.planner.proposals import Proposal, config_row, propose
from tune.simulate.study import SimulatedRun, simulate
from tune.states import Origin, Phase, TrialState, Verdict
from tune.stats.intervals import t_interval
from tune.study.space import Value
from tune.study.spec import StartPoint, StudySpec
from tune.tables.history import History

__all__ = ["check", "exported", "is_product", "search", "simulated", "study_of", "wins"]


def is_product(arm: str) -> bool:
    """Whether an arm is the product's planner, with or without changes."""
    return arm.split(maxsplit=1)[0] == "default"


def search(arm: str, world: Searched, total: int, *, slots: int = 1) -> Search:
    """Let an arm search a world.

    Args:
        arm: Of `RIVALS`, with or without "less=N", or "default" and what to change in it.
        world: Where it searches.
        total: Epochs in all, whatever for.
        slots: Trials at once; rivals have one.

    Raises:
        InputError: It can do nothing with the total.
        ValueError: There is no such arm.
    """
    if is_product(arm):
        return _product(arm, world, total, slots)
    rival, left = _rival(arm, world, total)
    return RIVALS[rival](world, left)


def check(arm: str, world: Searched, total: int) -> None:
    """Whether an arm can do anything with a total.

    Raises:
        InputError: It can't; the text says why.
        ValueError: There is no such arm.
    """
    if is_product(arm):
        study_of(arm, world, total)
    else:
        _rival(arm, world, total)


def _rival(arm: str, world: Searched, total: int) -> tuple[str, int]:
    """Which rival, and its epochs."""
    given = re.fullmatch(r"(\S+)(?: less=(\d+))?", arm)
    if given is None or given[1] not in RIVALS:
        raise ValueError(
            f"an arm must be default or one of {', '.join(RIVALS)} (with less=N), but got {arm!r}"
        )
    left = max(0, total - int(given[2] or 0) * world.epochs)
    check_total(given[1], left / world.epochs)
    return given[1], left


def study_of(arm: str, world: Searched, total: int) -> StudySpec:
    """The product's study of a world.

    Args:
        arm: "default" and what to change in it.
        world: Where it searches.
        total: Epochs in all.

    Raises:
        InputError: There is no such study; its total may be too small for its phases.
    """
    tables: dict[str, dict[str, Any]] = {
        "study": {"seed": world.key},
        "budget": {"epochs": total},
    }
    for change in arm.split()[1:]:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        tables.setdefault(section, {})[key] = _read(value)
    return world.study(**tables)


def simulated(arm: str, world: Searched, total: int, *, slots: int = 1) -> SimulatedRun:
    """The product's whole study of a world, as `search` runs it."""
    spec = study_of(arm, world, total)
    return simulate(spec, world.objective, slots=slots, proposer=_proposer(world))


def _product(arm: str, world: Searched, total: int, slots: int) -> Search:
    run = simulated(arm, world, total, slots=slots)
    history = run.history
    own = {config_id: world.values_of(run.config_of(config_id)) for config_id in history.configs}
    trained = [t for t in history.trials.values() if t.phase is not Phase.CONFIRM]
    complete = {t.config_id for t in trained if t.state is TrialState.DONE}
    if history.default is not None:  # it takes part until the end, whether stopped or not
        complete.add(history.default.config_id)
    return Search(
        exported=own[exported(world, run)],
        proposed={own[trial.config_id] for trial in trained},
        complete={own[config_id] for config_id in complete},
        kept={own[config_id] for config_id in complete},
        epochs=history.epochs,
        confirmed=frozenset(seed for look in history.looks for seed in look),
    )


def _proposer(world: Searched) -> Proposer:
    """What the planner asks for, as the configuration that stands for it in this world."""

    def proposed(
        spec: StudySpec, history: History, number: int, phase: Phase, branch: Value | None
    ) -> Proposal:
        proposal = propose(spec, history, number, phase, branch)
        if proposal.config is None or proposal.config["origin"] != Origin.SAMPLER:
            return proposal
        config = Config.from_json(proposal.config["config"])
        wanted = world.values_of(config)
        values = world.stands_for(wanted)
        if values == wanted:
            return proposal
        named = zip(spec.searched.parameters, values, strict=True)
        point = {name: value for name, value in named if value is not None}
        start = StartPoint(proposal.config["name"], Origin.SAMPLER, spec.searched.to_config(point))
        return Proposal(config_row(spec, start, number))

    return proposed


def exported(world: Searched, run: SimulatedRun) -> str:
    """What `hscl export` gives: the winner or the default.

    A world has no videos, so confirm speaks by its seeds alone.
    """
    history = run.history
    assert history.default is not None
    default = history.default.config_id
    if history.winner is None:
        return default
    config_ids = (history.winner, default)
    of_winner, of_default = (world.values_of(run.config_of(one)) for one in config_ids)
    differences = [
        world.test(of_winner, seed) - world.test(of_default, seed)
        for look in history.looks
        for seed in look
    ]
    chosen = wins(differences, prefers_default=history.prefers_default)
    return history.winner if chosen else default


def wins(differences: Sequence[float], *, prefers_default: bool) -> bool:
    """Whether the winner is exported by the product's own rule, and not the default.

    Args:
        differences: Test metric of the winner less that of the default, by seed of confirm.
        prefers_default: The search expects the default to do at least as well.
    """
    verdict = None
    if len(differences) > 1:
        interval = t_interval(np.array(differences))
        if interval.excludes():
            verdict = Verdict.BETTER if interval.high < 0.0 else Verdict.WORSE
    return reason_for_default(prefers_default=prefers_default, verdict=verdict) is None


def _read(text: str) -> Any:
    """A value as in JSON; anything else is a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
