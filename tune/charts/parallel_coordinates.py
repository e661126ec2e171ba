"""Parallel coordinates: every configuration of the search as one line through its values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import METRIC
from tune.charts.axes import INACTIVE, Axis, Settings
from tune.charts.findings import of_lines
from tune.charts.theme import LIGHT, RAMP, Chart, figure, legend_key, style_of
from tune.display import count, number, parameter_name, setting
from tune.evidence.curves import UNNAMED, Label
from tune.states import TrialState
from tune.tables.records import TrialRecord

__all__ = ["parallel_coordinates"]

_MOST_ROWS = 200
_FEWEST = 3  # configurations that a range is told of
_MOST_FAINT = 150
_REST = {
    TrialState.PRUNED: ("stopped early", LIGHT.ramp1),
    TrialState.FAILED: ("failed", LIGHT.alert),
    TrialState.STARTED: ("unfinished", LIGHT.muted),
}
"""What is not complete: what it is called, and the colour of its line."""
_FOOT = 0.14  # of the metric's axis, for what is worse than any complete trial


def parallel_coordinates(
    settings: Settings,
    axes: Sequence[Axis],
    curves: Sequence[TrialRecord],
    labels: Mapping[str, Label],
    metric: str,
    seed_sd: float | None = None,
) -> Chart:
    """Every screened configuration as a line; the darker (in dark mode lighter), the better.

    Args:
        settings: The configurations' values.
        axes: One a searched parameter, at least one.
        curves: The trials of the search; one at least must be complete.
        labels: From `labels_of`.
        metric: The study's metric.
        seed_sd: Standard deviation between seeds of one configuration; None: unknown.
    """
    values = {c.config_id: c.value for c in curves if c.value is not None}
    states = {c.config_id: c.state for c in curves}
    complete = [c for c in values if states[c] is TrialState.DONE]
    best_first = sorted(
        complete, key=lambda c: values[c] if METRIC[metric].lower_wins else -values[c]
    )
    last = _Last.of([values[c] for c in best_first], list(values.values()), metric)
    noise = seed_sd if best_first else None
    lines = {
        config_id: [
            *(axis.place(settings.get(config_id, {}).get(axis.name)) for axis in axes),
            last.place(values[config_id]),
        ]
        for config_id in values
    }
    rest = [c for state in _REST for c in values if states[c] is state]
    special = [c for c in values if labels.get(c, UNNAMED).role in {"default", "winner"}]
    step = max(-(-len(rest) // _MOST_FAINT), 1)  # more faint lines than these are a grey area
    traces = [
        _group([c for c in rest[::step] if states[c] is state], lines, labels, words, colour, 0.8)
        for state, (words, colour) in _REST.items()
    ]
    fifths = len(RAMP)
    for fifth, colour in enumerate(RAMP):
        upper = len(best_first) - math.ceil(len(best_first) * fifth / fifths)
        lower = len(best_first) - math.ceil(len(best_first) * (fifth + 1) / fifths)
        name = {0: "complete, worst fifth", fifths - 1: "best fifth"}.get(fifth, "")
        traces.append(_group(best_first[lower:upper], lines, labels, name, colour, 1.4))
    traces.extend(_special(config_id, lines[config_id], labels) for config_id in special)
    if noise:
        traces.append(legend_key("noise floor", "square", LIGHT.warm, opacity=0.5))
    heads = [*(parameter_name(axis.name) for axis in axes), f"valid {METRIC[metric].name}"]
    drawn = figure(
        traces,
        height=370,
        margin={"l": 44, "r": 64, "t": 84, "b": 12},
        shapes=[
            *(_rule(i) for i in range(len(heads))),
            *([_noise_bar(len(axes), last, noise)] if noise else []),
        ],
        annotations=[
            *(_head(i, head) for i, head in enumerate(heads)),
            *(_tick(i, *tick) for i, axis in enumerate(axes) for tick in axis.ticks()),
            *(_tick(len(axes), *tick) for tick in last.ticks()),
        ],
        xaxis={"visible": False, "range": [-0.05, len(heads) - 0.95]},
        yaxis={"visible": False, "range": [INACTIVE - 0.05, 1.05]},
    )
    drawn.update_layout(legend={"y": 1, "yanchor": "bottom"})
    drawn.layout.legend.update(y=1.16)
    return Chart(
        name="parallel-coordinates",
        title="All configurations",
        finding=of_lines({c: values[c] for c in best_first}, settings, axes, metric, noise),
        caption=(
            f"One line a configuration, from its settings to its valid "
            f"{METRIC[metric].name} on the one seed of the search (best on top; "
            f"{METRIC[metric].direction}). Stronger lines are better fifths of the "
            f"{count(len(best_first), 'complete trial')}."
            + (f" Of the others every {step}th is drawn." if step > 1 else "")
            + (
                " Those that ended at a worse value than any complete one end below it, "
                "in their order."
                if last.beyond
                else ""
            )
            + (
                " The bar on the last axis is the noise floor: within one seed's deviation of the "
                "best, single trainings can't be told apart."
                if noise
                else ""
            )
        ),
        alternative=_counted_text(len(states), len(values), len(best_first))
        + _alternative_text(best_first, values, settings, axes, labels, metric)
        + (f" Seeds of one configuration differ by {number(noise)} (sd)." if noise else ""),
        figure=drawn,
        columns=("Configuration", *heads, "State"),
        rows=tuple(_rows([*best_first, *rest], states, values, settings, axes, labels)),
        wide=True,
    )


@dataclass(frozen=True)
class _Last:
    """The metric's axis: complete trials to scale, worse ones below them in their order.

    Attributes:
        best: Of the complete trials; at 1.
        worst: Of the complete trials; at the foot.
        beyond: Worse values than any complete trial's, best first.
        metric: The study's metric.
    """

    best: float
    worst: float
    beyond: tuple[float, ...]
    metric: str

    @classmethod
    def of(cls, complete: Sequence[float], everyone: Sequence[float], metric: str) -> "_Last":
        """From the complete trials' values, best first, and those of all trials."""
        if not complete:
            return cls(0.0, 1.0, (), metric)
        lower_wins = METRIC[metric].lower_wins
        worst = complete[-1]
        beyond = {v for v in everyone if (v > worst if lower_wins else v < worst)}
        ranked = tuple(sorted(beyond, reverse=not lower_wins))
        return cls(complete[0], worst, ranked, metric)

    @property
    def foot(self) -> float:
        """Where the worst complete trial ends: only the worst of all may end at the bottom."""
        return _FOOT if self.beyond else 0.0

    def place(self, value: float) -> float:
        """Where a trial's line ends, 0 … 1."""
        if value in self.beyond:
            return self.foot * (1.0 - (self.beyond.index(value) + 1) / len(self.beyond))
        if self.best == self.worst:
            return 1.0
        share = (self.worst - value) / (self.worst - self.best)
        return self.foot + (1.0 - self.foot) * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels to write beside the axis."""
        middle = (self.best + self.worst) / 2
        shown = dict.fromkeys((self.best, middle, self.worst))
        ticks = [(self.place(value), number(value)) for value in shown]
        return [*ticks, (0.0, "worse")] if self.beyond else ticks


def _group(
    group: Sequence[str],
    lines: Mapping[str, Sequence[float]],
    labels: Mapping[str, Label],
    name: str,
    colour: str,
    width: float,
) -> Any:
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str | None] = []
    for config_id in group:
        line = lines[config_id]
        x += [*range(len(line)), None]
        y += [*line, None]
        text += [labels.get(config_id, UNNAMED).markup] * len(line) + [None]
    return go.Scatter(
        x=x,
        y=y,
        text=text,
        mode="lines",
        name=name,
        showlegend=bool(name) and bool(group),
        line={"color": colour, "width": width},
        hovertemplate="%{text}<extra></extra>",
    )


def _special(config_id: str, line: Sequence[float], labels: Mapping[str, Label]) -> Any:
    label = labels.get(config_id, UNNAMED)
    style = style_of(label.role)
    # The winner keeps its place in the ramp by colour; its markers and width single it out.
    return go.Scatter(
        x=list(range(len(line))),
        y=list(line),
        mode="lines+markers",
        name=label.markup,
        line={"color": style.colour, "width": style.width + 0.6, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 8, "line": {"width": 1.5, "color": LIGHT.page}},
        hovertemplate=f"{label.markup}<extra></extra>",
    )


def _rule(i: int) -> dict[str, Any]:
    line = {"color": LIGHT.muted, "width": 1}
    return {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": line, "layer": "above"}


def _noise_bar(i: int, last: _Last, noise: float) -> dict[str, Any]:
    """From the best value down the metric's axis, as far as trials are that near."""
    end = METRIC[last.metric].worsened(last.best, noise)
    near = [value for value in last.beyond if abs(value - last.best) <= noise]
    foot = last.place(near[-1] if near else end)
    box = {"x0": i - 0.03, "x1": i + 0.03, "y0": foot, "y1": 1.0}
    return {"type": "rect", "fillcolor": LIGHT.warm, "opacity": 0.5, "line": {"width": 0}} | box


