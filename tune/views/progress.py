"""A running study in the terminal: a few live lines, or plain ones where it is no terminal."""

import io
import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hscl.errors import visible
from hscl.metrics import DIGITS, METRIC
from tune.display import count, duration_text, from_here
from tune.engine.driver import View
from tune.engine.engine import Engine
from tune.states import TrialState
from tune.tables.lock import Holder
from tune.tables.storage import Folder
from tune.views.summary import StudyStatus, Summary, summarise

__all__ = [
    "SearchProgress",
    "age_text",
    "going_on",
    "render",
    "render_status",
    "status_text",
    "trial_text",
]

_REDRAW_S = 0.5
_PLAIN_S = 30.0
_WINDOW_S = 300.0
_MOST_ROWS = 8


class SearchProgress(View):
    """Shows how the study stands while it runs.

    Args:
        console: Where; its own choice of colours and width.
        plain_s: Seconds between two plain lines where it is no terminal.
        opening: Gives lines to say once, when the study has passed all checks and begins.
    """

    def __init__(
        self,
        console: Console,
        *,
        plain_s: float = _PLAIN_S,
        opening: Callable[[], Sequence[str]] = list,
    ) -> None:
        self._console = console
        self._plain_s = plain_s
        self._opening = opening
        self._engine: Engine | None = None
        self._live: Live | None = None
        self._next = 0.0
        self._said = ""
        self._stopping = False
        self._epochs: deque[tuple[float, int]] = deque()

    def begin(self, engine: Engine, folder: Folder) -> None:
        """Start drawing."""
        self._engine = engine
        self._console.print(f"{engine.spec.study.name} -> {visible(folder.uri)}", highlight=False)
        for line in self._opening():
            self._console.print(line, highlight=False, soft_wrap=True)
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def tick(self) -> None:
        """Draw again if it is time, and say at once that a stop was heard."""
        if self._engine is None:
            return
        if self._engine.stopping and not self._stopping:
            self._stopping = True
            self._console.print(
                "stopping: running epochs end and are saved; press Ctrl-C again to stop at once"
            )
        now = time.monotonic()
        if now < self._next:
            return
        summary = summarise(self._engine.history, self._rate(now))
        if self._live is not None:
            self._live.update(render(summary), refresh=True)
        elif (line := plain_line(summary)) != self._said:
            self._said = line
            self._console.print(line, highlight=False, soft_wrap=True)
        # With many trials summing up takes a while: never more than a twentieth of the time.
        cost = time.monotonic() - now
        self._next = now + max(_REDRAW_S if self._live is not None else self._plain_s, 20 * cost)

    def end(self) -> None:
        """Leave one line that says how it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._engine is not None:
            summary = summarise(self._engine.history, self._rate(time.monotonic()))
            self._console.print(plain_line(summary), highlight=False, soft_wrap=True)
            self._engine = None

    def _rate(self, now: float) -> float | None:
        """Epochs per minute over the last minutes of this process."""
        if self._engine is None:
            return None
        self._epochs.append((now, self._engine.history.epochs))
        while now - self._epochs[0][0] > _WINDOW_S:
            self._epochs.popleft()
        since, before = self._epochs[0]
        if now - since < 1.0:
            return None
        return 60 * (self._engine.history.epochs - before) / (now - since) or None


def render(summary: Summary, *, live: bool = True) -> RenderableType:
    """The live lines: a bar a phase, a row a running trial, and what is known so far.

    Args:
        summary: How the study stands.
        live: Its trials run; else they wait to be gone on with.
    """
    table = Table.grid(padding=(0, 2))
    for name, most in summary.planned.items():
        counts = summary.phases[name]
        ended = sum(n for state, n in counts.items() if state != TrialState.STARTED)
        active = name == summary.phase
        table.add_row(
            Text(name, style="bold" if active else "dim"),
            ProgressBar(total=max(most, 1), completed=ended, width=24),
            Text(f"{ended}/{most}", style="" if active else "dim"),
            Text(trial_text(counts, live=live), style="dim"),
        )
    parts: list[RenderableType] = [table]
    if live and summary.running:
        parts.append(_running_rows(summary))
    return Group(*parts, *(Text(line) for line in _lines(summary)))


def _running_rows(summary: Summary) -> Table:
    """A row a running trial, the first few of them."""
    table = Table.grid(padding=(0, 2))
    for one in summary.running[:_MOST_ROWS]:
        value = "" if one.value is None else f"{one.value:.{DIGITS}f}"
        rung = "" if one.rung is None else f"compared at epoch {one.rung}"
        words = (f"  {one.name}", one.phase, f"seed {one.seed}", f"epoch {one.epoch}/{one.epochs}")
        table.add_row(*(Text(word, style="dim") for word in (*words, value, rung)))
    if (more := len(summary.running) - _MOST_ROWS) > 0:
        table.add_row(Text(f"  and {more} more", style="dim"))
    return table


def render_status(status: StudyStatus) -> RenderableType:
    """What `hscl status` shows: whether it runs, the live lines, and how to go on."""
    summary, holder = status.summary, status.holder
    parts: list[RenderableType] = [
        Text(f"{summary.study}: {_alive_text(status)}"),
        render(summary, live=status.alive == "running"),
    ]
    if status.age_s is not None:
        parts.append(Text(f"last event {age_text(status.age_s)}"))
    parts += [Text(f"note: {note}") for note in status.notes]
    if status.alive not in {"running", "done"} and (command := going_on(holder)) is not None:
        parts.append(Text(f"go on with: {command}", no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _alive_text(status: StudyStatus) -> str:
    """Such as "running, by process 7 on node-1 for 5 min" or "died: process 7 on node-1"."""
    holder, alive = status.holder, status.alive
    note = f" ({status.summary.note})" if status.summary.note else ""
    if holder is None or alive in {"done", "gave up", "not begun", "unfinished"}:
        return f"{alive}{note}"
    who = f"process {holder.pid} on {holder.host}"
    if alive == "running":
        return f"running, by {who} for {duration_text(_seconds_since(holder.since, status))}"
    if alive == "silent":
        gone = duration_text(holder.silent_s or 0.0)
        why = "it is stopped, or its host is down and a file server has not freed its lock yet"
        return f"silent: {who} has it, but gave no sign of life for {gone} ({why})"
    if alive == "died":
        return f"died: {who} is gone and could not say why (killed, or its host is down)"
    ago = age_text(_seconds_since(holder.at or holder.since, status))
    if alive == "stopped":
        return f"stopped by a person {ago}"
    return f"failed {ago}: {holder.why}"


def _seconds_since(when: str, status: StudyStatus) -> float:
    return max(0.0, (status.now - datetime.fromisoformat(when)).total_seconds())


def age_text(seconds: float) -> str:
    """Such as `40 s ago`."""
    return f"{duration_text(seconds)} ago"


def status_text(status: StudyStatus, width: int) -> str:
    """What `render_status` shows as plain text, in so many columns."""
    console = Console(
        file=io.StringIO(), width=width, highlight=False, record=True, markup=False, emoji=False
    )
    console.print(render_status(status), crop=False)  # a command is one line, however long
    return console.export_text().strip()


def plain_line(summary: Summary) -> str:
    """Everything in one line, for logs."""
    phase = summary.phase or "begins"
    parts = [f"{phase}: {trial_text(summary.trials)}", *_lines(summary)]
    return " · ".join(part for part in parts if part)


def going_on(holder: Holder | None) -> str | None:
    """The command that goes on after a driver, with paths as short as they are from here."""
    if holder is None or not holder.go_on:
        return None
    return shlex.join(map(from_here, holder.go_on))


def trial_text(counts: dict[str, int], *, live: bool = True) -> str:
    """Such as `2 running, 5 done, 3 pruned`; where nothing runs, those without an end wait."""
    words = {"started": "running" if live else "to go on with"}
    shown = [f"{n} {words.get(state, state)}" for state, n in counts.items() if n]
    return ", ".join(shown) or "no trials yet"


def _lines(summary: Summary) -> list[str]:
    lines = []
    best = summary.best
    if best is not None:
        text = f"best valid {METRIC[summary.metric].name} {best.value_text()}, {best.name}"
        if summary.default is not None and best.number:
            text += f"; default {summary.default.value_text()}"
        lines.append(text)
    rate = summary.epochs_per_minute
    speed = count(summary.epochs, "epoch")
    if rate:
        speed += f", {rate:.3g} a minute"
    if summary.eta_s is not None:
        speed += f", about {duration_text(summary.eta_s)} left"
    lines.append(speed)
    lines += map(visible, (*summary.repairs, *summary.broken_nodes))
    if summary.unsaved:
        lines.append(visible(summary.unsaved))
    if summary.last_error:
        lines.append(f"last failure: {visible(summary.last_error[:160])}")
    return lines
