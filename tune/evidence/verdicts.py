"""Verdicts on pairs, why there is none, and what would decide an open question."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tune.evidence.pair import Judgement, Outlook, PairEstimate, Role, Rules
from tune.states import Verdict
from tune.stats.collapses import collapse_rate_bound
from tune.stats.looks import FALSE_CLAIMS, seeds_that_decide
from tune.stats.power import (
    FEWEST_PAIRS,
    FEWEST_VIDEOS,
    detectable_difference,
    pairs_range,
    power_for_new_videos,
    videos_range,
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
    p_values = _claim_p(pair, rules), _equal_p(pair, rules)
    return _judge([pair], 0, rules, p_values, Judgement())


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
    crossed = holm([_claim_p(pair, rules) for pair in pairs])
    equal = holm([_equal_p(pair, rules) for pair in pairs])
    corrected = [
        Judgement(sign_flip_p_holm=_or_none(flip), p_holm=_or_none(p))
        for flip, p in zip(flips, crossed, strict=True)
    ]
    return [
        _judge(pairs, place, rules, p_values, corrected[place])
        for place, p_values in enumerate(zip(crossed, equal, strict=True))
    ]


def _claim_p(pair: PairEstimate, rules: Rules) -> float:
    """P value of no difference; where the seeds are far from normal, sign flips must agree."""
    p = _number(pair.p_value)
    if rules.of_old or not pair.far_from_normal or pair.sign_flip_p is None:
        return p
    return max(p, pair.sign_flip_p)


def _equal_p(pair: PairEstimate, rules: Rules) -> float:
    """P value of a difference of the margin or more, likewise."""
    if pair.new_videos is None:
        return float("nan")
    p = equivalence_p(pair.new_videos, rules.margin)
    if rules.of_old or pair.flip_equivalence_p is None:
        return p
    return max(p, pair.flip_equivalence_p)


def _judge(
    family: Sequence[PairEstimate],
    place: int,
    rules: Rules,
    p_values: tuple[float, float],
    corrected: Judgement,
) -> Judgement:
    """The verdict by these p values, if one may be given, after the rule on spoiled runs.

    Args:
        family: The pairs that share the false claims allowed.
        place: Of the pair to judge among them.
        rules: What was fixed beforehand.
        p_values: Of no difference, and of one of the margin or more, corrected for the family.
        corrected: What the judgement begins with.
    """
    pair, (p, equivalence) = family[place], p_values
    withheld = _why_none(pair, rules)
    if withheld or pair.new_videos is None:
        return replace(corrected, reason=withheld)
    verdict, small = find_verdict(
        pair.new_videos.estimate, p, equivalence, lower_wins=pair.lower_wins, alpha=rules.alpha
    )
    forbidden = _why_forbidden(family, place, rules, verdict)
    if forbidden:
        return replace(corrected, verdict=Verdict.UNDECIDED, reason=forbidden, overruled=True)
    if verdict is Verdict.UNDECIDED:
        return replace(
            corrected,
            verdict=verdict,
            reason=_why_undecided(pair, corrected.p_holm, rules),
            outlook=_outlook(pair, rules, _sharing(family)) if rules.margin != 0.0 else None,
        )
    return replace(
        corrected,
        verdict=verdict,
        below_margin=small and verdict is not Verdict.EQUIVALENT,
        reason=_why(pair, corrected.p_holm, rules, verdict),
        collapse_bound=None if rules.of_old else _collapse_bound(pair, verdict),
    )


def _why_forbidden(
    family: Sequence[PairEstimate], place: int, rules: Rules, verdict: Verdict
) -> str:
    """Why spoiled runs forbid this verdict; empty where they do not."""
    pair, sides = family[place], _winners(verdict)
    runs = pair.planned_runs
    decided = "the seeds on which both finished would decide it, but"
    # Who gives no result more often is not excused by the other's collapses.
    for bad in (pair.lost,) if rules.of_old else (pair.spoiled, pair.lost):
        # Shares, as two groups may differ in size.
        if any(bad[side] * runs[1 - side] > bad[1 - side] * runs[side] for side in sides):
            what = "gave no result" + ", collapsed or had bad luck" * (bad != pair.lost)
            verb = "fails more often" if bad == pair.lost else "has more of them"
            return (
                f"{decided} {_counts_text(bad, runs)} {what}, and the side that {verb} can "
                "neither win nor count as equal"
            )
    if not rules.of_old and any(_rests_on_losses(family, place, rules, verdict, k) for k in sides):
        return (
            f"{decided} {_counts_text(pair.lost, runs, 'and')} gave no result, and were those of "
            "the side that it favours as bad as its worst finished run, they would not"
        )
    return ""


def _counts_text(bad: tuple[int, int], runs: tuple[int, int], between: str = "against") -> str:
    """Such as "1 against 0 runs of 10", or "2 of 30 against 1 of 6 runs"."""
    if runs[0] == runs[1]:
        return f"{bad[0]} {between} {bad[1]} runs of {runs[0]}"
    return f"{bad[0]} of {runs[0]} {between} {bad[1]} of {runs[1]} runs"


def _winners(verdict: Verdict) -> tuple[int, ...]:
    """The sides that a verdict speaks well of: 0 is A."""
    return {
        Verdict.BETTER: (0,),
        Verdict.WORSE: (1,),
        Verdict.EQUIVALENT: (0, 1),
        Verdict.UNDECIDED: (),
    }[verdict]


def _rests_on_losses(
    family: Sequence[PairEstimate], place: int, rules: Rules, verdict: Verdict, side: int
) -> bool:
    """Whether a verdict falls if one side's lost runs were as bad as its worst finished one."""
    pair = family[place]
    if not pair.lost[side]:
        return False
    worse = [_with_losses(one, (pair.first, pair.second)[side]) for one in family]
    before, after = pair.new_videos, worse[place].new_videos
    if before is None or after is None:
        return False
    if verdict is Verdict.EQUIVALENT:
        return holm([_equal_p(one, rules) for one in worse])[place] >= rules.alpha
    p = holm([_claim_p(one, rules) for one in worse])[place]
    return p >= rules.alpha or after.estimate * before.estimate <= 0.0


