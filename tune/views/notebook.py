"""A study as HTML, for notebooks: the answer, or how it stands."""

from html import escape
from typing import TYPE_CHECKING

from tune.evidence.search.cost import cost_text
from tune.evidence.search.use import VALUE_HEADS, value_rows

if TYPE_CHECKING:
    from tune.evidence.search.use import Use
    from tune.tables.reading import StudyTables

__all__ = ["study_html"]


def study_html(study: "StudyTables", use: "Use | None") -> str:
    """A few lines and a small table; all names in it are escaped.

    Args:
        study: Any.
        use: Its answer; None before there is one.
    """
    name = f"<strong>{escape(study.spec.study.name)}</strong> ({escape(study.folder.uri)})"
    if use is None:
        return f"<p>{name}: {escape(_standing(study))}</p>"
    first, *rest = use.sentences
    parts = [f"<p>{name}</p><p><strong>{escape(first)}</strong></p>"]
    parts += [f"<p>{escape(line)}</p>" for line in rest]
    if use.values:
        rows = "".join(_row("td", row) for row in value_rows(use))
        parts.append(f"<table>{_row('th', VALUE_HEADS)}{rows}</table>")
    parts.append(f"<p>The default: {escape(use.default)}. {escape(cost_text(use.cost))}</p>")
    return "".join(parts)


def _standing(study: "StudyTables") -> str:
    ended = sum(trial.ended for trial in study.history.trials.values())
    return f"{ended} of {len(study.history.trials)} trials that began have ended; see .trials()"


def _row(cell: str, texts: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts) + "</tr>"
