"""`model.kind = "lf-dnn"`: late fusion of one deep network a modality.

Each modality is pooled to one vector, the text by `model.text.pooling` and frames by their mean,
and goes through an MLP of its own; the results are put side by side and go through one more.

- Two modalities: two MLPs, and the last one is narrower by the third's place.
- A modality that an utterance lacks leaves its place to zeros, which none of the weights of the
  last MLP sees. Missing words are stood for by the learned vector that all kinds have.
- The published networks begin with batch norm of the features; here `train.standardize` does
  that for every kind, once, so that no prediction depends on who shares a batch.

Source: Cambria et al., "Benchmarking Multimodal Sentiment Analysis" (CICLing 2017); as LF-DNN in
Yu et al., "CH-SIMS" (ACL 2020), whose text sub-network is an LSTM over the words instead.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hscl.config import Config
from hscl.model.batch import Batch, Widths
from hscl.model.contract import (
    ModelOutput,
    SentimentModel,
    Targets,
    float32,
    in_float32,
    masked_mean,
)

__all__ = ["LfDnnModel"]


class LfDnnModel(SentimentModel):
    """ŷ = MLP(MLP_t(pool X_t) ⊕ MLP_a(pool X_a) ⊕ MLP_v(pool X_v)), ⊕ concatenation."""

    def __init__(self, config: Config, widths: Widths, text_encoder: nn.Module | None) -> None:
        """Make the model; see `SentimentModel`.

        Args:
            config: Its `model` is looked at.
            widths: Sizes of the inputs.
            text_encoder: None where batches bring frozen features instead of token ids.

        Raises:
            InputError: A modality is asked for that the data lacks.
        """  # noqa: DOC502 - raised by the base
        super().__init__(config.model, widths, text_encoder)
        settings = config.model.lf_dnn
        hidden = {name: getattr(settings, name) for name in self.modalities}
        self.unimodal = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(settings.dropout),
                    *_layer(self.width(name), hidden[name]),
                    *_layer(hidden[name], hidden[name]),
                    *_layer(hidden[name], hidden[name]),
                )
                for name in self.modalities
            }
        )
        self.fused = nn.Sequential(
            nn.Dropout(settings.dropout),
            *_layer(sum(hidden.values()), settings.fused),
            *_layer(settings.fused, settings.fused),
            nn.Linear(settings.fused, 1),
        )

    def forward(self, batch: Batch) -> ModelOutput:
        """Pool, transform, concatenate, predict."""
        text, lengths = self.words(batch)
        parts = [self.unimodal["text"](self.sentence(text, lengths))]
        for name in self.modalities[1:]:
            frames, counts = self.frames(batch, name)
            part = self.unimodal[name](masked_mean(frames, counts))
            parts.append(part * (counts > 0)[:, None])
        return ModelOutput(in_float32(self.fused, torch.cat(parts, dim=1)).squeeze(-1))

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """Mean absolute error."""
        task = (float32(output.prediction) - targets.labels).abs().mean()
        return {"total": task, "task": task}


def _layer(width: int, out: int) -> list[nn.Module]:
    return [nn.Linear(width, out), nn.ReLU()]
