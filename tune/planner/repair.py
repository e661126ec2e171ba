"""What closes a hole in a study's tables: which rows say what is lost and have it run again.

Rows in, rows out: nothing is changed and none is taken away. Whatever the rows that are left tell
is written anew (a configuration, that a trial began or ended); whatever only the lost ones knew is
run again by the planner, which finds it missing; and what neither brings back is refused.
"""

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hscl.config import Config
from hscl.errors import InputError
from tune.planner.decisions import begin_study, plan_row
from tune.planner.proposals import config_row
from tune.states import Kind, Origin, Phase, TrialState
from tune.study.spec import StartPoint, StudySpec
from tune.tables.fold import fold
from tune.tables.history import History
from tune.tables.records import TrialRecord, config_label, trial_id_of
from tune.tables.schemas import to_arrow
from tune.tables.store import Hole

__all__ = ["Repair", "plan_repair"]

Row = dict[str, Any]
Settings = Callable[[], Mapping[str, str]]
"""Configurations as JSON by config_id, from wherever they stand beside the tables: asked for only
where rows of configurations are lost."""

_FRESH = "hscl search STUDY.toml --data FILE --warm-start DIR --out NEW"


@dataclass(frozen=True)
class Repair:
    """What a repair adds to the tables.

    Attributes:
        rows: By table, in the order in which they are appended.
        again: Trials that are begun again.
        ended: Trials whose lost end is written anew.
        restored: Configurations whose rows are written anew.
    """

    rows: Mapping[str, list[Row]]
    again: tuple[str, ...]
    ended: tuple[str, ...]
    restored: tuple[str, ...]


def plan_repair(
    spec: StudySpec,
    tables: Mapping[str, pa.Table],
    holes: Mapping[str, Sequence[Hole]],
    settings: Settings,
) -> Repair:
    """Work out what closes the holes.

    Args:
        spec: The study.
        tables: All rows that are left.
        holes: What each table lacks.
        settings: See `Settings`.

    Returns:
        The rows: first the one that says what is lost.

    Raises:
        InputError: Something is lost that nothing brings back.
    """
    if spec.is_of_old_phases:
        raise InputError("a study begun by a version before 0.2 is only read: nothing goes on")
    if spec.sampler.per is not None:
        raise InputError(
            "a study with a screen for each value of a choice is not repaired: which screen lost "
            "rows belonged to is not told by those that are left; put the files back from a copy"
        )
    seqs = [s for name in ("trials", "reports", "plan") for s in tables[name]["seq"].to_pylist()]
    numbers = iter(range(max(seqs, default=-1) + 1, 2**62))
    configs = _restored(spec, tables, settings) if "configs" in holes else []
    known = [*tables["configs"].to_pylist(), *configs]
    tables = {**tables, "configs": to_arrow("configs", known)}
    history = fold(spec, tables)
    plan = _restored_plan(history, holes, tables) if "plan" in holes else []
    for row in plan:
        history.apply_plan(row)
    begun, ended = _trials(history, tables, holes, numbers)
    again = tuple(row["trial_id"] for row in begun if row["trial_id"] not in ended)
    told = _lost(holes, history)
    if told:
        note = {"lost": told, "again": len(again), "ended": len(ended), "restored": len(configs)}
        plan = [plan_row(Kind.REPAIRED, note=json.dumps(note)), *plan]
    plan = [{**row, "seq": next(numbers)} for row in plan]
    rows = {"plan": plan, "configs": configs, "trials": [*begun, *ended.values()]}
    return Repair(rows, again, tuple(ended), tuple(row["config_id"] for row in configs))


def _lost(holes: Mapping[str, Sequence[Hole]], history: History) -> dict[str, Any]:
    """What is lost by table; nothing where a repair that was killed has said so before."""
    said = {
        (name, file)
        for row in history.plan_rows(Kind.REPAIRED)
        for name, table in json.loads(row["note"])["lost"].items()
        for file in table["files"]
    }
    if said >= {(name, hole.part.name) for name, found in holes.items() for hole in found}:
        return {}
    return {
        name: {
            "files": [hole.part.name for hole in found],
            "rows": found[0].rows,
            "of": found[0].of,
        }
        for name, found in holes.items()
    }


def _named(tables: Mapping[str, pa.Table]) -> Iterator[tuple[str, int]]:
    """Every configuration and seed that any table tells of, in the order in which they began."""
    events = tables["trials"].sort_by("seq")
    reports = tables["reports"].sort_by("seq")
    for column in (events["trial_id"], reports["trial_id"], tables["predictions"]["trial_id"]):
        for trial_id in dict.fromkeys(column.to_pylist()):
            config_id, _, seed = trial_id.rpartition("-")
            yield config_id, int(seed)


def _restored(spec: StudySpec, tables: Mapping[str, pa.Table], settings: Settings) -> list[Row]:
    """The rows of lost configurations, known by their digests.

    Raises:
        InputError: Of one of them nothing tells the settings.
    """
    there = {row["config_id"]: row["number"] for row in tables["configs"].to_pylist()}
    given = spec.compared_points if spec.compares_all else spec.start_points
    found = settings()
    named = dict.fromkeys(config_id for config_id, _ in _named(tables))
    lost = [config_id for config_id in [*named, *found] if config_id not in there]
    rows = [config_row(spec, start, number) for number, start in enumerate(given)]
    last = max([*there.values(), -1])
    rows = [
        row
        for row in rows
        if row["config_id"] not in there and (row["config_id"] in lost or row["number"] < last)
    ]
    done = {row["config_id"] for row in rows}
    lost = [config_id for config_id in dict.fromkeys(lost) if config_id not in done]
    if unknown := [config_id for config_id in lost if config_id not in found]:
        raise InputError(
            f"configuration {unknown[0]} has trials, but its row is lost, and neither the study "
            "nor a log of its trials tells its settings; put the file back from a copy, or begin "
            "a new study"
        )
    # They are numbered in the order in which they begin.
    taken = {*there.values(), *(row["number"] for row in rows)}
    free = iter([n for n in range(len(taken) + len(lost)) if n not in taken])
    for config_id in lost:
        number, config = next(free), Config.from_json(found[config_id])
        start = StartPoint(config_label(number, None), Origin.SAMPLER, config)
        rows.append(config_row(spec, start, number))
    count = len(there) + len(rows)
    if missing := sorted(set(range(count)) - taken - {row["number"] for row in rows}):
        raise InputError(
            f"configuration number {missing[0]} is lost, and nothing tells its settings; put the "
            "file back from a copy, or begin a new study"
        )
    return rows


