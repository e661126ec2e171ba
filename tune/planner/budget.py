"""What race and confirm will need, and whether the screen may propose another trial."""

from enum import StrEnum
from typing import NamedTuple

from tune.states import Phase
from tune.study.size import reserved_epochs
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["Answer", "Room", "room_for_another"]


class Answer(StrEnum):
    """Whether another trial of the screen fits."""

    YES = "yes"
    LATER = "later"
    """Only if trials that run now take less than they may."""
    NO = "no"


class Room(NamedTuple):
    """The answer, and for "no" what was spent (in the budget's unit) and why in words."""

    answer: Answer
    spent: float = 0.0
    note: str = ""


def room_for_another(spec: StudySpec, history: History) -> Room:
    """Whether the budget holds another trial of the screen besides all that must still run.

    A trial that runs is counted with all its epochs, so the budget is never exceeded by a screen.
    Hours are training time from the tables: what was measured, and every epoch to come at the mean
    of those measured. Before the first epoch is measured one trial runs alone.

    Args:
        spec: The study.
        history: All rows so far.

    Returns:
        YES, NO, or LATER where trials that run now may leave room.
    """
    if not (spec.budget.epochs or spec.budget.hours):
        return Room(Answer.YES)
    reserve = reserved_epochs(spec, candidates=max(1, len(history.configs)))
    longest = spec.longest_trial
    running = [trial for trial in history.open.values() if trial.phase is Phase.SCREEN]
    # What runs now may still take, without the epochs that are recorded already.
    pending = sum(longest - trial.epoch for trial in running) + longest * len(history.unstarted)
    for limit, spent, each, unit in _limits(spec, history):
        if each is None:
            if pending:
                return Room(Answer.LATER)
            continue
        if spent + each * (reserve + longest) > limit:
            need = f"race and confirm need up to {each * reserve:,.4g} {unit}"
            trial = f"one more trial up to {each * longest:,.4g}"
            spent_text = f"{spent:,.4g} of {limit:,.4g} {unit} are spent"
            return Room(Answer.NO, spent, f"{spent_text}, {need}, {trial}")
        if spent + each * (reserve + longest + pending) > limit:
            return Room(Answer.LATER)
    return Room(Answer.YES)


def _limits(spec: StudySpec, history: History) -> list[tuple[float, float, float | None, str]]:
    """(limit, spent, cost of an epoch or None if not measured, unit) of each limit that is set."""
    limits: list[tuple[float, float, float | None, str]] = []
    if spec.budget.epochs:
        limits.append((spec.budget.epochs, history.epochs, 1.0, "epochs"))
    if spec.budget.hours:
        each = history.seconds / history.epochs / 3600 if history.epochs else None
        limits.append((spec.budget.hours, history.seconds / 3600, each, "hours"))
    return limits
