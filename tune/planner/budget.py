"""Whether the screen is over, and whether the budget holds another trial of the search."""

from enum import StrEnum
from typing import NamedTuple

from tune.study.allocation import allocation_of, confirm_epochs, usual_length
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["Answer", "Room", "is_last", "room_for_another", "screen_is_over"]


class Answer(StrEnum):
    """Whether another trial of the search fits."""

    YES = "yes"
    LATER = "later"
    """Only if trials that run now take less than they may."""
    NO = "no"


class Room(NamedTuple):
    """The answer.

    Attributes:
        answer: Whether another trial fits.
        last: Where it does: one more besides does not, unless what runs takes less than it may.
        spent: Where it doesn't: what was spent, in the budget's unit.
        note: And why, in words.
    """

    answer: Answer
    last: bool = False
    spent: float = 0.0
    note: str = ""


def screen_is_over(spec: StudySpec, history: History) -> bool:
    """Whether the screen has had its trials, or its part of what selects where refine follows.

    A trial that runs is counted with what it usually still takes, so that many slots don't start
    a wave that the part no longer holds. The default and the known points are part of
    the screen, as far as the total goes.

    Args:
        spec: The study.
        history: All rows so far; refine has not begun.
    """
    found = allocation_of(spec)
    proposed = len(history.configs)
    if proposed < len(spec.start_points):
        return False
    if found.screen_trials is not None and proposed >= found.screen_trials:
        return True
    if not found.refines:
        return False
    coming = sum(usual_length(spec, trial.epoch) for trial in history.open.values())
    confirm = confirm_epochs(spec, candidates=max(1, proposed))
    return any(
        limit.each is not None
        and limit.spent + limit.each * coming
        >= found.screen_part(limit.total - limit.each * confirm, limit.each)
        for limit in _limits(spec, history)
    )


def room_for_another(spec: StudySpec, history: History) -> Room:
    """Whether the budget holds another trial of the search besides all that must still run.

    A trial that runs is counted with all its epochs, so the budget is never exceeded.
    Hours are training time from the tables: what was measured, and every epoch to come at the mean
    of those measured. Before the first epoch is measured one trial runs alone.

    Args:
        spec: The study.
        history: All rows so far.

    Returns:
        YES, NO, or LATER where trials that run now may leave room.
    """
    candidates = max(1, len(history.configs))
    # With `keep = "all"` each further configuration has its runs of confirm, too.
    reserve, reserve_after = (confirm_epochs(spec, candidates + more) for more in (0, 1))
    longest = spec.longest_trial
    # What runs now may still take, without the epochs that are recorded already.
    pending = sum(longest - trial.epoch for trial in history.open.values())
    pending += longest * len(history.unstarted)
    last = False
    for total, spent, each, unit in _limits(spec, history):
        if each is None:
            if pending:
                return Room(Answer.LATER)
            continue
        if spent + each * (reserve + longest) > total:
            form = ",.0f" if unit == "epochs" else ",.4g"
            need = f"confirm needs up to {each * reserve:{form}} {unit}"
            trial = f"one more trial up to {each * longest:{form}}"
            spent_text = f"{spent:{form}} of {total:{form}} {unit} are spent"
            note = f"{spent_text}, {need}, {trial}"
            return Room(Answer.NO, spent=spent, note=note)
        if spent + each * (reserve + longest + pending) > total:
            return Room(Answer.LATER)
        last = last or spent + each * (reserve_after + 2 * longest + pending) > total
    return Room(Answer.YES, last)


def is_last(spec: StudySpec, history: History) -> bool:
    """Whether no training of refine follows the next one, unless what runs takes less.

    Args:
        spec: The study.
        history: All rows so far.
    """
    most, first = allocation_of(spec).refine_trials, history.refined_from
    if first is None:
        return False
    if most is not None and len(history.configs) - first + 1 >= most:
        return True
    return room_for_another(spec, history).last


class _Limit(NamedTuple):
    """A limit that is set: its total and what is spent, both in its unit.

    Attributes:
        each: Cost of an epoch; None before the first is measured.
    """

    total: float
    spent: float
    each: float | None
    unit: str


def _limits(spec: StudySpec, history: History) -> list[_Limit]:
    limits = []
    if spec.budget.epochs:
        limits.append(_Limit(spec.budget.epochs, history.epochs, 1.0, "epochs"))
    if spec.budget.hours:
        each = history.seconds / history.epochs / 3600 if history.epochs else None
        limits.append(_Limit(spec.budget.hours, history.seconds / 3600, each, "hours"))
    return limits
