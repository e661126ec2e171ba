"""A study folder, opened to be read: by Python, by `hscl status`, while it runs or afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hscl.errors import InputError
from tune.engine.requests import NOTE, waiting
from tune.states import Kind
from tune.tables.lock import holder_of
from tune.tables.reading import StudyTables, open_tables
from tune.tables.schemas import SCHEMAS
from tune.views.summary import StudyStatus, events_rate, summarise

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import pyarrow as pa

    from hscl.config import Config
    from tune.evidence.comparison import StudyComparison
    from tune.evidence.gather import Evidence
    from tune.evidence.search.use import Use
    from tune.study.space import Value
    from tune.tables.records import ConfigRecord
    from tune.tables.salvage import Damage

__all__ = ["Study", "open_study"]


class Study(StudyTables):
    """What a study's folder holds, and what may be said about it."""

    _read: "Evidence | None" = None
    _read_files: "list[dict[str, int]] | None" = None

    @property
    def predictions(self) -> "pa.Table":
        """Test and valid as confirm predicted them; `.to_pandas()` makes a data frame of it."""
        return self.table("predictions")

    def trials_table(self, *, seeds: bool = False) -> "pa.Table":
        """As `trials`, as an Arrow table."""
        from tune.evidence.search.trials import trials_table  # noqa: PLC0415 - statistics

        return trials_table(self._evidence(), seeds=seeds)

    def trials(self, *, seeds: bool = False) -> "pd.DataFrame":
        """What `hscl trials` lists: a row a configuration, in order of proposal.

        Args:
            seeds: A row a trial instead.

        Returns:
            See `tune.evidence.search.trials.trials_table`.
        """
        return self.trials_table(seeds=seeds).to_pandas()

    def answer(self) -> "Use | None":
        """What to use, how sure, at what cost; None before that is known, and in lists."""
        return self._evidence().use

    def answer_text(self) -> str:
        """What a study that is over says, as text with an empty line after it; else empty."""
        from tune.evidence.search.use import use_lines  # noqa: PLC0415 - statistics

        if (use := self._last_answer()) is not None:
            return "\n".join([*use_lines(use), "", ""])
        several = self._evidence().several if self.history.ending is not None else None
        return "" if several is None else f"{several}\n\n"

    def _last_answer(self) -> "Use | None":
        """The answer of a study that is over and did not give up."""
        ending = self.history.ending
        return None if ending is None or ending.gave_up else self.answer()

    @property
    def best_config(self) -> "Config":
        """The configuration to use, by the rule that `hscl export` follows.

        Raises:
            InputError: The study isn't over, or it chooses nothing.
        """  # noqa: DOC502 - from _best
        from hscl.config import Config  # noqa: PLC0415 - pydantic, where needed only

        return Config.from_json(self._best().config)

    @property
    def best_params(self) -> "dict[str, Value]":
        """Its values of what the study varies.

        Raises:
            InputError: The study isn't over, or it chooses nothing.
        """  # noqa: DOC502 - from _best
        from tune.evidence.search.values import varied_values  # noqa: PLC0415 - statistics

        return varied_values(self.spec, self._best())

    def comparison(self) -> "StudyComparison | None":
        """What may be said about its configurations now; None where nothing can be compared."""
        return self._evidence().comparison

    @property
    def damages(self) -> "tuple[Damage, ...]":
        """What is missing from the tables; from all of them once the answer was asked for."""
        return super().damages if self._read is None else self._read.damages

    def _evidence(self) -> "Evidence":
        """All that is known, gathered anew only where a file of the tables came or went."""
        from tune.evidence.gather import gather  # noqa: PLC0415 - statistics take a while to load

        files = [self.folder.files(name) for name in ("tables", *(f"tables/{t}" for t in SCHEMAS))]
        if self._read is None or files != self._read_files:
            # Looked at before they are read: what comes meanwhile is read the next time.
            self._read, self._read_files = gather(self.folder), files
        return self._read

    def _best(self) -> "ConfigRecord":
        evidence = self._evidence()
        if evidence.use is None:
            why = "compares all with the default and chooses none"
            if not self.spec.is_table:
                why = "has not come so far, or is over without a winner"
            raise InputError(
                f"{self.folder.uri} must have a configuration to use, but it {why}; "
                "see .trials() and .status()"
            )
        if not evidence.use.toml:
            raise InputError(
                f"configuration {evidence.use.config_id} must have its settings in the table "
                "configs, but they are lost with a damaged file there; put it back from a copy"
            )
        return evidence.history.configs[evidence.use.config_id]

    def __repr__(self) -> str:
        """Which study, where, and how it stands."""
        summary = summarise(self.history)
        name, where = self.spec.study.name, self.folder.uri
        return f"<Study {name!r} at {where}: {summary.state}, {len(self.history.trials)} trials>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, or how the study stands."""
        from tune.views.notebook import study_html  # noqa: PLC0415 - statistics

        return study_html(self, self.answer())

    def figures(self, *, dark: bool = False) -> "dict[str, go.Figure]":
        """The figures of `hscl report` by name, as Plotly figures.

        Args:
            dark: In the dark palette.
        """
        from tune.charts.figures import figures_of  # noqa: PLC0415 - plotly takes a while to load

        return figures_of(self._evidence(), dark=dark)

    def read_status(self) -> StudyStatus:
        """How the study stands now, and who is at it; what was read before is read anew."""
        holder = holder_of(self.folder)  # before the tables: what ended since then is in them
        for folded in ("history", "_saved"):
            self.__dict__.pop(folded, None)
        events = self.table("trials", events=True).to_pylist()
        rate = None
        if holder is not None and holder.running:
            rate = events_rate(events, self.history, datetime.fromisoformat(holder.since))
        last = events[-1]["time"] if events else None
        now, notes = datetime.now(UTC), tuple(self._notes())
        return StudyStatus(summarise(self.history, rate), last, holder, now, notes)

    def _notes(self) -> Iterator[str]:
        """What people noted, and what no driver has taken up yet."""
        written = [str(row["note"]) for row in self.history.plan_rows(Kind.NOTE)]
        yield from written
        for asked in waiting(self.folder):
            if asked.kind == NOTE and asked.row_text not in written:
                yield asked.row_text

    def status(self) -> dict[str, Any]:
        """The same as plain values, what is missing from the tables, and the answer as `use`."""
        told = self.read_status()
        use = self._last_answer()
        damages = [str(damage) for damage in self.damages]
        more = {"use": None if use is None else use.to_dict(), "damages": damages}
        return told.to_dict() | more


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
