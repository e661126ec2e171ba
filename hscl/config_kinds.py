"""The kinds of models: what each can be told, which keys mean something to it, published values.

A kind's own keys stand under its name, `model.mult.width`, and count for that kind alone.
"""

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "KINDS",
    "PUBLISHED",
    "Count",
    "FrozenTree",
    "LfDnnConfig",
    "MisaConfig",
    "MultConfig",
    "NonNegative",
    "Positive",
    "SelfMmConfig",
    "Share",
    "own_table",
    "table_of",
    "uses",
]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class FrozenTree(BaseModel):
    """Settings that can't be changed; unknown keys and values of another type are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class LfDnnConfig(FrozenTree):
    """LF-DNN: one MLP a modality, one over all."""

    text: Count = 128
    """Width of the text's MLP."""
    audio: Count = 16
    """Width of the audio's MLP."""
    vision: Count = 128
    """Width of the vision's MLP."""
    fused: Count = 128
    """Width of the MLP over all."""
    dropout: Share = 0.2
    """Dropout before each MLP."""


class MultConfig(FrozenTree):
    """MulT: crossmodal stacks, then self-attention."""

    width: Count = 50
    """Width of every modality after its convolution."""
    heads: Count = 10
    """Attention heads; must divide the width."""
    layers: Count = 4
    """Layers of each crossmodal and each self-attention stack."""
    kernel_text: Count = 5
    """Places that the text's convolution sees."""
    kernel_audio: Count = 5
    """Places that the audio's convolution sees."""
    kernel_vision: Count = 5
    """Places that the vision's convolution sees."""
    attention_dropout: Share = 0.3
    """Dropout of attention to text, and of self-attention."""
    attention_dropout_audio: Share = 0.2
    """Dropout of attention to audio."""
    attention_dropout_vision: Share = 0.0
    """Dropout of attention to vision."""
    text_dropout: Share = 0.5
    """Dropout of the text's vectors."""
    embedding_dropout: Share = 0.2
    """Dropout of what enters a stack."""
    output_dropout: Share = 0.5
    """Dropout inside the prediction's residual block."""


class MisaConfig(FrozenTree):
    """MISA: shared and private representations."""

    width: Count = 128
    """Width d_h of all representations."""
    heads: Count = 2
    """Attention heads of the fusion; must divide the width."""
    ffn: Count = 2048
    """Width of the fusion's feed-forward sublayer."""
    dropout: Share = 0.2
    """Dropout of fusion and prediction."""
    similarity: NonNegative = 0.3
    """Weight of the similarity loss between shared representations (CMD)."""
    difference: NonNegative = 0.1
    """Weight of the difference loss between private and other representations."""
    reconstruction: NonNegative = 1.0
    """Weight of the reconstruction loss."""


class SelfMmConfig(FrozenTree):
    """Self-MM: one multimodal task and unimodal ones with labels made in training."""

    audio: Count = 16
    """Width of the audio's LSTM."""
    vision: Count = 32
    """Width of the vision's LSTM."""
    fused: Count = 128
    """Width of the multimodal task's representation."""
    task_text: Count = 32
    """Width of the text task's representation."""
    task_audio: Count = 16
    """Width of the audio task's representation."""
    task_vision: Count = 32
    """Width of the vision task's representation."""
    dropout_fused: Share = 0.0
    """Dropout before the multimodal task's representation."""
    dropout_text: Share = 0.1
    """Dropout before the text task's representation."""
    dropout_audio: Share = 0.1
    """Dropout before the audio task's representation."""
    dropout_vision: Share = 0.0
    """Dropout before the vision task's representation."""
    label_bound: Positive = 3.0
    """Largest size of a label that is made for a unimodal task."""


KINDS = ("hscl", "lf-dnn", "mult", "misa", "self-mm")
"""The kinds that are here; packages may register more (`hscl.registered`)."""
_HSCL_KEYS = (
    "loss.",
    "model.form",
    "model.projection",
    "model.audio.",
    "model.vision.",
    "model.fusion.",
    "model.head.",
)
"""What the names of the keys begin with that mean something to HSCL alone."""
_NOT_USED = {"mult": ("model.text.pooling",)}
"""Keys of all kinds that mean nothing to one: MulT reads every word's vector and pools none."""


def table_of(kind: str) -> str:
    """The name of a kind's own table: `model.self_mm` for "self-mm"."""
    return kind.replace("-", "_")


