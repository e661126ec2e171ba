"""What the search's figures show, computed from the tables: trials' curves, costs, names.

Nothing is drawn here.
"""

import html
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tune.states import Kind, Origin, Phase, TrialState
from tune.tables.records import config_label, last_events

__all__ = [
    "UNNAMED",
    "Label",
    "Progress",
    "TrialCurve",
    "collapsed_trials",
    "labels_of",
    "progress_of_screen",
    "stopped_at",
    "trial_curves",
]


@dataclass(frozen=True)
class TrialCurve:
    """One trial, epoch by epoch.

    Attributes:
        trial_id: `<config_id>-<seed>`.
        config_id: Its configuration.
        phase: Where it ran.
        seed: Its seed.
        state: Its last event's state.
        error: What went wrong, None where nothing did.
        epochs: (E,) rising.
        values: (E,) the valid metric at each epoch; NaN where it is undefined.
        best: (E,) the trial's value: the best so far.
        order: (E,) `seq` of each report: when it was written, relative to all others.
        seconds: Training time of all its epochs.
    """

    trial_id: str
    config_id: str
    phase: Phase
    seed: int
    state: TrialState
    error: str | None
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    best: tuple[float, ...]
    order: tuple[int, ...]
    seconds: float

    @property
    def value(self) -> float:
        """The trial's value; NaN before its first report."""
        return self.best[-1] if self.best else math.nan


def trial_curves(
    trials: pa.Table, reports: pa.Table, metric: str, *, lower_wins: bool
) -> list[TrialCurve]:
    """All trials in the order in which they began.

    Args:
        trials: The table of events.
        reports: The table of reports.
        metric: The study's metric, such as "mae".
        lower_wins: True where smaller values are better.
    """
    outcomes = last_events(trials)
    names = ["trial_id", "epoch", "seq", "seconds", f"valid_{metric}"]
    ordered = reports.select(names).sort_by([("trial_id", "ascending"), ("epoch", "ascending")])
    ids = ordered["trial_id"].to_pylist()
    columns = [ordered[name].to_numpy(zero_copy_only=False) for name in names[1:]]
    bounds = [i for i in range(len(ids)) if i == 0 or ids[i] != ids[i - 1]] + [len(ids)]
    rows = {ids[a]: slice(a, b) for a, b in itertools.pairwise(bounds)}
    running_best = np.fmin.accumulate if lower_wins else np.fmax.accumulate
    curves = []
    for trial_id, outcome in outcomes.items():
        part = rows.get(trial_id, slice(0, 0))
        epochs, order, seconds, values = (column[part] for column in columns)
        values = values.astype(np.float64)
        best = running_best(values) if values.size else values
        curves.append(
            TrialCurve(
                trial_id=trial_id,
                config_id=outcome.config_id,
                phase=outcome.phase,
                seed=outcome.seed,
                state=outcome.state,
                error=outcome.error,
                epochs=tuple(int(e) for e in epochs),
                values=tuple(float(v) for v in values),
                best=tuple(float(v) for v in best),
                order=tuple(int(o) for o in order),
                seconds=float(np.nansum(seconds.astype(np.float64))) if epochs.size else 0.0,
            )
        )
    return curves


@dataclass(frozen=True)
class Label:
    """How a configuration is called and which group it belongs to.

    Attributes:
        text: Such as "default", a known point's name, "configuration 7", or "winner
            (configuration 17)".
        role: winner, default, finalist, known or other; see `charts_theme.style_of`.
    """

    text: str
    role: str

    @property
    def markup(self) -> str:
        """The text for a figure: Plotly reads `<` and `&` as HTML, and names are user input."""
        return html.escape(self.text, quote=False)


_SECTION = re.compile(r"\b(?:loss|train|model)\.")
"""Points of a grid are named by their values: "loss.temperature = 0.1" reads well without it."""

UNNAMED = Label("unknown configuration", "other")
"""Stands for a configuration whose row is lost."""


