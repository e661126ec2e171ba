"""Markdown that any reader shows as it is meant, and a LaTeX table that a paper can take."""

import copy
import re
from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from hscl.errors import RunError
from hscl.metrics import METRICS
from tune.evidence.pair import Judgement
from tune.report.html import GENERATOR, make_report
from tune.report.text import latex_table, markdown
from tune.states import Verdict

SEARCH = Simulated(trials=8, refined=3, name="a | b <i> & 100 % _x_")
LIST = Simulated(sampler="list", confirm_seeds=5, epochs=3, name="a & b_c 5 %")


def test_markdown_has_every_section_and_what_each_figure_shows() -> None:
    report, charts = make_report(evidence_of(SEARCH))
    text = markdown(report, GENERATOR)
    assert text.startswith(f"<!-- {GENERATOR} -->\n# ")
    for section in report.sections:
        assert f"\n## {section.title}\n" in text
    for chart in charts:
        assert f"\n### {chart.title}\n" in text


def test_markdown_tables_are_rectangular_and_names_are_no_markup() -> None:
    report, _ = make_report(evidence_of(SEARCH))
    text = markdown(report, GENERATOR)
    assert r"a \| b \<i> & 100 % \_x\_" in text
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(blocks) > 3
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_the_latex_table_has_every_configuration_and_metric() -> None:
    evidence = evidence_of(LIST)
    assert evidence.comparison is not None
    text = latex_table(evidence, GENERATOR)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + len(evidence.comparison.configs)
    assert all(line.count("&") == len(METRICS) for line in body)
    assert text.count(r"\pm") >= len(METRICS) * len(evidence.comparison.configs)
    assert r"a \& b\_c 5 \%" in text
    assert r"MAE $\downarrow$" in text
    assert r"Corr $\uparrow$" in text


def test_braces_and_environments_of_the_latex_table_are_balanced() -> None:
    text = latex_table(evidence_of(LIST), GENERATOR)
    plain = re.sub(r"\\[{}\\%&_#$]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    assert text.isascii()


def test_marks_in_the_latex_table_are_the_verdicts() -> None:
    evidence = evidence_of(LIST)
    compared = evidence.comparison
    assert compared is not None
    told = [Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, None]
    pairs = tuple(
        replace(p, judgement=Judgement(v)) for p, v in zip(compared.others, told, strict=True)
    )
    text = latex_table(replace(evidence, comparison=replace(compared, others=pairs)), GENERATOR)
    rows = text.split(r"\midrule")[1].splitlines()[1:]
    assert [re.findall(r"\^\{(.)\}", row) for row in rows[:5]] == [[], ["+"], ["-"], ["="], []]


def test_there_is_no_table_before_there_is_anything_to_compare() -> None:
    with pytest.raises(RunError, match="needs runs to compare"):
        latex_table(evidence_of(Simulated(until="screen", trials=8)), GENERATOR)


def test_a_study_that_is_over_without_a_winner_says_why_there_is_no_table() -> None:
    evidence = copy.copy(evidence_of(Simulated(until="screen", trials=8)))
    history = copy.copy(evidence.history)
    history.gave_up = "8 trials in a row failed"
    with pytest.raises(RunError, match="8 trials in a row failed"):
        latex_table(replace(evidence, history=history, why_not=""), GENERATOR)


def test_a_name_of_several_lines_begins_no_paragraph_in_the_caption() -> None:
    named = Simulated(sampler="list", confirm_seeds=2, epochs=2, name="a\n\nb")
    text = latex_table(evidence_of(named), GENERATOR)
    assert "\n\\caption{a b: test set" in text
    assert "" not in text.splitlines()


def test_means_of_exactly_zero_are_means() -> None:
    evidence = evidence_of(LIST)
    compared = evidence.comparison
    assert compared is not None
    zeros = tuple(replace(one, mean=0.0, sd=0.0) for one in compared.configs)
    text = latex_table(replace(evidence, comparison=replace(compared, configs=zeros)), GENERATOR)
    assert text.count(r"$0.000 \pm 0.000$") == len(zeros)
