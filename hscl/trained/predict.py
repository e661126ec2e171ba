"""A model folder and utterances -> predictions: the mean over its seeds, and their spread."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.data.splits import Split, open_inputs
from hscl.errors import InputError
from hscl.model.batch import Widths
from hscl.trained.folder import SeedModel, load_seed
from hscl.trained.missing import unseen_warnings
from hscl.trained.record import ModelRecord, read_folder
from hscl.training.evaluation import Feed, predict
from hscl.training.execution import autocast, choose_threads, cpu_threads, resolve_device
from hscl.training.prepared import PreparedSplit, prepare_inputs

__all__ = ["Predictions", "TrainedModel", "load_model"]


@dataclass(frozen=True)
class Predictions:
    """Sentiment of N utterances.

    Attributes:
        videos: (N,) video of each utterance, empty for bare text.
        utterances: (N,) its name within the video, or the text itself.
        seeds: (S,) the models that were asked.
        by_seed: (S, N) float64 prediction of each model.
        warnings: What there is to say about them, such as modalities that are missing.
        splits: (N,) the split of each in its data set; None where it has none, and of bare text.
        labels: (N,) the label of each there; None where it has none. No model has seen it.
    """

    videos: list[str]
    utterances: list[str]
    seeds: list[int]
    by_seed: NDArray[np.float64]
    warnings: list[str]
    splits: list[str | None] = field(default_factory=list)
    labels: list[float | None] = field(default_factory=list)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(N,) the prediction: mean over the seeds; NaN where one of them is not finite."""
        mean: NDArray[np.float64] = self._finite().mean(axis=0)
        return mean

    @property
    def spread(self) -> NDArray[np.float64]:
        """(N,) standard deviation (n − 1) over the seeds; NaN for one, or where one failed."""
        if len(self.seeds) < 2:
            return np.full(self.by_seed.shape[1], np.nan)
        spread: NDArray[np.float64] = self._finite().std(axis=0, ddof=1)
        return spread

    @property
    def failure(self) -> str | None:
        """What to say where not all predictions are finite, by name of the first; else None."""
        bad: NDArray[np.bool_] = ~np.isfinite(self.by_seed)
        if not bad.any():
            return None
        row = int(bad.any(axis=0).argmax())
        seeds = [seed for seed, row_bad in zip(self.seeds, bad, strict=True) if row_bad.any()]
        who = f"video {self.videos[row]}, utterance {self.utterances[row]}"
        return (
            f"every prediction must be finite, but {int(bad.any(axis=0).sum())} of "
            f"{bad.shape[1]} are not (seeds {', '.join(map(str, seeds))}), the first that of "
            f"{who}; look at its features with hscl data check"
        )

    def _finite(self) -> NDArray[np.float64]:
        return np.where(np.isfinite(self.by_seed), self.by_seed, np.nan)