def _head(i: int, text: str) -> dict[str, Any]:
    words = text.replace(" (", "<br>(").replace("valid ", "valid<br>").replace(" rate", "<br>rate")
    return {
        "text": words.replace("temperature ", "temperature<br>"),
        "x": i,
        "y": 1,
        "yanchor": "bottom",
        "yshift": 10,
        "showarrow": False,
        "font": {"size": 12, "color": LIGHT.ink},
    }


def _tick(i: int, place: float, text: str) -> dict[str, Any]:
    return {
        "text": text,
        "x": i,
        "y": place,
        "xanchor": "left",
        "xshift": 4,
        "showarrow": False,
        "bgcolor": LIGHT.page,
        "borderpad": 1,
        "opacity": 0.88,
        "font": {"size": 11, "color": LIGHT.muted},
    }


def _counted_text(tried: int, valued: int, complete: int) -> str:
    """Such as "11 configurations (2 without a value), 7 of them complete. "; "" without any."""
    if not complete:
        return ""
    without = f" ({tried - valued} without a value)" if tried > valued else ""
    return f"{count(tried, 'configuration')}{without}, {complete} of them complete. "


def _alternative_text(
    best_first: Sequence[str],
    values: Mapping[str, float],
    settings: Settings,
    axes: Sequence[Axis],
    labels: Mapping[str, Label],
    metric: str,
) -> str:
    if not best_first:
        return "No trial of the search is complete yet."
    best = (
        f"The best value on the one seed of the search, {METRIC[metric].name} "
        f"{number(values[best_first[0]])}, is that of "
        f"{labels.get(best_first[0], UNNAMED).text}."
    )
    top = best_first[: len(best_first) // 5]
    if len(top) < _FEWEST:  # the range of one or two says nothing of the others
        return best
    parts = []
    for axis in axes:
        known = [settings.get(c, {}).get(axis.name) for c in top]
        present = [value for value in known if value is not None]
        if not present:
            continue
        if axis.options is None:
            span = f"{setting(min(present))} to {setting(max(present))}"
        else:
            span = ", ".join(dict.fromkeys(setting(value) for value in present))
        parts.append(f"{parameter_name(axis.name)} {span}")
    return f"{best} The best fifth ({len(top)}) has: {'; '.join(parts)}."


def _rows(
    shown: Sequence[str],
    states: Mapping[str, TrialState],
    values: Mapping[str, float],
    settings: Settings,
    axes: Sequence[Axis],
    labels: Mapping[str, Label],
) -> list[tuple[str, ...]]:
    rows = [
        (
            labels.get(config_id, UNNAMED).text,
            *(setting(settings.get(config_id, {}).get(axis.name)) for axis in axes),
            number(values[config_id]),
            _REST[states[config_id]][0] if states[config_id] in _REST else "complete",
        )
        for config_id in shown[:_MOST_ROWS]
    ]
    if len(shown) > _MOST_ROWS:
        more = f"{len(shown) - _MOST_ROWS} more are not shown"
        rows.append((more, *[""] * (len(axes) + 2)))
    return rows
