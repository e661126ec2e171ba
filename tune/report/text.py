"""A report as Markdown, and the table that a paper needs as LaTeX."""

import re
from collections.abc import Iterable, Mapping, Sequence

from hscl.errors import RunError
from hscl.metrics import METRIC
from tune.charts.theme import Chart
from tune.display import count, number
from tune.evidence.comparison import StudyComparison
from tune.evidence.curves import UNNAMED
from tune.evidence.gather import Evidence
from tune.evidence.search.branches import BRANCH_HEADS, branch_cells
from tune.evidence.search.use import use_lines
from tune.report.model import Report, ReportSection
from tune.report.tables import own_values
from tune.states import Verdict

__all__ = ["comparison_latex", "latex_table", "markdown"]

_MARKS = {
    Verdict.BETTER: "$^{+}$",
    Verdict.WORSE: "$^{-}$",
    Verdict.EQUIVALENT: "$^{=}$",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "τ": r"$\tau$",
    "×": r"$\times$",
}


def markdown(report: Report, generator: str) -> str:
    """The whole report in words and tables; figures by what they show.

    Args:
        report: From `tune.report.html.make_report`.
        generator: What the first line says about who made it.
    """
    lines = [f"<!-- {generator} -->", f"# {_plain(report.headline)}", "", _plain(report.kicker)]
    if report.verdict:
        lines += ["", f"**Verdict: {_plain(report.verdict)}**"]
    for paragraph in report.lead:
        lines += ["", _plain(paragraph)]
    if report.damages:
        lines += ["", "**Parts of this study could not be read:**", ""]
        lines += [f"- {_plain(damage)}" for damage in report.damages]
    lines += _section(report.answer)
    if report.facts:
        lines += [
            "",
            *_rows(("What", "Value", "Note"), [(f.name, f.value, f.note) for f in report.facts]),
        ]
    for section in report.sections:
        lines += _section(section)
    return "\n".join([*lines, "", "---", "", _plain(report.colophon), ""])


def _section(section: ReportSection) -> Iterable[str]:
    yield from ("", f"## {_plain(section.title)}")
    for paragraph in section.paragraphs:
        yield from ("", _plain(paragraph))
    if section.points:
        yield ""
        yield from (f"- {_plain(point)}" for point in section.points)
    for chart in section.charts:
        yield from _chart(chart)
    for table in section.tables:
        if table.caption:
            yield from ("", _plain(table.caption))
        yield from ("", *_rows(table.columns, table.rows))
    if section.details:
        yield from ("", f"**{_plain(section.details[0])}**", "")
        yield from (f"- {_plain(point)}" for point in section.details[1:])
    for block in section.code:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block)), default=0))
        yield from ("", fence, block, fence)
    for paragraph in section.after:
        yield from ("", _plain(paragraph))


def _chart(chart: Chart) -> Iterable[str]:
    told = f"**{_plain(chart.finding)}** {_plain(chart.alternative)}"
    yield from ("", f"### {_plain(chart.title)}", "", told)


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(_plain(head) for head in columns) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_plain(cell) for cell in row) + " |"


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for markup: names in it are user input."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", " ".join(text.split()))


def latex_table(evidence: Evidence, generator: str) -> str:
    """The table of a paper: every compared configuration, every metric, mean ± sd.

    Needs the package `booktabs`. A mark at a name is its verdict against the default.

    Args:
        evidence: The study.
        generator: What the first line says about who made it.

    Raises:
        RunError: There is nothing to compare yet.
    """
    compared = evidence.comparison
    if compared is None or all(one.mean is None for one in compared.configs):
        ending = evidence.history.ending
        over = "" if ending is None else ending.note
        why = evidence.why_not or over or "no run of confirm has ended yet"
        raise RunError(f"a table for a paper needs runs to compare, but: {why}")
    names = {
        one.config_id: evidence.labels.get(one.config_id, UNNAMED).text for one in compared.configs
    }
    name = evidence.spec.study.name
    answer = [] if evidence.use is None else use_lines(evidence.use)
    said = "".join(f"% {' '.join(line.split())}".rstrip() + "\n" for line in answer)
    reference, more = "the default", None
    if evidence.branches:
        reference = _tex(names.get(compared.reference or "", ""))
        costs = {one.config_id: one for one in evidence.branches}
        more = BRANCH_HEADS, {one: branch_cells(costs, one) for one in names}
    table = _latex(compared, names, _caption(compared, name, reference), generator, more)
    head, rest = table.split("\n", 1)
    return f"{head}\n{said}{rest}"


