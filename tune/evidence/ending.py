"""Whether confirm may end early: after a look, can further seeds still change an answer?

A pair is settled where its verdict for new videos is reached, or where no look to come brings one
and the question about this test set is answered or out of reach as well. Out of reach means: the
chance of an answer, added up over the looks to come, is below `UNLIKELY`. It is computed from the
difference and the variance components so far, for the levels that the looks to come have. Failures
that would forbid a verdict are not foreseen: such a pair goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

import pyarrow as pa

from tune.evidence.comparison import judge_finalists
from tune.evidence.confirm_state import read_state
from tune.evidence.pair import PairComparison, Rules
from tune.states import Verdict
from tune.stats.intervals import Interval, student_interval
from tune.stats.looks import Look, chance_later
from tune.stats.power import FEWEST_PAIRS, FEWEST_VIDEOS
from tune.tables.history import History

__all__ = ["UNLIKELY", "EarlyEnd", "Prospect", "end_early", "prospect_of"]

UNLIKELY = 0.05
"""A lower chance of an answer than this is not worth any seeds."""

_VERDICTS = {Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT}


class Prospect(StrEnum):
    """What further seeds can do for a pair."""

    DECIDED = "decided"
    """The verdict for new videos is reached."""
    OUT_OF_REACH = "out of reach"
    """No verdict will come, and on this test set there is nothing more to learn."""
    OPEN = "open"


@dataclass(frozen=True)
class EarlyEnd:
    """Why confirm ends before all seeds that were ordered have run.

    Attributes:
        note: In words.
        saved: Trainings that are not spent.
    """

    note: str
    saved: int


def end_early(history: History, predictions: pa.Table) -> EarlyEnd | None:
    """Judge the look at confirm whose last run has ended.

    Args:
        history: What has happened in the study.
        predictions: The table of predictions.

    Returns:
        None where the seeds ordered go on, or where none are left. The same rows give the same
        answer.
    """
    state = read_state(history)
    planned = history.planned_looks
    sizes = list(accumulate(len(look.seeds) for look in planned))
    ordered = history.ordered_pairs
    later = [
        Look(pairs, look.level)
        for pairs, look in zip(sizes, planned, strict=True)
        if len(state.seeds) < pairs <= ordered
    ]
    if not later or not state.closed:
        return None
    judged = judge_finalists(history, predictions, state)
    if state.claims == "winner" and state.primary is not None:
        judged = judged[:1]  # of the others nothing is claimed, so no seed can change what is
    rules = state.rules(history.spec.confirm.margin)
    prospects = [prospect_of(pair, rules, later) for pair in judged]
    if not judged or Prospect.OPEN in prospects:
        return None
    so_far = f"after {len(state.seeds)} of {ordered} pairs"
    saved = len(state.members) * (ordered - len(state.seeds))
    if all(prospect is Prospect.DECIDED for prospect in prospects):
        why = f"the verdict is reached {so_far}"
    else:
        why = (
            f"{so_far} the seeds left have a chance below {100 * UNLIKELY:g} % of a verdict for "
            "new videos, and on this test set the answer is there or as unlikely"
        )
    return EarlyEnd(f"{why}; {saved} trainings saved", saved)


def prospect_of(pair: PairComparison, rules: Rules, later: Sequence[Look]) -> Prospect:
    """What the looks to come can do for a pair.

    Args:
        pair: As judged now.
        rules: What it was judged by.
        later: The looks to come that are ordered, in numbers of planned pairs.
    """
    if pair.verdict in _VERDICTS:
        return Prospect.DECIDED
    here = pair.this_test_set
    if here is None or len(pair.seeds) < FEWEST_PAIRS:
        return Prospect.OPEN
    more = len(pair.seeds) - pair.planned  # seeds that were lost do not come back
    looks = [Look(look.pairs + more, look.level) for look in later]
    unlikely = _chance_for_new_videos(pair, here, rules.margin, looks) < UNLIKELY
    answered = here.excludes(0.0) or here.at(1.0 - 2.0 * rules.alpha).within(rules.margin)
    if unlikely and (answered or _chance_here(here, rules.margin, looks) < UNLIKELY):
        return Prospect.OUT_OF_REACH
    return Prospect.OPEN


def _chance_for_new_videos(
    pair: PairComparison, here: Interval, margin: float, looks: Sequence[Look]
) -> float:
    """Of a verdict at any look to come; at most its true value, as chances are added up."""
    if pair.spread is None or pair.videos < FEWEST_VIDEOS:
        return 0.0
    chance = 0.0
    for look in looks:
        crossed = pair.spread.expected(look.pairs, pair.videos)
        chance += _chance(here, look, margin, crossed.interval())
    return chance


def _chance_here(here: Interval, margin: float, looks: Sequence[Look]) -> float:
    """Of an answer about this test set at any look to come."""
    sd = here.standard_error * (here.degrees_of_freedom + 1.0) ** 0.5
    return sum(
        _chance(
            here, look, margin, student_interval(0.0, sd / look.pairs**0.5, look.pairs - 1.0, 0.95)
        )
        for look in looks
    )


def _chance(here: Interval, look: Look, margin: float, expected: Interval) -> float:
    """Of an answer at one look, whose interval is expected to be as wide as this one."""
    wide, narrow = (expected.at(1.0 - k * look.level) for k in (1, 2))
    return chance_later(
        here, look.pairs, wide.high - wide.estimate, margin - (narrow.high - narrow.estimate)
    )
