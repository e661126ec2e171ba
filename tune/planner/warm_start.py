"""What a new study takes over from an earlier one: what its sampler knows, what it avoids."""

import json
from collections.abc import Mapping
from typing import Any

from hscl.config import Config
from hscl.errors import InputError
from tune.planner.decisions import plan_row
from tune.states import Kind, Phase, TrialState
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.salvage import UNKNOWN

__all__ = ["OPENED_BEFORE", "warm_start_rows"]

OPENED_BEFORE = "before this study began"
"""How the note of a `test_opened` row begins that an earlier study is the reason for. The row's
own time is when this study took note of it; the note has the time of the opening itself."""


def warm_start_rows(spec: StudySpec, earlier: History, source: str) -> list[dict[str, Any]]:
    """Rows that a new study's `plan` begins with, so that it never needs the earlier folder again.

    A `list` or `grid` proposes nothing: it takes over what was used and opened, and no points.

    Args:
        spec: The new study.
        earlier: All rows of the earlier one.
        source: How to call it: its name or folder, without credentials.

    Returns:
        `warm_start` with every seed that was used before, one `warm_point` for each trial of the
        earlier search that ended (and those that it took over itself), and `test_opened` where
        this test set was opened before.

    Raises:
        InputError: The two studies choose by different metrics, the earlier one has no search, or
            seeds listed in the new one were used before.
    """
    old = earlier.spec
    points = [] if spec.compares_all else _points(earlier)
    if old.study.metric != spec.study.metric:
        raise InputError(
            f"study.metric must be {old.study.metric!r} as in {source}, but is "
            f"{spec.study.metric!r}; a sampler can't learn one metric from another"
        )
    if not points and not spec.compares_all:
        raise InputError(
            f"{source} must have ended trials of a search to learn from, but has none; run "
            "the new study without --warm-start"
        )
    used = earlier.used_seeds
    spec.seed_plan(used)
    rows = [
        plan_row(Kind.WARM_START, seeds=sorted(used), value=len(points), note=source),
        *points,
    ]
    if opened := earlier.plan_rows(Kind.TEST_OPENED):
        note = f"{OPENED_BEFORE}, {_when(opened[0])}by {source}"
        rows.append(plan_row(Kind.TEST_OPENED, phase=Phase.CONFIRM, note=note))
    return rows


def _when(opened: Mapping[str, Any]) -> str:
    """When the earlier study opened test, or one that was before that: then its note says it."""
    before, _, when = str(opened["note"] or "").partition(f"{OPENED_BEFORE}, on ")
    if when and not before:
        return f"on {when.partition(' by ')[0]} "
    if opened["time"] is None or str(opened["note"]).startswith(OPENED_BEFORE):
        return ""
    return f"on {opened['time']:%Y-%m-%d %H:%M} UTC "


def _points(earlier: History) -> list[dict[str, Any]]:
    """What the earlier study's search ran, and what it took over itself."""
    points = [
        _point(observation.values, observation.state, observation.curve)
        for observation in earlier.warm
    ]
    return points + [
        _point(Config.from_json(record.config).dotted(), trial.state, trial.best)
        for record in earlier.configs.values()
        for trial in [earlier.search_trials.get(record.config_id)]
        if trial is not None and trial.ended and record.config != UNKNOWN
    ]


def _point(values: dict[str, Any], state: TrialState, curve: dict[int, float]) -> dict[str, Any]:
    # NaN is no JSON; an epoch without a value says nothing.
    seen = {epoch: value for epoch, value in curve.items() if value == value}  # noqa: PLR0124
    best = seen[max(seen)] if seen else None
    told = {"values": values, "state": state.value, "curve": seen}
    note = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return plan_row(Kind.WARM_POINT, phase=Phase.SCREEN, value=best, note=note)
