"""A new study of one question: an earlier study's winner against its default, on unused seeds."""

import shlex

from hscl.config import Config
from hscl.errors import InputError
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.history import History
from tune.tables.records import config_label

__all__ = ["fresh_pair"]


def fresh_pair(earlier: History, seeds: int, where: str) -> StudySpec:
    """The study that compares exactly this winner with exactly this default.

    A `list` of the two: every seed runs both, and there is one comparison. That its seeds are new
    follows from `tune.planner.warm_start`.

    Args:
        earlier: All rows of the study that chose the winner.
        seeds: How many new ones.
        where: Its folder, for messages.

    Returns:
        The new study.

    Raises:
        InputError: The earlier study is not over, or has no winner.
    """
    old = earlier.spec
    if old.is_table:
        raise InputError(
            f"{where} must be a search with one winner, but compares a table; write "
            "a study file with the rows to compare, and begin it with --warm-start"
        )
    if earlier.ending is None:
        raise InputError(
            f"{where} must be over, but is not: go on with hscl search {shlex.quote(where)}"
        )
    if earlier.winner is None:
        raise InputError(f"{where} must have a winner, but: {earlier.without_winner}")
    record = earlier.configs[earlier.winner]
    winner, default = Config.from_json(record.config), old.base.dotted()
    known = {"name": config_label(record.number, record.name)} | {
        key: value
        for key, value in winner.dotted().items()
        if value != default.get(key) and winner.uses(key)
    }
    tree = old.tree() | {
        "study": old.study.model_dump() | {"name": f"{old.study.name}: winner on new seeds"},
        "space": {},
        "constraints": {"rules": []},
        "known": [known],
        "sampler": {"kind": "list"},
        "confirm": {"seeds": seeds, "margin": old.confirm.margin},
        "budget": {},
    }
    unused = ("scheduler", "refine", "race")
    return parse_spec({name: table for name, table in tree.items() if name not in unused})
