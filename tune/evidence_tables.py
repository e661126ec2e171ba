"""Comparisons as tables: terminal, CSV, Parquet. What is drawn was computed before."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tune.comparison import PairComparison, Role, Rules
from tune.comparison_words import DIGITS, deciding_words, describe_pair, p_words, pair_headline
from tune.intervals import Interval
from tune.report_words import metric_name, number, signed
from tune.study_comparison import StudyComparison

__all__ = ["Compared", "as_csv", "as_parquet", "pair_rows", "render_studies", "render_study"]


_MOST_ROWS = 42  # six configurations on the seven other metrics; more are no reading matter


@dataclass(frozen=True)
class Compared:
    """A study folder's comparison.

    Attributes:
        where: The folder as the user wrote it.
        data_digest: Of the data set that the study ran on; None where it is not recorded.
        comparison: What is known.
        failed_trials: Failed trials over all phases.
    """

    where: str
    data_digest: str | None
    comparison: StudyComparison
    failed_trials: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = {
            "folder": self.where,
            "data_digest": self.data_digest,
            "failed_trials": self.failed_trials,
        }
        return known | self.comparison.to_dict()


def pair_rows(studies: Sequence[Compared]) -> list[dict[str, Any]]:
    """One flat row per pair and metric, primary first: what CSV and Parquet hold."""
    return [
        {
            "study": one.comparison.study,
            "folder": one.where,
            "data_digest": one.data_digest,
            "study_digest": one.comparison.study_digest,
            "phase": one.comparison.phase.value if one.comparison.phase else None,
            "margin": one.comparison.margin,
        }
        | _pair_row(pair, one.comparison.names)
        for one in studies
        for pair in _pairs(one.comparison)
    ]


def _pairs(comparison: StudyComparison) -> list[PairComparison]:
    first = [comparison.primary] if comparison.primary is not None else []
    return [*first, *comparison.others, *comparison.other_metrics]


def _pair_row(pair: PairComparison, names: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "role": pair.role.value,
        "split": pair.split,
        "metric": pair.metric,
        "first": pair.first,
        "first_name": names[pair.first],
        "second": pair.second,
        "second_name": names[pair.second],
        "seeds": len(pair.seeds),
        "planned_seeds": pair.planned,
        "videos": pair.videos,
    }
    for side, mean, sd, failed, missing in zip(
        ("first", "second"), pair.means, pair.sds, pair.failures, pair.missing, strict=True
    ):
        row |= {
            f"{side}_mean": mean,
            f"{side}_sd": sd,
            f"{side}_failures": failed,
            f"{side}_missing": missing,
        }
    row |= {"difference": pair.this_test_set.estimate if pair.this_test_set else None}
    row |= _ends("this_test_set", pair.this_test_set) | _ends("new_videos", pair.new_videos)
    row |= _ends("new_videos_narrow", pair.new_videos_narrow) | _ends("bootstrap", pair.bootstrap)
    ahead = pair.ahead.estimate if pair.ahead else None
    return row | {
        "sign_flip_p": pair.sign_flip_p,
        "sign_flip_p_holm": pair.sign_flip_p_holm,
        "new_videos_p": pair.p_value,
        "new_videos_p_holm": pair.p_holm,
        "share_of_seeds_ahead": ahead,
        "verdict": pair.verdict.value if pair.verdict else None,
        "below_margin": pair.below_margin,
        "reason": pair.reason,
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_level": interval.level if interval else None,
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with a head; what does not exist is empty."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """The same rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return bytes(sink.getvalue().to_pybytes())


