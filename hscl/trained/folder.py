"""A folder with trained models: one for each seed, and everything that using them needs.

    config.toml         the configuration
    metrics.json        what was trained on what, and every seed's reports
    README.md           the model card
    seed-<n>/           model.safetensors, encoder/ (tokenizer and shape of the text encoder, and
                        its weights where it was not trained), scaler.json, digests.json
    evaluations.jsonl   who opened a test set with these models, when, and what came out

The folder is complete in itself: no path of the machine that trained it is needed.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hscl.config import Config
from hscl.documents import parse_json, read_text
from hscl.encoders import FILE
from hscl.errors import InputError
from hscl.files import whole_or_nothing, write_whole
from hscl.kinds.registry import build_model
from hscl.model.batch import Widths
from hscl.model.contract import SentimentModel
from hscl.model.text_encoder import (
    TextEncoder,
    check_vocabulary,
    load_text_encoder,
    load_tokenizer,
    quiet_transformers,
)
from hscl.seeding import torch_stream
from hscl.trained.intact import check_digests, check_weights, write_digests
from hscl.trained.record import ModelRecord, SeedRun
from hscl.training.checkpoints import read_record, read_tensors, write_checkpoint
from hscl.training.execution import resolve_device
from hscl.training.loop import Training
from hscl.training.scaling import Scaler

__all__ = ["EVALUATIONS", "SeedModel", "load_seed", "seed_folder", "write_seed"]

EVALUATIONS = "evaluations.jsonl"
_WEIGHTS = "model.safetensors"
_SCALER = "scaler.json"
_ENCODER = "encoder"
_WIDEST = 100_000
_MOST_SCALER = 32 << 20  # bytes


@dataclass(frozen=True)
class SeedModel:
    """The trained network of one seed.

    Attributes:
        seed: Of its training.
        config: The configuration, its text encoder the folder's own.
        network: In evaluation mode, on `run.device`.
        scalers: For "audio" and "vision" the standardisation fitted in training.
        label_range: Of the data that it was trained on.
    """

    seed: int
    config: Config
    network: SentimentModel
    scalers: dict[str, Scaler]
    label_range: float


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the model of a seed is."""
    return folder / f"seed-{seed}"


def write_seed(folder: Path, training: Training) -> SeedRun:
    """Put the best epoch of a finished training into its seed's folder, all at once.

    Args:
        folder: The model folder.
        training: Finished.

    Returns:
        What the record says about it.
    """
    target = seed_folder(folder, training.seed)
    best = training.best
    about = {"config_id": training.config.config_id, "seed": training.seed, "epoch": best.epoch}
    scalers = {name: _listed(s) for name, s in training.data.scalers.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(target) as part:
        part.mkdir()
        write_checkpoint(part / _WEIGHTS, best.weights, about)
        write_whole(part / _SCALER, json.dumps(scalers))
        _write_encoder(training, part / _ENCODER)
        write_digests(part)
    return SeedRun(
        seed=training.seed,
        epoch=best.epoch,
        valid=training.reports[best.epoch - 1].valid,
        reports=[asdict(report) for report in training.reports],
        device=training.device.type,
        precision=training.precision,
    )


def load_seed(
    folder: Path, seed: int, config: Config, record: ModelRecord, *, device: str = "auto"
) -> SeedModel:
    """The trained network of one seed.

    Args:
        folder: The model folder.
        seed: One of its finished seeds.
        config: From `hscl.trained.record.read_folder`.
        record: Likewise.
        device: Where to predict, as `run.device`; not necessarily where it was trained.

    Returns:
        The network, ready to predict.

    Raises:
        InputError: Files are missing, damaged, or do not belong together.
    """
    place = seed_folder(folder, seed)
    check_digests(place)
    encoder_files = str((place / _ENCODER).resolve())
    # As it was trained, whatever "auto" means on this machine; an unknown seed is refused below.
    trained = {run.seed: run.precision for run in record.runs}.get(seed, "fp32")
    own = config.with_overrides({"run.device": device, "run.precision": trained})
    if own.model.text.encoder != FILE:
        own = own.with_overrides({"model.text.encoder": encoder_files})
    about = read_record(place / _WEIGHTS)
    if about.get("config_id") != record.config_id or about.get("seed") != seed:
        raise InputError(f"{place / _WEIGHTS} must be seed {seed} of {folder}, but is {about}")
    try:
        widths = _checked_widths(record)
        scalers = _read_scalers(place / _SCALER, widths)
        if own.model.text.encoder != FILE:
            check_vocabulary(own.model.text)
        with torch_stream(seed, "unused"):  # what is drawn here is overwritten
            text = own.model.text
            encoder = load_text_encoder(text, pretrained=False) if text.finetune else None
            network = build_model(own, widths, encoder)
        network.load_state_dict(read_tensors(place / _WEIGHTS))
    except (OSError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise InputError(f"{place} is damaged ({error}); train this seed again") from None
    check_weights(network, place)
    network = network.to(resolve_device(own.run.device)).eval()
    return SeedModel(seed, own, network, scalers, record.label_range)


def _checked_widths(record: ModelRecord) -> Widths:
    """The record's widths, which come from a file.

    Raises:
        ValueError: They are none.
    """
    for name, width in record.widths.items():
        if width is not None and not (type(width) is int and 1 <= width <= _WIDEST):
            message = f"the width of {name} must be from 1 to {_WIDEST:,}, but is {width!r:.60}"
            raise ValueError(message)
    return Widths(**record.widths)  # type: ignore[arg-type]


def _read_scalers(path: Path, widths: Widths) -> dict[str, Scaler]:
    """The fitted standardisation of each modality.

    Raises:
        ValueError: A number that is none, or not one for each feature.
    """
    scalers = {}
    for name, (mean, scale, *bound) in parse_json(read_text(path, most=_MOST_SCALER)).items():
        scaler = Scaler(np.array(mean, np.float32), np.array(scale, np.float32), *bound)
        width = getattr(widths, name)
        fits = scaler.mean.shape == scaler.scale.shape == (width,)
        if not fits or not np.isfinite(scaler.mean).all() or not (scaler.scale > 0).all():
            message = f"{path.name} must hold means and scales above 0 of {width} {name} features"
            raise ValueError(message)
        if not scaler.bound > 0:
            message = f"{path.name} must bound {name} above 0, but has {scaler.bound!r:.60}"
            raise ValueError(message)
        scalers[name] = scaler
    return scalers


def _write_encoder(training: Training, target: Path) -> None:
    """Tokenizer and shape; the weights as well where they are no part of the network's."""
    text = training.config.model.text
    if text.encoder == FILE:  # nothing of ours made the vectors
        return
    load_tokenizer(text.encoder).save_pretrained(target)
    if text.finetune:
        encoder = training.network.text_encoder
        if isinstance(encoder, TextEncoder):
            encoder.model.config.save_pretrained(target)
        return
    for other in sorted(target.parent.parent.glob(f"seed-*/{_ENCODER}")):
        shutil.copytree(other, target, dirs_exist_ok=True, copy_function=_link)
        return
    with quiet_transformers():
        load_text_encoder(text).model.save_pretrained(target)


def _link(source: str, target: str) -> None:
    """One file under two names where the file system can, as frozen weights never change."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _listed(scaler: Scaler) -> list[Any]:
    return [scaler.mean.tolist(), scaler.scale.tolist(), scaler.bound]
