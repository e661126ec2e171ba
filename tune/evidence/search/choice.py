"""What to use: the winner, or the default where that is the honest choice. One rule for all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any, NamedTuple

from hscl.metrics import DIGITS, METRIC
from tune.display import count, listing, number
from tune.evidence.pair import PairComparison, Rules
from tune.evidence.search.values import furthest_trials
from tune.evidence.sentences import verdict_text
from tune.search_model import Expected, Ranking
from tune.states import Verdict
from tune.tables.history import History

__all__ = [
    "Ahead",
    "Choice",
    "Reason",
    "ahead_text",
    "answer_lines",
    "reason_for_default",
    "what_to_use",
]


class Reason(StrEnum):
    """Why the default is used instead of the winner."""

    WORSE = "worse"
    """Confirm says that the winner is worse."""
    FAILURES = "failures"
    """More of the winner's confirm runs gave no result."""
    EXPECTED = "expected"
    """The search expects at least as much of the default, and confirm does not say otherwise."""


class Ahead(NamedTuple):
    """A split on which the default's mean beats the winner's.

    Attributes:
        split: "valid" or "test".
        default: Its mean over the seeds that both have.
        winner: The winner's.
        seeds: How many these are.
    """

    split: str
    default: float
    winner: float
    seeds: int


@dataclass(frozen=True)
class Choice:
    """What to use of a study whose search is over.

    Attributes:
        metric: The study's metric.
        config_id: The configuration to use.
        winner: The winner, used or not.
        default: Configuration 0.
        reason: Why the default is used; None where the winner is.
        expected: What the search expects of winner and default, where `reason` is `EXPECTED`.
        trusted: A model expects that; else it is what their own trainings reached.
        ahead: Where the default's mean beats the winner's.
        confirms: The study has seeds that confirm the choice.
    """

    metric: str
    config_id: str
    winner: str
    default: str
    reason: Reason | None
    expected: tuple[Expected, Expected] | None = None
    trusted: bool = False
    ahead: tuple["Ahead", ...] = ()
    confirms: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "config_id": self.config_id,
            "is_default": self.reason is not None,
            "reason": None if self.reason is None else self.reason.value,
            "default_ahead": [one.split for one in self.ahead],
        }


def reason_for_default(
    *, prefers_default: bool, verdict: Verdict | None, lost: tuple[int, int] = (0, 0)
) -> Reason | None:
    """The rule: is the default to be used instead of the winner, and why?

    Args:
        prefers_default: The search expects at least as much of the default on valid.
        verdict: Of confirm on winner against default; None where it gives none.
        lost: Confirm runs of winner and default that gave no result.

    Returns:
        None where the winner is to be used.
    """
    if verdict is Verdict.WORSE:
        return Reason.WORSE
    if lost[0] > lost[1]:
        return Reason.FAILURES
    if prefers_default and verdict is not Verdict.BETTER:
        return Reason.EXPECTED
    return None


def what_to_use(
    history: History, ranking: Ranking | None, primary: PairComparison | None
) -> Choice | None:
    """Apply the rule to a study.

    What the search expected of winner and default when it chose stands in the plan; where a race
    has chosen (before 0.2), nothing does.

    Args:
        history: The study's rows.
        ranking: Of what its search ran.
        primary: Winner against default, where they are compared.

    Returns:
        None where there is no winner (yet), or where nothing is chosen: lists and grids.
    """
    if history.winner is None or history.default is None or history.spec.compares_all:
        return None
    winner, default = history.winner, history.default.config_id
    reason = reason_for_default(
        prefers_default=history.prefers_default,
        verdict=None if primary is None else primary.verdict,
        lost=(0, 0) if primary is None else primary.lost,
    )
    expected = None
    if reason is Reason.EXPECTED and ranking is not None and ranking.default is not None:
        of_winner = ranking.other(winner)
        expected = None if of_winner is None else (of_winner, ranking.default)
    return Choice(
        metric=history.spec.study.metric,
        config_id=winner if reason is None else default,
        winner=winner,
        default=default,
        reason=reason,
        expected=expected,
        trusted=ranking is not None and ranking.trusted,
        ahead=tuple(_where_ahead(history, winner, default, primary)),
        confirms=history.spec.confirm.takes_place,
    )


