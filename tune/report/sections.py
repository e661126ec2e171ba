"""The parts of a report below its headline, in the order in which a reader asks."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hscl.metrics import DIGITS, METRIC, METRICS
from tune.charts.theme import Chart
from tune.display import count, interval, listing, number, signed
from tune.evidence.comparison import StudyComparison
from tune.evidence.curves import UNNAMED
from tune.evidence.gather import Evidence
from tune.evidence.pair import PairComparison
from tune.evidence.search.branches import BRANCH_HEADS, BranchCost, branch_cells
from tune.evidence.search.learnt import learnt_lines
from tune.evidence.search.trials import trials_table
from tune.evidence.sentences import (
    deployed_text,
    ensemble_cells,
    p_text,
    pair_lines,
    reason_text,
    risk_text,
    verdict_label,
)
from tune.evidence.variance import seed_weight_lines
from tune.report.limits import failures_of
from tune.report.model import ReportSection, TextTable
from tune.report.trials import sorted_by, trials_text

__all__ = ["ablation_table", "metrics_table", "sections_of"]

_HOW_TO_READ_CURVES = (
    "In the curves below, the line is what to expect with everything else averaged over the "
    "space, and the band around it is where one new training falls, seed included. The level "
    "stripe is the noise floor: within it, one seed's deviation from the best, nothing can be "
    "told apart by a single training. At the foot, a square marks the default and a circle the "
    "winner, if there is one."
)
_MOST_ROWS = 500
_ON_BRANCHES = (
    " Every row won a screen of its own, all with an equal budget; behind it stand what that "
    "took, what one of its trainings takes (mean of confirm), and its parameters outside the text "
    "encoder."
)
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
        lines = pair_lines(compared.primary, _short_names(evidence), compared.rules)
        details = ("The primary comparison in full", *lines)
    elif compared.others:
        lines = [reason_text(pair, compared.names) for pair in compared.others]
        details = ("Each configuration in words", *lines)
    drawn = [charts["forest"]] if "forest" in charts else []
    return ReportSection(
        "comparison",
        title,
        charts=(*drawn, *maps),
        tables=tuple(_comparison_tables(evidence, compared)),
        details=details,
    )


def _comparison_tables(evidence: Evidence, compared: StudyComparison) -> Iterable[TextTable]:
    if not compared.configs:
        return
    if evidence.spec.is_table:
        yield ablation_table(compared, _names(evidence, compared), evidence.branches)
    else:
        yield _runs_table(evidence, compared)
        if compared.others:
            yield _pairs_table(evidence, compared.others)
    if compared.other_metrics:
        yield (
            metrics_table(compared, _names(evidence, compared))
            if evidence.spec.is_table
            # The first pair is the primary one; further finalists have theirs in hscl compare.
            else _metrics_of_pair(evidence, compared.other_metrics[: len(METRICS) - 1])
        )


def _runs_table(evidence: Evidence, compared: StudyComparison) -> TextTable:
    name = METRIC[compared.metric].name
    return TextTable(
        (
            "Configuration",
            f"{name}, mean",
            "sd",
            "Runs",
            "Worse runs",
            "Failed",
            "Collapsed",
            "Unfinished",
        ),
        tuple(
            (
                evidence.labels.get(one.config_id, UNNAMED).text,
                number(one.mean, DIGITS),
                number(one.sd, DIGITS),
                f"{sum(s is not None for s in one.scores)} of {one.planned}",
                risk_text(one),
                str(one.failed),
                str(len(one.fallen)),
                str(one.unfinished),
            )
            for one in compared.configs
        )
        + tuple((*cells, *[""] * 5) for cells in ensemble_cells(compared)),
        caption=(
            f"Each configuration on the {compared.split} set, over "
            f"{count(len(compared.seeds), 'seed')} ({METRIC[compared.metric].direction}). Means "
            "are over each one's own runs; differences are over the seeds on which both have one. "
            "Collapsed runs, and those with bad luck, are finished ones. "
            f"{deployed_text(compared)}"
        ).rstrip(),
        numeric=frozenset(range(1, 8)),
    )


def _pairs_table(evidence: Evidence, pairs: Sequence[PairComparison]) -> TextTable:
    unit = pairs[0].unit.capitalize()
    return TextTable(
        ("Pair", "Difference", "This set", f"{unit}s like these", "p (Holm)", "Verdict"),
        tuple(
            (
                f"{_name(evidence, pair.first)} − {_name(evidence, pair.second)}",
                signed(pair.means[0] - pair.means[1], DIGITS),
                *_both(pair),
                p_text(pair.judgement.p_holm).removeprefix("p ").removeprefix("= ") or "–",
                verdict_label(pair),
            )
            for pair in pairs
        ),
        caption="All other pairs, corrected together by Holm's method; intervals are not.",
        numeric=frozenset(range(1, 5)),
    )


def ablation_table(
    compared: StudyComparison, names: Mapping[str, str], branches: Sequence[BranchCost] = ()
) -> TextTable:
    """Every configuration against the reference, as papers print it, the verdict at its name.

    Args:
        compared: Of a list, of several screens' winners, or of predictions made elsewhere.
        names: What each configuration is called.
        branches: What each winner's screen took.
    """
    name = METRIC[compared.metric].name
    of = {pair.first: pair for pair in _with_reference(compared)}
    costs = {one.config_id: one for one in branches}
    spoiled = any(one.failed or one.fallen for one in compared.configs)
    heads = [
        "Configuration",
        f"{name}, mean ± sd",
        "Verdict",
        "Difference",
        f"On {compared.unit}s like these",
        f"On this {compared.split} set",
        "Worse runs",
        *(["Spoiled"] if spoiled else []),
        *(BRANCH_HEADS if costs else ()),
    ]
    rows = []
    for one in compared.configs:
        pair = of.get(one.config_id)
        spread = f"{number(one.mean, DIGITS)} ± {number(one.sd, DIGITS)}"
        told: tuple[str, ...] = ("reference", "", "", "")
        if pair is not None:
            difference = signed(pair.means[0] - pair.means[1], DIGITS)
            told = (verdict_label(pair), difference, *reversed(_both(pair)))
        bad = (f"{one.failed} + {len(one.fallen)}",) if spoiled else ()
        cost = branch_cells(costs, one.config_id) if costs else ()
        rows.append((names[one.config_id], spread, *told, risk_text(one), *bad, *cost))
    for label, value, ends in ensemble_cells(compared):
        filled = [""] * (len(heads) - 2)
        rows.append((label, f"{value} ({ends})" if ends else value, *filled))
    counted = "No run failed, collapsed or had bad luck."
    if spoiled:
        counted = "Spoiled runs: those that failed + those that collapsed or had bad luck."
    together = "corrected together by Holm's method; intervals are not"
    return TextTable(
        tuple(heads),
        tuple(rows),
        caption=(
            f"Over {count(len(compared.seeds), 'seed')}, {compared.split} set "
            f"({METRIC[compared.metric].direction}). Verdicts are {together}. {counted} "
            f"{deployed_text(compared)}"
        ).rstrip()
        + _ON_BRANCHES * bool(costs),
        numeric=frozenset({1, *range(3, len(heads))}),
        strong=frozenset({0}),
    )


def _with_reference(compared: StudyComparison) -> tuple[PairComparison, ...]:
    """Each configuration's pair with the reference."""
    return compared.others or ((compared.primary,) if compared.primary is not None else ())


