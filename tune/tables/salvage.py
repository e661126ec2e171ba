"""Reads what can be read of a damaged study, and says what is lost.

Reading a table as it stands comes first and is all that a sound study needs. Only where that
fails are the table's files looked at one by one; a damaged one is hidden, and the others are read
through the same table store as always.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hscl.errors import HsclError
from tune.states import Origin, TrialState
from tune.study.spec import StudySpec
from tune.tables.fold import fold
from tune.tables.history import History
from tune.tables.schemas import SCHEMAS, check_version
from tune.tables.storage import Folder
from tune.tables.store import Part, TableStore

__all__ = ["LOST", "UNKNOWN", "Damage", "Salvaged", "salvage"]

LOST = {
    "configs": "configurations whose rows were in it appear without name and settings",
    "trials": "trials whose events were in it seem never to have begun or ended",
    "reports": "epochs whose rows were in it are missing from curves, costs and the best so far",
    "predictions": "runs whose predictions were in it are left out of the comparison",
    "plan": "decisions that were in it are unknown, so no verdict is given",
}
"""What it means when a file of each table is gone."""

UNKNOWN = "{}"
"""Stands in the table of configurations for settings whose row is lost."""

_PLACEHOLDER = 1_000_000  # numbers of configurations whose rows are lost


@dataclass(frozen=True)
class Damage:
    """One file that cannot be read or is not there, or a table that lacks values.

    Attributes:
        table: The table that it is part of.
        file: Its path inside the study folder, or the table's.
        reason: What is wrong with it.
        lost: What is gone with it; empty: what `LOST` says of the table.
        no_verdict: Why no verdict may be given; empty: one may.
    """

    table: str
    file: str
    reason: str
    lost: str = ""
    no_verdict: str = ""

    def __str__(self) -> str:
        """One sentence: which file, what is wrong, what is lost."""
        return f"{self.file} {self.reason}: {self.lost or LOST[self.table]}."


@dataclass(frozen=True)
class Salvaged:
    """The tables as far as they can be read.

    Attributes:
        tables: Every table by name; empty where nothing could be read. A configuration that only
            other tables know has a row too, with `UNKNOWN` settings.
        history: What they say has happened.
        damages: What is missing from them.
    """

    tables: Mapping[str, pa.Table]
    history: History
    damages: tuple[Damage, ...]


@dataclass(frozen=True)
class _Hiding(Folder):
    """A folder in which some files, given by their full path, cannot be seen."""

    hidden: frozenset[str] = frozenset()

    def child(self, name: str) -> "_Hiding":
        below = super().child(name)
        return _Hiding(below.filesystem, below.path, below.uri, below.local, self.hidden)

    def files(self, name: str = "") -> dict[str, int]:
        found = super().files(name)
        return {
            file: size
            for file, size in found.items()
            if self.full(f"{name}/{file}" if name else file) not in self.hidden
        }


def salvage(folder: Folder, spec: StudySpec) -> Salvaged:
    """Read all tables of a study; nothing is written.

    Args:
        folder: The study's folder.
        spec: The study.

    Returns:
        The tables, and what could not be read of them.
    """
    tables: dict[str, pa.Table] = {}
    damages: list[Damage] = []
    for table in SCHEMAS:
        try:
            tables[table] = TableStore(folder).read(table)
        except HsclError:
            found = _damaged(folder, table)
            damages += found
            hidden = frozenset(folder.full(damage.file) for damage in found)
            seen = _Hiding(folder.filesystem, folder.path, folder.uri, folder.local, hidden)
            tables[table] = TableStore(seen).read(table)
        damages += _gaps(folder, table)
    tables["configs"] = _with_placeholders(tables)
    history = fold(spec, tables)
    damages += _without_metric(history)
    damages += _without_labels(tables["predictions"])
    damages += _two_labels(tables["predictions"])
    return Salvaged(tables, history, tuple(damages))


def _with_placeholders(tables: Mapping[str, pa.Table]) -> pa.Table:
    """The configurations, with a nameless row for each that only other tables know."""
    configs = tables["configs"]
    known = set(configs["config_id"].to_pylist())
    named = pc.unique(tables["trials"]["config_id"]).to_pylist()
    named += [c for c in pc.unique(tables["plan"]["config_id"]).to_pylist() if c is not None]
    lost = [config_id for config_id in dict.fromkeys(named) if config_id not in known]
    if not lost:
        return configs
    rows = [
        {
            "config_id": config_id,
            "number": _PLACEHOLDER + n,
            "origin": Origin.SAMPLER.value,
            "config": UNKNOWN,
            "hscl_version": "",
            "name": f"lost {config_id[:6]}",
        }
        for n, config_id in enumerate(lost)
    ]
    return pa.Table.from_pylist([*configs.to_pylist(), *rows], schema=configs.schema)


def _damaged(folder: Folder, table: str) -> list[Damage]:
    """The table's files that cannot be read, each with its reason."""
    found = []
    for name in sorted(folder.files(f"tables/{table}")):
        file = f"tables/{table}/{name}"
        if name.startswith(".") or not name.endswith(".parquet"):
            continue
        try:
            with folder.open(file) as stream:
                part = pq.ParquetFile(stream)
                check_version(part.schema_arrow, table, file)
                part.read()
        except HsclError as error:
            found.append(Damage(table, file, str(error).removeprefix(file).strip()))
        except (pa.ArrowException, OSError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            found.append(Damage(table, file, f"is no whole Parquet file ({reason})"))
    return found


def _gaps(folder: Folder, table: str) -> list[Damage]:
    """Appends that no file holds: files are numbered without a gap, so one was taken away."""
    parts = [part for name in folder.files(f"tables/{table}") if (part := Part.named(name))]
    found, next_number = [], 0
    for part in sorted(parts):
        if part.first > next_number:
            gone = Part(next_number, part.first - 1)
            found.append(Damage(table, f"tables/{table}/{gone.name}", "is missing"))
        next_number = max(next_number, part.last + 1)
    return found


def _without_metric(history: History) -> list[Damage]:
    """Trials that ended well and whose epochs are there, but none with the study's metric."""
    done = [trial for trial in history.trials.values() if trial.state is TrialState.DONE]
    # A constant prediction has no correlation: there no value is what was measured.
    lost = [
        trial.trial_id
        for trial in done
        if trial.curve and trial.value is None and not trial.collapsed
    ]
    if not lost:
        return []
    column = f"valid_{history.spec.study.metric}"
    reason = f"has no {column} for {len(lost)} of {len(done)} complete trials ({min(lost)}"
    reason += ", …)" if len(lost) > 1 else ")"
    gone = "they are missing from curves, from the best so far and from what parameters do"
    return [Damage("reports", "tables/reports", reason, gone)]


def _without_labels(predictions: pa.Table) -> list[Damage]:
    """Splits of which not one label is there."""
    splits = set(pc.unique(predictions["split"]).to_pylist())
    labelled = predictions.filter(pc.is_valid(predictions["label"]))
    gone = "no run can be scored on it, so nothing can be compared there"
    return [
        Damage("predictions", "tables/predictions", f"has no label of the {split} split", gone)
        for split in sorted(splits - set(pc.unique(labelled["split"]).to_pylist()))
    ]


def _two_labels(predictions: pa.Table) -> list[Damage]:
    """Utterances whose label differs from trial to trial: nodes read different data."""
    of = ["split", "video", "utterance"]
    labels = predictions.select([*of, "label"]).group_by(of, use_threads=False)
    counted = labels.aggregate([("label", "count_distinct")])
    bad = counted.filter(pc.greater(counted["label_count_distinct"], 1)).to_pylist()
    if not bad:
        return []
    split, video, utterance = (bad[0][name] for name in of)
    first = f"the first: {split}, video {video}, utterance {utterance}"
    reason = f"has two labels for {len(bad)} of {len(counted)} utterances ({first})"
    gone = "trials were scored on different data, so no comparison of them can be trusted"
    return [Damage("predictions", "tables/predictions", reason, gone, gone)]