def comparison_latex(compared: StudyComparison, generator: str) -> str:
    """The same of a comparison without a study.

    Args:
        compared: Of predictions made elsewhere.
        generator: What the first line says about who made it.
    """
    reference = compared.names.get(compared.reference or "", "")
    caption = _caption(compared, compared.study, _tex(reference))
    return _latex(compared, compared.names, caption, generator)


_More = tuple[Sequence[str], Mapping[str, Sequence[str]]]
"""Further columns: their heads, and the cells of each configuration."""


def _latex(
    compared: StudyComparison,
    names: Mapping[str, str],
    caption: str,
    generator: str,
    more: _More | None = None,
) -> str:
    shown = [compared.metric, *(m for m in compared.metrics if m != compared.metric)]
    cells = _cells(compared)
    verdicts = _verdicts(compared)
    further, rest = more or ((), {})
    heads = [*(f"{_tex(METRIC[m].name)} ${_arrow(m)}$" for m in shown), *map(_tex, further)]
    lines = [
        f"% {generator}; needs \\usepackage{{booktabs}}",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'c' * len(shown)}{'r' * len(further)}}}",
        r"\toprule",
        " & ".join(["Configuration", *heads]) + r" \\",
        r"\midrule",
    ]
    for one in compared.configs:
        mark = _MARKS.get(verdicts.get(one.config_id) or Verdict.UNDECIDED, "")
        name = _tex(names[one.config_id]) + mark
        values = [cells.get((one.config_id, metric), "--") for metric in shown]
        values += map(_tex, rest.get(one.config_id, ()))
        lines.append(" & ".join([name, *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _cells(compared: StudyComparison) -> dict[tuple[str, str], str]:
    """What stands in the table for each configuration and metric; shares as percentages."""
    cells: dict[tuple[str, str], str] = {}
    for (config_id, metric), (mean, sd, _) in own_values(compared.other_metrics).items():
        cells[config_id, metric] = _mean_sd(metric, mean, sd)
    for one in compared.configs:
        if one.mean is not None:
            cells[one.config_id, compared.metric] = _mean_sd(compared.metric, one.mean, one.sd)
    return cells


def _verdicts(compared: StudyComparison) -> dict[str, Verdict | None]:
    """Each configuration's verdict against the default."""
    pairs = [*([compared.primary] if compared.primary else []), *compared.others]
    return {pair.first: pair.verdict for pair in pairs if pair.second == compared.reference}


def _mean_sd(metric: str, mean: float, sd: float | None) -> str:
    row = METRIC[metric]
    spread = None if sd is None else row.scale * sd
    return rf"${_tex_number(row.scale * mean, row.digits)} \pm {_tex_number(spread, row.digits)}$"


def _tex_number(value: float | None, digits: int) -> str:
    return number(value, digits).replace("−", "-").replace("–", r"\mbox{--}")


def _arrow(metric: str) -> str:
    return r"\downarrow" if METRIC[metric].lower_wins else r"\uparrow"


def _caption(compared: StudyComparison, study: str, reference: str) -> str:
    marks = (
        f"$^{{+}}$ better, $^{{-}}$ worse, $^{{=}}$ equivalent to {reference} on new videos "
        rf"(seeds $\times$ videos, margin {compared.margin:g}); unmarked: undecided or no verdict."
        if compared.closed
        else "No verdicts: the study is not over."
    )
    return (
        f"{_tex(study)}: {compared.split} set, mean $\\pm$ sd over "
        f"{count(len(compared.seeds), 'seed')}; Acc and F1 in \\%. {marks}"
    )


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
