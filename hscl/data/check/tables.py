"""A data set's check for the eyes: tables of sizes, lengths and labels, then what is wrong."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hscl.data.check.facts import CheckReport
from hscl.data.schema import SEQUENCES

__all__ = ["print_report"]


def print_report(report: CheckReport, console: Console) -> None:
    """Print a report.

    Args:
        report: What `hscl.data.check.checks.check` returned.
        console: Where to.
    """
    metadata = report.metadata
    console.print(
        Text(f"{report.path}: from {metadata['source']}, digest {report.digest[:12]}"),
        soft_wrap=True,
    )
    for facts in _origin(report):
        console.print(Text(facts), soft_wrap=True)
    console.print(_sizes(report))
    console.print(_lengths(report))
    console.print(_labels(report))
    for kind, messages, style in (
        ("problem", report.problems, "bold red"),
        ("warning", report.warnings, "yellow"),
    ):
        for message in messages:
            console.print(Text.assemble((f"{kind}: ", style), message), soft_wrap=True)
    if not report.problems and not report.warnings:
        console.print(Text("sound: nothing to complain of.", style="green"))


def _origin(report: CheckReport) -> list[str]:
    metadata = report.metadata
    lines = []
    widths = [
        f"{name} {metadata[f'{name}_width']} wide" if metadata[f"{name}_width"] else f"no {name}"
        for name in ("audio", "vision")
    ]
    lines.append(f"{', '.join(widths)}; lengths from {metadata.get('lengths', 'content')}")
    lines.append(f"text: {_kinds_of_text(report)}")
    if report.metadata.get("label_range", 3) != 3:
        lines.append(f"labels from −{metadata['label_range']:g} to {metadata['label_range']:g}")
    lines += [
        f"{file}: padded " + ", ".join(f"{name} {side}" for name, side in sides.items())
        for file, sides in metadata.get("padding", {}).items()
    ]
    return lines


def _kinds_of_text(report: CheckReport) -> str:
    kinds = []
    for modality, name in (
        ("text", "words"),
        ("text_vectors", f"its own vectors, {report.metadata.get('text_width')} wide"),
    ):
        present = sum(
            split.modalities[modality].present
            for split in report.splits.values()
            if modality in split.modalities
        )
        if present:
            kinds.append(f"{name} ({present} of {report.utterances})")
    return ", ".join(kinds) or "none"


def _sizes(report: CheckReport) -> Table:
    table = Table("split", title="Sizes", title_justify="left")
    for column in ("utterances", "videos", "labelled", "words", "audio", "vision", "vectors"):
        table.add_column(column, justify="right")
    for name, facts in report.splits.items():
        present = [
            str(facts.modalities[modality].present) if modality in facts.modalities else "–"
            for modality in ("text", *SEQUENCES)
        ]
        counts = (facts.utterances, facts.videos, facts.labelled)
        table.add_row(name, *map(str, counts), *present)
    return table


def _lengths(report: CheckReport) -> Table:
    table = Table(
        "modality", "split", title="Lengths (frames; words for text)", title_justify="left"
    )
    for column in ("median", "p95", "longest", "missing", "zero frames inside"):
        table.add_column(column, justify="right")
    for modality in ("text", *SEQUENCES):
        for name, split in report.splits.items():
            facts = split.modalities.get(modality)
            if facts is not None:
                values = (facts.median, facts.p95, facts.longest)
                table.add_row(
                    modality.replace("_", " "),
                    name,
                    *("–" if value is None else f"{value:g}" for value in values),
                    str(facts.missing),
                    "–" if modality == "text" else str(facts.zero_frames),
                )
    return table


def _labels(report: CheckReport) -> Table:
    table = Table("label", title="Labels, rounded", title_justify="left")
    for name in report.splits:
        table.add_column(name, justify="right")
    for value in next(iter(report.splits.values())).labels if report.splits else ():
        table.add_row(value, *(str(facts.labels[value]) for facts in report.splits.values()))
    return table
