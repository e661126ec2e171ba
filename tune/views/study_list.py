"""All studies of a folder at a glance: `hscl status runs/`."""

from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hscl.errors import HsclError
from tune.study.toml import STUDY_FILE
from tune.tables.storage import Folder
from tune.views.progress import age_text
from tune.views.study import Study, open_study
from tune.views.summary import StudyStatus

__all__ = ["ListedStudy", "list_studies", "render_list"]


@dataclass(frozen=True)
class ListedStudy:
    """One study of a folder.

    Attributes:
        folder: The name of its folder.
        status: How it stands; None where it can't be read.
        verdict: Of winner against default, or of a table's pairs, once confirm is over; else None.
        problem: Why it can't be read.
    """

    folder: str
    status: StudyStatus | None
    verdict: str | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = {"folder": self.folder, "verdict": self.verdict, "problem": self.problem}
        return told | ({} if self.status is None else self.status.to_dict())


def list_studies(folder: Folder) -> list[ListedStudy]:
    """The studies that lie directly in a folder, by name; none where it is a study itself."""
    if folder.exists(STUDY_FILE):
        return []
    names = [name for name in folder.folders() if folder.exists(f"{name}/{STUDY_FILE}")]
    return [_listed(name, folder.child(name)) for name in names]


def _listed(name: str, folder: Folder) -> ListedStudy:
    try:
        study = open_study(folder.uri)
        status = study.read_status()
        return ListedStudy(name, status, _verdict(study, status))
    except HsclError as error:  # the others can still be listed
        return ListedStudy(name, None, problem=str(error).splitlines()[0])
    except Exception as error:  # noqa: BLE001 - nor does what damaged tables bring about end them
        return ListedStudy(name, None, problem=f"{type(error).__name__}: {error}")


def _verdict(study: Study, status: StudyStatus) -> str | None:
    if status.summary.state != "done" or not study.spec.confirm.takes_place:
        return None
    compared = study.comparison()
    if compared is None:
        return None
    if compared.asked is None:
        from tune.evidence.sentences import verdict_counts  # noqa: PLC0415 - statistics

        return verdict_counts(compared) if study.spec.is_table else None
    return str(compared.asked.verdict or "no verdict")


def render_list(found: list[ListedStudy]) -> RenderableType:
    """A row a study: what it is, whether it runs, how far it is, and what came out."""
    table = Table(box=None, pad_edge=False)
    for head in ("study", "state", "phase", "best valid", "verdict", "last event", "note"):
        table.add_column(head, overflow="fold")
    for one in found:
        if one.status is None:
            row = (one.folder, "can't be read", "", "", "", "", one.problem or "")
            table.add_row(*map(Text, row))
            continue
        summary, age, notes = one.status.summary, one.status.age_s, one.status.notes
        best = summary.best
        cells = (
            one.folder,
            one.status.alive,
            str(summary.phase or ""),
            "" if best is None else f"{best.value_text()}, {best.name}",
            one.verdict or "",
            "" if age is None else age_text(age),
            notes[-1] if notes else "",
        )
        table.add_row(*map(Text, cells))
    return table
