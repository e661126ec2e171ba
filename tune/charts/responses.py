"""Response curves: what each hyperparameter does, beside the noise of the seed.

The numbers come from `tune.stats.effects`; nothing is estimated here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import CHART_DIGITS, METRIC
from tune.charts.axes import Settings
from tune.charts.theme import LIGHT, Chart, figure, noise_stripe, style_of
from tune.display import number, parameter_name, setting
from tune.evidence.curves import Label
from tune.evidence.sentences import p_text
from tune.stats.effects import Response
from tune.study.space import Value

__all__ = ["response_curves"]


_MOST_LEVELS = 8  # a grid has so few; a range is drawn at more values


def response_curves(
    responses: Sequence[Response],
    seed_sd: float | None,
    settings: Settings,
    labels: Mapping[str, Label],
    metric: str,
) -> list[Chart]:
    """A curve for each hyperparameter, all on one scale, with the noise floor.

    Args:
        responses: From `tune.stats.effects`.
        seed_sd: Standard deviation of the metric between seeds of one configuration;
            None where it is unknown.
        settings: The configurations' values; marks the winner's and the default's.
        labels: From `tune.evidence.curves.labels_of`.
        metric: The study's metric.
    """
    ends = [end for one in responses for end in (*one.low, *one.high) if math.isfinite(end)]
    room = 0.09 * (max(ends) - min(ends)) if ends else 0.0
    scale = (min(ends) - room, max(ends) + room) if ends else None
    frame = _Frame(metric, seed_sd, scale, settings, labels)
    return [_response(one, frame) for one in responses]


@dataclass(frozen=True)
class _Frame:
    """What all curves of a study share.

    Attributes:
        metric: The study's metric.
        seed_sd: The noise floor; None where it is unknown.
        scale: Both ends of the metric's axis; None where there is nothing to draw.
        settings: The configurations' values.
        labels: What figures call each configuration.
    """

    metric: str
    seed_sd: float | None
    scale: tuple[float, float] | None
    settings: Settings
    labels: Mapping[str, Label]


def _response(one: Response, frame: _Frame) -> Chart:
    metric, seed_sd = frame.metric, frame.seed_sd
    name, title = METRIC[metric].name, parameter_name(one.name)
    ordered = _ordered(one)
    x = list(one.values) if ordered else [setting(v) for v in one.values]
    pick = min if METRIC[metric].lower_wins else max
    best = one.mean.index(pick(one.mean))
    drawn = figure(
        [
            *(_band(x, one) if ordered else _bars(x, one)),
            go.Scatter(
                x=[value if ordered else setting(value) for value, _ in one.observed],
                y=[result for _, result in one.observed],
                mode="markers",
                name="trials",
                marker={"symbol": "circle-open", "size": 5, "color": LIGHT.faint},
                hovertemplate=f"%{{x}}: {name} %{{y:.{CHART_DIGITS}f}}<extra></extra>",
            ),
            *_marks(one, frame),
        ],
        height=270,
        margin={"l": 8, "r": 10, "t": 8, "b": 8},
        showlegend=False,
        xaxis={"title": {"text": title}, "showgrid": False} | _x_axis(one),
        yaxis={"title": {"text": f"valid {name}"}, "range": frame.scale, "nticks": 6},
        shapes=[] if seed_sd is None else [_floor(one.mean[best], seed_sd, metric)],
    )
    return Chart(
        name=f"response-{one.name}".replace(".", "-"),
        title=title if title == one.name else f"{title[:1].upper()}{title[1:]}",
        finding=_effect_text(one),
        caption="",
        alternative=(
            f"The expected valid {name} ({METRIC[metric].direction}) goes from "
            f"{number(one.mean[0])} at {setting(one.values[0])} to {number(one.mean[-1])} at "
            f"{setting(one.values[-1])}; it is best, {number(one.mean[best])}, at "
            f"{setting(one.values[best])}. Seeds of one configuration differ by "
            f"{'an unknown amount' if seed_sd is None else number(seed_sd) + ' (sd)'}."
        ),
        figure=drawn,
        columns=(title, f"Expected {name}", "One new training falls between"),
        rows=tuple(
            (
                setting(one.values[n]),
                number(one.mean[n]),
                f"{number(one.low[n])} and {number(one.high[n])}",
            )
            for n in _thinned(len(one.values))
        ),
        half=True,
    )


def _x_axis(one: Response) -> dict[str, Any]:
    """Where the ticks stand: at every level where they are few, else where Plotly puts them."""
    if not _ordered(one):
        return {"type": "category", "dtick": 1}
    kind = "log" if one.log else "linear"
    if len(one.values) <= _MOST_LEVELS:
        levels = list(one.values)
        return {"type": kind, "tickvals": levels, "ticktext": [setting(v) for v in levels]}
    return {"type": kind, "dtick": 1 if one.log else None, "nticks": 5}  # decades


def _floor(best: float, seed_sd: float, metric: str) -> dict[str, Any]:
    ends = sorted((best, METRIC[metric].worsened(best, seed_sd)))
    return noise_stripe(*ends)


def _ordered(one: Response) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in one.values)


def _effect_text(one: Response) -> str:
    tail = "" if one.p is None else f" ({p_text(one.p)})"
    if one.matters is None:
        return "Whether it matters beyond the seed was not tested."
    if one.matters:
        return f"Matters beyond the seed{tail}."
    return f"Nothing seen beyond the seed{tail}."


def _band(x: Sequence[Value], one: Response) -> list[Any]:
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        go.Scatter(x=x, y=one.low, name="band", **edge),
        go.Scatter(
            x=x,
            y=one.high,
            name="one new training",
            fill="tonexty",
            fillcolor=LIGHT.winner_band,
            **edge,
        ),
        go.Scatter(
            x=x,
            y=one.mean,
            mode="lines",
            name="expected",
            line={"color": LIGHT.winner, "width": 2.4},
            hovertemplate=f"%{{x:.3~g}}: %{{y:.{CHART_DIGITS}f}}<extra></extra>",
        ),
    ]


def _bars(x: Sequence[Value], one: Response) -> list[Any]:
    return [
        go.Scatter(
            x=x,
            y=one.mean,
            mode="markers",
            name="expected",
            marker={"symbol": "diamond", "size": 10, "color": LIGHT.winner},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [h - m for h, m in zip(one.high, one.mean, strict=True)],
                "arrayminus": [m - b for b, m in zip(one.low, one.mean, strict=True)],
                "color": LIGHT.winner,
                "thickness": 2,
                "width": 6,
            },
            hovertemplate=f"%{{x}}: %{{y:.{CHART_DIGITS}f}}<extra></extra>",
        )
    ]


def _marks(one: Response, frame: _Frame) -> list[Any]:
    """Where the winner and the default lie, at the foot of the plot."""
    if frame.scale is None:
        return []
    low, high = frame.scale
    marks = []
    for config_id, label in frame.labels.items():
        value = frame.settings.get(config_id, {}).get(one.name)
        if label.role not in {"winner", "default"} or value is None:
            continue
        style = style_of(label.role)
        marks.append(
            go.Scatter(
                x=[value if _ordered(one) else setting(value)],
                y=[low + 0.035 * (high - low)],
                mode="markers",
                name=label.markup,
                marker={"symbol": style.symbol, "size": 9, "color": style.colour},
                hovertemplate=f"{label.markup}: %{{x}}<extra></extra>",
            )
        )
    return marks


def _thinned(count: int, most: int = 9) -> list[int]:
    """At most so many of the indices from 0 on, evenly spread, both ends included."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]
