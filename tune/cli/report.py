"""`hscl report`: the evidence of a study as a page, as Markdown, or as a paper's table."""

import json

import click

from tune.cli.output import reads_studies, warn_of_damage

__all__ = ["report"]


@click.command()
@click.argument("study")
@click.option("--out", metavar="FILE", help="Where to write it [default: STUDY/report.html].")
@click.option("--markdown", is_flag=True, help="Markdown on standard output, or in --out.")
@click.option("--latex", is_flag=True, help="A LaTeX table on standard output, or in --out.")
@click.option("--json", "as_json", is_flag=True, help="Say what was written and found as JSON.")
@reads_studies
def report(study: str, out: str | None, markdown: bool, latex: bool, as_json: bool) -> None:  # noqa: FBT001 - click's flags
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
    folder = open_folder(study)
    evidence = gather(folder)
    warn_of_damage(evidence.damages)
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
