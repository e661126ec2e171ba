"""How every figure looks: colours that colour-blind people tell apart, in light and in dark.

A figure is drawn with the light palette. Each of its colours is a role whose value occurs nowhere
else, so that `recolour` turns a finished figure into the dark one by replacing values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import plotly.graph_objects as go

__all__ = [
    "DARK",
    "FONT",
    "LIGHT",
    "RAMP",
    "Chart",
    "Palette",
    "Style",
    "colour_map",
    "figure",
    "legend_key",
    "noise_key",
    "noise_stripe",
    "recolour",
    "style_of",
]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Palette:
    """A colour for each role.

    Source of the hues: Okabe and Ito, Color Universal Design (2008); lightness adapted so that
    every line and marker has a contrast of 3 : 1 or more with the page.

    Attributes:
        ink: Text, and the default configuration.
        muted: Secondary text, axes.
        rule: Grid lines and thin separators.
        page: The page behind a figure; halos around markers.
        faint: Trials that are context only.
        winner: The winner, and what is measured on this test set.
        other: Other configurations that are compared.
        third: A further group.
        warm: Estimates of what seeds alone do.
        alert: Failures.
        winner_band: Light area in the winner's hue.
        warm_band: Light area in the seeds' hue.
        grey_band: Light area without meaning of its own, such as the margin.
        ramp1: Worst fifth of the configurations.
        ramp2: Fourth fifth.
        ramp3: Third fifth.
        ramp4: Second fifth.
        ramp5: Best fifth.
    """

    ink: str
    muted: str
    rule: str
    page: str
    faint: str
    winner: str
    other: str
    third: str
    warm: str
    alert: str
    winner_band: str
    warm_band: str
    grey_band: str
    ramp1: str
    ramp2: str
    ramp3: str
    ramp4: str
    ramp5: str


LIGHT = Palette(
    ink="#1b1d22",
    muted="#595f69",
    rule="#e3e5e9",
    page="#ffffff",
    faint="#8f959f",
    winner="#0072b2",
    other="#00805c",
    third="#a8558a",
    warm="#a06500",
    alert="#c44f00",
    winner_band="rgba(0,114,178,0.15)",
    warm_band="rgba(230,159,0,0.22)",
    grey_band="rgba(90,96,106,0.12)",
    ramp1="#c3c8d0",
    ramp2="#9db8d3",
    ramp3="#6a9cc9",
    ramp4="#3079b0",
    ramp5="#064a78",
)

DARK = Palette(
    ink="#eceef1",
    muted="#a6adb8",
    rule="#33383f",
    page="#15181c",
    faint="#767e8a",
    winner="#56b4e9",
    other="#2bb88c",
    third="#d98bbb",
    warm="#e6a21a",
    alert="#ff8a4c",
    winner_band="rgba(86,180,233,0.22)",
    warm_band="rgba(230,162,26,0.20)",
    grey_band="rgba(160,170,185,0.16)",
    ramp1="#4a515b",
    ramp2="#4e6d8a",
    ramp3="#4f90c0",
    ramp4="#74bdec",
    ramp5="#d3edff",
)

RAMP = (LIGHT.ramp1, LIGHT.ramp2, LIGHT.ramp3, LIGHT.ramp4, LIGHT.ramp5)
"""Worst to best."""


@dataclass(frozen=True)
class Chart:
    """A figure with everything that a reader needs who cannot see it.

    Attributes:
        name: Short name, unique in a report, fit for a link.
        title: What is shown, as a heading.
        finding: What to see, in one sentence; true of these data.
        caption: How to read it, in a sentence or two; may be empty.
        alternative: What there is to see, in words and numbers.
        figure: A Plotly figure, drawn with `LIGHT`.
        columns: Heads of the data table; the first column names the row.
        rows: The data table, as text.
        wide: True where the figure needs its full width and scrolls sideways on a phone.
        half: True where two of its kind stand side by side on a wide page.
    """

    name: str
    title: str
    finding: str
    caption: str
    alternative: str
    figure: Any
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: bool = False
    half: bool = False


@dataclass(frozen=True)
class Style:
    """How one group of configurations is drawn, told apart without colour too."""

    colour: str
    dash: str
    symbol: str
    width: float


_STYLES = {
    "winner": Style(LIGHT.winner, "solid", "circle", 2.6),
    "default": Style(LIGHT.ink, "dash", "square", 2.2),
    "finalist": Style(LIGHT.other, "dot", "diamond", 1.6),
    "known": Style(LIGHT.third, "dashdot", "triangle-up", 1.6),
    "other": Style(LIGHT.faint, "solid", "circle-open", 1.0),
}


def style_of(role: str) -> Style:
    """The style of a role: winner, default, finalist, known or other."""
    return _STYLES[role]


def figure(traces: Sequence[Any], *, height: int, **layout: Any) -> Any:
    """A figure in the house style.

    Args:
        traces: Plotly traces.
        height: In CSS pixels; the width follows the page.
        **layout: Further layout keys; axes are merged with the house's.
    """
    axis = {
        "automargin": True,
        "gridcolor": LIGHT.rule,
        "linecolor": LIGHT.rule,
        "tickcolor": LIGHT.rule,
        "zeroline": False,
        "exponentformat": "e",  # 1e−5, not 10µ
        "fixedrange": True,  # a page is scrolled over figures; nothing may zoom by accident
        "title": {"standoff": 10, "font": {"size": 13, "color": LIGHT.muted}},
        "tickfont": {"size": 12, "color": LIGHT.muted},
    }
    drawn = go.Figure(
        data=list(traces),
        layout={
            "template": {
                "layout": {
                    "font": {"family": FONT, "size": 13, "color": LIGHT.ink},
                    "paper_bgcolor": "rgba(0,0,0,0)",
                    "plot_bgcolor": "rgba(0,0,0,0)",
                    "xaxis": axis,
                    "yaxis": axis,
                    "hoverlabel": {
                        "font": {"family": FONT, "size": 12, "color": LIGHT.ink},
                        "bgcolor": LIGHT.page,
                        "bordercolor": LIGHT.muted,
                        "align": "left",
                    },
                    "legend": {
                        "orientation": "h",
                        "x": 0,
                        "xanchor": "left",
                        "y": 1.0,
                        "yanchor": "bottom",
                        "font": {"size": 12},
                        "bgcolor": "rgba(0,0,0,0)",
                        "itemclick": False,
                        "itemdoubleclick": False,
                    },
                    "annotationdefaults": {"font": {"size": 12, "color": LIGHT.muted}},
                }
            },
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 40, "b": 8},
            "hovermode": "closest",
            "dragmode": False,
        },
    )
    drawn.update_layout(**layout)
    return drawn


def legend_key(name: str, symbol: str, colour: str, **marker: Any) -> Any:
    """A legend's entry for what is no trace: a stripe, a rule, an outline.

    Args:
        name: What it is.
        symbol: The marker that stands for it.
        colour: As it is drawn.
        **marker: Further keys of the marker.
    """
    mark = {"symbol": symbol, "size": 11, "color": colour} | marker
    return go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=mark, hoverinfo="skip")


def noise_key() -> Any:
    """The legend's entry for the noise floor, as it is drawn."""
    return legend_key("noise floor", "square", LIGHT.warm_band, size=13)


def noise_stripe(low: float, high: float) -> dict[str, Any]:
    """The level stripe of the noise floor, across a whole plot."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": low,
        "y1": high,
        "fillcolor": LIGHT.warm_band,
        "line": {"width": 0},
        "layer": "below",
    }


def recolour(drawn: Mapping[str, Any], to: Palette = DARK) -> dict[str, Any]:
    """A figure's JSON-like form in another palette.

    Args:
        drawn: `figure.to_plotly_json()`, or any part of it.
        to: The palette wanted.
    """
    changes = colour_map(to)

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return changes.get(value, value)
        if isinstance(value, Mapping):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]
        return value

    return {key: walk(item) for key, item in drawn.items()}


def colour_map(to: Palette = DARK) -> dict[str, str]:
    """Each light colour and what stands for it in another palette."""
    return {getattr(LIGHT, f.name): getattr(to, f.name) for f in fields(Palette)}
