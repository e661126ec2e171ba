"""Takes up what people ask of a running study, and writes it down as their decisions."""

import time
from contextlib import suppress
from typing import Any

from tune.engine.recorder import Recorder
from tune.engine.requests import NOTE, Request, remove, waiting
from tune.planner.decisions import plan_row
from tune.states import Kind
from tune.tables.history import History
from tune.tables.storage import Folder

__all__ = ["Requests"]

_LOOK_S = 2.0
_LOOK_FAR_S = 20.0  # each look at object storage is a request to it


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
