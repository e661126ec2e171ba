"""A study in a notebook: as HTML, and while it runs in one line that is written over."""

import sys
import time
from html import escape
from typing import TYPE_CHECKING, TextIO

from tune.engine.driver import View
from tune.evidence.search.cost import cost_text
from tune.evidence.search.use import VALUE_HEADS, value_rows
from tune.views.progress import plain_line
from tune.views.summary import summarise

if TYPE_CHECKING:
    from tune.engine.engine import Engine
    from tune.evidence.search.use import Use
    from tune.tables.reading import StudyTables
    from tune.tables.storage import Folder

__all__ = ["LineProgress", "study_html"]


class LineProgress(View):
    """One line that says how a running study stands, and is written over.

    Args:
        stream: Where; standard output if not given.
        every_s: Seconds between two states of it.
    """

    def __init__(self, stream: TextIO | None = None, *, every_s: float = 2.0) -> None:
        self._stream = stream or sys.stdout
        self._every_s = every_s
        self._engine: Engine | None = None
        self._next = 0.0
        self._width = 0

    def begin(self, engine: "Engine", folder: "Folder") -> None:
        """Start watching."""
        self._engine = engine

    def tick(self) -> None:
        """Write the line anew if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._write()
            cost = time.monotonic() - now
            self._next = now + max(self._every_s, 20 * cost)

    def end(self) -> None:
        """Leave the last state."""
        self._write("\n")
        self._engine = None

    def _write(self, end: str = "") -> None:
        if self._engine is None:
            return
        line = f"{self._engine.spec.study.name} · {plain_line(summarise(self._engine.history))}"
        self._stream.write(f"\r{line:<{self._width}}{end}")
        self._stream.flush()
        self._width = len(line)


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
