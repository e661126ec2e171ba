"""Opens a test set for trained models, and says so in their folder; nothing else here does."""

import getpass
import json
import math
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hscl import metrics
from hscl.data.dataset import Dataset
from hscl.data.splits import open_test
from hscl.errors import InputError, RunError
from hscl.trained.folder import EVALUATIONS
from hscl.trained.predict import TrainedModel
from hscl.trained.record import mean_sd

__all__ = ["Evaluation", "evaluate_model"]


@dataclass(frozen=True)
class Evaluation:
    """What came out of one opening of a test set.

    Attributes:
        by_seed: For each seed all metrics on test.
        summary: For each metric mean and standard deviation over the seeds.
        ensemble: All metrics of the mean prediction, which is what `hscl predict` gives.
        utterances: Number of test utterances.
        digest: The data set's.
        same_data: Whether the models were trained on this data set.
        earlier: How often a test set was opened with these models before.
        warnings: What there is to say about the predictions.
        failure: Says that predictions are not finite; then their seeds have no metric, nor has
            what is made of all seeds.
    """

    by_seed: dict[int, dict[str, float]]
    summary: dict[str, dict[str, float]]
    ensemble: dict[str, float]
    utterances: int
    digest: str
    same_data: bool
    earlier: int
    warnings: list[str]
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; null where a metric is not defined."""
        return {
            "digest": self.digest,
            "same_data": self.same_data,
            "utterances": self.utterances,
            "earlier": self.earlier,
            "seeds": {str(seed): _known(values) for seed, values in self.by_seed.items()},
            "summary": {name: _known(values) for name, values in self.summary.items()},
            "ensemble": _known(self.ensemble),
            "warnings": self.warnings,
            **({} if self.failure is None else {"failure": self.failure}),
        }


def evaluate_model(model: TrainedModel, dataset: Dataset) -> Evaluation:
    """Evaluate every seed on test, and append who, when and which data to the model's folder.

    Args:
        model: Trained models.
        dataset: Its test split is opened.

    Returns:
        The metrics. They are recorded before they are returned, so that nobody sees them unseen.

    Raises:
        InputError: There is no labelled test split, its features have other widths, or its labels
            another range.
        RunError: The folder can't be written to; then nothing is shown.
    """  # noqa: DOC502 - raised by the steps
    path = model.folder / EVALUATIONS
    if dataset.label_range != model.record.label_range:
        raise InputError(
            f"{dataset.path} must have labels between ±{model.record.label_range:g} as the data "
            f"that {model.folder} was trained on, but has a range of {dataset.label_range:g}"
        )
    earlier = _earlier(path)
    split = open_test(dataset)
    labels = np.asarray(split.labels, dtype=np.float64)
    predictions = model.predict_split(split)
    names = metrics.metrics_of(dataset.label_range)
    none = dict.fromkeys(names, math.nan)

    def measured(values: NDArray[np.float64]) -> dict[str, float]:
        if not np.isfinite(values).all():
            return none
        return metrics.evaluate(labels, values, dataset.label_range)

    by_seed = {
        seed: measured(values)
        for seed, values in zip(predictions.seeds, predictions.by_seed, strict=True)
    }
    nothing = {name: {"mean": math.nan, "sd": math.nan} for name in names}
    summary = {name: mean_sd([v[name] for v in by_seed.values()]) for name in names}
    evaluation = Evaluation(
        by_seed=by_seed,
        summary=summary if predictions.failure is None else nothing,
        ensemble=measured(predictions.mean),
        utterances=len(split),
        digest=dataset.digest,
        same_data=dataset.digest == model.record.digest,
        earlier=earlier,
        warnings=predictions.warnings,
        failure=predictions.failure,
    )
    _record(path, evaluation)
    return evaluation


def _earlier(path: Path) -> int:
    """How often it was done before.

    Raises:
        RunError: The record can't be read.
    """
    try:
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
    except OSError as error:
        raise RunError(
            f"earlier test evaluations must be recorded in the file {path}, but it can't be read "
            f"({error.strerror})"
        ) from error


def _record(path: Path, evaluation: Evaluation) -> None:
    """Append one line, whole, so that two evaluations at once do not mix.

    Raises:
        RunError: It can't be written.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": f"{_user()}@{platform.node()}",
        "hscl": version("hscl-search"),
        "split": "test",
        **evaluation.to_dict(),
    }
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"opening a test set must be recorded in {path}, but it can't be written "
            f"({error.strerror}); make the folder writable"
        ) from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without an entry for its user
        return "unknown"


def _known(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}