class TrainedModel:
    """The models of a folder that `hscl train` wrote; each is loaded when it is first asked.

    Attributes:
        folder: Where they are.
        config: Their configuration.
        record: What they were trained on, and how well they did on valid.
    """

    def __init__(self, folder: Path | str, *, device: str = "auto") -> None:
        """Open a model folder; see `hscl.load`.

        Raises:
            InputError: It is no such folder, no seed is finished, or the device is not there.
        """
        self.folder = Path(folder)
        self.config, self.record = read_folder(self.folder)
        if not self.record.runs:
            raise InputError(
                f"{folder} must hold at least one finished seed, but training has not finished "
                "any; run the same hscl train command again to go on"
            )
        resolve_device(device)
        self._device = device
        self._models: dict[int, SeedModel] = {}

    def __repr__(self) -> str:
        return f"TrainedModel({str(self.folder)!r}, seeds={self.seeds})"

    @property
    def seeds(self) -> list[int]:
        """Seeds of the finished models."""
        return [run.seed for run in self.record.runs]

    def predict(
        self,
        data: Dataset | Path | str,
        *,
        split: str | None = None,
        seed: int | None = None,
    ) -> Predictions:
        """Predict the utterances of a data set; no label is needed, and none reaches a model.

        Args:
            data: An open data set, or its file.
            split: Only these utterances; None takes all.
            seed: Only this model; None takes all.

        Returns:
            Predictions in the order of the file.

        Raises:
            InputError: The file is no data set or was changed since it was written, its features
                have other widths, there is no such split or no such seed.
        """  # noqa: DOC502 - raised by the steps
        dataset = data if isinstance(data, Dataset) else Dataset.open(data).verify()
        found = self.predict_split(open_inputs(dataset, split), seed=seed)
        # Only beside what was predicted, for whoever compares the two.
        columns = dataset.table.select(["split", "label"]).to_pylist()
        rows = [row for row in columns if split is None or row["split"] == split]
        return replace(
            found,
            splits=[row["split"] for row in rows],
            labels=[row["label"] for row in rows],
        )

    def predict_texts(self, texts: Sequence[str], *, seed: int | None = None) -> Predictions:
        """Predict from words alone; other modalities count as missing.

        Args:
            texts: One utterance each, at least one.
            seed: Only this model; None takes all.

        Returns:
            Predictions in the order of the texts.

        Raises:
            InputError: There is no text, one is empty, or there is no such seed.
        """
        if isinstance(texts, str) or not texts or not all(text.strip() for text in texts):
            raise InputError("texts must be a list of one or more texts with words in them")
        split = Split(
            name="text",
            videos=[""] * len(texts),
            utterances=list(texts),
            labels=None,
            words=list(texts),
            audio=None,
            vision=None,
        )
        return self.predict_split(split, seed=seed)

    def predict_split(self, split: Split, *, seed: int | None = None) -> Predictions:
        """Predict the utterances of an open split.

        Args:
            split: The utterances.
            seed: Only this model; None takes all.

        Returns:
            Predictions in the split's order.

        Raises:
            InputError: Its features have other widths, or there is no such seed.
        """
        seeds = self.seeds if seed is None else [seed]
        if seed is not None and seed not in self.seeds:
            raise InputError(f"{self.folder} has no seed {seed}; its seeds are {self.seeds}")
        models = [self._model(one) for one in seeds]
        config = models[0].config
        prepared = prepare_inputs(split, config, _widths(self.record))
        return Predictions(
            videos=split.videos,
            utterances=split.utterances,
            seeds=seeds,
            by_seed=np.stack([_predict(model, prepared) for model in models]),
            warnings=unseen_warnings(prepared, self.config, self.record.missing),
        )

    def _model(self, seed: int) -> SeedModel:
        if seed not in self._models:
            self._models[seed] = load_seed(
                self.folder, seed, self.config, self.record, device=self._device
            )
        return self._models[seed]


def load_model(folder: Path | str, *, device: str = "auto") -> TrainedModel:
    """Open a folder that `hscl train` wrote; the same as `hscl.load`.

    Args:
        folder: The model folder.
        device: Where to predict: "auto", "cpu", "cuda" or "cuda:N".

    Returns:
        The trained models.

    Raises:
        InputError: It is no such folder, no seed is finished, or the device is not there.
    """  # noqa: DOC502 - raised by TrainedModel
    return TrainedModel(folder, device=device)


def _widths(record: ModelRecord) -> Widths:
    widths = record.widths
    return Widths(text=widths["text"] or 0, audio=widths["audio"], vision=widths["vision"])


def _predict(model: SeedModel, prepared: PreparedSplit) -> NDArray[np.float64]:
    config: Config = model.config
    device = resolve_device(config.run.device)
    threads = choose_threads(0, finetunes=config.model.text.finetune)
    if config.run.threads:  # what it was trained with, where that many are there
        threads = min(threads, config.run.threads)
    with cpu_threads(threads), autocast(device, config.run.precision):
        feed = Feed.of(config, model.scalers, device, model.label_range)
        return predict(model.network, prepared, feed, batch_size=config.run.micro_batch)
