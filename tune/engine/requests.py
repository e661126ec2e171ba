"""What people ask of a running study: files in its folder that its driver takes up as decisions.

Who asks writes no table: the driver stays their one writer. Where none runs, a request waits for
the next.
"""

import getpass
import json
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tune.engine.recorder import Recorder
from tune.planner.decisions import plan_row
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.lock import StudyLock
from tune.tables.storage import Folder
from tune.tables.store import TableStore

__all__ = ["NOTE", "STOP", "Request", "Requests", "leave", "remove", "waiting", "with_requests"]

NOTE = "note"
STOP = "stop"
_FOLDER = "requests"
_LOOK_S = 2.0
_LOOK_FAR_S = 20.0  # each look at object storage is a request to it


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        kind: `NOTE` or `STOP`.
        text: The note, or the trial's id.
        who: Whoever asks, and when.
        name: Of its file.
    """

    kind: str
    text: str
    who: str
    name: str

    @property
    def row_text(self) -> str:
        """A note as the plan records it, with who noted it and when."""
        return f"{self.text} ({self.who})"


def leave(folder: Folder, kind: str, text: str) -> Request:
    """Put a request into a study's folder.

    Args:
        folder: The study's.
        kind: `NOTE` or `STOP`.
        text: The note, or the trial's id.

    Returns:
        The request.
    """
    now = datetime.now(UTC)
    # In order of their names: in order of time.
    name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"
    asked = Request(kind, text, f"{_user()}, {now:%Y-%m-%d %H:%M} UTC", name)
    told = {"kind": kind, "text": text, "who": asked.who}
    folder.write(f"{_FOLDER}/{name}", json.dumps(told, ensure_ascii=False).encode())
    return asked


def waiting(folder: Folder) -> list[Request]:
    """The requests that no driver has taken up yet, oldest first; what is none is left alone."""
    found = []
    for name in sorted(folder.files(_FOLDER)):
        if name.startswith("."):
            continue
        try:
            told = json.loads(folder.read(f"{_FOLDER}/{name}"))
            kind, text, who = (str(told[key]) for key in ("kind", "text", "who"))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if kind in {NOTE, STOP}:
            found.append(Request(kind, text, who, name))
    return found


def remove(folder: Folder, request: Request) -> None:
    """Take a request away, once what it asks for is written down."""
    folder.delete(f"{_FOLDER}/{request.name}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "somebody"


class Requests:
    """The requests that lie in a study's folder.

    Args:
        folder: The study's.
        recorder: Its tables.
    """

    def __init__(self, folder: Folder, recorder: Recorder) -> None:
        self._folder = folder
        self._recorder = recorder
        self._next = 0.0

    def take_if_due(self) -> None:
        """Take up what lies there, every few seconds."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_LOOK_S if self._folder.local is not None else _LOOK_FAR_S)
        try:
            asked = waiting(self._folder)
        except OSError:
            return  # the storage is away for a moment: the next look finds them
        for request in asked:
            self._recorder.add_plan(_rows(request, self._recorder.history))
            with suppress(OSError):  # asked once more, it adds nothing
                remove(self._folder, request)


def with_requests(folder: Folder, spec: StudySpec, over: History) -> History:
    """All rows of a study that is over, once what people asked of it since is taken up.

    Args:
        folder: The study's; only where something waits there is its lock taken.
        spec: The study.
        over: All its rows until now.
    """
    if not waiting(folder):
        return over
    with StudyLock(folder) as lock:
        recorder = Recorder(spec, TableStore(folder, guard=lock.check))
        Requests(folder, recorder).take_if_due()
    return recorder.history


def _rows(request: Request, history: History) -> list[dict[str, Any]]:
    """What a request adds to the plan: nothing where it is done already or can't be."""
    if request.kind == NOTE:
        text = request.row_text
        known = any(row["note"] == text for row in history.plan_rows(Kind.NOTE))
        return [] if known else [plan_row(Kind.NOTE, note=text)]
    trial = history.open.get(request.text)
    if trial is None or not trial.phase.searches or trial.trial_id in history.stopped_by_hand:
        return []
    row = plan_row(
        Kind.TRIAL_STOPPED,
        phase=trial.phase,
        config_id=trial.config_id,
        seeds=[trial.seed],
        note=f"by {request.who}",
    )
    return [row]
