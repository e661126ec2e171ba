"""What there is to see in a figure, in one sentence: computed from what is drawn, or not said."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import fmean

from hscl.metrics import METRIC
from tune.charts.axes import Axis, Settings
from tune.display import count, listing, number, parameter_name, share
from tune.evidence.curves import UNNAMED, Label, Progress
from tune.evidence.pair import PairComparison
from tune.evidence.variance import SEED
from tune.states import Phase, TrialState, Verdict
from tune.stats.effects import VarianceShare
from tune.tables.records import TrialRecord

__all__ = [
    "of_cells",
    "of_curves",
    "of_lines",
    "of_pairs",
    "of_progress",
    "of_shares",
]

_FEW = 3  # configurations of which nothing in common can be said
_MOST_NAMES = 3


def of_pairs(pairs: Sequence[PairComparison], labels: Mapping[str, Label]) -> str:
    """Which intervals miss 0.

    Args:
        pairs: Those that are drawn, each with a difference a seed.
        labels: What figures call each configuration.
    """
    if len(pairs) == 1:
        return _of_pair(pairs[0], labels)
    unit = pairs[0].unit
    new = [pair for pair in pairs if pair.new_videos is not None]
    here = [pair for pair in pairs if pair.this_test_set is not None]
    if not here:
        return f"No interval can be given for any of {len(pairs)} pairs: each has too few seeds."
    if not new:
        missing = [p for p in here if p.this_test_set is not None and p.this_test_set.excludes(0)]
        where = f"on this {pairs[0].split} set, and {unit}s are too few for one on new ones"
    else:
        missing = [p for p in new if p.new_videos is not None and p.new_videos.excludes(0)]
        where = f"on {unit}s like these"
    named = [labels.get(pair.first, UNNAMED).text for pair in missing]
    names = f" ({listing(named)})" if 0 < len(named) <= _MOST_NAMES else ""
    holds = "misses" if len(missing) == 1 else "miss"
    of = count(len(new or here), "interval")
    return f"{len(missing) or 'None'} of {of}{names} {holds} 0 {where}."


def _of_pair(pair: PairComparison, labels: Mapping[str, Label]) -> str:
    first = labels.get(pair.first, UNNAMED).text
    sign = 1.0 if pair.lower_wins else -1.0
    ahead = sum(sign * difference < 0.0 for difference in pair.differences)
    told = f"{first[:1].upper()}{first[1:]} is ahead on {ahead} of {len(pair.differences)} seeds"
    here, new = pair.this_test_set, pair.new_videos
    if here is None:
        return f"{told}."
    misses = here.excludes(0.0)
    told += f"; the interval on this {pair.split} set {'misses' if misses else 'holds'} 0"
    if new is None:
        return f"{told}, and {count(pair.videos, pair.unit)} give none for new {pair.unit}s."
    if new.excludes(0.0) == misses:
        return f"{told}, and so does that on {pair.unit}s like these."
    return f"{told}, that on {pair.unit}s like these {'holds' if misses else 'misses'} it."


def of_cells(
    means: Collection[float],
    verdicts: Mapping[str, Verdict | None],
    labels: Mapping[str, Label],
    noise: float | None,
) -> str:
    """Which cells have a verdict, and how far apart the cells are.

    Args:
        means: Each cell's mean.
        verdicts: On each configuration against the reference.
        labels: What figures call each configuration.
        noise: One seed's deviation, if known.
    """
    better = [labels.get(c, UNNAMED).text for c, v in verdicts.items() if v is Verdict.BETTER]
    if not better:
        told = "No cell has the verdict better"
    elif len(better) <= _MOST_NAMES:
        told = f"Better than the reference: {listing(better)}"
    else:
        told = f"{len(better)} cells have the verdict better"
    spread = max(means) - min(means)
    told += f"; from the worst cell to the best it is {number(spread)}"
    return f"{told}, {spread / noise:.1f} of one seed's deviations." if noise else f"{told}."


def of_progress(progress: Progress, metric: str, noise: float | None) -> str:
    """From when on nothing was gained that is more than noise.

    Args:
        progress: Of a search with a report.
        metric: The study's metric.
        noise: One seed's deviation, if known.
    """
    sign = 1.0 if METRIC[metric].lower_wins else -1.0
    last, room = progress.best[-1], noise or 0.0
    near = (
        epoch
        for epoch, value in zip(progress.epochs, progress.best, strict=True)
        if sign * (value - last) <= room
    )
    first, whole = next(near, progress.epochs[-1]), count(progress.epochs[-1], "epoch")
    if not noise:
        return f"The best value came at epoch {first:,} of {whole}."
    return (
        f"From epoch {first:,} of {whole} on, the best gained no more than one seed's deviation "
        f"({number(noise)})."
    )


def of_curves(
    curves: Sequence[TrialRecord],
    labels: Mapping[str, Label],
    metric: str,
    noise: float | None,
) -> str:
    """Whether the seeds of two configurations overlap; in the search alone, how many are level.

    Args:
        curves: All trials.
        labels: What figures call each configuration.
        metric: The study's metric.
        noise: One seed's deviation, if known.
    """
    done = [c for c in curves if c.state is TrialState.DONE and c.value is not None]
    if not done:
        return "No training is complete yet."
    sign = 1.0 if METRIC[metric].lower_wins else -1.0
    for phase in reversed(Phase):
        losses: dict[str, list[float]] = defaultdict(list)
        for curve in done:
            if curve.phase is phase and curve.value is not None:
                losses[curve.config_id].append(sign * curve.value)
        several = {name: own for name, own in losses.items() if len(own) > 1}
        if len(several) > 1:
            return _of_seeds(phase, several, labels, sign)
    ends = sorted(sign * curve.value for curve in done if curve.value is not None)
    if not noise or len(ends) == 1:
        return (
            f"The best of {count(len(ends), 'complete training')} is at {number(sign * ends[0])}."
        )
    level = sum(end <= ends[0] + noise for end in ends)
    return (
        f"{level} of {count(len(ends), 'complete training')} end within one seed's deviation "
        f"({number(noise)}) of the best, itself included."
    )


def _of_seeds(
    phase: Phase, losses: Mapping[str, Sequence[float]], labels: Mapping[str, Label], sign: float
) -> str:
    """Winner and default, or else the two with the best means."""
    by_role = {labels.get(name, UNNAMED).role: name for name in losses}
    ranked = sorted(losses, key=lambda name: fmean(losses[name]))[:2]
    two = [by_role[role] for role in ("winner", "default") if role in by_role]
    pair = sorted(two if len(two) == 2 else ranked, key=lambda name: fmean(losses[name]))
    ahead, behind = (losses[name] for name in pair)
    names = [labels.get(name, UNNAMED).called for name in pair]
    ends = [
        f"{number(low)} to {number(high)}"
        for own in (ahead, behind)
        for low, high in [sorted((sign * min(own), sign * max(own)))]
    ]
    whose = "" if len(two) == 2 else ", the two best,"
    if max(ahead) < min(behind):
        return (
            f"In {phase} every seed of {names[0]} ends ahead of every seed of {names[1]} on valid "
            f"({ends[0]} against {ends[1]})."
        )
    return (
        f"In {phase} the seeds of {listing(names)}{whose} overlap on valid "
        f"({ends[0]} and {ends[1]})."
    )


def of_lines(
    values: Mapping[str, float],
    settings: Settings,
    axes: Sequence[Axis],
    metric: str,
    noise: float | None,
) -> str:
    """What the complete trainings have in common that are level with the best.

    Args:
        values: Of each complete configuration.
        settings: The configurations' values.
        axes: One a searched parameter.
        metric: The study's metric.
        noise: One seed's deviation, if known.
    """
    if not values:
        return "No training is complete yet."
    sign = 1.0 if METRIC[metric].lower_wins else -1.0
    best = min(sign * value for value in values.values())
    level = [name for name, value in values.items() if sign * value <= best + (noise or 0.0)]
    among = f"{len(level)} of {count(len(values), 'complete training')}"
    if not noise:
        return (
            f"The best of {count(len(values), 'complete training')} is at {number(sign * best)}."
        )
    told = f"{among} end within one seed's deviation of the best"
    if len(level) < _FEW:
        return f"{told}, too few to say what they share."
    close = [parameter_name(name) for name in _close(level, values, settings, axes)]
    if not close:
        return f"{told}, and they span half of what was tried, or more, in every parameter."
    return f"{told}; they lie close together in {listing(close)} alone."


def _close(
    level: Sequence[str], values: Mapping[str, float], settings: Settings, axes: Sequence[Axis]
) -> Iterator[str]:
    """Parameters in which some span less than half of what all complete trainings do."""
    for axis in axes:
        spans = []
        for group in (level, values):
            places = [
                axis.place(settings[name][axis.name])
                for name in group
                if axis.name in settings.get(name, {})
            ]
            spans.append(max(places) - min(places) if len(places) >= _FEW else math.nan)
        if spans[0] < 0.5 * spans[1]:
            yield axis.name


def of_shares(shares: Sequence[VarianceShare]) -> str:
    """Which parameters stand out from the noise, and what the seed has.

    Args:
        shares: From `tune.stats.effects`, the seed's among them.
    """
    tested = [one for one in shares if one.matters is not None]
    beyond = sorted((one for one in tested if one.matters), key=lambda one: -one.part)
    seed = next((one.part for one in shares if one.name == SEED), None)
    names = [" × ".join(parameter_name(p) for p in one.name.split(" × ")) for one in beyond]
    if not tested:
        told = "No parameter was tested against chance"
    elif names:
        told = f"{listing(names)} {'stands' if len(names) == 1 else 'stand'} out from the noise"
    else:
        told = "No parameter stands out from the noise"
    told = f"{told[:1].upper()}{told[1:]}"
    return f"{told}." if seed is None else f"{told}; the seed has {share(seed)} of the variance."
