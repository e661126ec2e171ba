"""The tables of a comparison: every row as long as its head, every number where it belongs."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from study_factory import ABLATIONS, Simulated, evidence_of

from tune.report.rows import Compared
from tune.report.tables import ablation_table, comparison_tables
from tune.report.terminal import render_study
from tune.report.text import latex_table

LIST = Simulated(sampler="list", confirm_seeds=5, epochs=3)


def test_the_ablation_table_has_the_reference_first_and_each_row_against_it() -> None:
    evidence = evidence_of(LIST)
    assert evidence.comparison is not None
    table = ablation_table(evidence.comparison, evidence.comparison.names)
    labels = ["default", *ABLATIONS]
    ensembles = [f"ensemble of {'the ' * (name == 'default')}{name}" for name in labels]
    assert [row[0] for row in table.rows] == labels + ensembles
    assert table.rows[0][2] == "reference"
    assert "Spoiled" not in table.columns
    assert "No run failed, collapsed or had bad luck." in table.caption
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.strong == {0}
    by_name = {evidence.labels[p.first].text: p for p in evidence.comparison.others}
    for row in table.rows[1 : len(labels)]:
        pair = by_name[row[0]]
        difference = row[3].replace("−", "-")
        assert float(difference) == pytest.approx(pair.means[0] - pair.means[1], abs=6e-5)


@pytest.mark.parametrize("place", [0, -1])
def test_the_references_other_metrics_are_those_of_the_most_seeds_everywhere(place: int) -> None:
    evidence = evidence_of(LIST)
    compared = evidence.comparison
    assert compared is not None
    pairs = compared.other_metrics
    short = pairs[place].first  # it has failed on most seeds
    nan = float("nan")
    others = tuple(
        replace(pair, seeds=pair.seeds[:1], means=(0.123, 0.123), sds=(nan, nan))
        if pair.first == short
        else pair
        for pair in pairs
    )
    (corr,) = {p.means[1] for p in pairs if p.metric == "corr" and p.first != short}
    told = replace(compared, other_metrics=others)
    *_, table = comparison_tables(told, told.names, as_list=True)
    assert table.columns[1] == "Corr"
    assert table.rows[0][1].startswith(f"{corr:.3f} ± ")
    assert [row[1] for row in table.rows].count("0.123 ± –") == 1
    latex = latex_table(replace(evidence, comparison=told), "g")
    (line,) = [one for one in latex.splitlines() if one.startswith("default &")]
    assert f"${corr:.3f} \\pm" in line
    assert r"0.123 \pm \mbox{--}" in latex  # without a package of its own
    assert r"\text{" not in latex
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(render_study(Compared("s", "", told, 0)))
    assert any(
        line.split()[:2] == ["Corr", "default"] and f"{corr:.4f}" in line
        for line in console.export_text().splitlines()
    )
