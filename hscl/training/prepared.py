"""What training reads: numbers only, once for all trials of a study.

Everything here is NumPy and plain Python, so that it pickles with out-of-band buffers and many
workers can share one read-only copy. Nobody may write into these arrays.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.data.ragged import Ragged
from hscl.data.schema import LABEL_RANGE
from hscl.data.splits import Split, open_split
from hscl.encoders import FILE
from hscl.errors import InputError
from hscl.model.batch import Widths
from hscl.model.text_encoder import text_width, tokenize
from hscl.training.execution import resolve_device
from hscl.training.scaling import Scaler, fit_scaler
from hscl.training.text_features import encode_words, frozen_features, own_vectors

__all__ = [
    "PreparedSplit",
    "TrainingData",
    "merge_for_fit",
    "preparation_key",
    "prepare",
    "prepare_inputs",
    "prepare_split",
    "widths_of",
]

_TRAINING_SPLITS: tuple[Literal["train"], Literal["valid"]] = ("train", "valid")


@dataclass(frozen=True)
class PreparedSplit:
    """N utterances of one split as numbers. A sequence of length 0 is a missing modality.

    Attributes:
        name: "train", "valid" or "test".
        videos: (N,) video of each utterance.
        utterances: (N,) its name inside the video.
        labels: (N,) float64, or None where they are not known.
        text: Token ids (int32), or frozen features (float32, width d_t).
        audio: Frames (float32, width d_a), or None where the data set has none.
        vision: Frames (float32, width d_v), or None where the data set has none.
        speakers: (N,) who speaks, None where that is not known; None if the set says it of none.
    """

    name: str
    videos: list[str]
    utterances: list[str]
    labels: NDArray[np.float64] | None
    text: Ragged
    audio: Ragged | None
    vision: Ragged | None
    speakers: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.utterances)


@dataclass(frozen=True)
class TrainingData:
    """Train and valid of one data set, ready for every configuration with the same text encoder.

    Attributes:
        train: Labelled utterances to learn from.
        valid: Labelled utterances that choose the epoch; None where the number of epochs is given.
        widths: Width of a text, audio and vision vector; None for a modality the set lacks.
        digest: The data set's.
        scalers: For "audio" and "vision" the standardisation fitted on train.
        label_range: Labels lie between − and + this.
    """

    train: PreparedSplit
    valid: PreparedSplit | None
    widths: Widths
    digest: str
    scalers: dict[str, Scaler]
    label_range: float = LABEL_RANGE


def preparation_key(config: Config) -> str:
    """Configurations with equal keys share one `TrainingData`."""
    text = config.model.text
    return f"{text.encoder} max_tokens={text.max_tokens} finetune={text.finetune}"


def prepare(dataset: Dataset, config: Config) -> TrainingData:
    """Open train and valid and turn their words into numbers; test stays closed.

    Modalities that the configuration does not use are kept, as others may share the result; they
    are views of the data set's file until something copies them.

    Args:
        dataset: The data set.
        config: Its text encoder, and the modalities that must be there.

    Returns:
        What `hscl.training.loop.Training` reads.

    Raises:
        InputError: A split is empty or lacks labels, the data set lacks a modality that the
            configuration asks for, or the text encoder can't be found.
    """  # noqa: DOC502 - raised by the steps
    train, valid = (
        prepare_split(open_split(dataset, name), config, dataset.digest)
        for name in _TRAINING_SPLITS
    )
    _check_modalities(dataset, config, train)
    widths = widths_of(dataset, config)
    return TrainingData(
        train, valid, widths, dataset.digest, _fit_scalers(train), dataset.label_range
    )


def widths_of(dataset: Dataset, config: Config) -> Widths:
    """The widths that a configuration's network has on a data set.

    Args:
        dataset: The data set.
        config: Its text encoder.

    Returns:
        Widths of text, audio and vision vectors.

    Raises:
        InputError: The text encoder can't be found, or is to be the data set's own vectors, and
            it has none.
    """
    text = config.model.text
    if text.encoder == FILE and dataset.text_width is None:
        raise InputError(
            f'model.text.encoder is "file", but {dataset.path} has no text vectors of its own; '
            "convert a file that has some (MulT's, MMSA's), or take another encoder"
        )
    own = dataset.text_width if text.encoder == FILE else None
    return Widths(
        text=text_width(text) if own is None else own,
        audio=dataset.audio_width,
        vision=dataset.vision_width,
    )


def prepare_split(split: Split, config: Config, digest: str) -> PreparedSplit:
    """Turn the words of a split into token ids, or into features of a frozen encoder.

    Args:
        split: As opened.
        config: Its text encoder, whether that is fine-tuned, and the device that encodes.
        digest: The data set's, under which frozen features are kept for the next time.

    Returns:
        The prepared split; frames stay the views that they are.

    Raises:
        InputError: The text encoder can't be found.
    """  # noqa: DOC502 - raised by the tokenizer
    text = config.model.text
    if text.encoder == FILE:
        return _with_text(split, own_vectors(split, text.max_tokens))
    if text.finetune:
        return _with_text(split, tokenize(split.words, text.encoder, text.max_tokens))
    device = resolve_device(config.run.device)
    return _with_text(split, frozen_features(split, text, digest, device))


def prepare_inputs(split: Split, config: Config, widths: Widths) -> PreparedSplit:
    """As `prepare_split`, for a network that is trained already; nothing is kept on disk.

    Args:
        split: Utterances to predict; a modality that none of them has is missing for each.
        config: What the network was trained with.
        widths: Of the data it was trained on.

    Returns:
        The prepared split, with every modality that the network knows.

    Raises:
        InputError: A modality's width is not the one the network was trained with.
    """  # noqa: DOC502 - raised by _check_width
    text = config.model.text
    if text.encoder == FILE:
        prepared = _with_text(split, own_vectors(split, text.max_tokens))
        _check_width("text vectors", prepared.text.width, widths.text)
    elif text.finetune:
        prepared = _with_text(split, tokenize(split.words, text.encoder, text.max_tokens))
    else:
        device = resolve_device(config.run.device)
        prepared = _with_text(split, encode_words(split.words, text, device))
    frames: dict[str, Any] = {}
    for name, ragged, width in (
        ("audio", split.audio, widths.audio),
        ("vision", split.vision, widths.vision),
    ):
        if name not in config.model.modalities or width is None:
            continue
        if ragged is None:
            nothing = np.zeros((0, width), np.float32)
            frames[name] = Ragged(nothing, np.zeros(len(split) + 1, np.int64))
        else:
            _check_width(f"{name} features", ragged.width, width)
    return replace(prepared, **frames)


def _check_width(what: str, width: int, trained: int) -> None:
    if width != trained:
        raise InputError(
            f"{what} must have the width {trained} that the model was trained with, but have "
            f"{width}; convert features of the same kind"
        )


def merge_for_fit(data: TrainingData) -> TrainingData:
    """Train and valid as one training split, nothing left to choose an epoch by.

    Args:
        data: Prepared train and valid.

    Returns:
        The merged data; scalers are fitted anew on all of it.

    Raises:
        InputError: There is no valid split to add.
    """
    if data.valid is None:
        raise InputError("train and valid can only be merged where there is a valid split")
    first, second = data.train, data.valid
    labels = [split.labels for split in (first, second) if split.labels is not None]
    train = PreparedSplit(
        name="train+valid",
        videos=first.videos + second.videos,
        utterances=first.utterances + second.utterances,
        labels=np.concatenate(labels),
        text=_joined(first.text, second.text),
        audio=_joined_or_none(first.audio, second.audio),
        vision=_joined_or_none(first.vision, second.vision),
    )
    return replace(data, train=train, valid=None, scalers=_fit_scalers(train))


def _with_text(split: Split, text: Ragged) -> PreparedSplit:
    return PreparedSplit(
        name=split.name,
        videos=split.videos,
        utterances=split.utterances,
        labels=split.labels,
        text=text,
        audio=split.audio,
        vision=split.vision,
        speakers=split.speakers,
    )


def _check_modalities(dataset: Dataset, config: Config, train: PreparedSplit) -> None:
    # What training asks for must be there for at least one utterance of train.
    asked = config.model.modalities.split("+")
    there = {
        "text": train.text,
        "audio": train.audio,
        "vision": train.vision,
    }
    absent = []
    for name in asked:
        ragged = there[name]
        if ragged is None or not ragged.lengths.any():
            absent.append(name)
    if not absent:
        return
    if "text" in absent:
        own = dataset.text_width
        raise InputError(
            f"training needs words, but no training utterance of {dataset.path} has any; "
            "convert it again with --text FILE, a table of video, clip and text"
            + (
                f', or train on its own text vectors, {own} wide: model.text.encoder = "file", '
                "model.text.finetune = false"
                if own
                else ""
            )
        )
    fitting = "+".join(name for name in asked if name not in absent)
    raise InputError(
        f"model.modalities must name what the data set has, but got {config.model.modalities!r} "
        f"and no training utterance of {dataset.path} has {' or '.join(absent)}; "
        f'set model.modalities = "{fitting}"',
        setting=f"model.modalities={fitting}",
    )


def _fit_scalers(train: PreparedSplit) -> dict[str, Scaler]:
    frames = {"audio": train.audio, "vision": train.vision}
    return {name: fit_scaler(ragged) for name, ragged in frames.items() if ragged is not None}


def _joined(first: Ragged, second: Ragged) -> Ragged:
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return Ragged(first.blocks + second.blocks, offsets)


def _joined_or_none(first: Ragged | None, second: Ragged | None) -> Ragged | None:
    return None if first is None or second is None else _joined(first, second)
