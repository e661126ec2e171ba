"""What a study's tables allow to be compared at this moment: phase, seeds, split, pair."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

import pyarrow as pa

from tune.states import Kind, Phase, TrialState
from tune.study.spec import StudySpec
from tune.tables.records import TrialOutcome, config_label, last_events, trial_id_of

__all__ = ["ConfirmState", "read_state"]

_ENDED = {TrialState.DONE, TrialState.PRUNED, TrialState.FAILED}


@dataclass(frozen=True)
class ConfirmState:
    """Which runs may be compared, and why no verdict may be given where none may.

    Attributes:
        phase: Whose runs are compared; None in the screen.
        split: "test" once a look at confirm is complete, else "valid".
        closed: Every run on `seeds` has ended.
        seeds: The seeds to compare on: of the complete looks where there are any.
        members: The configurations to compare; the default first.
        primary: Winner and default, or the race's leader and default so far.
        winner: As the plan has it.
        reference: Configuration 0; None before it was proposed.
        looks_taken: Looks at confirm so far, without one that still runs after complete ones.
        withheld: Why no verdict may be given; empty where one may.
        notes: What a reader has to know.
        outcomes: Each trial's last event.
        dropped: Left the race early: their missing runs were never to be.
        labels: What output calls each configuration.
        numbers: Each configuration's place in the order of proposal.
    """

    phase: Phase | None
    split: str
    closed: bool
    seeds: tuple[int, ...]
    members: tuple[str, ...]
    primary: tuple[str, str] | None
    winner: str | None
    reference: str | None
    looks_taken: int
    withheld: str
    notes: tuple[str, ...]
    outcomes: Mapping[str, TrialOutcome]
    dropped: frozenset[str]
    labels: Mapping[str, str]
    numbers: Mapping[str, int]


@dataclass(frozen=True)
class _Plan:
    """The plan's rows in order, by kind."""

    rows: tuple[dict[str, Any], ...]

    def of(self, kind: Kind, phase: Phase | None = None) -> list[dict[str, Any]]:
        return [
            row
            for row in self.rows
            if row["kind"] == kind and (phase is None or row["phase"] == phase)
        ]


def read_state(spec: StudySpec, tables: Mapping[str, pa.Table]) -> ConfirmState:
    """Find out what may be compared.

    Args:
        spec: The study.
        tables: `configs`, `trials` and `plan`.
    """
    configs = tables["configs"].sort_by("number").select(["config_id", "number", "name"])
    rows = configs.to_pylist()
    numbers = {row["config_id"]: int(row["number"]) for row in rows}
    labels = {
        row["config_id"]: config_label(row["number"], row["name"], spec.default_label)
        for row in rows
    }
    plan = _Plan(tuple(tables["plan"].sort_by("seq").to_pylist()))
    outcomes = last_events(tables["trials"])
    phase, seeds, members = _stage(spec, plan, list(numbers))
    winner = next((row["config_id"] for row in plan.of(Kind.WINNER)), None)
    reference = rows[0]["config_id"] if rows else None
    primary = _primary(spec, plan, winner, reference)
    if phase is not None and reference is not None:
        # Both are among the members but where part of the plan is lost.
        members = tuple(dict.fromkeys((*members, *(primary or ()), reference)))
    looks = [tuple(row["seeds"]) for row in plan.of(Kind.LOOK)]
    complete = tuple(takewhile(lambda look: all(_ended(members, look, outcomes)), looks))
    closed = phase is Phase.CONFIRM and bool(complete)
    if closed:
        # A look that runs must not take back what the looks before it, with their own share of
        # the false claims, have said.
        seeds = tuple(chain.from_iterable(complete))
    ended = _ended(members, chain.from_iterable(looks[len(complete) :]), outcomes)
    progress = f"{sum(ended)} of {len(ended)} runs have ended" if ended else ""
    taken = len(complete) or len(looks)
    return ConfirmState(
        phase=phase,
        split="test" if closed and spec.opens_test else "valid",
        closed=closed,
        seeds=seeds,
        members=members,
        primary=primary,
        winner=winner,
        reference=reference,
        looks_taken=taken,
        withheld=_withheld(spec, phase, taken, "" if closed else progress),
        notes=tuple(_notes(spec, plan, phase, progress, len(complete))),
        outcomes=outcomes,
        dropped=frozenset(row["config_id"] for row in plan.of(Kind.DROPPED)),
        labels=labels,
        numbers=numbers,
    )


