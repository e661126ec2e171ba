"""One self-contained HTML page: all inlined, nothing fetched, no script but its own runs."""

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from hscl.errors import InputError, RunError
from hscl.metrics import METRIC
from tune.charts.figures import charts_of
from tune.charts.forest import forest
from tune.charts.theme import DARK, FONT, LIGHT, Chart, colour_map
from tune.evidence.comparison import StudyComparison
from tune.evidence.gather import Evidence
from tune.evidence.outside import headline_outside, labels_outside
from tune.evidence.sentences import here_text, pair_lines
from tune.report.headline import (
    answer_of,
    facts_of,
    headline_of,
    lead_of,
    pair_facts,
    pair_verdict,
    verdict_of,
)
from tune.report.limits import limits_of, reproduction_of
from tune.report.model import Report, ReportSection, TextTable
from tune.report.sections import sections_of
from tune.report.tables import comparison_tables
from tune.report.text import comparison_latex, markdown
from tune.tables.storage import Folder, open_folder

__all__ = [
    "GENERATOR",
    "make_outside_report",
    "make_page",
    "make_report",
    "outside_page",
    "put_in_place",
]

GENERATOR = "hscl report"
"""What every file that a report is written to says in its first lines."""

COMPARE = "hscl compare"
"""The same of predictions that no study made."""

BUNDLE = "plotly-cartesian.min.js"
"""Plotly's own bundle of what our figures use, a third of the whole; npm has it as
plotly.js-cartesian-dist-min. Its licence lies beside it."""

_LOOKED_AT = 8192  # bytes of an existing file in which a page says who made it


def make_report(evidence: Evidence, *, now: datetime | None = None) -> tuple[Report, list[Chart]]:
    """A study's report and its figures.

    Args:
        evidence: From `tune.evidence.gather.gather`.
        now: The time that the report bears; the present if not given.
    """
    charts = charts_of(evidence)
    verdict, kind = verdict_of(evidence)
    name = evidence.spec.study.name
    time = f"{now or datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    state = "finished" if evidence.finished else "not finished"
    report = Report(
        title=f"{name} – hscl report",
        kicker=f"Study “{name}” · {state} · {time}",
        headline=headline_of(evidence),
        verdict=verdict,
        verdict_class=kind,
        lead=lead_of(evidence),
        answer=answer_of(evidence),
        damages=tuple(str(damage) for damage in evidence.damages),
        facts=facts_of(evidence),
        sections=(
            *sections_of(evidence, charts),
            limits_of(evidence),
            reproduction_of(evidence),
        ),
        colophon=(
            f"Made by hscl {version('hscl-search')} on {time} from {evidence.where}. Every number "
            "is computed from the study's tables; making this page changed none of them."
        ),
    )
    return report, list(charts.values())


def make_outside_report(
    compared: StudyComparison, command: str, *, now: datetime | None = None
) -> tuple[Report, list[Chart]]:
    """The same of predictions that no study made.

    Args:
        compared: From `tune.evidence.outside.compare_outside`.
        command: What makes it again.
        now: The time that the report bears; the present if not given.
    """
    names, asked = compared.names, compared.asked
    pairs = ([compared.primary] if compared.primary else []) + [*compared.others]
    drawn = [pair for pair in pairs if pair.this_test_set is not None]
    charts = [forest(drawn, labels_outside(compared), compared.margin)] if drawn else []
    verdict, kind = pair_verdict(asked)
    time = f"{now or datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    facts = TextTable(
        ("What", "Value"),
        (
            ("Predictions", compared.study),
            ("SHA-256", compared.study_digest),
            ("Compared with", names[compared.reference or ""]),
            (f"Test {compared.unit}s", str(compared.videos)),
            ("Metric, margin", f"{METRIC[compared.metric].name}, {compared.margin:g}"),
        ),
    )
    details = [line for pair in pairs for line in pair_lines(pair, names, compared.rules)]
    report = Report(
        title=f"{compared.study} – hscl compare",
        kicker=f"Predictions in “{compared.study}” · {time}",
        headline=headline_outside(compared),
        verdict=verdict,
        verdict_class=kind,
        lead=() if asked is None else tuple(filter(None, [here_text(asked)])),
        answer=ReportSection("answer", "What it rests on", tables=(facts,)),
        damages=(),
        facts=() if asked is None else tuple(pair_facts(asked)),
        sections=(
            ReportSection(
                "comparison",
                "The comparison",
                charts=tuple(charts),
                tables=tuple(comparison_tables(compared, names, as_list=True)),
                details=("Each pair in words", *details),
            ),
            ReportSection("limits", "What this cannot say", points=compared.notes),
            ReportSection("reproduce", "How to do it again", code=(command,)),
        ),
        colophon=(
            f"Made by hscl {version('hscl-search')} on {time}. Every number is computed from the "
            "predictions."
        ),
    )
    return report, charts


