"""What a study's tables allow to be compared at this moment: phase, seeds, split, pair."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, takewhile

from tune.states import Kind, Phase
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import config_label

__all__ = ["ConfirmState", "read_state"]


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
    dropped: frozenset[str]
    labels: Mapping[str, str]
    numbers: Mapping[str, int]


def read_state(history: History) -> ConfirmState:
    """Find out what may be compared.

    Args:
        history: The study's rows.
    """
    spec = history.spec
    phase, seeds, members = _stage(history)
    looks = history.looks
    complete = tuple(takewhile(lambda look: all(_ended(history, members, look)), looks))
    closed = phase is Phase.CONFIRM and bool(complete)
    if closed:
        # A look that runs must not take back what the looks before it, with their own share of
        # the false claims, have said.
        seeds = tuple(chain.from_iterable(complete))
    ended = _ended(history, members, chain.from_iterable(looks[len(complete) :]))
    progress = f"{sum(ended)} of {len(ended)} runs have ended" if ended else ""
    taken = len(complete) or len(looks)
    default = history.default
    return ConfirmState(
        phase=phase,
        split="test" if closed and spec.opens_test else "valid",
        closed=closed,
        seeds=seeds,
        members=members,
        primary=history.primary,
        winner=history.winner,
        reference=None if default is None else default.config_id,
        looks_taken=taken,
        withheld=_withheld(spec, phase, taken, "" if closed else progress),
        notes=tuple(_notes(history, phase, progress, len(complete))),
        dropped=frozenset(row["config_id"] for row in history.plan_rows(Kind.DROPPED)),
        labels={
            one.config_id: config_label(one.number, one.name, spec.default_label)
            for one in history.configs.values()
        },
        numbers={one.config_id: one.number for one in history.configs.values()},
    )


def _ended(history: History, members: Iterable[str], seeds: Iterable[int]) -> list[bool]:
    """Whether each of these configurations' runs on these seeds has ended."""
    return [history.has_ended(config, seed) for seed in seeds for config in members]


def _stage(history: History) -> tuple[Phase | None, tuple[int, ...], tuple[str, ...]]:
    """The last phase whose runs have partners, its seeds so far and its configurations."""
    if history.looks:
        return Phase.CONFIRM, tuple(chain.from_iterable(history.looks)), history.confirmed
    race = history.plan_rows(Kind.PHASE_BEGUN, Phase.RACE)
    if race:
        return Phase.RACE, tuple(race[-1]["seeds"]), history.raced
    return None, (), ()


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


def _notes(history: History, phase: Phase | None, progress: str, complete: int) -> list[str]:
    spec = history.spec
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
        for row in history.plan_rows(Kind.WINNER)
        if row["note"]
    ]
    first_look = min((row["seq"] for row in history.plan_rows(Kind.LOOK)), default=None)
    notes += [
        f"This test set was opened before: {row['note']}."
        for row in history.plan_rows(Kind.TEST_OPENED)
        if first_look is None or row["seq"] < first_look
    ]
    ending = history.ending
    if ending is not None and ending.gave_up:
        notes.append(f"The study gave up: {ending.note}.")
    return notes


def _neutral(note: str) -> str:
    """The planner's words without a claim that only a verdict may make."""
    return note.replace("the default did better", "the default was ahead").rstrip(".")
