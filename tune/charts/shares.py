"""Shares of variance: how much is the seed, how much each hyperparameter.

The numbers come from `tune.stats.effects`; nothing is estimated here.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import METRIC
from tune.charts.findings import of_shares
from tune.charts.theme import LIGHT, Chart, figure
from tune.display import count, interval, parameter_name, share
from tune.evidence.variance import SEED, UNEXPLAINED
from tune.stats.effects import VarianceShare

__all__ = ["variance_shares"]


def variance_shares(shares: Sequence[VarianceShare], metric: str) -> Chart:
    """Bars, largest first; the seed in its own colour, and what chance alone would give.

    Args:
        shares: From `tune.stats.effects`, the seed's among them where it is known.
        metric: The study's metric.
    """
    ranked = sorted(shares, key=lambda one: one.part)
    names = [_in_figure(one) for one in ranked]
    traces: list[Any] = [
        go.Bar(
            x=[one.part for one in ranked],
            y=names,
            orientation="h",
            width=0.62,
            marker={"color": [_colour(one.name) for one in ranked]},
            error_x=_errors(ranked),
            showlegend=False,
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
    ]
    tested = [one for one in ranked if one.null is not None]
    if tested:
        traces.append(
            go.Scatter(
                x=[one.null for one in tested],
                y=[_in_figure(one) for one in tested],
                mode="markers",
                name="what chance would give (95 %)",
                marker={
                    "symbol": "line-ns-open",
                    "size": 16,
                    "color": LIGHT.alert,
                    "line": {"width": 2.5},
                },
                hovertemplate="chance: %{x:.0%}<extra></extra>",
            )
        )
    drawn = figure(
        traces,
        height=90 + 34 * len(ranked),
        xaxis={
            "title": {"text": f"share of variance, valid {METRIC[metric].name}"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        yaxis={"showgrid": False, "tickfont": {"size": 12, "color": LIGHT.ink}},
        bargap=0.3,
    )
    beyond = [parameter_name(one.name) for one in reversed(ranked) if one.matters]
    seed = next((one.part for one in shares if one.name == SEED), None)
    return Chart(
        name="variance-shares",
        title="Where the variance is",
        finding=of_shares(shares),
        caption=(
            "How much of the spread of complete trainings, over the space as it is searched, "
            "belongs to the seed and to each hyperparameter; unexplained is what smooth answers "
            "to these, and the seed where configurations ran on several, leave. The tick is what "
            "chance gives one that does nothing (95 %, each by itself); whether one matters, as "
            "the table says, is corrected for their number."
        ),
        alternative=(
            ("" if seed is None else f"The seed has {share(seed)} of the variance. ")
            + "; ".join(
                f"{_share_name(o.name)} {share(o.part)}"
                for o in reversed(ranked)
                if o.name != SEED
            )
            + f". Beyond the seed's noise: {', '.join(beyond) or 'none'} "
            f"({count(len(tested), 'effect')} tested)."
        ),
        figure=drawn,
        columns=("Source", "Share", "Interval", "Chance would give", "Matters beyond the seed"),
        rows=tuple(
            (
                _share_name(one.name),
                share(one.part),
                interval(one.low, one.high, 2).replace("+", ""),
                share(one.null),
                {True: "yes", False: "no", None: "–"}[one.matters],
            )
            for one in reversed(ranked)
        ),
    )


def _in_figure(one: VarianceShare) -> str:
    return _share_name(one.name).replace(" × ", " ×<br>")


def _share_name(name: str) -> str:
    if name == SEED:
        return "the seed"
    if name == UNEXPLAINED:
        return "unexplained"
    return " × ".join(parameter_name(part) for part in name.split(" × "))


def _colour(name: str) -> str:
    return {SEED: LIGHT.warm, UNEXPLAINED: LIGHT.muted}.get(name, LIGHT.winner)


def _errors(ranked: Sequence[VarianceShare]) -> dict[str, Any] | None:
    if all(one.low is None or one.high is None for one in ranked):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [None if one.high is None else one.high - one.part for one in ranked],
        "arrayminus": [None if one.low is None else one.part - one.low for one in ranked],
        "color": LIGHT.ink,
        "thickness": 1.4,
        "width": 4,
    }