def _restored_plan(
    history: History, holes: Mapping[str, Sequence[Hole]], tables: Mapping[str, pa.Table]
) -> list[Row]:
    """The lost decisions that the rows left tell; the planner makes others again.

    Raises:
        InputError: They are what nothing tells, or what must not be decided twice.
    """
    spec = history.spec
    if holes["plan"][0].part.first == 0:
        raise InputError(
            "the first rows of the table of decisions are lost, which bind the study to its "
            "specification and its data; put the file back from a copy, or begin a new study that "
            f"knows what this one found: {_FRESH}"
        )
    seeds = spec.seed_plan(history.earlier_seeds)
    if any(seed in seeds.confirm for _, seed in _named(tables)):
        raise InputError(
            "decisions are lost of a study whose confirm has begun: which pair was primary and "
            "what each look may claim was fixed before the test set was opened, and can't be "
            "decided again now; put the file back from a copy, or begin a new study that knows "
            f"what this one found: {_FRESH}"
        )
    if spec.compares_all or not history.trials:
        return []  # the planner begins
    begun = history.plan_rows(Kind.PHASE_BEGUN)
    rows = []
    if not history.plan_rows(Kind.SEEDS):
        rows = [row for row in begin_study(spec, seeds) if row["kind"] == Kind.SEEDS or not begun]
    refined = [
        history.configs[trial.config_id].number
        for trial in history.trials.values()
        if trial.phase is Phase.REFINE
    ]
    if refined and history.refined_from is None:
        note = "known from its trials"
        rows.append(
            plan_row(
                Kind.PHASE_BEGUN,
                phase=Phase.REFINE,
                seeds=[seeds.refine],
                value=min(refined),
                note=note,
            )
        )
    return rows


def _trials(
    history: History,
    tables: Mapping[str, pa.Table],
    holes: Mapping[str, Sequence[Hole]],
    numbers: Iterator[int],
) -> tuple[list[Row], dict[str, Row]]:
    """Events that begin trials, and the ends that rows left tell, by trial.

    A trial begins that has rows but no event, or whose end lacks what it ended; without an end it
    is open, and the planner runs it.
    """
    confirming = history.spec.seed_plan(history.earlier_seeds).confirm
    predicted = set(tables["predictions"]["trial_id"].unique().to_pylist())
    begun = []
    for config_id, seed in dict.fromkeys(_named(tables)):
        trial = history.trial_of(config_id, seed)
        if trial is None:
            number, first = history.configs[config_id].number, history.refined_from
            phase = Phase.SCREEN if first is None or number < first else Phase.REFINE
            phase = Phase.CONFIRM if seed in confirming else phase
            trial = TrialRecord(trial_id_of(config_id, seed), config_id, phase, seed)
        elif not _lacks(history, trial, predicted, holes):
            continue
        begun.append(_event(trial, TrialState.STARTED, next(numbers)))
    events = to_arrow("trials", [*tables["trials"].to_pylist(), *begun])
    after = fold(history.spec, {**tables, "trials": events})
    ended = {
        trial.trial_id: _event(trial, end, next(numbers))
        for trial in after.open.values()
        if "trials" in holes and (end := _end_of(trial, predicted)) is not None
    }
    if history.plan_rows(Kind.WINNER):  # what is left of the search is not run again
        searched = {t.trial_id for t in after.open.values() if t.phase.searches} - set(ended)
        begun = [row for row in begun if row["trial_id"] not in searched]
    return begun, ended


def _event(trial: TrialRecord, state: TrialState, seq: int) -> Row:
    return {
        "seq": seq,
        "trial_id": trial.trial_id,
        "config_id": trial.config_id,
        "phase": trial.phase.value,
        "seed": trial.seed,
        "attempt": trial.attempt,
        "state": state.value,
    }


def _end_of(trial: TrialRecord, predicted: Container[str]) -> TrialState | None:
    """How a trial ended whose end is lost; None where nothing tells that it did."""
    if trial.stop:
        return TrialState.PRUNED
    complete = trial.finished and (trial.phase.searches or trial.trial_id in predicted)
    return TrialState.DONE if complete else None


def _lacks(
    history: History, trial: TrialRecord, predicted: Container[str], holes: Container[str]
) -> bool:
    """Whether an ended trial lacks rows that count and that running it again brings back."""
    if not trial.phase.searches:
        unpredicted = "predictions" in holes and trial.trial_id not in predicted
        return unpredicted and trial.state is TrialState.DONE
    if "reports" not in holes or history.plan_rows(Kind.WINNER):  # what was known is decided
        return False
    if trial.state is TrialState.PRUNED:
        return not trial.stop and trial.trial_id not in history.stopped_by_hand
    return trial.state is TrialState.DONE and not trial.finished