def own_table(key: str) -> str | None:
    """The table of the one kind to which a dotted key means something; None: not of one alone."""
    if key.startswith(_HSCL_KEYS):
        return "hscl"
    section, *inner = key.split(".")
    return inner[0] if section == "model" and len(inner) > 1 and inner[0] != "text" else None


@cache
def uses(kind: str, key: str) -> bool:
    """Whether a dotted key means something to a kind of model."""
    table = own_table(key)
    return key not in _NOT_USED.get(kind, ()) if table is None else table == table_of(kind)


# Published settings of the kinds that HSCL is compared with, as MMSA publishes them for its own
# harness (thuiar/MMSA at a94e65d, src/MMSA/config/config_regression.json). There a step sums the
# gradients of `update_epochs` batches: `batch_size` is here the product. A training ends 8 epochs
# after its best (early_stop) and has no largest number of epochs: here 40. Where MMSA clips each
# gradient's value or lowers the rate on a plateau, there is nothing of the kind here. Its trainers
# of MulT and MISA read no weight decay.
_COMMON: dict[str, Any] = {
    "train.epochs": 40,
    "train.patience": 8,
    "train.schedule": "constant",
    "train.clip": 0.0,
}
_FROZEN: dict[str, Any] = _COMMON | {"model.text.finetune": False}
# MMSA adds LF-DNN's decay to the gradient, which holds MLPs over MiniLM's vectors at a constant:
# on MOSI's folds valid MAE is 1.42 with it and .86 with the same decay beside the gradient.
_LF_DNN: dict[str, Any] = _FROZEN | {
    "model.kind": "lf-dnn",
    "model.text.pooling": "mean",
    "train.optimizer": "adamw",
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "mosi-lf-dnn": _LF_DNN
    | {
        "train.batch_size": 128,
        "train.lr": 1e-3,
        "train.weight_decay": 0.01,
    },
    "mosei-lf-dnn": _LF_DNN
    | {
        "model.lf_dnn.audio": 32,
        "train.batch_size": 64,
        "train.lr": 2e-3,
        "train.weight_decay": 0.001,
    },
    "mosi-mult": _FROZEN
    | {
        "model.kind": "mult",
        "train.batch_size": 128,
        "train.lr": 2e-3,
        "train.weight_decay": 0.0,
    },
    "mosei-mult": _FROZEN
    | {
        "model.kind": "mult",
        "model.mult.width": 30,
        "model.mult.heads": 6,
        "model.mult.kernel_audio": 1,
        "model.mult.kernel_vision": 3,
        "model.mult.attention_dropout": 0.4,
        "model.mult.attention_dropout_audio": 0.0,
        "model.mult.text_dropout": 0.3,
        "model.mult.embedding_dropout": 0.0,
        "train.batch_size": 32,
        "train.lr": 5e-4,
        "train.weight_decay": 0.0,
    },
    "mosi-misa": _COMMON
    | {
        "model.kind": "misa",
        "model.text.pooling": "mean",
        "train.batch_size": 32,
        "train.lr": 1e-4,
        "train.lr_text": 1e-4,
        "train.weight_decay": 0.0,
    },
    "mosei-misa": _COMMON
    | {
        "model.kind": "misa",
        "model.text.pooling": "mean",
        "model.misa.dropout": 0.5,
        "model.misa.similarity": 0.8,
        "model.misa.difference": 0.3,
        "train.batch_size": 128,
        "train.lr": 1e-4,
        "train.lr_text": 1e-4,
        "train.weight_decay": 0.0,
    },
    # The rates of audio and vision, 5e-3 (MOSEI's vision 1e-4), are here that of all but the text.
    "mosi-self-mm": _COMMON
    | {
        "model.kind": "self-mm",
        "train.batch_size": 64,
        "train.lr": 1e-3,
        "train.lr_text": 5e-5,
        "train.weight_decay": 0.001,
    },
    "mosei-self-mm": _COMMON
    | {
        "model.kind": "self-mm",
        "model.self_mm.dropout_fused": 0.1,
        "model.self_mm.dropout_text": 0.0,
        "model.self_mm.dropout_audio": 0.0,
        "train.batch_size": 128,
        "train.lr": 1e-3,
        "train.lr_text": 5e-5,
        "train.weight_decay": 0.001,
    },
}
