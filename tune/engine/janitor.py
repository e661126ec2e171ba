"""Removes files that nothing will need, beside the run and not in its way."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from tune.states import TrialState
from tune.tables.history import History
from tune.tables.storage import Folder
from tune.trial.files import CHECKPOINTS

__all__ = ["Janitor"]

_RESUMING = "state.safetensors"  # hscl.training.resuming.STATE, which would import torch
_NEEDLESS = {TrialState.PRUNED, TrialState.FAILED}


class Janitor:
    """Once an end is durable: a stopped trial's files go, and what resuming a done one needs.

    Args:
        folder: The study's folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="janitor")

    def sweep(self, history: History) -> None:
        """Clear what an earlier process did not come to."""
        self._worker.submit(self._sweep, {t.trial_id: t.state for t in history.trials.values()})

    def on_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hear of rows that have just become durable."""
        if table == "trials":
            for row in rows:
                if row["state"] != TrialState.STARTED:
                    self._worker.submit(self._clear, row["trial_id"], row["state"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.shutdown(wait=True, cancel_futures=kind is not None)

    def _sweep(self, states: Mapping[str, TrialState]) -> None:
        try:
            left = self._folder.folders(CHECKPOINTS)
        except OSError:
            return
        for trial_id in left:
            state = states.get(trial_id, TrialState.STARTED)
            # On object storage each look costs a request; there a done trial's is left alone.
            if state in _NEEDLESS or (state is TrialState.DONE and self._folder.local):
                self._clear(trial_id, state)

    def _clear(self, trial_id: str, state: str) -> None:
        try:
            if state in _NEEDLESS:
                self._folder.delete_folder(f"{CHECKPOINTS}/{trial_id}")
            else:
                self._folder.delete(f"{CHECKPOINTS}/{trial_id}/{_RESUMING}")
        except OSError:
            return  # it only takes space
