"""The next configuration of a study, as a row of the `configs` table."""

from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from hscl.config import Config
from hscl.errors import InputError
from tune.planner.budget import is_last
from tune.planner.decisions import plan_row
from tune.states import Kind, Origin, Phase
from tune.study.space import Value
from tune.study.spec import StartPoint, StudySpec
from tune.tables.history import History
from tune.tables.records import config_label

__all__ = ["Proposal", "config_row", "propose"]


@dataclass(frozen=True)
class Proposal:
    """What a proposal adds to the tables.

    Attributes:
        config: A row of `configs`, or None where nothing new was found.
        plan: Rows of `plan`; then the search ends early.
    """

    config: dict[str, Any] | None
    plan: list[dict[str, Any]] = field(default_factory=list)


def propose(
    spec: StudySpec, history: History, number: int, phase: Phase, branch: Value | None = None
) -> Proposal:
    """Configuration `number`: the default, then the known points, then the sampler's.

    A point of the sampler is passed over where it breaks a constraint, makes no valid
    configuration, or is a configuration that the study has already; when its tries are spent the
    study is told that the space is exhausted.

    Args:
        spec: The study.
        history: All rows before this proposal.
        number: The number of configurations so far.
        phase: What it is proposed for.
        branch: Whose sampler proposes in a study with `sampler.per`: it knows of its own alone.

    Returns:
        A row to append to `configs`, or rows to append to `plan`.
    """
    given = spec.compared_points if spec.compares_all else spec.start_points
    if number < len(given):
        return Proposal(config_row(spec, given[number], number))
    # Only here, because Optuna takes a while to import and `list` and `grid` never need it.
    from tune.planner.samplers import suggestions  # noqa: PLC0415

    name, known = config_label(number, None), history
    if branch is not None:
        name, known = f"{branch} {number}", history.branch(branch)
    space, tried = known.spec.searched, 0
    last = phase is Phase.REFINE and is_last(spec, history)
    for point in suggestions(known.spec, known, number, phase, last=last):
        tried += 1
        if not space.allows(point):
            continue
        try:
            config = space.to_config(point)
        except InputError:
            continue
        row = config_row(spec, StartPoint(name, Origin.SAMPLER, config), number)
        if row["config_id"] not in history.configs:
            return Proposal(row)
    note = f"none of {tried:,} further points was new and allowed; {number} configurations"
    default = None if branch is None or known.default is None else known.default.config_id
    row = plan_row(Kind.SPACE_EXHAUSTED, phase=phase, config_id=default, value=number, note=note)
    return Proposal(None, [row])


def config_row(spec: StudySpec, start: StartPoint, number: int) -> dict[str, Any]:
    """A row of `configs`: fixed columns, then one a searched parameter (null where inactive)."""
    point = spec.searched.point_of(start.config)
    config: Config = start.config
    return {
        "config_id": config.config_id,
        "number": number,
        "origin": start.origin.value,
        "name": start.name,
        "config": config.to_json(),
        "hscl_version": _version(),
        **{name: point.get(name) for name in spec.space},
    }


@cache
def _version() -> str:
    return metadata.version("hscl-search")
