"""Heat maps of grid studies: two hyperparameters, the metric in each cell."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from hscl.metrics import DIGITS, METRIC
from tune.charts.axes import Settings
from tune.charts.findings import of_cells
from tune.charts.theme import LIGHT, Chart, figure, legend_key
from tune.display import count, listing, number, parameter_name, setting
from tune.evidence.curves import UNNAMED, Label
from tune.evidence.pair import PairComparison
from tune.evidence.sentences import seed_deviation, seed_lines
from tune.states import Verdict
from tune.study.space import Value

__all__ = ["heat_maps"]

_MOST_MAPS = 3
_DARK_TEXT, _LIGHT_TEXT = "#10151b", "#fdfeff"  # on cells, which are the same in dark mode
_LIGHT_TEXT_FROM = 0.62  # of the scale, where light text begins to have the greater contrast
_NOISE_SPAN = 4.0  # one seed's deviations that the colours span at least: ±2 around the middle
_Cell = tuple[Value, Value]  # a map's two hyperparameters, x first
_SCALE = ("#eef4fa", "#b7d3ea", "#6fa8d2", "#2f78b3", "#0a3f70")


def heat_maps(
    pairs: Sequence[PairComparison],
    settings: Settings,
    labels: Mapping[str, Label],
) -> list[Chart]:
    """A map for each pair of the grid's first three parameters.

    Args:
        pairs: Every configuration (first) against the reference (second), one metric.
        settings: The configurations' values; the reference's too.
        labels: From `labels_of`.

    Returns:
        Nothing where the grid has fewer than two parameters or nothing is complete.
    """
    known = {pair.first: pair.means[0] for pair in pairs if not math.isnan(pair.means[0])}
    if not known:
        return []
    # A pair's means are over the seeds that both have: the most tell the most of the reference.
    own = [pair for pair in pairs if not math.isnan(pair.means[1])]
    known[pairs[0].second] = max(own, key=lambda pair: len(pair.seeds)).means[1]
    names = list(dict.fromkeys(name for c in known for name in settings.get(c, {})))
    grid = _Grid(
        pair=pairs[0],
        parameters=len(names),
        means=known,
        settings=settings,
        labels=labels,
        verdicts={pair.first: pair.verdict for pair in pairs},
        noise=seed_deviation(pairs),
    )
    maps = (_map(grid, *two) for two in list(itertools.combinations(names, 2))[:_MOST_MAPS])
    return [chart for chart in maps if chart is not None]


@dataclass(frozen=True)
class _Grid:
    """What all maps of a grid share.

    Attributes:
        pair: One of its pairs: metric, split and reference are those of all.
        parameters: How many hyperparameters it has.
        means: Each known configuration's mean.
        settings: The configurations' values.
        labels: What figures call each configuration.
        verdicts: On each configuration against the reference.
        noise: One seed's deviation, if known.
    """

    pair: PairComparison
    parameters: int
    means: Mapping[str, float]
    settings: Settings
    labels: Mapping[str, Label]
    verdicts: Mapping[str, Verdict | None]
    noise: float | None

    def cells(self, x_name: str, y_name: str) -> dict[_Cell, list[str]]:
        """The configurations in each cell; one that lacks either parameter lies in none."""
        found: dict[_Cell, list[str]] = {}
        for config_id in self.means:
            if (at := self.cell(config_id, x_name, y_name)) is not None:
                found.setdefault(at, []).append(config_id)
        return found

    def cell(self, config_id: str, x_name: str, y_name: str) -> _Cell | None:
        """Where a configuration lies; None where it lacks one of the two."""
        at = self.settings.get(config_id, {})
        return (at[x_name], at[y_name]) if x_name in at and y_name in at else None


def _map(grid: _Grid, x_name: str, y_name: str) -> Chart | None:
    pair, noise = grid.pair, grid.noise
    metric = pair.metric
    cells = grid.cells(x_name, y_name)
    if not cells:
        return None
    means = {at: fmean(grid.means[c] for c in here) for at, here in cells.items()}
    shown = {c for here in cells.values() for c in here}
    verdicts = {c: verdict for c, verdict in grid.verdicts.items() if c in shown}
    columns, rows = _in_order(x for x, _ in cells), _in_order(y for _, y in cells)
    across, down = _level_names(columns), _level_names(rows)
    values = np.full((len(rows), len(columns)), np.nan)
    words = [["" for _ in columns] for _ in rows]
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if here := cells.get((column, row), []):
                values[i, j] = means[column, row]
                said = verdicts.get(here[0]) if len(here) == 1 else None
                strong = said in {Verdict.BETTER, Verdict.WORSE}
                words[i][j] = number(values[i, j]) + (f"<br>{said}" if strong else "")
    low_is_dark = METRIC[metric].lower_wins
    ends = _ends(values, noise)
    outline = _reference(grid.cell(pair.second, x_name, y_name), columns, rows)
    scale = [
        [i / 4, colour] for i, colour in enumerate(reversed(_SCALE) if low_is_dark else _SCALE)
    ]
    drawn = figure(
        [
            go.Heatmap(
                x=across,
                y=down,
                z=values,
                zmin=ends[0],
                zmax=ends[1],
                colorscale=scale,
                xgap=2,
                ygap=2,
                showscale=False,
                hovertemplate=(
                    f"{parameter_name(x_name)} %{{x}}, {parameter_name(y_name)} %{{y}}<br>"
                    f"{METRIC[metric].name} %{{z:.{DIGITS}f}}<extra></extra>"
                ),
            ),
            *_texts(values, words, across, down, lambda value: _darkness(value, ends, metric)),
            *(
                [legend_key("reference", "square-open", LIGHT.alert, line={"width": 3})]
                * len(outline)
            ),
        ],
        height=150 + 52 * len(rows),
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        xaxis=_levels(x_name),
        yaxis=_levels(y_name),
        shapes=outline,
    )
    pick = min if low_is_dark else max
    best = pick(means, key=means.__getitem__)
    others, beside = grid.parameters - 2, len(grid.means) - len(shown)
    return Chart(
        name=f"heat-map-{x_name}-{y_name}".replace(".", "-"),
        title=f"{parameter_name(x_name)} × {parameter_name(y_name)}".capitalize(),
        finding=of_cells(means.values(), verdicts, grid.labels, noise),
        caption=(
            f"Mean {pair.split} {METRIC[metric].name} over the seeds ({METRIC[metric].direction}; "
            "darker is better)."
            + " The outlined cell is the reference." * len(outline)
            + (f" Averaged over the other {others} of the grid." if others else "")
            + (f" {_beside_text(beside)}" if beside else "")
            + (
                f" The noise floor, one seed's deviation, is {number(noise)}; the colours span "
                f"{_NOISE_SPAN:g} of them at least, so that noise looks flat."
                if noise
                else ""
            )
        ),
        alternative=(
            f"The best cell is {_called(grid, best, cells[best], x_name, y_name)} with "
            f"{METRIC[metric].name} {number(means[best])}; the reference has "
            f"{number(grid.means[pair.second])}. "
            + "".join(f"{words} " for words in seed_lines(noise, pair.split))
            + _better_text(verdicts, grid.labels)
        ),
        figure=drawn,
        columns=(f"{parameter_name(y_name)} ↓ {parameter_name(x_name)} →", *across),
        rows=tuple(
            (row, *(text.replace("<br>", ", ") or "–" for text in words[i]))
            for i, row in enumerate(down)
        ),
    )


def _in_order(values: Iterable[Value]) -> list[Value]:
    """Each of a hyperparameter's values once, numbers by size."""
    found = set(values)
    numbers = all(isinstance(v, int | float) for v in found)
    return sorted(found) if numbers else sorted(found, key=str)


