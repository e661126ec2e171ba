"""The epoch loop: yields one report an epoch, keeps the best epoch, knows no listener.

A training is a pure function of configuration, data and seed: on a CPU to the last bit, as long as
the number of its threads stays the same, as sums are split among them; on a GPU as far as it has
algorithms that repeat. It can be stopped after any
epoch, saved, and continued in another process as if nothing had happened.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hscl import metrics
from hscl.config import Config
from hscl.errors import InputError, RunError, did_you_mean
from hscl.kinds.registry import build_model
from hscl.model.batch import Batch
from hscl.model.contract import ModelOutput
from hscl.model.text_encoder import load_text_encoder
from hscl.seeding import numpy_stream, torch_stream
from hscl.training.batches import Absent, draw_absent, training_batches
from hscl.training.evaluation import Feed, is_collapsed, predict
from hscl.training.execution import (
    autocast,
    choose_threads,
    cpu_threads,
    peak_memory,
    repeatable,
    reset_peak_memory,
    resolve_device,
    resolve_precision,
)
from hscl.training.optimisation import (
    Done,
    backward,
    build_optimizer,
    clipped_step,
    gradient_norm,
    learning_rate_factor,
    set_learning_rates,
)
from hscl.training.prepared import PreparedSplit, TrainingData
from hscl.training.reports import BestEpoch, EpochReport
from hscl.training.resuming import best_path, load_state, save_best, save_state

__all__ = ["BestEpoch", "EpochReport", "NonFiniteError", "Training"]


class NonFiniteError(RunError):
    """A loss, gradient or prediction is NaN or infinite: this training has failed."""


class Training:
    """One configuration trained with one seed. Iterating trains; each report is one epoch.

    Args:
        config: The configuration.
        data: Prepared for this configuration's text encoder; never written to.
        seed: Decides initial weights, data order, dropout and hidden modalities.
        metric: Which valid metric chooses the epoch, and ends the training by `train.patience`.

    Raises:
        InputError: The device is not there, a head count does not divide its width, a modality is
            missing from the data, there is no such metric, or valid's labels have none.
    """

    def __init__(
        self, config: Config, data: TrainingData, *, seed: int, metric: str = "mae"
    ) -> None:
        if metric not in metrics.METRIC:
            raise InputError(f"{metric!r} is no metric; {did_you_mean(metric, metrics.METRIC)}")
        check_metric(metric, data.valid, data.label_range)
        self.config = config
        self.data = data
        self.seed = seed
        self.metric = metric
        self.device = resolve_device(config.run.device)
        self.precision = resolve_precision(config, self.device)
        self.threads = choose_threads(config.run.threads, finetunes=config.model.text.finetune)
        self.reports: list[EpochReport] = []
        self._best: BestEpoch | None = None
        self._best_file: Path | None = None
        self._feed = Feed.of(config, data.scalers, self.device, data.label_range)
        with torch_stream(seed, "weights"):
            text = config.model.text
            encoder = load_text_encoder(text) if text.finetune else None
            network = build_model(config, data.widths, encoder)
        self.network = network.to(self.device)
        # Batches differ in length, which would otherwise compile anew for every shape.
        self._forward = (
            torch.compile(self.network, dynamic=True) if config.run.compile else self.network
        )
        self._optimizer = build_optimizer(self.network, config.train)
        self.network.begin(torch.from_numpy(_labels(data.train)).to(self.device))

    def __iter__(self) -> Iterator[EpochReport]:
        """Train, one epoch each time the next report is asked for.

        Yields:
            One report an epoch.

        Raises:
            NonFiniteError: A loss, gradient or prediction is not finite.
        """  # noqa: DOC502 - raised by the epoch
        while not self.finished:
            yield self._run_epoch()

    @property
    def how(self) -> str:
        """How it is computed, for people: device, precision, threads."""
        threads = f"{self.threads} CPU thread{'s' if self.threads > 1 else ''}"
        return f"{self.device}, {self.precision}, {threads}"

    @property
    def parameters(self) -> int:
        """Numbers that are trained outside the text encoder."""
        encoder = {id(one) for one in self.network.text_parameters()}
        everyone = self.network.parameters()
        return sum(one.numel() for one in everyone if id(one) not in encoder)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.reports)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or patience is over."""
        return bool(self.reports) and self.reports[-1].finished

    @property
    def best(self) -> BestEpoch:
        """The best epoch so far.

        Raises:
            RunError: No epoch is done yet.
        """
        if self._best is None:
            raise RunError("there is a best epoch once an epoch is done, but none is done yet")
        return self._best

    def predict(self, split: PreparedSplit) -> NDArray[np.float64]:
        """Predictions (N,) with the best epoch's weights; training can go on afterwards.

        Args:
            split: Prepared with the same text encoder.

        Raises:
            RunError: No epoch is done yet.
            NonFiniteError: A prediction is not finite.
        """  # noqa: DOC502 - raised by best and _check_finite
        weights = {name: w.to(self.device) for name, w in self.best.weights.items()}
        self.network.eval()

        def forward(batch: Batch) -> ModelOutput:
            with autocast(self.device, self.precision):
                return torch.func.functional_call(self.network, weights, (batch,))  # type: ignore[no-any-return]

        with cpu_threads(self.threads):
            predictions = predict(
                forward, split, self._feed, batch_size=self.config.run.micro_batch
            )
        _check_finite(predictions, f"{split.name} with the weights of epoch {self.best.epoch}")
        return predictions

    def save(self, folder: Path | str) -> Path:
        """Put everything that `restore` needs into a folder, atomically.

        Args:
            folder: Of this training alone; made where it is missing.

        Returns:
            The file with the state.

        Raises:
            RunError: No epoch is done yet.
        """  # noqa: DOC502 - raised by best
        about = {
            **self._identity(),
            "config": self.config.to_json(),
            "precision": self.precision,
        }
        folder, best = Path(folder), self.best
        of_best = best_path(folder, best.epoch)
        # A file of that name may be an earlier attempt's: only one that is known to be ours stays.
        if self._best_file != of_best or not of_best.exists():
            self._best_file = save_best(folder, about, best)
        return save_state(folder, about, self.network, self._optimizer, self.reports, best)

    def restore(self, folder: Path | str) -> None:
        """Go on where a saved training stopped: the next report is that of the next epoch.

        Where the precision is left to us, it goes on in the one that it began with.

        Args:
            folder: Where `save` put it.

        Raises:
            InputError: There is no saved state, it is damaged, or it belongs to another training.
        """  # noqa: DOC502 - raised by load_state
        folder = Path(folder)
        saved = load_state(folder, self._identity(), self.network, self._optimizer)
        self.reports, self._best = saved.reports, saved.best
        self._best_file = best_path(folder, saved.best.epoch)
        if self.config.run.precision == "auto":
            # Earlier versions wrote none, and took fp32 on every CPU.
            was = "fp32" if self.device.type == "cpu" else self.precision
            self.precision = saved.precision or was

    def _compute(self, batch: Batch) -> ModelOutput:
        with autocast(self.device, self.precision):
            return self._forward(batch)  # type: ignore[no-any-return]

    def _identity(self) -> dict[str, Any]:
        return {
            "config_id": self.config.config_id,
            "seed": self.seed,
            "metric": self.metric,
            "digest": self.data.digest,
        }

    def _run_epoch(self) -> EpochReport:
        began = time.perf_counter()
        epoch = self.epoch + 1
        reset_peak_memory(self.device)
        with (
            cpu_threads(self.threads),
            repeatable(self.device),
            torch_stream(self.seed, "dropout", epoch, device=self.device),
        ):
            losses, steps = self._train(epoch)
            valid, collapsed = self._validate(epoch)
        best = self._keep_best(epoch, valid.get(self.metric, math.nan))
        report = EpochReport(
            epoch=epoch,
            losses=losses,
            valid=valid,
            collapsed=collapsed,
            best=best,
            finished=self._is_last(epoch),
            seconds=time.perf_counter() - began,
            steps=steps,
            peak_memory=peak_memory(self.device),
        )
        self.reports.append(report)
        return report

    def _train(self, epoch: int) -> tuple[dict[str, float], int]:
        # One pass over train; mean of each loss term over its utterances, and the steps.
        train = self.config.train
        split = self.data.train
        # Its own streams: how much randomness the model takes does not move the data order.
        batches = training_batches(
            self._feed.costs(split),
            train.batch_size,
            train.batching,
            numpy_stream(self.seed, "order", epoch),
        )
        hiding = numpy_stream(self.seed, "modality_dropout", epoch)
        totals: dict[str, float] = {}
        self.network.train()
        fed = (
            self._parts(rows, draw_absent(len(rows), train.modality_dropout, hiding))
            for rows in batches
        )
        parts = next(fed)
        for step, rows in enumerate(batches):
            done = (epoch - 1) * len(batches) + step
            set_learning_rates(self._optimizer, learning_rate_factor(train, done, len(batches)))
            launched, norm = self._launch(parts)
            parts = next(fed, [])  # on its way while a GPU works at this one
            for name, value in self._finish(launched, norm, epoch, step).items():
                totals[name] = totals.get(name, 0.0) + value * len(rows)
        return {name: total / len(split) for name, total in totals.items()}, len(batches)

    def _parts(self, rows: NDArray[np.int64], absent: Absent | None) -> list[Batch]:
        size = self.config.run.micro_batch or len(rows)
        cuts = [slice(start, start + size) for start in range(0, len(rows), size)]
        return [
            self._feed.batch(self.data.train, rows[cut], absent and absent.part(cut))
            for cut in cuts
        ]

    def _launch(self, parts: list[Batch]) -> tuple[Done, torch.Tensor]:
        # One update of the weights: all of it is asked of the device, and nothing waited for.
        self._optimizer.zero_grad(set_to_none=True)
        done = backward(self._compute, parts, self.network.loss)
        no_words = self.network.no_words
        if no_words.grad is None:  # nobody lacked words; its moments and decay go on all the same
            no_words.grad = torch.zeros_like(no_words)
        norm = gradient_norm(self.network)
        clipped_step(self._optimizer, norm, done.terms["total"].detach(), self.config.train.clip)
        return done, norm

    def _finish(self, done: Done, norm: torch.Tensor, epoch: int, step: int) -> dict[str, float]:
        # The loss terms before the update: read at once, the step's only wait for the device.
        scalars = [term.detach().float() for term in (*done.terms.values(), norm)]
        *values, length = torch.stack(scalars).tolist()
        terms = dict(zip(done.terms, values, strict=True))
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if bad or not math.isfinite(length):
            what = f"the loss ({', '.join(bad)})" if bad else "the gradient"
            raise NonFiniteError(
                f"every loss and gradient must be finite, but {what} is not in "
                f"epoch {epoch}, step {step + 1}; "
                "a lower learning rate, a higher temperature (HSCL) or train.clip may help"
            )
        with torch.no_grad():
            self.network.end_step(done.output, done.targets, epoch)
        return terms

    def _validate(self, epoch: int) -> tuple[dict[str, float], bool]:
        # All metrics on valid, and whether the model predicts the same for everyone.
        split = self.data.valid
        if split is None or split.labels is None:
            return {}, False
        self.network.eval()
        predictions = predict(
            self._compute, split, self._feed, batch_size=self.config.run.micro_batch
        )
        _check_finite(predictions, f"valid after epoch {epoch}")
        labels = split.labels.astype(np.float64)
        valid = metrics.evaluate(labels, predictions, self.data.label_range)
        return valid, is_collapsed(predictions)

    def _keep_best(self, epoch: int, value: float) -> bool:
        # Keeps this epoch's weights if it is the best so far, or there is nothing to choose by.
        if self.data.valid is not None and self._best is not None:
            old = self._best.value
            lower = metrics.METRIC[self.metric].lower_wins
            better = value < old if lower else value > old
            if not better and not (math.isnan(old) and not math.isnan(value)):
                return False
        weights = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.network.state_dict().items()
        }
        self._best = BestEpoch(epoch, value, weights)
        return True

    def _is_last(self, epoch: int) -> bool:
        waited = epoch - self.best.epoch >= self.config.train.patience
        return waited or epoch >= self.config.train.epochs


def _labels(split: PreparedSplit) -> NDArray[np.float32]:
    if split.labels is None:
        raise InputError("training utterances must have labels")
    return split.labels.astype(np.float32)


def check_metric(metric: str, valid: PreparedSplit | None, label_range: float) -> None:
    """Refuse a metric that can choose no epoch, as no predictions on valid have it.

    Args:
        metric: Of `hscl.metrics.METRIC`.
        valid: None where the number of epochs is given.
        label_range: Labels lie between − and + this.

    Raises:
        InputError: It does not exist on these labels.
    """
    if valid is None or valid.labels is None or not len(valid.labels):
        return
    reason = metrics.why_undefined(metric, valid.labels, label_range)
    if reason is not None:
        raise InputError(
            f"the metric that chooses must exist on valid, but {metric} does not: {reason}; "
            "choose another, such as mae"
        )


def _check_finite(predictions: NDArray[np.float64], where: str) -> None:
    bad = int((~np.isfinite(predictions)).sum())
    if bad:
        raise NonFiniteError(
            f"every prediction must be finite, but on {where} {bad} of {len(predictions)} are not"
        )
