"""Batch -> `HsclOutput`: the HSCL network.

Notable choices, beside the paper's:

- A missing modality is masked, never zero-filled: the prediction uses the fused representations
  that are there, and the text's alone where there is none. Missing words are stood for by a
  learned vector, which starts at 0.
- The sentence vector R_t, which also asks in the fusion blocks, is the text's first vector as in
  the paper, or with `pooling="mean"` the mean of its tokens (what MiniLM was trained for).
- `form="released"` repeats the released code's departures 6, 7 and 8: CLS vectors drawn anew in
  every forward pass from torch's global generator (in evaluation too), text padded to `max_tokens`
  and its padding attended to, self-attention's result missing from the cross-attention's residual.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import HeadConfig, ModelConfig
from hscl.model.batch import Batch, Widths
from hscl.model.contract import ModelOutput, SentimentModel, float32, in_float32
from hscl.model.fusion import FusionBlock
from hscl.model.sequence_encoder import SequenceEncoder

__all__ = ["HsclNetwork", "HsclOutput"]

# What the released code draws CLS vectors with, and what learned ones start from.
_CLS_STD = {"audio": 1.0, "vision": 0.2}


@dataclass(frozen=True)
class HsclOutput(ModelOutput):
    """What the network says about B utterances. A part that the model lacks is None.

    Attributes:
        text: (B, p) projection R̂_t, ≥ 0 as all projections are.
        audio: (B, p) projection R̂_a.
        vision: (B, p) projection R̂_v.
        fused_audio: (B, p) projection R̂_at.
        fused_vision: (B, p) projection R̂_vt.
        has_text: (B,) bool, False where an utterance has no words; on the CPU where it is known.
        has_audio: (B,) bool, False where it has no audio, or the model does not use any; likewise.
        has_vision: (B,) bool, likewise.
    """

    text: Tensor | None
    audio: Tensor | None
    vision: Tensor | None
    fused_audio: Tensor | None
    fused_vision: Tensor | None
    has_text: Tensor
    has_audio: Tensor
    has_vision: Tensor


class HsclNetwork(SentimentModel):
    """Text encoder, sequence encoders, projections, fusion blocks and prediction MLP.

    Source: HSCL (MMM 2024), ŷ = MLP(½(R_at ⊕ R_vt)) with ⊕ the element-wise sum.
    """

    def __init__(
        self, config: ModelConfig, widths: Widths, text_encoder: nn.Module | None
    ) -> None:
        """Make the network; initial values come from torch's global generator.

        Args:
            config: The model's part of the configuration.
            widths: Sizes of the inputs.
            text_encoder: A `hscl.model.text_encoder.TextEncoder`; None where batches bring frozen
                features instead of token ids.

        Raises:
            InputError: A modality is asked for that the data lacks, text is not among them, or a
                number of heads does not divide its width.
        """  # noqa: DOC502 - raised by the parts
        super().__init__(config, widths, text_encoder)
        self.encoders = nn.ModuleDict()
        self.fusions = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        self.fused_projections = nn.ModuleDict()
        released = config.form == "released"
        for name in self.modalities[1:]:
            width = self.width(name)
            encoder = SequenceEncoder(
                getattr(config, name),
                width,
                modality=name,
                cls_std=_CLS_STD[name],
                learned=not released,
            )
            _xavier(encoder)
            self.encoders[name] = encoder
            self.fusions[name] = FusionBlock(config.fusion, widths.text, width, released=released)
            self.projections[name] = self._projection(width)
            self.fused_projections[name] = self._projection(widths.text)
        if self.encoders:
            self.projections["text"] = self._projection(widths.text)
        self.head = _head(config.head, widths.text)

    def _projection(self, width: int) -> nn.Module:
        """FC: Dropout → Linear → ReLU."""
        layers = nn.Sequential(
            nn.Dropout(self.config.projection_dropout),
            nn.Linear(width, self.config.projection),
            nn.ReLU(),
        )
        _xavier(layers)
        return layers

    def forward(self, batch: Batch) -> HsclOutput:
        """Predict B utterances and project what the contrastive losses compare."""
        text, text_mask, sentence = self._encode_text(batch)
        has_text = batch.has("text")
        has = {n: batch.has(n) & (n in self.encoders) for n in ("audio", "vision")}
        present: dict[str, Tensor] = {}  # on the device, for what is computed there
        projected: dict[str, Tensor] = {}
        fused: dict[str, Tensor] = {}
        for name, encoder in self.encoders.items():
            frames, lengths = self.frames(batch, name)
            present[name] = lengths > 0
            encoded, mask = encoder(frames, lengths)
            projected[name] = in_float32(self.projections[name], encoded[:, 0])
            fused[name] = self.fusions[name](sentence, text, text_mask, encoded, mask)
        if "text" in self.projections:
            projected["text"] = in_float32(self.projections["text"], sentence)
        fused = {name: float32(value) for name, value in fused.items()}
        fused_projected = {
            name: in_float32(self.fused_projections[name], value) for name, value in fused.items()
        }
        with torch.autocast(sentence.device.type, enabled=False):
            summary = _summary(float32(sentence), fused, present)
        return HsclOutput(
            prediction=in_float32(self.head, summary).squeeze(-1),
            text=projected.get("text"),
            audio=projected.get("audio"),
            vision=projected.get("vision"),
            fused_audio=fused_projected.get("audio"),
            fused_vision=fused_projected.get("vision"),
            has_text=has_text,
            has_audio=has["audio"],
            has_vision=has["vision"],
        )

    def _encode_text(self, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor]:
        """E_t (B, L, d_t), the mask for the fusion's self-attention (B, L) or None, and R_t."""
        tokens = batch.text
        released = self.config.form == "released"
        if released:
            missing = max(self.config.text.max_tokens - tokens.shape[1], 0)
            tokens = functional.pad(tokens, (0, 0) * (tokens.ndim - 2) + (0, missing))
        text, lengths = self.encode_text(
            tokens, batch.text_lengths, padding=released, known=batch.lengths("text")
        )
        mask = torch.arange(text.shape[1], device=text.device) < lengths[:, None]
        return text, None if released else mask, self.sentence(text, lengths)


def _summary(sentence: Tensor, fused: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
    """Mean of the fused representations that an utterance has, else its sentence vector (B, d)."""
    if not fused:
        return sentence
    there = torch.stack([present[name] for name in fused]).to(sentence.dtype)  # (k, B)
    count = there.sum(dim=0)
    shares = there / count.clamp(min=1)
    total = torch.einsum("kb,kbd->bd", shares, torch.stack(list(fused.values())))
    return total + (count == 0).to(sentence.dtype)[:, None] * sentence


def _head(config: HeadConfig, width: int) -> nn.Module:
    """The prediction MLP: Dropout, two tanh layers, one output."""
    layers = nn.Sequential(
        nn.Dropout(config.dropout),
        nn.Linear(width, config.hidden),
        nn.Tanh(),
        nn.Linear(config.hidden, config.hidden),
        nn.Tanh(),
        nn.Linear(config.hidden, 1),
    )
    _xavier(layers)
    return layers


def _xavier(module: nn.Module) -> None:
    """Xavier-normal for every matrix, as the released code initialises all but BERT."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