def labels_of(configs: pa.Table, plan: pa.Table) -> dict[str, Label]:
    """A label for each configuration, in order of proposal.

    Args:
        configs: The table of configurations.
        plan: The table of decisions.
    """
    winner = None
    finalists = set()
    for row in plan.select(["kind", "config_id"]).to_pylist():
        if row["kind"] == Kind.WINNER:
            winner = row["config_id"]
        elif row["kind"] == Kind.FINALIST:
            finalists.add(row["config_id"])
    labels = {}
    rows = configs.select(["config_id", "number", "origin", "name"]).sort_by("number")
    for row in rows.to_pylist():
        config_id, text = row["config_id"], config_label(row["number"], row["name"])
        if row["origin"] == Origin.DEFAULT:
            labels[config_id] = Label("default", "default")
        elif config_id == winner:
            labels[config_id] = Label(f"winner ({text})", "winner")
        elif config_id in finalists:
            labels[config_id] = Label(text, "finalist")
        elif row["origin"] == Origin.KNOWN:
            labels[config_id] = Label(text, "known")
        else:
            labels[config_id] = Label(_SECTION.sub("", text), "other")
    doubled = {
        text for text, n in Counter(label.text for label in labels.values()).items() if n > 1
    }
    return {
        config_id: Label(f"{label.text} [{config_id[:4]}]", label.role)
        if label.text in doubled
        else label
        for config_id, label in labels.items()
    }


@dataclass(frozen=True)
class Progress:
    """The best value of the screen against what it has cost.

    Attributes:
        epochs: (R,) epochs trained so far, over all trials of the screen, at each report.
        best: (R,) best valid value so far.
        holder: (R,) the configuration that has it.
        ends: For each ended trial: (epochs trained when it ended, its value, config_id, state).
        seconds: Training time of all of it.
    """

    epochs: tuple[int, ...]
    best: tuple[float, ...]
    holder: tuple[str, ...]
    ends: tuple[tuple[int, float, str, TrialState], ...]
    seconds: float


def progress_of_screen(curves: Sequence[TrialCurve], *, lower_wins: bool) -> Progress:
    """Best so far, report by report in the order in which they were written.

    Args:
        curves: All trials.
        lower_wins: True where smaller values are better.
    """
    screen = [curve for curve in curves if curve.phase is Phase.SCREEN]
    reports = sorted(
        (
            (order, curve, value)
            for curve in screen
            for order, value in zip(curve.order, curve.best, strict=True)
        ),
        key=lambda report: report[0],
    )
    best, holder, at_end = math.nan, "", {}
    bests, holders = [], []
    for n, (_, curve, value) in enumerate(reports, 1):
        gained = value < best if lower_wins else value > best
        if not math.isnan(value) and (math.isnan(best) or gained):
            best, holder = value, curve.config_id
        bests.append(best)
        holders.append(holder)
        at_end[curve.trial_id] = n
    ended = {TrialState.DONE, TrialState.PRUNED}
    return Progress(
        epochs=tuple(range(1, len(reports) + 1)),
        best=tuple(bests),
        holder=tuple(holders),
        ends=tuple(
            (at_end[curve.trial_id], curve.value, curve.config_id, curve.state)
            for curve in screen
            if curve.trial_id in at_end and curve.state in ended
        ),
        seconds=sum(curve.seconds for curve in screen),
    )


def stopped_at(curves: Sequence[TrialCurve], rungs: Sequence[int]) -> dict[int, int]:
    """How many trials each rung of the screen stopped.

    Args:
        curves: All trials.
        rungs: Their epochs, rising; see `tune.tables.history.rungs_of`.
    """
    ends = Counter(c.epochs[-1] for c in curves if c.state is TrialState.PRUNED and c.epochs)
    return {rung: ends[rung] for rung in rungs}


def collapsed_trials(reports: pa.Table) -> Mapping[str, int]:
    """Trials whose last epoch predicted one constant, and that epoch."""
    rows = reports.select(["trial_id", "epoch", "collapsed"]).sort_by("epoch").to_pylist()
    last = {row["trial_id"]: row for row in rows}
    return {name: row["epoch"] for name, row in last.items() if row["collapsed"]}
