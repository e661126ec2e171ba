"""The parts of a report below its headline, in the order in which a reader asks."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hscl.metrics import DIGITS, METRIC
from tune.charts.theme import Chart
from tune.display import count, number
from tune.evidence.comparison import StudyComparison
from tune.evidence.curves import UNNAMED
from tune.evidence.gather import Evidence
from tune.evidence.search.learnt import learnt_lines
from tune.evidence.search.trials import trials_table
from tune.evidence.sentences import (
    pair_lines,
    reason_text,
)
from tune.evidence.variance import seed_weight_lines
from tune.report.limits import failures_of
from tune.report.model import ReportSection
from tune.report.tables import comparison_tables
from tune.report.trials import sorted_by, trials_text

__all__ = ["sections_of"]

_HOW_TO_READ_CURVES = (
    "In the curves below, the line is what to expect with everything else averaged over the "
    "space, and the band around it is where one new training falls, seed included. The level "
    "stripe is the noise floor: within it, one seed's deviation from the best, nothing can be "
    "told apart by a single training. At the foot, a square marks the default and a circle the "
    "winner, if there is one."
)
_MOST_ROWS = 500
_SEARCH = ("best-so-far", "learning-curves")


def sections_of(evidence: Evidence, charts: Mapping[str, Chart]) -> list[ReportSection]:
    """The sections that have something to say.

    Args:
        evidence: The study.
        charts: From `tune.charts.figures.charts_of`.
    """
    taken = {"forest", *_SEARCH}
    rest = [chart for name, chart in charts.items() if name not in taken]
    maps = [chart for chart in rest if chart.name.startswith("heat-map")]
    found = [
        _comparison(evidence, charts, maps),
        ReportSection("learnt", "What the search knows", points=tuple(_learnt(evidence))),
        ReportSection(
            "search",
            "How the trainings went" if evidence.spec.compares_all else "How the search went",
            charts=tuple(charts[name] for name in _SEARCH if name in charts),
        ),
        _trials(evidence),
        ReportSection(
            "hyperparameters",
            "What the hyperparameters do",
            paragraphs=tuple(_on_variance(evidence, rest)),
            charts=tuple(chart for chart in rest if chart not in maps),
        ),
        failures_of(evidence),
    ]
    return [s for s in found if s.charts or s.tables or s.points or s.paragraphs]


def _trials(evidence: Evidence) -> ReportSection:
    """Every configuration, the best first; of very many the best."""
    rows = sorted_by(trials_table(evidence), "valid", evidence.metric)
    shown = trials_text(rows.slice(0, _MOST_ROWS), evidence.metric)
    best = f" Shown are the best {_MOST_ROWS}." if rows.num_rows > _MOST_ROWS else ""
    caption = (
        "A row a configuration; a click on a head sorts. Valid is the mean over its seeds in its "
        f"furthest phase, so that values of one phase alone are alike.{best} The same with a row "
        f"a seed, filters and CSV: hscl trials {shlex.quote(evidence.where)}"
    )
    table = replace(shown, caption=caption, sortable=True)
    return ReportSection("trials", "All configurations in numbers", tables=(table,))


def _learnt(evidence: Evidence) -> list[str]:
    learnt = evidence.learnt
    return [] if learnt is None else learnt_lines(learnt, evidence.history.winner)


def _on_variance(evidence: Evidence, charts: Sequence[Chart]) -> Iterable[str]:
    if evidence.seed_weight is not None:
        yield " ".join(seed_weight_lines(evidence.seed_weight))
    seed = evidence.variance.seed
    if seed is not None:
        yield (
            f"Between seeds of one and the same configuration, valid "
            f"{METRIC[evidence.metric].name} has a standard deviation of "
            f"{number(seed.sd, DIGITS)} (95 %: {number(seed.low, DIGITS)} to "
            f"{number(seed.high, DIGITS)}; {count(seed.configurations, 'configuration')}, "
            f"{count(seed.degrees_of_freedom, 'degree')} of freedom)."
        )
    yield from evidence.variance.notes
    if any(chart.half for chart in charts):
        yield _HOW_TO_READ_CURVES


def _comparison(
    evidence: Evidence, charts: Mapping[str, Chart], maps: Sequence[Chart]
) -> ReportSection:
    compared = evidence.comparison
    if compared is None:
        return ReportSection("comparison", "The comparison", paragraphs=(evidence.why_not,))
    title = "The comparison"
    if evidence.branches:
        title = "The winners of all screens"
    elif evidence.spec.compares_all:
        title = "The grid" if maps else "The ablations"
    details: tuple[str, ...] = ()
    if compared.primary is not None:
        lines = pair_lines(compared.primary, _names(evidence, compared), compared.rules)
        details = ("The primary comparison in full", *lines)
    elif compared.others:
        lines = [reason_text(pair, compared.names) for pair in compared.others]
        details = ("Each configuration in words", *lines)
    drawn = [charts["forest"]] if "forest" in charts else []
    return ReportSection(
        "comparison",
        title,
        charts=(*drawn, *maps),
        tables=tuple(
            comparison_tables(
                compared,
                _names(evidence, compared),
                evidence.branches,
                as_list=evidence.spec.is_table,
            )
        ),
        details=details,
    )


def _names(evidence: Evidence, compared: StudyComparison) -> dict[str, str]:
    labels = evidence.labels
    return {one.config_id: labels.get(one.config_id, UNNAMED).text for one in compared.configs}
