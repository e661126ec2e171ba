"""What a report consists of, whatever it is written as: HTML, Markdown or LaTeX."""

from dataclasses import dataclass

from tune.charts.theme import Chart

__all__ = ["Fact", "Report", "ReportSection", "TextTable"]


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        columns: Heads; the first column names the row.
        rows: Cells, as many in each row as there are heads.
        caption: What it shows; empty where the section's title says so.
        numeric: Columns that are aligned to the right.
        strong: Rows to single out.
        sortable: A reader may sort it by any column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    sortable: bool = False

    def __post_init__(self) -> None:
        """Refuse a row that would move its cells under other heads.

        Raises:
            ValueError: A row has another number of cells than there are heads.
        """
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row must have {len(self.columns)} cells, but got {row}")


@dataclass(frozen=True)
class Fact:
    """One of the few numbers at the top.

    Attributes:
        name: What it is.
        value: The number.
        note: What it needs to be understood.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class ReportSection:
    """A part of a report; what is empty is left out.

    Attributes:
        name: Short name, fit for a link.
        title: Heading.
        paragraphs: Text before everything else.
        points: A list.
        charts: Figures, in order.
        tables: After the figures.
        details: Sentences behind a heading of their own, to be opened: the first is the heading.
        code: Blocks of code.
        after: Text after everything else.
    """

    name: str
    title: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[TextTable, ...] = ()
    details: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: Of the document.
        kicker: The line above the headline: study, state, time.
        headline: What is known, in one sentence.
        verdict: The verdict's word and what it is about; empty where there is none to be had yet.
        verdict_class: better, worse, equivalent, undecided, none or running.
        lead: What stands behind the headline.
        answer: What to use, as a file and beside the default, and what it cost.
        damages: What could not be read.
        facts: A few numbers.
        sections: Everything else.
        colophon: Who made this, from what, when.
    """

    title: str
    kicker: str
    headline: str
    verdict: str
    verdict_class: str
    lead: tuple[str, ...]
    answer: ReportSection
    damages: tuple[str, ...]
    facts: tuple[Fact, ...]
    sections: tuple[ReportSection, ...]
    colophon: str
