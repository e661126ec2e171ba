"""A study folder, opened to be read: by Python, by `hscl status`, while it runs or afterwards."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from hscl.errors import InputError, did_you_mean
from tune.history import History
from tune.storage import Folder, open_folder
from tune.study_folder import STUDY_FILE, frozen_spec
from tune.study_lock import holder_of
from tune.study_spec import StudySpec
from tune.summary import events_rate, summarise
from tune.table_schemas import SCHEMAS
from tune.table_store import TableStore

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from tune.study_comparison import StudyComparison

__all__ = ["Study", "open_study"]


class Study:
    """What a study's folder holds. Reading only; a running driver is not disturbed.

    Attributes:
        folder: Where it lies.
        spec: Its frozen specification.
    """

    def __init__(self, folder: Folder, spec: StudySpec) -> None:
        self.folder = folder
        self.spec = spec
        self._store = TableStore(folder)

    def table(
        self, name: str, *, events: bool = False, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """A table as readers see it: one row of each key, in order.

        Args:
            name: One of `configs`, `trials`, `reports`, `predictions`, `plan`.
            events: For `trials`: every event instead of each trial's last one.
            columns: Read only these and the key's.

        Returns:
            The rows as they are now.

        Raises:
            InputError: There is no such table.
        """
        if name not in SCHEMAS:
            raise InputError(f"{name!r} is no table of a study; {did_you_mean(name, SCHEMAS)}")
        if name != "trials" or events:
            return self._store.read(name, columns=columns)
        wanted = None if columns is None else [*columns, "trial_id"]
        rows = self._store.read(name, columns=wanted)
        last = rows.group_by("trial_id", use_threads=False).aggregate([("seq", "max")])["seq_max"]
        return rows.filter(pc.is_in(rows["seq"], value_set=last))

    def frame(self, name: str, *, events: bool = False) -> "pd.DataFrame":
        """As `table`, as a pandas data frame."""
        return self.table(name, events=events).to_pandas()

    def comparison(self) -> "StudyComparison | None":
        """What may be said about its configurations now; None where nothing can be compared."""
        from tune.report_evidence import gather  # noqa: PLC0415 - statistics take a while to load

        return gather(self.folder).comparison

    def figures(self, *, dark: bool = False) -> "dict[str, go.Figure]":
        """The figures of `hscl report` by name, as Plotly figures.

        Args:
            dark: In the dark palette.
        """
        from tune.charts import figures_of  # noqa: PLC0415 - plotly takes a while to load
        from tune.report_evidence import gather  # noqa: PLC0415

        return figures_of(gather(self.folder), dark=dark)

    def status(self) -> dict[str, Any]:
        """How the study stands, as plain values; see `tune.summary.Summary`.

        `driver` says who holds its lock file (a process that was killed may still stand there),
        `last_event` when anything was last written, both None where there is nothing.
        """
        events = self.table("trials", events=True).to_pylist()
        summary = summarise(self.history, events_rate(events, self.history))
        last = events[-1]["time"].isoformat() if events else None
        return summary.to_dict() | {"last_event": last, "driver": holder_of(self.folder)}

    @cached_property
    def history(self) -> History:
        """All rows folded, as they were when this was first asked for."""
        taken = ["seq", "stop", "finished", "seconds", f"valid_{self.spec.study.metric}"]
        return History.from_rows(
            self.spec,
            self._store.read("configs").to_pylist(),
            self._store.read("trials").to_pylist(),
            self._store.read("reports", columns=taken).to_pylist(),
            self._store.read("plan").to_pylist(),
        )


def open_study(where: str | Path) -> Study:
    """Open a study to read it.

    Args:
        where: Its folder, as a path or URI.

    Returns:
        The study.

    Raises:
        InputError: There is no study.
    """
    folder = open_folder(where)
    spec = frozen_spec(folder)
    if spec is None:
        raise InputError(
            f"{where} must be the folder of a study, but has no {STUDY_FILE}; "
            "begin one with: hscl search STUDY.toml --data FILE --out DIR"
        )
    return Study(folder, spec)
