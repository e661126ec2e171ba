"""What a trial trains: HSCL, or whatever a test or a benchmark brings."""
# ruff: noqa: D102 - what the members mean stands at the classes that these are the shape of

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hscl.config import Config
from tune.trial.messages import TrialOrder

__all__ = ["EpochLike", "SplitLike", "TrialTraining", "Workload"]


class EpochLike(Protocol):
    """One epoch's report; see `hscl.training.reports.EpochReport`."""

    @property
    def epoch(self) -> int: ...
    @property
    def losses(self) -> dict[str, float]: ...
    @property
    def valid(self) -> dict[str, float]: ...
    @property
    def collapsed(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    @property
    def steps(self) -> int: ...
    @property
    def peak_memory(self) -> int: ...


class SplitLike(Protocol):
    """Utterances to predict; see `hscl.training.prepared.PreparedSplit`."""

    @property
    def videos(self) -> list[str]: ...
    @property
    def utterances(self) -> list[str]: ...
    @property
    def labels(self) -> npt.NDArray[np.float64] | None: ...
    @property
    def speakers(self) -> list[str | None] | None: ...


class TrialTraining(Protocol):
    """A training that can be stopped after any epoch, saved, and continued elsewhere."""

    @property
    def reports(self) -> Sequence[EpochLike]:
        """Every epoch so far, those before `restore` included."""

    @property
    def precision(self) -> str:
        """What it computes in: fp32 or bf16."""

    @property
    def parameters(self) -> int:
        """Numbers that it trains outside the text encoder."""

    def __iter__(self) -> Iterator[EpochLike]: ...

    def save(self, folder: Path) -> Path: ...

    def restore(self, folder: Path) -> None: ...

    def predict(self, split: Any) -> npt.NDArray[np.float64]: ...


class Workload(Protocol):
    """Begins trainings and opens splits, on a worker."""

    def begin(self, order: TrialOrder, config: Config, data: Any) -> TrialTraining:
        """A fresh training."""

    def split(self, name: str, order: TrialOrder, config: Config, data: Any) -> SplitLike:
        """A split to predict at the end of a trial."""
