"""`model.kind = "gru"`: a GRU over the words, and the means of what else there is.

An example of a model of one's own. `pip install` of this folder registers it, on the driver and on
every worker; then `"model.kind" = "gru"` works in every study, and `model.gru.width` is searched
like any other key.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from hscl.config import Config, FrozenTree
from hscl.model.batch import Batch, Widths
from hscl.model.contract import ModelOutput, SentimentModel, Targets, masked_mean


class GruSettings(FrozenTree):
    """The model's keys, each with a default: `model.gru.width`, `model.gru.dropout`."""

    width: int = 32
    dropout: float = 0.1


class GruModel(SentimentModel):
    """ŷ = w·ReLU(GRU(X_t) ⊕ W_a·mean X_a ⊕ W_v·mean X_v)."""

    Settings = GruSettings

    def __init__(self, config: Config, widths: Widths, text_encoder: nn.Module | None) -> None:
        super().__init__(config.model, widths, text_encoder)
        settings: GruSettings = getattr(config.model, "gru")  # noqa: B009
        self.dropout = nn.Dropout(settings.dropout)
        self.gru = nn.GRU(widths.text, settings.width, batch_first=True)
        self.others = nn.ModuleDict(
            {n: nn.Linear(self.width(n), settings.width) for n in self.modalities[1:]}
        )
        self.out = nn.Linear(len(self.modalities) * settings.width, 1)

    def forward(self, batch: Batch) -> ModelOutput:
        """Each utterance by itself; what it lacks is masked."""
        text, lengths = self.encode_text(batch.text, batch.text_lengths)
        packed = pack_padded_sequence(text, lengths.cpu(), batch_first=True, enforce_sorted=False)
        parts = [self.gru(packed)[1][-1]]
        for name, layer in self.others.items():
            frames, counts = self.frames(batch, name)
            parts.append(layer(masked_mean(frames, counts)) * (counts > 0)[:, None])
        joined = self.dropout(torch.cat(parts, dim=1).relu())
        return ModelOutput(self.out(joined).squeeze(-1))

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """Mean absolute error; further terms would stand beside it under their names."""
        task = (output.prediction - targets.labels).abs().mean()
        return {"total": task, "task": task}
