"""What the search's figures show, computed from the tables: what the best cost, and names.

Nothing is drawn here.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune.states import Kind, Origin, TrialState
from tune.tables.fold import metric_values
from tune.tables.history import History
from tune.tables.records import DEFAULT_NAME, TrialRecord, config_label

__all__ = [
    "UNNAMED",
    "Label",
    "Progress",
    "TrialEnd",
    "labels_of",
    "progress_of_search",
    "stopped_at",
]


@dataclass(frozen=True)
class Label:
    """How a configuration is called and which group it belongs to.

    Attributes:
        text: Such as "default", "hscl (default)" where it is one screen's, a known point's name,
            "configuration 7", or "winner (configuration 17)".
        role: winner, default, finalist, known or other; see `tune.charts.theme.style_of`.
    """

    text: str
    role: str

    @property
    def markup(self) -> str:
        """The text for a figure: Plotly reads `<` and `&` as HTML, and names are user input."""
        return html.escape(self.text, quote=False)

    @property
    def called(self) -> str:
        """The text in a sentence, with its article where it needs one."""
        article = self.role == "winner" or self.text == DEFAULT_NAME
        return f"the {self.text}" if article else self.text


_SECTION = re.compile(r"\b(?:loss|train|model)\.")
"""Points of a grid are named by their values: "loss.temperature = 0.1" reads well without it."""

UNNAMED = Label("unknown configuration", "other")
"""Stands for a configuration whose row is lost."""


def labels_of(history: History) -> dict[str, Label]:
    """A label for each configuration, in order of proposal.

    Args:
        history: The study's rows.
    """
    winner = history.winner
    finalists = {row["config_id"] for row in history.plan_rows(Kind.FINALIST)}
    labels = {}
    for config_id, config in history.configs.items():
        text = config_label(config.number, config.name)
        if config.origin is Origin.DEFAULT:
            labels[config_id] = Label(history.spec.default_name, "default")
        elif config_id == winner:
            labels[config_id] = Label(f"winner ({text})", "winner")
        elif config_id in finalists:
            labels[config_id] = Label(text, "finalist")
        elif config.origin is Origin.KNOWN:
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
class TrialEnd:
    """A trial of screen or refine that has ended with a result.

    Attributes:
        epochs: Trained so far, over all trials of the search, when it ended.
        value: Its best valid value.
        config_id: Its configuration.
        state: DONE or PRUNED.
    """

    epochs: int
    value: float
    config_id: str
    state: TrialState


@dataclass(frozen=True)
class Progress:
    """The best value of screen and refine against what it has cost.

    Attributes:
        epochs: (R,) epochs trained so far, over all trials of the search, at each report.
        best: (R,) best valid value so far.
        holder: (R,) the configuration that has it.
        ends: Of the trials that ended with a result.
        seconds: Training time of all of it.
    """

    epochs: tuple[int, ...]
    best: tuple[float, ...]
    holder: tuple[str, ...]
    ends: tuple[TrialEnd, ...]
    seconds: float


def progress_of_search(history: History, reports: pa.Table) -> Progress:
    """Best so far, report by report in the order in which they were written.

    Args:
        history: The study's rows.
        reports: Its table of reports.
    """
    searching = [trial for trial in history.trials.values() if trial.phase.searches]
    names = pa.array([trial.trial_id for trial in searching], type=pa.string())
    ordered = reports.filter(pc.is_in(reports["trial_id"], value_set=names)).sort_by("seq")
    numbers = pc.index_in(ordered["trial_id"], value_set=names).to_numpy()
    best = history.best_so_far(metric_values(ordered, history.spec))
    before = np.concatenate([[np.nan], best])[: best.size]
    # Who gained last holds the best; a NaN gains nothing.
    gained = np.where(np.isfinite(best) & (best != before), np.arange(best.size), -1)
    holder = np.maximum.accumulate(gained)
    at_end = {int(number): n for n, number in enumerate(numbers, 1)}
    ended = {TrialState.DONE, TrialState.PRUNED}
    return Progress(
        epochs=tuple(range(1, best.size + 1)),
        best=tuple(best.tolist()),
        holder=tuple(searching[numbers[n]].config_id if n >= 0 else "" for n in holder.tolist()),
        ends=tuple(
            TrialEnd(at_end[n], trial.best[trial.epoch], trial.config_id, trial.state)
            for n, trial in enumerate(searching)
            if n in at_end and trial.state in ended
        ),
        seconds=sum(trial.seconds for trial in searching),
    )


def stopped_at(trials: Iterable[TrialRecord], rungs: Sequence[int]) -> dict[int, int]:
    """How many trials each rung of the screen stopped.

    Args:
        trials: All trials.
        rungs: Their epochs, rising; see `tune.study.allocation.rungs_of`.
    """
    ends = Counter(trial.epoch for trial in trials if trial.state is TrialState.PRUNED)
    return {rung: ends[rung] for rung in rungs}
