"""Verdicts on pairs, why there is none, and what would decide an open question."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tune.evidence.pair import Judgement, Outlook, PairEstimate, Role, Rules
from tune.states import Verdict
from tune.stats.intervals import Interval
from tune.stats.looks import seeds_that_decide
from tune.stats.power import (
    FEWEST_PAIRS,
    FEWEST_VIDEOS,
    Spread,
    detectable_difference,
    power_for_new_videos,
    videos_that_decide,
)
from tune.stats.significance import equivalence_p, find_verdict, holm

__all__ = ["judge", "judge_together"]

_TOO_MANY_VIDEOS = 10  # times as many as there are: then twice the seeds are looked at


def judge(pair: PairEstimate, rules: Rules) -> Judgement:
    """The verdict on a pair by itself; `role` METRIC gets none.

    Args:
        pair: As `tune.evidence.pair.compare_pair` gives it.
        rules: What was fixed beforehand.
    """
    equal = _equivalence(pair.new_videos, rules.margin)
    return _judge(pair, rules, _number(pair.p_value), equal, Judgement())


def judge_together(pairs: Sequence[PairEstimate], rules: Rules) -> list[Judgement]:
    """Verdicts on several pairs, corrected by Holm so that together they claim no more.

    A difference is claimed where its corrected p value is below alpha; else equivalence, where
    the corrected p value of the two one-sided tests is.

    Args:
        pairs: As `tune.evidence.pair.compare_pair` gives them.
        rules: What was fixed beforehand.

    Returns:
        A judgement on each pair, in their order.
    """
    flips = holm([_number(pair.sign_flip_p) for pair in pairs])
    crossed = holm([_number(pair.p_value) for pair in pairs])
    equal = holm([_equivalence(pair.new_videos, rules.margin) for pair in pairs])
    return [
        _judge(pair, rules, p, q, Judgement(sign_flip_p_holm=_or_none(flip), p_holm=_or_none(p)))
        for pair, flip, p, q in zip(pairs, flips, crossed, equal, strict=True)
    ]


def _judge(
    pair: PairEstimate, rules: Rules, p: float, equivalence: float, corrected: Judgement
) -> Judgement:
    """The verdict by these p values, if one may be given, after the rule on failures."""
    withheld = _why_none(pair, rules)
    if withheld or pair.new_videos is None:
        return replace(corrected, reason=withheld)
    verdict, small = find_verdict(
        pair.new_videos.estimate, p, equivalence, lower_wins=pair.lower_wins, alpha=rules.alpha
    )
    lost = pair.lost
    first_may_win, second_may_win = lost[0] <= lost[1], lost[1] <= lost[0]
    allowed = {
        Verdict.BETTER: first_may_win,
        Verdict.WORSE: second_may_win,
        Verdict.EQUIVALENT: first_may_win and second_may_win,
        Verdict.UNDECIDED: True,
    }[verdict]
    if not allowed:
        reason = (
            "the seeds on which both finished would decide it, but "
            f"{lost[0]} against {lost[1]} runs of {pair.planned} gave no result, and the side "
            "that fails more often can neither win nor count as equal"
        )
        return replace(corrected, verdict=Verdict.UNDECIDED, reason=reason)
    outlook = None
    if verdict is Verdict.UNDECIDED and pair.spread is not None and rules.margin != 0.0:
        outlook = _outlook(pair.spread, len(pair.seeds), pair.videos, rules)
    return replace(
        corrected,
        verdict=verdict,
        below_margin=small and verdict in {Verdict.BETTER, Verdict.WORSE},
        reason=_why(corrected.p_holm, rules, verdict),
        outlook=outlook,
    )


def _why_none(pair: PairEstimate, rules: Rules) -> str:
    """Why no verdict may be given; empty where one may."""
    if pair.role is Role.METRIC:
        return "the verdict is on the study's own metric; the others have intervals only"
    if rules.withheld:
        return rules.withheld
    complete = len(pair.seeds)
    if complete < FEWEST_PAIRS:
        return (
            f"only {complete} of {pair.planned} seeds have both results, and fewer than "
            f"{FEWEST_PAIRS} pairs give no verdict"
        )
    if pair.videos < FEWEST_VIDEOS:
        return (
            f"the {pair.split} set has {pair.videos} videos, and fewer than {FEWEST_VIDEOS} "
            "say nothing about new videos"
        )
    return ""


def _why(p_holm: float | None, rules: Rules, verdict: Verdict) -> str:
    wide, narrow = (f"{100 * (1.0 - k * rules.alpha):g} %" for k in (1, 2))
    margin = f"± {rules.margin:g}"
    if p_holm is not None:
        p = f"p = {p_holm:.3f} corrected for all pairs (Holm)"
        if verdict is Verdict.EQUIVALENT:
            return f"inside {margin} by two one-sided tests corrected for all pairs (Holm)"
        if verdict is Verdict.UNDECIDED:
            return f"{p}, and not shown to be inside {margin}; the interval is not corrected"
        return f"{p}; the interval is not corrected"
    if verdict is Verdict.EQUIVALENT:
        return f"the {narrow} interval for new videos lies inside {margin}"
    if verdict is Verdict.UNDECIDED:
        return (
            f"the {wide} interval for new videos holds 0 and the {narrow} interval is not inside "
            f"{margin}"
        )
    return f"the {wide} interval for new videos lies on one side of 0"


def _outlook(spread: Spread, pairs: int, videos: int, rules: Rules) -> Outlook:
    """What would find a true difference of one margin."""
    enough_videos = videos_that_decide(rules.margin, spread, pairs, rules.alpha)
    with_pairs = pairs
    if enough_videos is None or enough_videos > _TOO_MANY_VIDEOS * videos:
        with_pairs = 2 * pairs
        enough_videos = videos_that_decide(rules.margin, spread, with_pairs, rules.alpha)
    return Outlook(
        power=power_for_new_videos(rules.margin, spread, pairs, videos, rules.alpha),
        detectable=detectable_difference(spread, pairs, videos, rules.alpha),
        pairs=seeds_that_decide(rules.margin, spread, videos),
        videos=enough_videos,
        videos_pairs=with_pairs,
    )


def _equivalence(interval: Interval | None, margin: float) -> float:
    return float("nan") if interval is None else equivalence_p(interval, margin)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