def render_study(compared: Compared) -> RenderableType:
    """One study for the terminal: headline, configurations, pairs, other metrics, notes."""
    comparison = compared.comparison
    rules = Rules(comparison.margin, comparison.looks)
    parts: list[RenderableType] = [Text(f"{comparison.study}: {compared.where}", style="bold")]
    primary = comparison.primary
    if primary is not None:
        parts.append(Text(pair_headline(primary, comparison.names, rules), style="bold"))
    if comparison.configs:
        parts.append(_configurations(comparison))
    if primary is not None:
        lines = describe_pair(primary, comparison.names, rules)
        parts.append(Text("\n".join(["Primary comparison", *(f"  {line}" for line in lines)])))
    if comparison.others:
        title = "All other pairs, secondary" if primary else "All configurations"
        parts.append(_pair_table(comparison.others, comparison, f"{title}; p corrected by Holm"))
        parts += [
            Text(f"What would decide {comparison.names[pair.first]}: {deciding_words(outlook)}.")
            for pair in comparison.others
            if primary is None and (outlook := pair.outlook) is not None
        ]
    others = comparison.other_metrics
    title = "Other metrics: intervals, no verdict"
    if len(others) > _MOST_ROWS:
        parts.append(Text(f"{title}: {len(others)} rows, in --json and --format csv"))
    elif others:
        parts.append(_pair_table(others, comparison, title))
    if compared.failed_trials:
        parts.append(Text(f"Failed trials over all phases: {compared.failed_trials}"))
    parts.append(Text("\n".join(f"Note: {note}" for note in comparison.notes)))
    return Group(*parts)


def _configurations(comparison: StudyComparison) -> Table:
    split, metric = comparison.split, metric_name(comparison.metric)
    table = Table(
        title=f"{metric} on {split}, {len(comparison.seeds)} seeds ({comparison.phase})",
        box=box.SIMPLE,
        title_justify="left",
    )
    table.add_column("configuration")
    for head in ("mean", "sd over seeds", "finished", "failed", "unfinished"):
        table.add_column(head, justify="right")
    for config in comparison.configs:
        table.add_row(
            escape(config.label),
            number(config.mean, DIGITS),
            number(config.sd, DIGITS),
            f"{config.planned - config.failed - config.unfinished} of {config.planned}",
            str(config.failed or ""),
            str(config.unfinished or ""),
        )
    return table


def _pair_table(pairs: Sequence[PairComparison], comparison: StudyComparison, title: str) -> Table:
    names = comparison.names
    by_metric = pairs[0].role is Role.METRIC
    several = len({(pair.first, pair.second) for pair in pairs}) > 1
    shared = {pair.second for pair in pairs}
    if len(shared) == 1 and (several or not by_metric):
        title = f"{title}; each minus {names[pairs[0].second]}"
    table = Table(title=escape(title), box=box.SIMPLE, title_justify="left")
    if by_metric:
        table.add_column("metric", no_wrap=True)
    if several or not by_metric:
        table.add_column("configuration" if len(shared) == 1 else "pair")
    for head in ("seeds", f"on this {comparison.split} set", "on videos like these"):
        table.add_column(head, justify="right")
    if not by_metric:
        table.add_column("p", justify="right")
        table.add_column("verdict")
    for pair in pairs:
        cells = [metric_name(pair.metric)] if by_metric else []
        if several or not by_metric:
            second = "" if len(shared) == 1 else f" − {names[pair.second]}"
            cells.append(escape(names[pair.first] + second))
        cells += [
            f"{len(pair.seeds)} of {pair.planned}",
            _interval(pair.this_test_set),
            _interval(pair.new_videos),
        ]
        if not by_metric:
            cells += [p_words(pair.p_holm).removeprefix("p ").removeprefix("= "), _verdict(pair)]
        table.add_row(*cells)
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    ends = f"{signed(interval.low, DIGITS)} … {signed(interval.high, DIGITS)}"
    return f"{signed(interval.estimate, DIGITS)} ({ends})"


def _verdict(pair: PairComparison) -> str:
    if pair.verdict is None:
        return "none"
    return f"{pair.verdict}{', below the margin' if pair.below_margin else ''}"


def render_studies(studies: Sequence[Compared]) -> RenderableType:
    """Several studies side by side: each one's primary pair, or its pairs with the reference."""
    metric = metric_name(studies[0].comparison.metric)
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
                escape(f"{comparison.study} ({one.where})"),
                escape(f"{names[pair.first]} − {names[pair.second]}"),
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