def _ended(
    members: Iterable[str], seeds: Iterable[int], outcomes: Mapping[str, TrialOutcome]
) -> list[bool]:
    """Whether each of these configurations' runs on these seeds has ended."""
    trials = (trial_id_of(config, seed) for seed in seeds for config in members)
    return [trial in outcomes and outcomes[trial].state in _ENDED for trial in trials]


def _stage(
    spec: StudySpec, plan: _Plan, config_ids: list[str]
) -> tuple[Phase | None, tuple[int, ...], tuple[str, ...]]:
    """The last phase whose runs have partners, its seeds so far and its configurations."""
    looks = plan.of(Kind.LOOK)
    if looks:
        seeds = tuple(seed for row in looks for seed in row["seeds"])
        finalists = [row["config_id"] for row in plan.of(Kind.FINALIST, Phase.CONFIRM)]
        members = config_ids if spec.compares_all else finalists
        return Phase.CONFIRM, seeds, tuple(members)
    race = plan.of(Kind.PHASE_BEGUN, Phase.RACE)
    if race:
        entered = [row["config_id"] for row in plan.of(Kind.FINALIST, Phase.RACE)]
        return Phase.RACE, tuple(race[-1]["seeds"]), tuple(entered)
    return None, (), ()


def _primary(
    spec: StudySpec, plan: _Plan, winner: str | None, reference: str | None
) -> tuple[str, str] | None:
    for row in plan.of(Kind.PRIMARY):
        return row["config_id"], row["other_config_id"]
    if spec.compares_all or winner is None or reference is None:
        return None
    return winner, reference


def _withheld(spec: StudySpec, phase: Phase | None, looks: int, progress: str) -> str:
    """Why no verdict may be given on any pair."""
    if phase is not Phase.CONFIRM:
        return "these seeds choose the winner, and the valid split chose the epochs"
    if progress:
        return f"confirm is not over: {progress}"
    if looks > spec.confirm.looks:
        return (
            f"look {looks} was not declared (confirm.looks = {spec.confirm.looks}), and the "
            "declared ones have used up all the false claims allowed"
        )
    return ""


def _notes(
    spec: StudySpec, plan: _Plan, phase: Phase | None, progress: str, complete: int
) -> list[str]:
    notes = ["All claims hold for this training and valid split; neither was drawn anew."]
    if phase is None:
        notes.append(
            "The screen has one seed for all: no differences between runs to analyse yet."
        )
    elif phase is Phase.RACE:
        notes.append(
            "Shown is the valid split on the race's seeds, which choose the winner: the winner's "
            "own values flatter it."
        )
    elif not complete:
        notes.append(
            f"Confirm is not over ({progress}): shown is the valid split; test stays shut."
        )
    elif not spec.opens_test:
        notes.append(
            "Shown is the valid split, which also chose each run's epoch; test stays shut."
        )
    if complete and progress:
        notes.append(
            f"Look {complete + 1} is open: {progress}; until all have, what is said rests on the "
            "seeds before it."
        )
    if not (spec.compares_all or spec.confirm.takes_place):
        notes.append("confirm.seeds = 0: this study never opens test and confirms nothing.")
    notes += [
        f"On choosing the winner: {_neutral(row['note'])}."
        for row in plan.of(Kind.WINNER)
        if row["note"]
    ]
    first_look = min((row["seq"] for row in plan.of(Kind.LOOK)), default=None)
    notes += [
        f"This test set was opened before: {row['note']}."
        for row in plan.of(Kind.TEST_OPENED)
        if first_look is None or row["seq"] < first_look
    ]
    notes += [f"The study gave up: {row['note']}." for row in plan.of(Kind.GAVE_UP)[-1:]]
    return notes


def _neutral(note: str) -> str:
    """The planner's words without a claim that only a verdict may make."""
    return note.replace("the default did better", "the default was ahead").rstrip(".")
