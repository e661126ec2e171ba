"""Learning curves: each trial's value against its epochs, with the rungs that stopped some."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import CHART_DIGITS, METRIC
from tune.charts.axes import decided_between
from tune.charts.findings import of_curves
from tune.charts.theme import (
    LIGHT,
    Chart,
    figure,
    noise_key,
    noise_stripe,
    style_of,
)
from tune.display import count, listing, number
from tune.evidence.curves import UNNAMED, Label
from tune.states import Phase, TrialState
from tune.tables.records import TrialRecord

__all__ = ["learning_curves"]

_MOST_ROWS = 200
_IN_FRONT = ("default", "winner")
_RUNG_LINE = {"color": LIGHT.muted, "width": 1, "dash": "dot"}


def learning_curves(
    curves: Sequence[TrialRecord],
    labels: Mapping[str, Label],
    rungs: Mapping[int, int],
    metric: str,
    seed_sd: float | None = None,
) -> Chart:
    """Each trial's value (best so far) against its epochs, a panel for each phase that ran.

    A panel's axis shows where decisions fall: at the rungs and in the second half. What lies
    beyond for a few early epochs is cut off.

    Args:
        curves: All trials; one at least must have a report.
        labels: From `labels_of`.
        rungs: From `rungs_of`; empty where no scheduler stopped anything.
        metric: The study's metric.
        seed_sd: Standard deviation between seeds of one configuration; None: unknown.
    """
    drawn_curves = [curve for curve in curves if curve.curve]
    phases = [phase for phase in Phase if any(c.phase is phase for c in drawn_curves)]
    height = 56 + 270 * len(phases)
    gap = 78 / height
    panel = (1 - gap * (len(phases) - 1)) / len(phases)
    traces: list[Any] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    beyond = 0
    for row, phase in enumerate(phases):
        suffix = "" if row == 0 else str(row + 1)
        top = 1 - row * (panel + gap)
        own = [curve for curve in drawn_curves if curve.phase is phase]
        traces += _panel_traces(own, labels, metric, suffix)
        ends = decided_between(own, rungs if phase is Phase.SCREEN else (), metric, seed_sd)
        beyond += sum(value < ends[0] or value > ends[1] for c in own for value in c.best.values())
        layout[f"xaxis{suffix}"] = {
            "title": {"text": "epoch" if row == len(phases) - 1 else ""},
            "anchor": f"y{suffix}",
            "matches": "x" if row else None,
            "dtick": _tick_step(max(c.epoch for c in drawn_curves)),
        }
        layout[f"yaxis{suffix}"] = {
            "title": {"text": f"valid {METRIC[metric].name}"},
            "domain": [max(top - panel, 0), top],
            "anchor": f"x{suffix}",
            "range": ends,
        }
        layout["annotations"].append(_panel_title(phase, own, top))
        if phase is Phase.SCREEN:
            for epoch, stopped in rungs.items():
                _add_rung(layout, epoch, stopped, suffix)
        layout["shapes"] += _noise_floor(own, seed_sd, metric, suffix)
    if rungs and Phase.SCREEN in phases:
        key = {"mode": "lines", "name": "rung", "line": _RUNG_LINE}
        traces.append(go.Scatter(x=[None], y=[None], **key))
    if seed_sd:
        traces.append(noise_key())
    _one_legend_entry_each(traces)
    drawn = figure(traces, height=height, margin={"l": 8, "r": 12, "t": 58, "b": 8}, **layout)
    drawn.update_layout(legend={"y": 1 + 26 / height})
    states = {state: sum(c.state is state for c in curves) for state in TrialState}
    return Chart(
        name="learning-curves",
        title="Learning curves",
        finding=of_curves(curves, labels, metric, seed_sd),
        caption=(
            f"A trial's value is its best valid {METRIC[metric].name} so far "
            f"({METRIC[metric].direction})."
            + (
                " Dotted lines are the rungs, with the number of trials that each stopped."
                if rungs
                else ""
            )
            + (
                f" The axes show where decisions fall: {count(beyond, 'value')} beyond "
                f"them {'is' if beyond == 1 else 'are'} cut off."
                if beyond
                else ""
            )
            + (
                " The stripe is the noise floor: within one seed's deviation of the best end, "
                "single trials can't be told apart."
                if seed_sd
                else ""
            )
        ),
        alternative=_alternative_text(curves, labels, rungs, metric, states)
        + (f" Seeds of one configuration differ by {number(seed_sd)} (sd)." if seed_sd else ""),
        figure=drawn,
        columns=("Trial", "Configuration", "Phase", "Epochs", "Valid value", "State"),
        rows=tuple(_curve_rows(drawn_curves, labels)),
    )


def _panel_traces(
    own: Sequence[TrialRecord],
    labels: Mapping[str, Label],
    metric: str,
    suffix: str,
) -> list[Any]:
    """One trace a role, its curves separated by gaps: a thousand trials stay a few objects."""
    hovered = f"{METRIC[metric].name} %{{y:.{CHART_DIGITS}f}}"
    traces: list[Any] = []
    axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
    groups: dict[str, list[TrialRecord]] = {}
    for curve in own:
        groups.setdefault(labels.get(curve.config_id, UNNAMED).role, []).append(curve)
    for role in ("other", "known", "finalist", *_IN_FRONT):
        group = groups.get(role, [])
        style = style_of(role)
        front = role in _IN_FRONT
        thin = 1.0 if own[0].phase.searches else 0.55
        traces.append(
            go.Scatter(
                x=_joined([list(curve.curve) for curve in group]),
                y=_joined([list(curve.best.values()) for curve in group]),
                text=_joined(
                    [
                        [f"{labels.get(c.config_id, UNNAMED).markup}, seed {c.seed}"]
                        * len(c.curve)
                        for c in group
                    ]
                ),
                mode="lines+markers" if front else "lines",
                name=role,
                legendgroup=role,
                line={"color": style.colour, "dash": style.dash, "width": style.width * thin},
                marker={"symbol": style.symbol, "size": 5 if thin < 1 else 6},
                opacity=1.0 if front else 0.75,
                hovertemplate=f"%{{text}}<br>epoch %{{x}}, {hovered}<extra></extra>",
                **axes,
            )
        )
    for state, symbol, colour, words in (
        (TrialState.PRUNED, "line-ew-open", LIGHT.muted, "stopped early"),
        (TrialState.FAILED, "x", LIGHT.alert, "failed"),
    ):
        group = [curve for curve in own if curve.state is state]
        open_mark = symbol.endswith("-open")
        edge = {"width": 1.3, "color": colour if open_mark else LIGHT.page}
        outline = {"color": colour, "line": edge}
        traces.append(
            go.Scatter(
                x=[curve.epoch for curve in group],
                y=[curve.best[curve.epoch] for curve in group],
                text=[labels.get(curve.config_id, UNNAMED).markup for curve in group],
                mode="markers",
                name=words,
                legendgroup=words,
                marker={"symbol": symbol, "size": 9} | outline,
                hovertemplate=f"%{{text}}, {words}<extra></extra>",
                **axes,
            )
        )
    return traces


def _noise_floor(
    own: Sequence[TrialRecord], seed_sd: float | None, metric: str, suffix: str
) -> list[dict[str, Any]]:
    """A panel's stripe, from its best value on; none where no trial has a value."""
    ends = [curve.value for curve in own if curve.value is not None]
    if not seed_sd or not ends:
        return []
    best = min(ends) if METRIC[metric].lower_wins else max(ends)
    stripe = noise_stripe(*sorted((best, METRIC[metric].worsened(best, seed_sd))))
    return [stripe | {"xref": f"x{suffix} domain", "yref": f"y{suffix}"}]


