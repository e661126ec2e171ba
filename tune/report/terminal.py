"""Comparisons and sample sizes as tables for the terminal. What is drawn was computed before."""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hscl.metrics import DIGITS, METRIC
from tune.display import number, signed
from tune.evidence.comparison import StudyComparison
from tune.evidence.pair import PairComparison, Role
from tune.evidence.search.branches import BRANCH_HEADS, BranchCost, branch_cells
from tune.evidence.search.choice import answer_lines
from tune.evidence.search.learnt import learnt_lines
from tune.evidence.search.use import use_lines
from tune.evidence.sentences import (
    called,
    deciding_text,
    deployed_text,
    ensemble_cells,
    p_text,
    pair_lines,
    reason_text,
    risk_text,
    verdict_label,
)
from tune.evidence.variance import seed_weight_lines
from tune.report.rows import Compared
from tune.report.tables import own_values
from tune.simulate.sample_size import SampleSizes
from tune.stats.intervals import Interval

__all__ = ["render_sample_sizes", "render_studies", "render_study"]


_NAMED = 1  # column of a configuration's name
_MOST_ROWS = 42  # six configurations on the seven other metrics; more are no reading matter


def render_study(compared: Compared) -> RenderableType:
    """One study for the terminal: headline, configurations, pairs, other metrics, notes."""
    comparison = compared.comparison
    rules = comparison.rules
    primary = comparison.primary
    if compared.use is None:
        answer = compared.opening or answer_lines(
            compared.choice, primary, comparison.names, rules
        )
        parts: list[RenderableType] = [Text(line, style="bold") for line in answer]
    else:
        lines, bold = use_lines(compared.use), len(compared.use.sentences)
        parts = [Text(line, style="bold" if n < bold else "") for n, line in enumerate(lines)]
    parts.append(Text(f"\n{comparison.study}: {compared.where}", style="bold"))
    if comparison.configs:
        parts.append(_configurations(comparison, compared.branches))
        parts.append(Text(deployed_text(comparison)))
    if primary is not None:
        lines = pair_lines(primary, comparison.names, rules)
        parts.append(Text("\n".join(["Primary comparison", *(f"  {line}" for line in lines)])))
    if comparison.others:
        title = "All other pairs, secondary" if primary else "All configurations"
        parts.append(_pair_table(comparison.others, comparison, f"{title}; p corrected by Holm"))
        parts += [
            Text(reason_text(pair, comparison.names))
            for pair in comparison.others
            if any(pair.fallen)  # it may be why there is no other verdict
        ]
        parts += [
            Text(f"What would decide {comparison.names[pair.first]}: {deciding_text(outlook)}.")
            for pair in comparison.others
            if primary is None and (outlook := pair.judgement.outlook) is not None
        ]
    others = comparison.other_metrics
    title = "Other metrics: mean ± sd over seeds, differences; no verdict"
    if len(others) > _MOST_ROWS:
        parts.append(Text(f"{title}: {len(others)} rows, in --json and --format csv"))
    elif others:
        parts.append(_pair_table(others, comparison, title))
    if compared.weight is not None:
        parts.append(Text("\n".join(seed_weight_lines(compared.weight))))
    if compared.learnt is not None:
        lines = learnt_lines(compared.learnt, compared.candidate)
        parts.append(Text("\n".join(["What the search knows", *(f"  {x}" for x in lines)])))
    if compared.failed_trials:
        parts.append(Text(f"Failed trials over all phases: {compared.failed_trials}"))
    parts.append(Text("\n".join(f"Note: {note}" for note in comparison.notes)))
    return Group(*parts)


def _configurations(comparison: StudyComparison, branches: Sequence[BranchCost]) -> Table:
    split, metric = comparison.split, METRIC[comparison.metric].name
    table = Table(
        title=f"{metric} on {split}, {len(comparison.seeds)} seeds"
        + (f" ({comparison.phase})" if comparison.phase else ""),
        box=box.SIMPLE,
        title_justify="left",
    )
    ensembles = ensemble_cells(comparison)
    heads = ["#", "configuration", "mean", "sd over seeds" + " or interval" * bool(ensembles)]
    heads += ["finished", "worse runs", "failed", "collapsed", "unfinished"]
    costs = {one.config_id: one for one in branches}
    heads += (text.lower() for text in BRANCH_HEADS if costs)
    rows = [
        (
            str(config.number),
            Text(config.label),
            number(config.mean, DIGITS),
            number(config.sd, DIGITS),
            f"{config.planned - config.failed - config.unfinished} of {config.planned}",
            risk_text(config),
            str(config.failed or ""),
            str(len(config.fallen) or ""),
            str(config.unfinished or ""),
            *(branch_cells(costs, config.config_id) if costs else ()),
        )
        for config in comparison.configs
    ]
    # What no run did has no column: a study of several models needs the width.
    shown = [n for n in range(len(heads)) if any(row[n] for row in rows)]
    for n in shown:
        table.add_column(heads[n], justify="left" if n == _NAMED else "right")
    for row in rows:
        table.add_row(*(row[n] for n in shown))
    for name, value, ends in ensembles:
        table.add_row("", Text(name), value, ends)
    return table


