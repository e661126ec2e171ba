"""The figure of the search itself: best value so far against cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from hscl.metrics import CHART_DIGITS, METRIC
from tune.charts.findings import of_progress
from tune.charts.theme import LIGHT, Chart, figure, noise_key, noise_stripe
from tune.display import count, duration_text, number
from tune.evidence.curves import UNNAMED, Label, Progress, TrialEnd
from tune.states import TrialState

__all__ = ["best_so_far"]


def best_so_far(
    progress: Progress, labels: Mapping[str, Label], metric: str, seed_sd: float | None = None
) -> Chart:
    """The best value of the search against the epochs trained.

    Args:
        progress: From `progress_of_search`; must hold a value.
        labels: From `labels_of`.
        metric: The study's metric.
        seed_sd: Standard deviation of the metric between seeds of one configuration, if known.
    """
    name = METRIC[metric].name
    hovered = f"{name} %{{y:.{CHART_DIGITS}f}}"
    ends = [end for end in progress.ends if not math.isnan(end.value)]
    traces: list[Any] = []
    for state, symbol, words in (
        (TrialState.PRUNED, "line-ew-open", "stopped early"),
        (TrialState.DONE, "circle-open", "complete trial"),
    ):
        group = [end for end in ends if end.state is state]
        traces.append(
            go.Scatter(
                x=[end.epochs for end in group],
                y=[end.value for end in group],
                mode="markers",
                name=words,
                marker={"symbol": symbol, "color": LIGHT.faint, "size": 7},
                text=[labels.get(end.config_id, UNNAMED).markup for end in group],
                hovertemplate=f"%{{text}}, {words}<br>{hovered}<extra></extra>",
            )
        )
    traces.append(
        go.Scatter(
            x=progress.epochs,
            y=progress.best,
            mode="lines",
            name="best so far",
            line={"color": LIGHT.winner, "width": 2.6, "shape": "hv"},
            text=[labels.get(holder, UNNAMED).markup for holder in progress.holder],
            hovertemplate=f"%{{text}}<br>{hovered}, epoch %{{x}}<extra></extra>",
        )
    )
    gains = _gains(progress)
    default = [end for end in ends if labels.get(end.config_id, UNNAMED).role == "default"]
    if default:
        how = "stopped early" if default[0].state is TrialState.PRUNED else "complete"
        traces.append(
            go.Scatter(
                x=[progress.epochs[0], progress.epochs[-1]],
                y=[default[0].value, default[0].value],
                mode="lines",
                name=f"default ({how})",
                line={"color": LIGHT.ink, "width": 2, "dash": "dash"},
                hoverinfo="skip",
            )
        )
    if seed_sd:
        traces.append(noise_key())
    drawn = figure(
        traces,
        height=340,
        shapes=_noise_floor(progress.best[-1], seed_sd, metric),
        xaxis={
            "title": {"text": "epochs trained, all trials of screen and refine"},
            "rangemode": "tozero",
        },
        yaxis={"title": {"text": f"valid {name} ({METRIC[metric].direction})"}},
    )
    _clip_axis(drawn, [end.value for end in ends] + list(progress.best), metric)
    first, last = gains[0], gains[-1]
    return Chart(
        name="best-so-far",
        title="Best so far against cost",
        finding=of_progress(progress, metric, seed_sd),
        caption=(
            f"Screen and refine trained {count(progress.epochs[-1], 'epoch')} "
            f"({duration_text(progress.seconds)} of training), one seed each. The best of many "
            "single seeds flatters itself: confirm compares the winner on fresh ones."
            + (
                " The stripe is the noise floor: within one seed's deviation of the best, "
                f"{number(seed_sd)}, single trainings can't be told apart."
                if seed_sd
                else ""
            )
        ),
        alternative=(
            f"The best valid {name} went from {number(first.value)} at epoch {first.epochs} to "
            f"{number(last.value)} at epoch {last.epochs} of {progress.epochs[-1]}, in "
            f"{count(len(gains) - 1, 'step')}. {_default_text(default, name)}"
        ),
        figure=drawn,
        columns=("Epochs trained", f"Best valid {name}", "Configuration"),
        rows=tuple(
            (f"{one.epochs:,}", number(one.value), labels.get(one.holder, UNNAMED).text)
            for one in gains
        ),
    )


def _noise_floor(best: float, seed_sd: float | None, metric: str) -> list[dict[str, Any]]:
    if seed_sd is None:
        return []
    ends = sorted((best, METRIC[metric].worsened(best, seed_sd)))
    return [noise_stripe(*ends)]


def _default_text(default: Sequence[TrialEnd], name: str) -> str:
    if not default:
        return "The default has no finished trial in the search."
    how = "was stopped early at" if default[0].state is TrialState.PRUNED else "reached"
    return f"The default {how} {name} {number(default[0].value)} on the same seed."


@dataclass(frozen=True)
class _Gain:
    """A report that improved the best value, by which configuration, at which cost."""

    epochs: int
    value: float
    holder: str


def _gains(progress: Progress) -> list[_Gain]:
    """The reports that improved the best value."""
    gains: list[_Gain] = []
    reports = zip(progress.epochs, progress.best, progress.holder, strict=True)
    for one in (_Gain(*report) for report in reports):
        if not math.isnan(one.value) and (not gains or one.value != gains[-1].value):
            gains.append(one)
    return gains


def _clip_axis(drawn: Any, values: Sequence[float], metric: str) -> None:
    """Keep a few hopeless trials from flattening the rest: the worst tenth may leave the plot."""
    known = sorted(value for value in values if not math.isnan(value))
    if len(known) < 10:
        return
    low, high = known[0], known[int(0.95 * (len(known) - 1))]
    if not METRIC[metric].lower_wins:
        low, high = known[int(0.05 * (len(known) - 1))], known[-1]
    room = 0.08 * (high - low)
    if room > 0:
        drawn.update_yaxes(range=[low - room, high + room])
