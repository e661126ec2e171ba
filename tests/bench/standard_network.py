"""HSCL built from torch's own modules: what a straightforward implementation computes.

Attention dropout, every place of the text as a query, one pass over the whole batch; otherwise the
same method. A yardstick for `bench_step.py`.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from hscl.config import Config, SequenceConfig
from hscl.model.batch import Batch
from hscl.model.network import HsclOutput
from hscl.model.sequence_encoder import sinusoidal_positions


class StandardEncoder(nn.Module):
    """A CLS vector and frames through `nn.TransformerEncoder`."""

    def __init__(self, config: SequenceConfig, width: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            width, config.heads, config.ffn, config.dropout, batch_first=True
        )
        self.cls = nn.Parameter(torch.randn(width))
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)

    def forward(self, frames: Tensor, padded: Tensor) -> Tensor:
        batch, length, width = frames.shape
        hidden = torch.cat([self.cls.expand(batch, 1, width), frames], dim=1) * math.sqrt(width)
        hidden = hidden + sinusoidal_positions(1 + length, width, frames.device)
        out: Tensor = self.layers(functional.dropout(hidden, 0.1), src_key_padding_mask=padded)
        return out


class StandardFusion(nn.Module):
    """The fusion block over all places of the text."""

    def __init__(self, config: Config, width: int, memory_width: int) -> None:
        super().__init__()
        heads, dropout = config.model.fusion.heads, config.model.fusion.dropout
        self.look = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.ask = nn.MultiheadAttention(
            width, heads, dropout, kdim=memory_width, vdim=memory_width, batch_first=True
        )
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.model.fusion.ffn),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(config.model.fusion.ffn, width),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, text_padded: Tensor, memory: Tensor, padded: Tensor) -> Tensor:
        seen = self.look(text, text, text, key_padding_mask=text_padded, need_weights=False)[0]
        hidden = self.norms[0](text + self.dropout(seen))
        told = self.ask(hidden, memory, memory, key_padding_mask=padded, need_weights=False)[0]
        fused = self.norms[1](hidden + self.dropout(told))
        out: Tensor = self.norms[2](fused + self.dropout(self.feed_forward(fused)))
        return out[:, 0]


class StandardNetwork(nn.Module):
    """Batches with all three modalities only."""

    def __init__(self, config: Config, bert: BertModel, widths: dict[str, int]) -> None:
        super().__init__()
        self.bert = bert
        text, projection = bert.config.hidden_size, config.model.projection
        sequences = {"audio": config.model.audio, "vision": config.model.vision}
        self.encoders = nn.ModuleDict(
            {name: StandardEncoder(c, widths[name]) for name, c in sequences.items()}
        )
        self.fusions = nn.ModuleDict(
            {name: StandardFusion(config, text, widths[name]) for name in sequences}
        )

        def project(width: int) -> nn.Module:
            return nn.Sequential(nn.Dropout(0.1), nn.Linear(width, projection), nn.ReLU())

        self.projections = nn.ModuleDict({n: project(w) for n, w in widths.items()})
        self.fused_projections = nn.ModuleDict({n: project(text) for n in sequences})
        self.head = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(text, 128),
            nn.Tanh(),
            nn.Linear(128, 128),
            nn.Tanh(),
            nn.Linear(128, 1),
        )

    def forward(self, batch: Batch) -> HsclOutput:
        text_padded = _padded(batch.text, batch.text_lengths)
        text = self.bert(input_ids=batch.text, attention_mask=~text_padded).last_hidden_state
        projected, fused = {"text": self.projections["text"](text[:, 0])}, {}
        for name, encoder in self.encoders.items():
            frames, lengths = getattr(batch, name), getattr(batch, f"{name}_lengths")
            padded = functional.pad(_padded(frames, lengths), (1, 0))
            encoded = encoder(frames, padded)
            projected[name] = self.projections[name](encoded[:, 0])
            fused[name] = self.fusions[name](text, text_padded, encoded, padded)
        everyone = torch.ones(len(batch), dtype=torch.bool)
        return HsclOutput(
            prediction=self.head(0.5 * (fused["audio"] + fused["vision"])).squeeze(-1),
            **projected,
            fused_audio=self.fused_projections["audio"](fused["audio"]),
            fused_vision=self.fused_projections["vision"](fused["vision"]),
            has_text=everyone,
            has_audio=everyone,
            has_vision=everyone,
        )


def _padded(values: Tensor, lengths: Tensor) -> Tensor:
    """(B, L), True where there is padding."""
    return torch.arange(values.shape[1]) >= lengths[:, None]
