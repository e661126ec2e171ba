"""The forest plot: paired differences with every seed, both intervals and the margin."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import DIGITS, METRIC
from tune.charts.findings import of_pairs
from tune.charts.theme import LIGHT, Chart, figure
from tune.display import count, interval, number, signed
from tune.evidence.curves import UNNAMED, Label
from tune.evidence.pair import PairComparison
from tune.evidence.pairing import Seed
from tune.evidence.sentences import seed_deviation, seed_lines, verdict_label
from tune.stats.intervals import Interval

__all__ = ["forest", "pair_title"]

_ROW = 92  # CSS pixels a pair
_WIDEST = 1.0  # times the spread of the seeds, on each side; intervals may leave the plot
_LANES = {"seeds": 0.24, "test": 0.0, "videos": -0.2}  # downwards within a row


@dataclass(frozen=True)
class _Look:
    """How an interval is drawn: a marker on a bar; sizes in CSS pixels."""

    colour: str
    symbol: str
    size: int
    thickness: int
    caps: int = 0


def pair_title(pair: PairComparison, labels: Mapping[str, Label]) -> str:
    """A pair in words, "winner (configuration 17) against default"."""
    first, second = (labels.get(c, UNNAMED).text for c in (pair.first, pair.second))
    return f"{first} against {second}"


def forest(pairs: Sequence[PairComparison], labels: Mapping[str, Label], margin: float) -> Chart:
    """Differences A − B of each pair, top to bottom.

    Args:
        pairs: One or more, all on the same metric and split.
        labels: From `labels_of`.
        margin: The largest difference that still counts as none.
    """
    metric, split = pairs[0].metric, pairs[0].split
    noise = seed_deviation(pairs)
    here, new = f"on this {split} set", _new(pairs[0])
    height = 128 + _ROW * len(pairs)
    drawn = figure(
        [_seeds(pairs), _test_set(pairs), _new_videos(pairs)],
        height=height,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        shapes=[*_shapes(margin), *_noise_bar(noise, height)],
        annotations=[
            *_row_titles(pairs, labels),
            _band_label(margin),
        ],
        xaxis={
            "title": {
                "text": f"difference in {split} {METRIC[metric].name}, first − second"
                f"<br>{_directions(metric)}"
            },
            "range": _range(pairs, max(margin, noise or 0.0)),
            "tickformat": ".3~f",
        },
        yaxis={
            "visible": False,
            "range": [len(pairs) - 0.34, -0.62],
        },
    )
    drawn.update_layout(legend={"y": 1, "yanchor": "bottom", "yref": "paper"})
    return Chart(
        name="forest",
        title="Paired differences",
        finding=of_pairs(pairs, labels),
        caption=(
            (
                f"Each small circle is one seed: first − second on the same seed, {split} "
                f"{METRIC[metric].name} ({METRIC[metric].direction}). "
                if any(pair.differences for pair in pairs)
                else f"First − second, {split} {METRIC[metric].name} "
                f"({METRIC[metric].direction}). "
            )
            + f"The bar is the interval {here}, where only seeds vary"
            + (
                f"; the line with the diamond is the interval {new}, where seeds and "
                f"{pairs[0].unit}s vary, and it decides"
                if any(pair.new_videos for pair in pairs)
                else ""
            )
            + f". Inside the grey band, ± {margin:g}, a difference is too small to matter."
            + (" The bar on top is the noise floor: ± one seed's deviation." if noise else "")
        ),
        alternative=" ".join(
            [*(_text(pair, labels) for pair in pairs), *seed_lines(noise, split)]
        ),
        figure=drawn,
        columns=(
            "Pair",
            "Seeds",
            "Difference",
            f"{_level(pairs)} interval {here}",
            f"{_level(pairs)} interval {new}",
            "Verdict",
            "Difference for each seed",
        ),
        rows=tuple(_row(pair, labels) for pair in pairs),
    )


def _by_seed(pair: PairComparison) -> list[tuple[Seed, float]]:
    """The difference on each seed; none of runs that are not paired."""
    return list(zip(pair.seeds, pair.differences, strict=True)) if pair.differences else []


def _level(pairs: Sequence[PairComparison]) -> str:
    known = [pair.this_test_set for pair in pairs if pair.this_test_set is not None]
    return f"{100 * known[0].level:g} %" if known else "95 %"


def _new(pair: PairComparison) -> str:
    return f"on {pair.unit}s like these"


def _difference(pair: PairComparison) -> float | None:
    return pair.this_test_set.estimate if pair.this_test_set is not None else None


def _seeds(pairs: Sequence[PairComparison]) -> Any:
    points = [
        (row + _LANES["seeds"] + 0.035 * ((n % 3) - 1), difference, seed)
        for row, pair in enumerate(pairs)
        for n, (seed, difference) in enumerate(_by_seed(pair))
    ]
    return go.Scatter(
        x=[point[1] for point in points],
        y=[point[0] for point in points],
        customdata=[point[2] for point in points],
        mode="markers",
        name="one seed",
        marker={
            "symbol": "circle-open",
            "size": 8,
            "color": LIGHT.muted,
            "line": {"width": 1.4},
        },
        hovertemplate=f"seed %{{customdata}}: %{{x:+.{DIGITS}f}}<extra></extra>",
    )


def _test_set(pairs: Sequence[PairComparison]) -> Any:
    drawn = [(row, pair.this_test_set) for row, pair in enumerate(pairs)]
    name = f"on this {pairs[0].split} set"
    return _bars(drawn, "test", name, _Look(LIGHT.winner, "square", size=9, thickness=6))


def _new_videos(pairs: Sequence[PairComparison]) -> Any:
    drawn = [(row, pair.new_videos) for row, pair in enumerate(pairs)]
    look = _Look(LIGHT.ink, "diamond", size=10, thickness=2, caps=6)
    return _bars(drawn, "videos", _new(pairs[0]), look)


def _bars(drawn: Sequence[tuple[int, Interval | None]], lane: str, name: str, look: _Look) -> Any:
    known = [(row, some) for row, some in drawn if some is not None]
    return go.Scatter(
        x=[some.estimate for _, some in known],
        y=[row + _LANES[lane] for row, _ in known],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [some.high - some.estimate for _, some in known],
            "arrayminus": [some.estimate - some.low for _, some in known],
            "color": look.colour,
            "thickness": look.thickness,
            "width": look.caps,
        },
        customdata=[interval(some.low, some.high, DIGITS) for _, some in known],
        mode="markers",
        name=name,
        marker={
            "symbol": look.symbol,
            "size": look.size,
            "color": look.colour,
            "line": {"width": 1.5, "color": LIGHT.page},
        },
        hovertemplate=f"{name}<br>%{{x:+.{DIGITS}f}} (%{{customdata}})<extra></extra>",
    )


def _shapes(margin: float) -> list[dict[str, Any]]:
    column = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return [
        column
        | {
            "type": "rect",
            "x0": -margin,
            "x1": margin,
            "fillcolor": LIGHT.grey_band,
            "line": {"width": 0},
        },
        column | {"type": "line", "x0": 0, "x1": 0, "line": {"color": LIGHT.muted, "width": 1.2}},
    ]


def _noise_bar(noise: float | None, height: int) -> list[dict[str, Any]]:
    box = {"xref": "x", "yref": "paper", "y0": 1 - 6 / height, "y1": 1, "line": {"width": 0}}
    ends = {"x0": -(noise or 0.0), "x1": noise, "fillcolor": LIGHT.warm, "layer": "below"}
    return [{"type": "rect"} | box | ends] if noise else []


def _row_titles(
    pairs: Sequence[PairComparison], labels: Mapping[str, Label]
) -> list[dict[str, Any]]:
    return [
        {
            # The verdict first: on a phone a long name runs out of the picture.
            "text": f"<b>{verdict_label(pair)}</b>  {_escaped(pair_title(pair, labels))}",
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": row - 0.42,
            "yref": "y",
            "yanchor": "middle",
            "showarrow": False,
            "font": {"size": 13, "color": LIGHT.ink},
        }
        for row, pair in enumerate(pairs)
    ]


def _band_label(margin: float) -> dict[str, Any]:
    return {
        "text": f"margin ± {margin:g}",
        "x": 0,
        "y": 0,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11, "color": LIGHT.muted},
    }


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _directions(metric: str) -> str:
    if METRIC[metric].lower_wins:
        return "◀ first better      first worse ▶"
    return "◀ first worse      first better ▶"


def _range(pairs: Sequence[PairComparison], margin: float) -> list[float]:
    core = [-margin, margin, *(d for pair in pairs for d in pair.differences)]
    drawn = [some for pair in pairs for some in (pair.this_test_set, pair.new_videos)]
    ends = [end for some in drawn if some is not None for end in (some.low, some.high)]
    # Two or three seeds have intervals that would shrink everything else to a point.
    most = _WIDEST * (max(core) - min(core))
    low = max(min(core + ends), min(core) - most)
    high = min(max(core + ends), max(core) + most)
    room = 0.06 * (high - low)
    return [low - room, high + room]


def _text(pair: PairComparison, labels: Mapping[str, Label]) -> str:
    name = pair_title(pair, labels)
    if pair.this_test_set is None:
        return f"{name}: {count(len(pair.seeds), 'complete pair')}, nothing to compare yet."
    where = f"{number(pair.means[0], DIGITS)} against {number(pair.means[1], DIGITS)}"
    here = interval(pair.this_test_set.low, pair.this_test_set.high, DIGITS)
    new = (
        f"{_new(pair)} {interval(pair.new_videos.low, pair.new_videos.high, DIGITS)}"
        if pair.new_videos is not None
        else f"too few {pair.unit}s for a claim {_new(pair)}"
    )
    return (
        f"{name}: {METRIC[pair.metric].name} {where}, difference "
        f"{signed(_difference(pair), DIGITS)} over {count(len(pair.seeds), 'seed')}; interval "
        f"on this {pair.split} set {here}, {new}. "
        f"Verdict: {verdict_label(pair)}."
    )


def _row(pair: PairComparison, labels: Mapping[str, Label]) -> tuple[str, ...]:
    ends = [
        interval(some.low, some.high, DIGITS) if some is not None else "–"
        for some in (pair.this_test_set, pair.new_videos)
    ]
    return (
        pair_title(pair, labels),
        f"{len(pair.seeds)} of {pair.planned}",
        signed(_difference(pair), DIGITS),
        *ends,
        verdict_label(pair),
        ", ".join(f"{seed}: {signed(d, DIGITS)}" for seed, d in _by_seed(pair)),
    )
