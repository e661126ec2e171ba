"""A study folder, opened to be read: by Python, by `hscl status`, while it runs or afterwards."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune.tables.lock import holder_of
from tune.tables.reading import StudyTables, open_tables
from tune.views.summary import StudyStatus, events_rate, summarise

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import pyarrow as pa

    from tune.evidence.comparison import StudyComparison

__all__ = ["Study", "open_study"]


class Study(StudyTables):
    """What a study's folder holds, and what may be said about it."""

    def trials_table(self, *, seeds: bool = False) -> "pa.Table":
        """As `trials`, as an Arrow table."""
        from tune.evidence.gather import gather  # noqa: PLC0415 - statistics take a while to load
        from tune.evidence.search.trials import trials_table  # noqa: PLC0415

        return trials_table(gather(self.folder), seeds=seeds)

    def trials(self, *, seeds: bool = False) -> "pd.DataFrame":
        """What `hscl trials` lists: a row a configuration, in order of proposal.

        Args:
            seeds: A row a trial instead.

        Returns:
            See `tune.evidence.search.trials.trials_table`.
        """
        return self.trials_table(seeds=seeds).to_pandas()

    def comparison(self) -> "StudyComparison | None":
        """What may be said about its configurations now; None where nothing can be compared."""
        from tune.evidence.gather import gather  # noqa: PLC0415 - statistics take a while to load

        return gather(self.folder).comparison

    def figures(self, *, dark: bool = False) -> "dict[str, go.Figure]":
        """The figures of `hscl report` by name, as Plotly figures.

        Args:
            dark: In the dark palette.
        """
        from tune.charts.figures import figures_of  # noqa: PLC0415 - plotly takes a while to load
        from tune.evidence.gather import gather  # noqa: PLC0415

        return figures_of(gather(self.folder), dark=dark)

    def read_status(self) -> StudyStatus:
        """How the study stands, and who is at it."""
        holder = holder_of(self.folder)  # before the tables: what ended since then is in them
        events = self.table("trials", events=True).to_pylist()
        runs = holder is not None and holder.running
        rate = events_rate(events, self.history) if runs else None
        last = events[-1]["time"] if events else None
        return StudyStatus(summarise(self.history, rate), last, holder, datetime.now(UTC))

    def status(self) -> dict[str, Any]:
        """The same as plain values; see `tune.views.summary.StudyStatus`."""
        return self.read_status().to_dict()


def open_study(where: str | Path) -> Study:
    """Open a study to read it.

    Args:
        where: Its folder, as a path or URI.

    Returns:
        The study.

    Raises:
        InputError: There is no study.
    """  # noqa: DOC502 - raised by open_tables
    tables = open_tables(where)
    return Study(tables.folder, tables.spec)
