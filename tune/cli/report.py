"""`hscl report`: the evidence of a study as a page, as Markdown, or as a paper's table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tune.cli.output import reads_studies, warn_of_damage

if TYPE_CHECKING:
    from tune.evidence.gather import Evidence

__all__ = ["report"]


@click.command()
@click.argument("study")
@click.option("--out", metavar="FILE", help="Where to write it [default: STUDY/report.html].")
@click.option("--markdown", is_flag=True, help="Markdown on standard output, or in --out.")
@click.option("--latex", is_flag=True, help="A LaTeX table on standard output, or in --out.")
@click.option(
    "--plots",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Instead: each figure as PNG, SVG and PDF (for LaTeX); a Chromium must be there.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written and found as JSON.")
@reads_studies
def report(
    study: str, out: str | None, plots: Path | None, *, markdown: bool, latex: bool, as_json: bool
) -> None:
    """Show what a study knows: one HTML page that needs no network.

    STUDY is a study's folder or URI; it may still be running. The page starts with the headline:
    who wins, by how much, how surely. Damaged studies are reported as far as they can be read.
    """  # noqa: DOC501 - this is what --help prints
    from hscl.errors import InputError
    from tune.evidence.gather import gather
    from tune.report.html import GENERATOR, make_page, make_report, put_in_place
    from tune.report.text import latex_table
    from tune.report.text import markdown as as_markdown
    from tune.tables.storage import open_folder

    if markdown and latex:
        raise InputError("--markdown and --latex must not be given together; run it twice")
    if plots is not None and (markdown or latex or out is not None):
        raise InputError("--plots writes figures only, without --out, --markdown or --latex")
    folder = open_folder(study)
    evidence = gather(folder)
    warn_of_damage(evidence.damages)
    if plots is not None:
        _write_plots(evidence, plots, as_json=as_json)
        return
    if latex:
        content, name = latex_table(evidence, GENERATOR), "report.tex"
        said: tuple[str, ...] = ()
    else:
        made, charts = make_report(evidence)
        said = (made.headline, *made.lead)
        if markdown:
            content, name = as_markdown(made, GENERATOR), "report.md"
        else:
            content, name = make_page(made, charts), "report.html"
    if (markdown or latex) and out is None and not as_json:
        click.echo(content, nl=False)
        return
    written = put_in_place(content, out, folder, name)
    damages = [str(damage) for damage in evidence.damages]
    if as_json:
        told = {
            "written": written,
            "bytes": len(content.encode()),
            "finished": evidence.finished,
            "headline": said[0] if said else "",
            "damages": damages,
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for line in said:
        click.echo(line)
    click.echo(written)


def _write_plots(evidence: "Evidence", plots: Path, *, as_json: bool) -> None:
    from tune.charts.figures import charts_of
    from tune.report.pictures import write_pictures

    written = write_pictures(list(charts_of(evidence).values()), plots)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}, indent=2))
        return
    click.echo(f"{plots}: {len(written) // 3} figures, each as PNG, SVG and PDF")
