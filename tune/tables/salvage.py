"""Reads what can be read of a damaged study, and says what is lost.

Reading a table as it stands comes first and is all that a sound study needs. Only where that
fails are the table's files looked at one by one; a damaged one is hidden, and the others are read
through the same table store as always.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hscl.errors import HsclError, InputError
from tune.states import Kind, Origin, TrialState
from tune.study.spec import StudySpec
from tune.tables.fold import fold, report_columns
from tune.tables.history import History
from tune.tables.schemas import SCHEMAS
from tune.tables.storage import Folder
from tune.tables.store import COUNTS_FILE, NOT_WHOLE, PUT_BACK, TableStore

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
        blocks: Nothing may be decided by the tables.
    """

    table: str
    file: str
    reason: str
    lost: str = ""
    no_verdict: str = ""
    blocks: bool = True

    def __str__(self) -> str:
        """One sentence: which file, what is wrong, what is lost."""
        return f"{self.file} {self.reason}: {self.lost or LOST[self.table]}."


_UNCOUNTED = Damage(
    "",
    f"tables/{COUNTS_FILE}",
    "is missing or damaged",
    "files that are gone from the end of a table would not be missed; the next search counts anew",
    blocks=False,
)


@dataclass(frozen=True)
class Salvaged:
    """The tables as far as they can be read.

    Attributes:
        tables: Every table by name; empty where nothing could be read. A configuration that only
            other tables know has a row too, with `UNKNOWN` settings.
        history: What they say has happened.
        damages: What is missing from them.
        counted: Whether rows were counted as they were written, so that a lost end is noticed.
    """

    tables: Mapping[str, pa.Table]
    history: History
    damages: tuple[Damage, ...]
    counted: bool


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


def salvage(folder: Folder, spec: StudySpec, *, for_history: bool = False) -> Salvaged:
    """Read all tables of a study; nothing is written.

    Args:
        folder: The study's folder.
        spec: The study.
        for_history: Leave predictions and the columns of reports unread that no history needs.

    Returns:
        The tables, and what could not be read of them.

    Raises:
        InputError: What can be read contradicts itself.
    """
    tables: dict[str, pa.Table] = {}
    damages: list[Damage] = []
    counted = TableStore(folder).counted_rows()  # before reading: a driver may append meanwhile
    for table, columns in _columns(spec, for_history=for_history).items():
        try:
            tables[table] = TableStore(folder).read(table, columns=columns)
        except HsclError:
            found = _damaged(folder, table)
            damages += found
            hidden = frozenset(folder.full(damage.file) for damage in found)
            seen = _Hiding(folder.filesystem, folder.path, folder.uri, folder.local, hidden)
            tables[table] = TableStore(seen).read(table, columns=columns)
    damages += _gaps(folder)
    damages += _replaced(tables, counted, {damage.table for damage in damages})
    tables["configs"] = _with_placeholders(tables)
    try:
        history = fold(spec, tables)
    except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
        raise InputError(
            f"{folder.uri}/tables must hold rows that belong together, but can't be put together "
            f"({type(error).__name__}: {error}); put the files back from a copy"
        ) from error
    damages += _without_metric(history)
    # Who recorded the specification counted too; the count isn't synced: power cuts take it.
    if not counted and history.plan_rows(Kind.SPECIFICATION):
        damages.append(_UNCOUNTED)
    if not for_history:
        damages += _without_labels(tables["predictions"])
        damages += _two_labels(tables["predictions"])
    return Salvaged(tables, history, tuple(damages), bool(counted))


def _columns(spec: StudySpec, *, for_history: bool) -> dict[str, list[str] | None]:
    """Every table that is read, and of which columns; None: all of them."""
    if not for_history:
        return dict.fromkeys(SCHEMAS)
    return {"configs": None, "trials": None, "reports": report_columns(spec), "plan": None}


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
    store, found = TableStore(folder), []
    for part in store.parts(table):
        file = f"tables/{table}/{part.name}"
        try:
            store.read_part(table, part)
        except HsclError as error:
            reason = str(error).partition(part.name)[2].strip()
            if reason.startswith(NOT_WHOLE):
                why = reason.removeprefix(NOT_WHOLE).removesuffix(PUT_BACK)
                reason = f"is no whole Parquet file ({why})"
            found.append(Damage(table, file, reason))
        except FileNotFoundError:  # merged by a driver since it was listed
            continue
    return found


def _gaps(folder: Folder) -> list[Damage]:
    """Appends that no file holds, of every table."""
    return [
        Damage(table, f"tables/{table}/{hole.part.name}", f"is missing{hole.rows_text}")
        for table, holes in TableStore(folder).holes().items()
        for hole in holes
    ]


def _replaced(
    tables: Mapping[str, pa.Table], counted: Mapping[str, int], damaged: Collection[str]
) -> list[Damage]:
    """Tables whose files are all there and sound, but hold fewer rows than were written."""
    return [
        Damage(table, f"tables/{table}", f"has {len(rows)} of its {counted[table]} rows")
        for table, rows in tables.items()
        if table not in damaged and len(rows) < counted.get(table, 0)
    ]


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
