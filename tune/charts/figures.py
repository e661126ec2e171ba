"""All figures of a study by name: the report's, and the same for notebooks."""

import math
from typing import Any

from tune.charts.axes import Settings, axis_of
from tune.charts.best_so_far import best_so_far
from tune.charts.forest import forest
from tune.charts.heat_maps import heat_maps
from tune.charts.learning_curves import learning_curves
from tune.charts.parallel_coordinates import parallel_coordinates
from tune.charts.responses import response_curves
from tune.charts.shares import variance_shares
from tune.charts.theme import Chart, recolour
from tune.evidence.curves import progress_of_search, stopped_at
from tune.evidence.gather import Evidence
from tune.states import TrialState
from tune.study.allocation import rungs_of

__all__ = ["charts_of", "figures_of", "settings_of"]


def charts_of(evidence: Evidence) -> dict[str, Chart]:
    """Every figure that the study has data for, by its short name, in the report's order."""
    found = [
        *_forest(evidence),
        *_grid(evidence),
        *_search(evidence),
        *_space(evidence),
        *_effects(evidence),
    ]
    return {chart.name: chart for chart in found}


def figures_of(evidence: Evidence, *, dark: bool = False) -> dict[str, Any]:
    """The same as Plotly figures, for notebooks.

    Args:
        evidence: From `tune.evidence.gather.gather`.
        dark: In the dark palette.
    """
    import plotly.graph_objects as go  # noqa: PLC0415 - only where figures are asked for

    figures = {name: chart.figure for name, chart in charts_of(evidence).items()}
    if not dark:
        return figures
    return {name: go.Figure(recolour(one.to_plotly_json())) for name, one in figures.items()}


def settings_of(evidence: Evidence) -> Settings:
    """For each configuration the values of its active searched parameters."""
    names = [name for name in evidence.tables["configs"].column_names if "." in name]
    rows = evidence.tables["configs"].select(["config_id", *names]).to_pylist()
    return {
        row["config_id"]: {name: row[name] for name in names if row[name] is not None}
        for row in rows
    }


def _forest(evidence: Evidence) -> list[Chart]:
    compared = evidence.comparison
    if compared is None:
        return []
    pairs = [*([compared.primary] if compared.primary else []), *compared.others]
    shown = [pair for pair in pairs if pair.differences]
    if not shown or evidence.spec.sampler.kind == "grid":
        return []
    return [forest(shown, evidence.labels, compared.margin)]


def _grid(evidence: Evidence) -> list[Chart]:
    compared = evidence.comparison
    if compared is None or evidence.spec.sampler.kind != "grid" or not compared.others:
        return []
    return heat_maps(compared.others, settings_of(evidence), evidence.labels)


def _search(evidence: Evidence) -> list[Chart]:
    found = []
    noise = _seed_sd(evidence)
    progress = progress_of_search(evidence.history, evidence.tables["reports"])
    if any(math.isfinite(value) for value in progress.best):
        found.append(best_so_far(progress, evidence.labels, evidence.metric, noise))
    if any(trial.curve for trial in evidence.trials):
        stops = stopped_at(evidence.trials, rungs_of(evidence.spec))
        found.append(
            learning_curves(evidence.trials, evidence.labels, stops, evidence.metric, noise)
        )
    return found


def _space(evidence: Evidence) -> list[Chart]:
    searching = [curve for curve in evidence.trials if curve.phase.searches]
    complete = [curve for curve in searching if curve.state is TrialState.DONE]
    if not evidence.spec.space or not complete:
        return []
    settings = settings_of(evidence)
    axes = [
        axis_of(name, distribution, [v[name] for v in settings.values() if name in v])
        for name, distribution in evidence.spec.space.items()
    ]
    metric, labels = evidence.metric, evidence.labels
    noise = _seed_sd(evidence)
    return [parallel_coordinates(settings, axes, searching, labels, metric, noise)]


def _seed_sd(evidence: Evidence) -> float | None:
    """The noise floor of single trainings on valid."""
    seed = evidence.variance.seed
    return seed.sd if seed else None


def _effects(evidence: Evidence) -> list[Chart]:
    found, metric = evidence.variance, evidence.metric
    noise = _seed_sd(evidence)
    settings, labels = settings_of(evidence), evidence.labels
    curves = response_curves(found.responses, noise, settings, labels, metric)
    return [*curves, variance_shares(found.shares, metric)] if found.shares else curves
