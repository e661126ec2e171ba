"""What a study's tables allow to be compared at this moment: phase, seeds, split, pair."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, takewhile

from tune.display import listing
from tune.evidence.pair import Rules
from tune.states import Kind, Phase
from tune.stats.looks import FALSE_CLAIMS
from tune.tables.history import History
from tune.tables.records import config_label

__all__ = ["ConfirmState", "read_state"]


@dataclass(frozen=True)
class ConfirmState:
    """Which runs may be compared, and why no verdict may be given where none may.

    Attributes:
        phase: Whose runs are compared; None before confirm.
        split: "test" once a look at confirm is complete, else "valid".
        closed: Every run on `seeds` has ended.
        seeds: The seeds to compare on: of the complete looks where there are any.
        members: The configurations to compare; the default first.
        primary: Winner and default.
        winner: As the plan has it.
        reference: Configuration 0, or the winner of its branch; None before it is known.
        looks: Looks that were planned before the first.
        looks_taken: Looks at confirm so far, without one that still runs after complete ones.
        level: Of the last of these; 0.05 before the first.
        withheld: Why no verdict may be given; empty where one may.
        notes: What a reader has to know.
        dropped: Given up before confirm, in tables written before 0.2: their missing runs were
            never to be.
        labels: What output calls each configuration.
        numbers: Each configuration's place in the order of proposal.
        claims: As the study declared: every pair ("all"), the winner's alone ("winner"), or what
            studies from before this key did (None).
        to_come: Runs on `seeds` of configurations that a list or grid has not proposed yet.
    """

    phase: Phase | None
    split: str
    closed: bool
    seeds: tuple[int, ...]
    members: tuple[str, ...]
    primary: tuple[str, str] | None
    winner: str | None
    reference: str | None
    looks: int
    looks_taken: int
    level: float
    withheld: str
    notes: tuple[str, ...]
    dropped: frozenset[str]
    labels: Mapping[str, str]
    numbers: Mapping[str, int]
    claims: str | None
    to_come: int

    def rules(self, margin: float) -> Rules:
        """What pairs are judged by now.

        Args:
            margin: The largest difference that counts as none.
        """
        return Rules(margin, self.level, self.withheld, of_old=self.claims is None)


def read_state(history: History) -> ConfirmState:
    """Find out what may be compared.

    Args:
        history: The study's rows.
    """
    spec = history.spec
    phase, seeds, members = _stage(history)
    looks = history.looks
    # Lists and grids propose one by one: a look is over only when all have run.
    absent = max(0, len(spec.compared_points) - len(members)) if spec.compares_all else 0
    complete = tuple(
        takewhile(lambda look: not absent and all(_ended(history, members, look)), looks)
    )
    closed = phase is Phase.CONFIRM and bool(complete)
    if closed:
        # A look that runs must not take back what the looks before it, with their own share of
        # the false claims, have said.
        seeds = tuple(chain.from_iterable(complete))
    after = tuple(chain.from_iterable(looks[len(complete) :]))
    ended = _ended(history, members, after)
    planned_runs = len(ended) + absent * len(after)
    progress = f"{sum(ended)} of {planned_runs} runs have ended" if ended else ""
    taken = len(complete) or len(looks)
    planned = history.planned_looks
    return ConfirmState(
        phase=phase,
        split="test" if closed and spec.opens_test else "valid",
        closed=closed,
        seeds=seeds,
        members=members,
        primary=history.primary,
        winner=history.winner,
        reference=history.reference,
        looks=len(planned) or spec.confirm.looks,
        looks_taken=taken,
        level=_level(history, taken),
        withheld=_withheld(history, phase, taken, "" if closed else progress),
        notes=tuple(_notes(history, phase, progress, len(complete))),
        dropped=frozenset(row["config_id"] for row in history.plan_rows(Kind.DROPPED)),
        labels={
            one.config_id: config_label(one.number, one.name, spec.default_name)
            for one in history.configs.values()
        },
        numbers={one.config_id: one.number for one in history.configs.values()},
        claims=spec.confirm.claims,
        to_come=absent * len(seeds),
    )


def _ended(history: History, members: Iterable[str], seeds: Iterable[int]) -> list[bool]:
    """Whether each of these configurations' runs on these seeds has ended."""
    return [history.has_ended(config, seed) for seed in seeds for config in members]