def _where_ahead(
    history: History, winner: str, default: str, primary: PairComparison | None
) -> Iterator[Ahead]:
    """On valid, over the seeds of the search or of confirm, and on test once it has spoken."""
    # Refine trains on the screen's seed, too.
    of_winner, of_default = (
        {
            (trial.phase.searches, trial.seed): trial.value
            for trial in furthest_trials(history, one)
        }
        for one in (winner, default)
    )
    both = [
        (theirs, own)
        for run, own in of_default.items()
        if own is not None and (theirs := of_winner.get(run)) is not None
    ]
    if both:
        theirs, own = (fmean(values) for values in zip(*both, strict=True))
        if history.sign * (own - theirs) < 0.0:
            yield Ahead("valid", own, theirs, len(both))
    if primary is not None and primary.split == "test" and primary.seeds:
        theirs, own = primary.means
        if history.sign * (own - theirs) < 0.0:
            yield Ahead("test", own, theirs, len(primary.seeds))


def answer_lines(
    choice: Choice | None,
    primary: PairComparison | None,
    names: Mapping[str, str],
    rules: Rules,
    *,
    brief: bool = False,
) -> list[str]:
    """The first sentences of every screen: what to use, and the verdict.

    Where the default was ahead on valid or test, the first says so.

    Args:
        choice: From `what_to_use`.
        primary: Winner against default, where they are compared.
        names: What output calls each configuration.
        rules: What was fixed before the comparison.
        brief: Leave out what stands beside the verdict; see `verdict_text`.

    Returns:
        One or two sentences; none where there is neither a verdict nor a choice.
    """
    verdict = [] if primary is None else [verdict_text(primary, names, rules, brief=brief)]
    if choice is None:
        return verdict
    winner = names.get(choice.winner, "the winner")
    ahead = ahead_text(choice)
    if choice.reason is None:
        use = f"Use {winner}" + (", the winner" if choice.winner in names else "")
        if not choice.confirms:
            use += " of the search; nothing confirms it, because this study has no confirm seeds"
        return [f"{use}; {ahead}." if ahead else f"{use}.", *verdict]
    why = "the search expects more of it"
    if choice.reason is Reason.WORSE:
        why, ahead = f"confirm finds {winner}, the winner, worse", ""
    elif choice.reason is Reason.FAILURES and primary is not None:
        lost = primary.lost
        why = (
            f"{lost[0]} of {primary.planned} runs of {winner} gave no result, {lost[1]} of its own"
        )
    elif choice.expected is not None:
        why = f"{_expected_text(choice.expected, choice, winner)}, and {_confirm_text(primary)}"
    return [f"Use the default: {why}" + (f"; {ahead}." if ahead else "."), *verdict]


def ahead_text(choice: Choice) -> str:
    """Such as "the default was ahead on test (MAE 0.7102 against 0.7215 over 6 seeds)"."""
    metric = METRIC[choice.metric].name
    where = [
        f"on {one.split} ({metric} {number(one.default, DIGITS)} against "
        f"{number(one.winner, DIGITS)} over {count(one.seeds, 'seed')})"
        for one in choice.ahead
    ]
    return f"the default was ahead {listing(where)}" if where else ""


def _expected_text(expected: tuple[Expected, Expected], choice: Choice, winner: str) -> str:
    """What the search expects of both, such as "MAE 0.7421 ± 0.0080 is expected of it …"."""
    of_winner, of_default = (
        number(one.value, DIGITS) + ("" if one.sd is None else f" ± {number(one.sd, DIGITS)}")
        for one in expected
    )
    metric = METRIC[choice.metric].name
    known = tuple(one.sd is not None for one in expected)
    if choice.trusted and all(known):
        return f"on valid {metric} {of_default} is expected of it, {of_winner} of {winner}"
    if choice.trusted and any(known):  # of one that lies outside the space its training tells
        if known[0]:
            its = f"on valid its training reached {metric} {of_default}"
            return f"{its}, and {of_winner} is expected of {winner}"
        its = f"on valid {metric} {of_default} is expected of it"
        return f"{its}, and the training of {winner} reached {of_winner}"
    return f"in the search it reached valid {metric} {of_default}, {winner} {of_winner}"


def _confirm_text(primary: PairComparison | None) -> str:
    """What confirm says, where it does not overrule what is expected."""
    if primary is None or primary.verdict is None:
        return "no verdict of confirm speaks against it"
    if primary.verdict is Verdict.EQUIVALENT:
        return "confirm finds the two equivalent"
    return "confirm leaves it undecided"