def _level_names(levels: Sequence[Value]) -> list[str]:
    """What an axis calls its levels: as short as everywhere, unless two would be one then."""
    short = [setting(level) for level in levels]
    return short if len(set(short)) == len(short) else [str(level) for level in levels]


def _called(grid: _Grid, at: _Cell, here: Sequence[str], x_name: str, y_name: str) -> str:
    """A cell by its only configuration, or by its two values."""
    if len(here) == 1:
        return grid.labels.get(here[0], UNNAMED).text
    x, y = (f"{parameter_name(n)} {setting(v)}" for n, v in zip((x_name, y_name), at, strict=True))
    return f"{x}, {y}"


def _beside_text(beside: int) -> str:
    lack, have = ("lacks", "has") if beside == 1 else ("lack", "have")
    return f"{count(beside, 'configuration')} that {lack} one of the two {have} no cell here."


def _ends(values: npt.NDArray[np.float64], noise: float | None) -> tuple[float, float]:
    """What the lightest and the darkest colour stand for: what only seeds do looks flat."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(_NOISE_SPAN * (noise or 0.0) - (high - low), 0.0) / 2.0
    return low - room, high + room


def _darkness(value: float, ends: tuple[float, float], metric: str) -> float:
    """How dark a value's cell is, 0 … 1; the better, the darker."""
    low, high = ends
    share = 0.5 if high == low else (value - low) / (high - low)
    return 1.0 - share if METRIC[metric].lower_wins else share


def _levels(name: str) -> dict[str, Any]:
    """An axis that names every level."""
    title = {"text": parameter_name(name)}
    return {"title": title, "type": "category", "dtick": 1, "showgrid": False}


def _texts(
    grid: npt.NDArray[np.float64],
    words: Sequence[Sequence[str]],
    columns: Sequence[str],
    rows: Sequence[str],
    darkness: Callable[[float], float],
) -> list[Any]:
    """The numbers in the cells, dark on light cells and light on dark ones."""
    groups: dict[str, list[tuple[int, int]]] = {_DARK_TEXT: [], _LIGHT_TEXT: []}
    for i, j in zip(*np.nonzero(np.isfinite(grid)), strict=True):
        dark = darkness(float(grid[i, j])) > _LIGHT_TEXT_FROM
        groups[_LIGHT_TEXT if dark else _DARK_TEXT].append((int(i), int(j)))
    return [
        go.Scatter(
            x=[columns[j] for _, j in cells],
            y=[rows[i] for i, _ in cells],
            text=[words[i][j] for i, j in cells],
            mode="text",
            textfont={"size": 13, "color": colour},
            hoverinfo="skip",
            showlegend=False,
        )
        for colour, cells in groups.items()
    ]


def _reference(
    at: tuple[Value, Value] | None, columns: Sequence[Value], rows: Sequence[Value]
) -> list[dict[str, Any]]:
    if at is None or at[0] not in columns or at[1] not in rows:
        return []
    x, y = columns.index(at[0]), rows.index(at[1])
    line = {"color": LIGHT.alert, "width": 3}
    box = {"x0": x - 0.48, "x1": x + 0.48, "y0": y - 0.47, "y1": y + 0.47}
    return [{"type": "rect", "line": line, "fillcolor": "rgba(0,0,0,0)"} | box]


def _better_text(verdicts: Mapping[str, Verdict | None], labels: Mapping[str, Label]) -> str:
    better = [labels.get(c, UNNAMED).text for c, v in verdicts.items() if v is Verdict.BETTER]
    if not better:
        return "No cell has the verdict better."
    return f"Better than the reference: {listing(better)}."