def _stage(history: History) -> tuple[Phase | None, tuple[int, ...], tuple[str, ...]]:
    """The last phase whose runs have partners, its seeds so far and its configurations."""
    if history.looks:
        return Phase.CONFIRM, tuple(chain.from_iterable(history.looks)), history.confirmed
    race = history.plan_rows(Kind.PHASE_BEGUN, Phase.RACE)
    if race:  # begun before 0.2
        return Phase.RACE, tuple(race[-1]["seeds"]), tuple(history.finalists(Phase.RACE))
    return None, (), ()


def _level(history: History, taken: int) -> float:
    """The level of the last look."""
    planned, looks = history.planned_looks, history.spec.confirm.looks
    if planned and taken <= len(planned):
        return planned[max(taken, 1) - 1].level
    # Before 0.2 looks had no levels of their own: equal shares were planned.
    return FALSE_CLAIMS / looks if history.looks else FALSE_CLAIMS


def _withheld(history: History, phase: Phase | None, looks: int, progress: str) -> str:
    """Why no verdict may be given on any pair."""
    if phase is not Phase.CONFIRM:
        return "these seeds choose the winner, and the valid split chose the epochs"
    if progress:
        return f"confirm is not over: {progress}"
    declared = history.spec.confirm.looks
    if looks > (len(history.planned_looks) or declared):
        return (
            f"look {looks} was not declared (confirm.looks = {declared}), and the "
            "declared ones have used up all the false claims allowed"
        )
    return ""


def _notes(history: History, phase: Phase | None, progress: str, complete: int) -> list[str]:
    spec = history.spec
    notes = [
        "All claims hold for this training and valid split; neither was drawn anew.",
        (
            "They are for videos like the test set's: what valid and test share (styles, "
            "speakers, labellers) is not new, and a winner may owe its lead to it."
        ),
    ]
    if phase is None:
        notes.append(
            "The search has one seed for all: no differences between runs to analyse yet."
        )
    elif phase is Phase.RACE:
        notes.append(
            "Shown is the valid split on the seeds that choose the winner: its values flatter it."
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
    notes += _about_looks(history, complete)
    if not (spec.compares_all or spec.confirm.takes_place):
        notes.append("confirm.seeds = 0: this study never opens test and confirms nothing.")
    notes += [
        f"On choosing the winner: {_neutral(row['note'])}."
        for row in history.plan_rows(Kind.WINNER)
        if row["note"]
    ]
    notes += [
        f"{row['note']}; what is claimed is not about speakers who are new to the model."
        for row in history.plan_rows(Kind.SHARED_SPEAKERS)
    ]
    first_look = min((row["seq"] for row in history.plan_rows(Kind.LOOK)), default=None)
    notes += [
        f"This test set was opened {_before(row['note'])}."
        for row in history.plan_rows(Kind.TEST_OPENED)
        if first_look is None or row["seq"] < first_look
    ]
    ending = history.ending
    if ending is not None and ending.gave_up:
        notes.append(f"The study gave up: {ending.note}.")
    return notes


def _before(note: str | None) -> str:
    return (
        note if note and note.startswith("before") else f"before: {note or 'by an earlier study'}"
    )


def _about_looks(history: History, complete: int) -> list[str]:
    """How often confirm is looked at, and why it ended early where it did."""
    notes, planned = [], history.planned_looks
    if history.looks and len(planned) > 1:
        pairs = [str(n) for n in accumulate(len(look.seeds) for look in planned)]
        notes.append(
            f"Confirm is looked at after {listing(pairs)} pairs, as planned before the first "
            f"look; {complete} so far. Each has a level of its own, and together they claim "
            "falsely in at most 5 % of studies."
        )
    elif history.looks and history.spec.confirm.looks > 1:
        notes.append(
            f"{history.spec.confirm.looks} looks were declared and {complete} taken; each has "
            "its share of the 5 % of false claims."
        )
    if history.ended_early is not None:
        notes.append(f"Confirm ended early: {history.ended_early}.")
    return notes


def _neutral(note: str) -> str:
    """The planner's words without a claim that only a verdict may make."""
    return note.replace("the default did better", "the default was ahead").rstrip(".")
