"""Every kind of model, so small that it trains in no time; and batches for them."""

from dataclasses import replace
from typing import Any

import torch

from hscl.config import Config
from hscl.model.batch import Batch, Widths

WIDTHS = Widths(text=8, audio=3, vision=4)
KINDS: dict[str, dict[str, Any]] = {
    "hscl": {},
    "lf-dnn": {
        "model.lf_dnn.text": 6,
        "model.lf_dnn.audio": 4,
        "model.lf_dnn.vision": 5,
        "model.lf_dnn.fused": 7,
    },
    "mult": {
        "model.mult.width": 6,
        "model.mult.heads": 2,
        "model.mult.layers": 2,
        "model.mult.kernel_text": 3,
        "model.mult.kernel_audio": 1,
        "model.mult.kernel_vision": 4,
    },
    "misa": {"model.misa.width": 6, "model.misa.heads": 3, "model.misa.ffn": 9},
    "self-mm": {
        "model.self_mm.audio": 3,
        "model.self_mm.vision": 4,
        "model.self_mm.fused": 6,
        "model.self_mm.task_text": 5,
        "model.self_mm.task_audio": 3,
        "model.self_mm.task_vision": 4,
    },
}
BASELINES = [kind for kind in KINDS if kind != "hscl"]


def tiny(config: Config, kind: str, **changes: Any) -> Config:
    """A tiny configuration of a kind; changes have `__` for dots."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return config.with_overrides({"model.kind": kind} | KINDS[kind] | dotted)


def batch(
    text: list[int], audio: list[int], vision: list[int], *, seed: int = 1, extra: int = 0
) -> Batch:
    """Random features of these lengths, noise in the padding, `extra` places more of it."""
    generator = torch.Generator().manual_seed(seed)

    def padded(lengths: list[int], width: int) -> torch.Tensor:
        values = torch.randn(len(lengths), max(1, *lengths), width, generator=generator)
        noise = torch.full((len(lengths), extra, width), 7.0)
        return torch.cat([values, noise], dim=1)

    return Batch(
        rows=torch.arange(len(text)),
        text=padded(text, WIDTHS.text),
        text_lengths=torch.tensor(text),
        audio=padded(audio, WIDTHS.audio or 0),
        audio_lengths=torch.tensor(audio),
        vision=padded(vision, WIDTHS.vision or 0),
        vision_lengths=torch.tensor(vision),
        labels=torch.linspace(1.5, 2.8, len(text)),
    )


def rows(whole: Batch, chosen: list[int]) -> Batch:
    """Some utterances of a batch."""
    taken: dict[str, Any] = {k: None if v is None else v[chosen] for k, v in vars(whole).items()}
    return replace(whole, **taken)
