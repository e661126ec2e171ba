"""The tables of a comparison: runs, pairs, ablations, other metrics."""

import math
from collections.abc import Iterable, Mapping, Sequence

from hscl.metrics import DIGITS, METRIC
from tune.display import MISSING, count, interval, listing, number, signed
from tune.evidence.comparison import StudyComparison
from tune.evidence.pair import PairComparison
from tune.evidence.search.branches import BRANCH_HEADS, BranchCost, branch_cells
from tune.evidence.sentences import (
    deployed_text,
    ensemble_cells,
    p_text,
    risk_text,
    verdict_label,
)
from tune.report.model import TextTable

__all__ = ["ablation_table", "comparison_tables", "own_values"]

_ON_BRANCHES = (
    " Every row won a screen of its own, all with an equal budget; behind it stand what that "
    "took, what one of its trainings takes (mean of confirm), and its parameters outside the text "
    "encoder."
)


def comparison_tables(
    compared: StudyComparison,
    names: Mapping[str, str],
    branches: Sequence[BranchCost] = (),
    *,
    as_list: bool,
) -> Iterable[TextTable]:
    """All tables of a comparison.

    Args:
        compared: Whose.
        names: What each configuration is called.
        branches: What each winner's screen took.
        as_list: Everything is compared with the reference, as in a list or an ablation.
    """
    if not compared.configs:
        return
    if as_list:
        yield ablation_table(compared, names, branches)
    else:
        yield _runs_table(compared, names)
        if compared.others:
            yield _pairs_table(compared.others, names)
    if compared.other_metrics:
        yield (
            _metrics_by_row(compared, names)
            if as_list
            # The first pair is the primary one; further finalists have theirs in hscl compare.
            else _metrics_of_pair(compared.other_metrics[: len(compared.metrics) - 1], names)
        )


def _runs_table(compared: StudyComparison, names: Mapping[str, str]) -> TextTable:
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
                names[one.config_id],
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


def _pairs_table(pairs: Sequence[PairComparison], names: Mapping[str, str]) -> TextTable:
    unit = pairs[0].unit.capitalize()
    return TextTable(
        ("Pair", "Difference", "This set", f"{unit}s like these", "p (Holm)", "Verdict"),
        tuple(
            (
                f"{names[pair.first]} − {names[pair.second]}",
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


def _metrics_by_row(compared: StudyComparison, names: Mapping[str, str]) -> TextTable:
    """The other metrics of an ablation: means and deviations, a row a configuration."""
    metrics = [metric for metric in compared.metrics if metric != compared.metric]
    of = own_values(compared.other_metrics)
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


def own_values(pairs: Iterable[PairComparison]) -> dict[tuple[str, str], tuple[float, float, int]]:
    """Each configuration's mean, deviation and number of seeds in each metric that it has.

    A pair knows them over the seeds that both have: of several the one with the most counts.

    Args:
        pairs: Of any metrics.
    """
    found: dict[tuple[str, str], tuple[float, float, int]] = {}
    for pair in sorted(pairs, key=lambda pair: -len(pair.seeds)):
        for one, mean, sd in zip((pair.first, pair.second), pair.means, pair.sds, strict=True):
            if not math.isnan(mean):
                found.setdefault((one, pair.metric), (mean, sd, len(pair.seeds)))
    return found


def _metrics_of_pair(pairs: Sequence[PairComparison], names: Mapping[str, str]) -> TextTable:
    first, second, split = pairs[0].first, pairs[0].second, pairs[0].split
    return TextTable(
        (
            "Metric",
            names[first],
            names[second],
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


def _mean_sd(values: Sequence[float] | None) -> str:
    return MISSING if values is None else f"{number(values[0])} ± {number(values[1])}"