def _pair_table(pairs: Sequence[PairComparison], comparison: StudyComparison, title: str) -> Table:
    names = comparison.names
    by_metric = pairs[0].role is Role.METRIC
    several = len({(pair.first, pair.second) for pair in pairs}) > 1
    shared = {pair.second for pair in pairs}
    if len(shared) == 1 and (several or not by_metric):
        title = f"{title}; each minus {names[pairs[0].second]}"
    table = Table(title=Text(title), box=box.SIMPLE, title_justify="left")
    if by_metric:
        table.add_column("metric", no_wrap=True)
    if several or not by_metric:
        table.add_column("configuration" if len(shared) == 1 else "pair")
    shown = 0 if not by_metric else 1 if several else 2  # of the two means
    means = ("its mean ± sd", f"of {called(names, pairs[0].second)}")[:shown]
    here, new = f"on this {comparison.split} set", f"on {comparison.unit}s like these"
    for head in (*means, "seeds", here, new):
        table.add_column(head, justify="right")
    if not by_metric:
        table.add_column("p", justify="right")
        table.add_column("verdict")
    own_rows = by_metric and several and len(shared) == 1
    for pair in _by_metric(pairs) if own_rows else pairs:
        if own_rows and pair.first == pairs[0].first:
            # A paper's table has the reference's own row, above those that are compared with it.
            table.add_row(*_own_row([one for one in pairs if one.metric == pair.metric], names))
        cells: list[RenderableType] = [METRIC[pair.metric].name] if by_metric else []
        if several or not by_metric:
            second = "" if len(shared) == 1 else f" − {names[pair.second]}"
            cells.append(Text(names[pair.first] + second))
        cells += [_mean_sd(*one) for one in zip(pair.means, pair.sds, strict=True)][:shown]
        cells += [
            f"{len(pair.seeds)} of {pair.planned}",
            _interval(pair.this_test_set),
            _interval(pair.new_videos),
        ]
        if not by_metric:
            cells += [
                p_text(pair.judgement.p_holm).removeprefix("p ").removeprefix("= "),
                _verdict(pair),
            ]
        table.add_row(*cells)
    return table


def _by_metric(pairs: Sequence[PairComparison]) -> list[PairComparison]:
    return sorted(pairs, key=lambda pair: list(METRIC).index(pair.metric))


def _own_row(pairs: Sequence[PairComparison], names: Mapping[str, str]) -> list[RenderableType]:
    """What the reference has of a metric, over as many of its seeds as are known."""
    metric, reference = pairs[0].metric, pairs[0].second
    mean, sd, seeds = own_values(pairs).get((reference, metric), (math.nan, math.nan, 0))
    seeds_text = f"{seeds} of {pairs[0].planned}"
    return [METRIC[metric].name, Text(names[reference]), _mean_sd(mean, sd), seeds_text]


def _mean_sd(mean: float, sd: float) -> str:
    return f"{number(mean, DIGITS)} ± {number(sd, DIGITS)}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    ends = f"{signed(interval.low, DIGITS)} … {signed(interval.high, DIGITS)}"
    return f"{signed(interval.estimate, DIGITS)} ({ends})"


def _verdict(pair: PairComparison) -> str:
    return verdict_label(pair) + ", below the margin" * pair.judgement.below_margin


def render_studies(studies: Sequence[Compared]) -> RenderableType:
    """Several studies side by side: each one's primary pair, or its pairs with the reference."""
    metric = METRIC[studies[0].comparison.metric].name
    table = Table(
        title=f"{metric}: differences within each study", box=box.SIMPLE, title_justify="left"
    )
    heads = ("study", "pair", "split", "seeds", "on this set", "on videos like these", "verdict")
    for head in heads:
        table.add_column(head)
    for one in studies:
        comparison = one.comparison
        pairs = [comparison.primary] if comparison.primary is not None else comparison.others
        for pair in pairs:
            names = comparison.names
            table.add_row(
                Text(f"{comparison.study} ({one.where})"),
                Text(f"{names[pair.first]} − {names[pair.second]}"),
                pair.split,
                f"{len(pair.seeds)} of {pair.planned}",
                _interval(pair.this_test_set),
                _interval(pair.new_videos),
                _verdict(pair),
            )
    parts: list[RenderableType] = [table]
    for one in studies:
        notes = "\n".join(f"  {note}" for note in one.comparison.notes)
        parts.append(Text(f"{one.comparison.study} ({one.where})\n{notes}"))
    return Group(*parts)


def render_sample_sizes(sizes: SampleSizes) -> RenderableType:
    """What studies of several sizes can show."""
    found = f"find a true difference of {sizes.gap:g} on videos like these"
    table = Table(
        title=f"Share of studies that {found}",
        box=box.SIMPLE,
        title_justify="left",
    )
    heads = ("seeds", "test videos", "computed", "simulated", "false claims", "80 % find from")
    for head in heads:
        table.add_column(head, justify="right")
    for cell in sizes.cells:
        table.add_row(
            str(cell.seeds),
            str(cell.videos),
            f"{cell.power:.2f}",
            str(cell.found or ""),
            str(cell.claimed or ""),
            f"{cell.detectable:.3f}",
        )
    spread = sizes.spread
    sds = ", ".join(
        f"{name} {getattr(spread, name) ** 0.5:.3g}" for name in ("seed", "video", "error")
    )
    return Group(table, Text(f"Standard deviations: {sds}; confirm.looks = {sizes.looks}"))
