"""Every section holds what its tables and figures promise."""

from dataclasses import replace

import pyarrow as pa
import pytest
from study_factory import Simulated, evidence_of

from hscl.metrics import METRICS
from tune.charts.figures import charts_of
from tune.report.headline import facts_of, headline_of, verdict_of
from tune.report.model import ReportSection, TextTable
from tune.report.sections import sections_of

SEARCH = Simulated(trials=8, refined=3, failures=2)
LIST = Simulated(sampler="list", confirm_seeds=5, epochs=3)
BY_CORR = replace(LIST, metric="corr")


def _sections(what: Simulated) -> dict[str, ReportSection]:
    evidence = evidence_of(what)
    return {section.name: section for section in sections_of(evidence, charts_of(evidence))}


@pytest.mark.parametrize(
    "what",
    [
        SEARCH,
        LIST,
        Simulated(sampler="grid", confirm_seeds=5, epochs=3),
        Simulated(until="screen", trials=8),
        Simulated(until="refine", trials=8, refined=3),
        Simulated(until="confirm", trials=8, refined=3),
    ],
)
def test_every_chart_is_in_one_section_and_every_table_is_rectangular(what: Simulated) -> None:
    sections = _sections(what)
    shown = [chart.name for section in sections.values() for chart in section.charts]
    assert sorted(shown) == sorted(charts_of(evidence_of(what)))
    for section in sections.values():
        for table in section.tables:
            assert all(len(row) == len(table.columns) for row in table.rows)
            assert table.numeric <= set(range(1, len(table.columns)))


def test_all_configurations_stand_in_a_table_that_can_be_sorted_best_first() -> None:
    (table,) = _sections(SEARCH)["trials"].tables
    assert table.sortable
    values = [row[table.columns.index("valid MAE")] for row in table.rows]
    assert len(values) == len(evidence_of(SEARCH).history.configs)
    assert values == sorted(values, key=lambda text: float(text.split(" ± ")[0]))


def test_failures_are_listed_with_their_errors() -> None:
    section = _sections(SEARCH)["failures"]
    (table,) = section.tables
    assert len(table.rows) == 4  # two in the screen, two of the default's
    assert all("the loss is nan" in row[-1] for row in table.rows)


def _begun_again(errors: dict[str, str | None]) -> tuple[str, ...]:
    """What is said of trials whose second attempt began with these reasons."""
    evidence = evidence_of(LIST)
    table = evidence.tables["trials"]
    rows = table.to_pylist()
    trials = {row["trial_id"]: row for row in rows}
    for (_, row), error in zip(trials.items(), errors.values(), strict=False):
        rows.append(row | {"state": "started", "attempt": 2, "error": error})
    changed = pa.Table.from_pylist(rows, schema=table.schema)
    again = replace(evidence, tables={**evidence.tables, "trials": changed})
    sections = {s.name: s for s in sections_of(again, charts_of(again))}
    return sections["failures"].points


def test_a_search_that_a_person_stopped_is_no_breakdown() -> None:
    told = " ".join(_begun_again({"a": None, "b": None}))
    assert "2 trials went on from the last checkpoint when the search was begun again" in told
    assert "breakdown" not in told
    told = " ".join(_begun_again({"a": None, "b": "the node of this trial is gone\nmore"}))
    assert "1 trial went on from" in told
    assert "1 trial ran again after a breakdown (the last: the node of this trial is gone)" in told


def test_a_study_without_failures_says_so() -> None:
    assert "No trial failed." in _sections(LIST)["failures"].points


def test_collapsed_runs_are_counted_beside_failed_ones() -> None:
    for what, head, shown in ((SEARCH, "Collapsed", "{}"), (LIST, "Spoiled", "0 + {}")):
        evidence = evidence_of(what)
        compared = evidence.comparison
        assert compared is not None
        first, *rest = compared.configs
        spoiled = replace(compared, configs=(replace(first, fallen=(7, 9)), *rest))
        told = replace(evidence, comparison=spoiled)
        sections = {section.name: section for section in sections_of(told, charts_of(told))}
        (table,) = [t for t in sections["comparison"].tables if head in t.columns]
        counted = [row[table.columns.index(head)] for row in table.rows]
        told_of = [shown.format(2), *(shown.format(0) for _ in rest)]
        assert counted == told_of + [""] * len(compared.configs)  # ensembles have no such count


def test_a_table_says_in_words_which_runs_collapsed_and_why_a_verdict_is_what_it_is() -> None:
    evidence = evidence_of(LIST)
    compared = evidence.comparison
    assert compared is not None
    first, *rest = compared.others
    spoiled = replace(compared, others=(replace(first, fallen=((7,), ())), *rest))
    told = replace(evidence, comparison=spoiled)
    sections = {section.name: section for section in sections_of(told, charts_of(told))}
    details = sections["comparison"].details
    (line,) = [line for line in details if "collapsed or had bad luck (seed 7)" in line]
    assert first.judgement.reason in line
    assert sum(" against the default: " in line for line in details) == len(compared.others)


def test_where_the_unit_is_the_speaker_nothing_speaks_of_videos_like_these() -> None:
    for what in (SEARCH, LIST):
        evidence = evidence_of(what)
        compared = evidence.comparison
        assert compared is not None
        by_speaker = replace(
            compared,
            unit="speaker",
            primary=compared.primary and replace(compared.primary, unit="speaker"),
            others=tuple(replace(pair, unit="speaker") for pair in compared.others),
            other_metrics=tuple(replace(pair, unit="speaker") for pair in compared.other_metrics),
        )
        told = replace(evidence, comparison=by_speaker)
        shown = [*sections_of(told, charts_of(told)), facts_of(told), headline_of(told)]
        text = str((*shown, verdict_of(told)))
        assert "peakers like these" in text
        for sentence in () if evidence.use is None else evidence.use.sentences:
            text = text.replace(sentence, "")  # said where the comparison was made
        assert "ideos like these" not in text


def test_the_other_metrics_have_no_verdicts() -> None:
    tables: list[TextTable] = [
        table for section in _sections(SEARCH).values() for table in section.tables
    ]
    (metrics,) = [table for table in tables if table.columns[0] == "Metric"]
    assert len(metrics.rows) == len(METRICS) - 1
    assert "Verdict" not in metrics.columns
    assert "no verdict" in metrics.caption


@pytest.mark.parametrize(
    ("what", "said"),
    [(LIST, "(higher is better)"), (BY_CORR, "(higher is better, except for MAE)")],
)
def test_the_other_metrics_of_a_list_say_which_way_is_better(what: Simulated, said: str) -> None:
    (metrics,) = [
        table for table in _sections(what)["comparison"].tables if "other metrics" in table.caption
    ]
    assert ("MAE" in metrics.columns) == ("MAE" in said)
    assert said in metrics.caption
