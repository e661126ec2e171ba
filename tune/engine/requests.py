"""What a person asks of a study's driver while it runs: files that it takes up and removes.

Who asks writes no table: the driver stays their one writer. Where none runs, a request waits for
the next.
"""

import getpass
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from tune.tables.storage import Folder

__all__ = ["NOTE", "STOP", "Request", "leave", "remove", "waiting"]

NOTE = "note"
STOP = "stop"
_FOLDER = "requests"


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