def metrics_table(compared: StudyComparison, names: Mapping[str, str]) -> TextTable:
    """The other metrics of an ablation: means and deviations, a row a configuration."""
    metrics = [metric for metric in METRICS if metric != compared.metric]
    of = {
        (pair.first, pair.metric): (pair.means[0], pair.sds[0]) for pair in compared.other_metrics
    }
    of |= {
        (pair.second, pair.metric): (pair.means[1], pair.sds[1]) for pair in compared.other_metrics
    }
    return TextTable(
        ("Configuration", *(METRIC[metric].name for metric in metrics)),
        tuple(
            (
                names[one.config_id],
                *(_mean_sd(of.get((one.config_id, metric))) for metric in metrics),
            )
            for one in compared.configs
        ),
        caption=f"The other metrics, mean ± sd ({_wanted(compared.other_metrics)}); no verdicts.",
        numeric=frozenset(range(1, len(metrics) + 1)),
        strong=frozenset({0}),
    )


def _metrics_of_pair(evidence: Evidence, pairs: Sequence[PairComparison]) -> TextTable:
    first, second, split = pairs[0].first, pairs[0].second, pairs[0].split
    return TextTable(
        (
            "Metric",
            _name(evidence, first),
            _name(evidence, second),
            "Difference",
            f"On this {split} set",
            f"On {pairs[0].unit}s like these",
        ),
        tuple(
            (
                METRIC[pair.metric].name,
                _mean_sd((pair.means[0], pair.sds[0])),
                _mean_sd((pair.means[1], pair.sds[1])),
                signed(pair.means[0] - pair.means[1], DIGITS),
                *_both(pair),
            )
            for pair in pairs
        ),
        caption=(
            f"The primary pair on the other metrics (mean ± sd; {_wanted(pairs)}). "
            "They have intervals and no verdict."
        ),
        numeric=frozenset(range(1, 6)),
    )


def _wanted(pairs: Sequence[PairComparison]) -> str:
    lower = dict.fromkeys(METRIC[pair.metric].name for pair in pairs if pair.lower_wins)
    return "higher is better" + (f", except for {listing([*lower])}" if lower else "")


def _both(pair: PairComparison) -> tuple[str, str]:
    both = (pair.this_test_set, pair.new_videos)
    here, new = (interval(i.low, i.high, DIGITS) if i is not None else "–" for i in both)
    return here, new


def _mean_sd(values: tuple[float, float] | None) -> str:
    if values is None:
        return "–"
    return f"{number(values[0])} ± {number(values[1])}"


def _name(evidence: Evidence, config_id: str) -> str:
    return evidence.labels.get(config_id, UNNAMED).text


def _names(evidence: Evidence, compared: StudyComparison) -> dict[str, str]:
    return {one.config_id: _name(evidence, one.config_id) for one in compared.configs}


def _short_names(evidence: Evidence) -> dict[str, str]:
    return {config_id: label.text for config_id, label in evidence.labels.items()}