def _with_losses(pair: PairEstimate, config_id: str) -> PairEstimate:
    """The pair had a configuration's lost runs been as bad as its worst finished one.

    Runs may be lost because they were bad. The mean difference moves by so much; its error stays.
    """
    interval = pair.new_videos
    if interval is None or config_id not in {pair.first, pair.second}:
        return pair
    side = 0 if config_id == pair.first else 1
    lost, fall = pair.lost[side], pair.worst[side] - pair.means[side]
    behind = len(pair.seeds) if pair.paired else pair.runs[side]
    move = (fall if side == 0 else -fall) * lost / (lost + behind)
    moved = replace(interval, estimate=interval.estimate + move)
    return replace(pair, new_videos=moved, p_value=moved.p_value())


def _collapse_bound(pair: PairEstimate, verdict: Verdict) -> float | None:
    """The rate of collapses that can't be excluded of a side that the verdict speaks well of."""
    sides = [side for side in _winners(verdict) if not pair.fallen[side] and pair.runs[side]]
    return max((collapse_rate_bound(pair.runs[side]) for side in sides), default=None)


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
            f"the {pair.split} set has {pair.videos} {pair.unit}s, and fewer than "
            f"{FEWEST_VIDEOS} say nothing about new {pair.unit}s"
        )
    return ""


def _why(pair: PairEstimate, p_holm: float | None, rules: Rules, verdict: Verdict) -> str:
    wide, narrow = (f"{100 * (1.0 - k * rules.alpha):g} %" for k in (1, 2))
    margin = f"± {rules.margin:g}"
    if p_holm is not None:
        if verdict is Verdict.EQUIVALENT:
            return f"inside {margin} by two one-sided tests corrected for all pairs (Holm)"
        return f"{_p_text(p_holm)} corrected for all pairs (Holm); the interval is not corrected"
    if verdict is Verdict.EQUIVALENT:
        return f"the {narrow} interval for new {pair.unit}s lies inside {margin}"
    return f"the {wide} interval for new {pair.unit}s lies on one side of 0"


def _why_undecided(pair: PairEstimate, p_holm: float | None, rules: Rules) -> str:
    wide, narrow = (f"{100 * (1.0 - k * rules.alpha):g} %" for k in (1, 2))
    margin, p = f"± {rules.margin:g}", _number(pair.p_value)
    if p < rules.alpha and _claim_p(pair, rules) >= rules.alpha:
        return (
            f"the {wide} interval for new {pair.unit}s lies on one side of 0, but some seeds lie "
            f"far from the others, and sign flips do not agree ({_p_text(_claim_p(pair, rules))})"
        )
    if p_holm is not None:
        return (
            f"{_p_text(p_holm)} corrected for all pairs (Holm), and not shown to be inside "
            f"{margin}; the interval is not corrected"
        )
    return (
        f"the {wide} interval for new {pair.unit}s holds 0 and the {narrow} interval is not "
        f"inside {margin}"
    )


def _sharing(family: Sequence[PairEstimate]) -> int:
    """How many pairs share the false claims: those that Holm's correction counts."""
    return sum(pair.p_value is not None for pair in family)


def _outlook(pair: PairEstimate, rules: Rules, sharing: int) -> Outlook | None:
    """What would find a true difference of one margin.

    Holm gives the first of the pairs that share the false claims this part of them; one that
    alone differs has no larger one (`hscl search` says the same beforehand).
    """
    spread, pairs, videos = pair.spread, len(pair.seeds), pair.videos
    if spread is None:
        return None
    margin, level = rules.margin, rules.alpha / sharing
    enough_videos = videos_that_decide(margin, spread, pairs, level)
    with_pairs = pairs
    if enough_videos is None or enough_videos > _TOO_MANY_VIDEOS * videos:
        with_pairs = 2 * pairs
        enough_videos = videos_that_decide(margin, spread, with_pairs, level)
    size = pairs, videos
    return Outlook(
        power=power_for_new_videos(margin, spread, pairs, videos, level),
        detectable=detectable_difference(spread, pairs, videos, level),
        pairs=seeds_that_decide(margin, spread, videos, sharing=sharing),
        videos=enough_videos,
        videos_pairs=with_pairs,
        pairs_range=pairs_range(margin, spread, size, FALSE_CLAIMS / sharing),
        videos_range=videos_range(margin, spread, size, with_pairs, level),
        unit=pair.unit,
    )


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