def outside_page(form: str, compared: StudyComparison, given: Mapping[str, str]) -> str:
    """What `hscl compare --predictions` writes in one of `tune.report.rows.PAGES`.

    Args:
        form: Which.
        compared: Of these predictions.
        given: The command's options, to be printed as what makes the page again.
    """
    if form == "latex":
        return comparison_latex(compared, COMPARE)
    options = [f"--{name} {shlex.quote(value)}" for name, value in given.items()]
    report, charts = make_outside_report(compared, " ".join(["hscl compare", *options]))
    return markdown(report, COMPARE) if form == "markdown" else make_page(report, charts, COMPARE)


def make_page(report: Report, charts: list[Chart], generator: str = GENERATOR) -> str:
    """The report as HTML.

    Names in a study are user input: Jinja escapes all of them, figures and colours travel as JSON
    without `<`, and the page's policy lets only the two scripts run whose hashes it gives.

    Args:
        report: From `make_report`.
        charts: Its figures.
        generator: What the page says about who made it.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = environment.get_template("report.css").render(light=LIGHT, dark=DARK, font=FONT)
    plotly, script = _template(BUNDLE), _template("report.js")
    return environment.get_template("report.html.j2").render(
        report=report,
        generator=f"{generator} {version('hscl-search')}",
        policy=_policy(plotly, script),
        css=css,
        tables={chart.name: TextTable(chart.columns, chart.rows) for chart in charts},
        figures=_json({chart.name: _plain(chart) for chart in charts}),
        colours=_json(colour_map(DARK)),
        plotly=plotly,
        script=script,
    )


def put_in_place(content: str, out: str | Path | None, study: Folder, name: str) -> str:
    """Write a report whole or not at all; replace nothing but an earlier report.

    Args:
        content: The report's text.
        out: Where; the study's own folder if not given.
        study: The study's folder.
        name: The file's name where `out` does not give one.

    Returns:
        Where it was written.

    Raises:
        InputError: Something else is there, or the folder is not.
        RunError: The disk or the storage refuses.
    """
    folder, file = (study, name) if out is None else _place(str(out), name)
    where = f"{folder.uri.rstrip('/')}/{file}"
    try:
        if folder.exists(file) and not _ours(folder, file):
            raise InputError(
                f"{where} must be free or an earlier report, but is something else; it is left as "
                "it is: choose another --out"
            )
        folder.write(file, content.encode("utf-8"))
    except OSError as error:
        raise RunError(f"{where} must be writable, but: {error}") from error
    return where


def _place(out: str, name: str) -> tuple[Folder, str]:
    folder = open_folder(out)
    if out.endswith("/") or (folder.local is not None and folder.local.is_dir()):
        return folder, name
    parent, _, file = out.rpartition("/")
    above = open_folder(parent or ("/" if out.startswith("/") else "."))
    if above.local is not None and not above.local.is_dir():
        raise InputError(f"--out must lie in a folder that exists, but {above.uri} does not")
    return above, file


def _ours(folder: Folder, file: str) -> bool:
    """Whether a file begins as a page, as Markdown or as LaTeX of `hscl report` does."""
    with folder.open(file) as stream:
        head: str = stream.read(_LOOKED_AT).decode("utf-8", errors="replace").lstrip()
    if head.startswith("<!doctype html>"):
        return f'\n<meta name="generator" content="{GENERATOR} ' in head
    return head.startswith((f"<!-- {GENERATOR} -->", f"% {GENERATOR};"))


def _template(name: str) -> str:
    return (files("tune.report") / "templates" / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Nothing may be fetched, and no script may run but these."""
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    # Plotly sets styles, and makes images itself: to measure text, and to save a figure.
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _plain(chart: Chart) -> Any:
    return json.loads(chart.figure.to_json())


def _json(value: Mapping[str, Any]) -> str:
    """JSON that ends no script element, whatever it holds."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")
