"""How a final training gets on: bars in a terminal, one line an epoch elsewhere."""

import math
from types import TracebackType
from typing import Self

from rich import progress as rich_progress
from rich.console import Console

from hscl.metrics import METRIC
from hscl.trained.record import SeedRun
from hscl.trained.train import FinalTraining
from hscl.training.reports import EpochReport

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Listens to a final training and shows it on standard error.

    Args:
        final: What is trained.
        console: Where to; None is standard error.
    """

    def __init__(self, final: FinalTraining, console: Console | None = None) -> None:
        self._final = final
        self._console = console or Console(stderr=True, markup=False, emoji=False)
        self._best = math.nan
        self._live = self._console.is_terminal
        self._bars = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[note]}"),
            rich_progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        epochs = final.config.train.epochs
        self._all = self._bars.add_task("seeds", total=len(final.seeds), note="")
        self._epochs = self._bars.add_task("epochs", total=epochs, note="")

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()

    def began(self, seed: int, epoch: int, how: str) -> None:
        """A seed begins, or goes on after an epoch; how it is computed."""
        self._best = math.nan
        where = f"seed {seed} ({self._final.seeds.index(seed) + 1} of {len(self._final.seeds)})"
        self._bars.update(self._all, completed=self._final.seeds.index(seed))
        self._bars.reset(self._epochs, description=f"seed {seed}", completed=epoch)
        what = f"goes on after epoch {epoch}" if epoch else "begins"
        self._print_line(f"{where}: {what} ({how})")

    def reported(self, seed: int, report: EpochReport) -> None:
        """An epoch of a seed is done."""
        note = f"loss {report.losses['total']:.3f}"
        metric = self._final.metric
        if metric in report.valid:
            value = report.valid[metric]
            self._best = value if report.best else self._best
            shown = METRIC[metric]
            note += f", valid {shown.name} {shown.value_text(value)}"
            note += " (best)" if report.best else f" (best {shown.value_text(self._best)})"
        self._bars.update(self._epochs, completed=report.epoch, note=note)
        epochs = self._final.config.train.epochs
        self._print_line(f"  epoch {report.epoch} of {epochs}: {note}, {report.seconds:.1f} s")

    def finished(self, run: SeedRun) -> None:
        """A seed's model is in place."""
        self._bars.update(self._all, completed=self._final.seeds.index(run.seed) + 1)
        text = f"seed {run.seed}: epoch {run.epoch}"
        metric = self._final.metric
        if metric in run.valid:
            shown = METRIC[metric]
            text += f", valid {shown.name} {shown.value_text(run.valid[metric])}"
        if self._live:
            self._console.print(text, highlight=False)
        else:
            self._print_line(text)

    def _print_line(self, line: str) -> None:
        if not self._live:
            self._console.print(line, highlight=False, soft_wrap=True)