def _one_legend_entry_each(traces: Sequence[Any]) -> None:
    """The panels share a legend: in it stands the first trace of each name that holds anything."""
    seen: set[str] = set()
    for trace in traces:
        trace.showlegend = bool(trace.x) and trace.name not in seen
        if trace.showlegend:
            seen.add(trace.name)


def _joined(parts: Iterable[Sequence[Any]]) -> list[Any]:
    """Sequences in one, each followed by a gap."""
    return [item for part in parts for item in (*part, None)]


def _tick_step(longest: int) -> int:
    return max(1, round(longest / 10))


def _panel_title(phase: Phase, own: Sequence[TrialRecord], top: float) -> dict[str, Any]:
    seeds = {curve.seed for curve in own}
    configs = {curve.config_id for curve in own}
    text = f"<b>{phase}</b>  {count(len(configs), 'configuration')} × {count(len(seeds), 'seed')}"
    return {
        "text": text,
        "x": 0,
        "y": top,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 4,
        "showarrow": False,
        "font": {"size": 13, "color": LIGHT.ink},
    }


def _add_rung(layout: dict[str, Any], epoch: int, stopped: int, suffix: str) -> None:
    layout["shapes"].append(
        {
            "type": "line",
            "x0": epoch,
            "x1": epoch,
            "y0": 0,
            "y1": 1,
            "xref": f"x{suffix}",
            "yref": f"y{suffix} domain",
            "line": _RUNG_LINE,
            "layer": "below",
        }
    )
    layout["annotations"].append(
        {
            "text": f"{stopped:,}",
            "x": epoch,
            "y": 1,
            "xref": f"x{suffix}",
            "yref": f"y{suffix} domain",
            "xanchor": "left",
            "yanchor": "top",
            "xshift": 3,
            "showarrow": False,
            "font": {"size": 11, "color": LIGHT.muted},
        }
    )


def _alternative_text(
    curves: Sequence[TrialRecord],
    labels: Mapping[str, Label],
    rungs: Mapping[int, int],
    metric: str,
    states: Mapping[TrialState, int],
) -> str:
    told = (
        f"{count(len(curves), 'trial')}: {states[TrialState.DONE]} complete, "
        f"{states[TrialState.PRUNED]} stopped early, {states[TrialState.FAILED]} failed, "
        f"{states[TrialState.STARTED]} unfinished."
    )
    words = [told]
    if rungs:
        words.append(
            "Stopped at the rungs: "
            + listing([f"{n} at epoch {epoch}" for epoch, n in rungs.items()])
            + "."
        )
    for phase in Phase:
        for role in _IN_FRONT:
            ends = [
                c.value
                for c in curves
                if c.value is not None
                and c.phase is phase
                and c.state is TrialState.DONE
                and labels.get(c.config_id, UNNAMED).role == role
            ]
            if ends:
                words.append(
                    f"In {phase} the {role} ended at valid {METRIC[metric].name} "
                    + (
                        f"{number(ends[0])}."
                        if len(ends) == 1
                        else f"{number(min(ends))} to {number(max(ends))} over {len(ends)} seeds."
                    )
                )
    return " ".join(words)


def _curve_rows(
    curves: Sequence[TrialRecord], labels: Mapping[str, Label]
) -> Iterable[tuple[str, ...]]:
    for curve in curves[:_MOST_ROWS]:
        yield (
            curve.trial_id,
            labels.get(curve.config_id, UNNAMED).text,
            str(curve.phase),
            str(curve.epoch),
            number(curve.best[curve.epoch]),
            str(curve.state),
        )
    if len(curves) > _MOST_ROWS:
        yield (f"{len(curves) - _MOST_ROWS} more trials are not shown", "", "", "", "", "")
