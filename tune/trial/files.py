"""A trial's own files: its checkpoint and its log, beside the tables or on object storage.

On a disk both are written where they belong. For object storage a worker writes them into a
temporary folder and uploads them whole.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from tune.tables.storage import Folder, open_folder

__all__ = ["CHECKPOINTS", "LOGS", "TrialFiles"]

CHECKPOINTS = "checkpoints"
LOGS = "logs"


class TrialFiles:
    """Where a running trial keeps its checkpoint and its log.

    Attributes:
        checkpoint: A local folder, for the training to save into and restore from.
    """

    def __init__(self, study: Folder, trial_id: str, scratch: Path) -> None:
        """Use `TrialFiles.opened` instead."""
        self._remote = None if study.local is not None else study
        self._name = trial_id
        self._log: TextIO | None = None
        self._uploaded: dict[str, tuple[int, int]] = {}
        root = scratch if study.local is None else study.local
        self.checkpoint = root / CHECKPOINTS / trial_id
        self._log_path = root / LOGS / f"{trial_id}.txt"
        self._root = root
        if self._remote is not None:
            for name in self._remote.files(f"{CHECKPOINTS}/{trial_id}"):
                self._download(f"{CHECKPOINTS}/{trial_id}/{name}", self.checkpoint / name)
            if self._remote.exists(f"{LOGS}/{trial_id}.txt"):
                self._download(f"{LOGS}/{trial_id}.txt", self._log_path)

    @classmethod
    @contextmanager
    def opened(cls, study: str, trial_id: str) -> Iterator["TrialFiles"]:
        """A trial's files; what is temporary goes when the block ends."""
        folder = open_folder(study)
        with ExitStack() as stack:
            scratch = Path()
            if folder.local is None:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hscl-")))
            yield cls(folder, trial_id, scratch)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is anything to resume from."""
        return self.checkpoint.is_dir() and any(self.checkpoint.iterdir())

    def check_there(self) -> None:
        """Return if the study's folder is there: one that was deleted is not made again.

        Raises:
            FileNotFoundError: It is gone.
        """
        if self._remote is None and not self._root.is_dir():
            raise FileNotFoundError(f"the study's folder {self._root} is gone")

    def publish_checkpoint(self) -> None:
        """Make what the training saved last survive this machine.

        Files go up in the order in which they were written, so that the last one, which names
        the others, never names one that is not there; then the superseded ones go.
        """
        if self._remote is None:
            return
        there = f"{CHECKPOINTS}/{self._name}"
        here = {path.name: path.stat() for path in self.checkpoint.iterdir()}
        for name, stat in sorted(here.items(), key=lambda item: item[1].st_mtime_ns):
            state = (stat.st_size, stat.st_mtime_ns)
            if self._uploaded.get(name) != state:
                self._remote.write(f"{there}/{name}", (self.checkpoint / name).read_bytes())
                self._uploaded[name] = state
        for name in self._remote.files(there):
            if name not in here:
                self._remote.delete(f"{there}/{name}")

    @contextmanager
    def logging(self) -> Iterator[TextIO]:
        """Append all that Python code prints inside the block to the trial's log.

        A log that can't be written never ends a trial: then what is printed is lost.

        Yields:
            The log, a file with a descriptor.
        """
        with ExitStack() as stack:
            try:
                self.check_there()
                self._log_path.parent.mkdir(parents=True, exist_ok=True)
                log = stack.enter_context(self._log_path.open("a", encoding="utf-8", buffering=1))
            except OSError:
                log = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.callback(self.publish_log)
            stack.enter_context(redirect_stdout(log))
            stack.enter_context(redirect_stderr(log))
            self._log = log
            yield log

    def note(self, text: str) -> None:
        """Add a line of our own to the log."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.write(text + "\n")

    def publish_log(self) -> None:
        """Upload the log as it is now."""
        if self._remote is not None and self._log_path.exists():
            with contextlib.suppress(OSError):
                self._remote.write(f"{LOGS}/{self._name}.txt", self._log_path.read_bytes())

    def _download(self, name: str, path: Path) -> None:
        if self._remote is None:
            return
        self._remote.copy_to(name, path)
        if path.parent == self.checkpoint:
            stat = path.stat()
            self._uploaded[path.name] = (stat.st_size, stat.st_mtime_ns)
