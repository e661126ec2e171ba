"""`model.kind = "misa"`: what modalities share apart from what each has alone.

- Two modalities: the similarity loss is that of the one pair, the difference loss has three terms
  instead of six, the reconstruction loss two instead of three; each mean is over what is there.
- An utterance without a modality leaves every term in which that modality takes part; its two
  representations are hidden from the fusion's attention and zeros in the prediction. Missing
  words are stood for by the learned vector that all kinds have, which enters no such term.
- The difference loss is the mean over the d_h² entries of H₁ᵀH₂ instead of their sum, and its
  rows are centred over the batch and normalised, as in the authors' code: the published weights
  belong to that, and it does not depend on the width.
- The attention over the six vectors is one Transformer encoder layer (post-norm), as published.

Source: Hazarika, Zimmermann, Poria, "MISA: Modality-Invariant and -Specific Representations for
Multimodal Sentiment Analysis" (ACM MM 2020), sections 3.2 to 3.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import Config
from hscl.config_kinds import MisaConfig
from hscl.model.attention import Attention
from hscl.model.batch import Batch, Widths
from hscl.model.contract import ModelOutput, SentimentModel, Targets, float32, in_float32
from hscl.model.recurrent import EndState
from hscl.model.sequence_encoder import check_heads

__all__ = ["MisaModel", "MisaOutput", "central_moment_discrepancy", "difference"]

_MOMENTS = 5  # K of the paper
_TINY = 1e-6  # norms below it are those of nothing


@dataclass(frozen=True)
class MisaOutput(ModelOutput):
    """What MISA says about B utterances; M modalities, in the order of `model.modalities`.

    Attributes:
        unimodal: (B, M, d_h), u_m.
        rebuilt: (B, M, d_h), û_m.
        shared: (B, M, d_h), h_m^c, each coordinate within (0, 1).
        private: (B, M, d_h), h_m^p, likewise.
        present: (B, M) bool, who has which modality.
    """

    unimodal: Tensor
    rebuilt: Tensor
    shared: Tensor
    private: Tensor
    present: Tensor


class MisaModel(SentimentModel):
    """Utterance encoders, shared and private encoders, decoder, fusion and prediction."""

    def __init__(self, config: Config, widths: Widths, text_encoder: nn.Module | None) -> None:
        """Make the model; see `SentimentModel`.

        Args:
            config: Its `model` is looked at.
            widths: Sizes of the inputs.
            text_encoder: None where batches bring frozen features instead of token ids.

        Raises:
            InputError: A modality is asked for that the data lacks, or the number of heads does
                not divide the width.
        """  # noqa: DOC502 - raised by the parts
        super().__init__(config.model, widths, text_encoder)
        settings = config.model.misa
        width = settings.width
        check_heads("model.misa.heads", settings.heads, "MISA representations", width)
        self.settings = settings
        encoders = {
            name: EndState(self.width(name), self.width(name), layers=2, bidirectional=True)
            for name in self.modalities[1:]
        }
        ends = {"text": widths.text} | {name: one.width for name, one in encoders.items()}
        self.recurrent = nn.ModuleDict(encoders)
        self.dense = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(end, width), nn.ReLU(), nn.LayerNorm(width))
                for name, end in ends.items()
            }
        )
        self.shared = _encoder(width)
        self.private = nn.ModuleDict({name: _encoder(width) for name in self.modalities})
        self.decoder = nn.Linear(width, width)
        self.fusion = Fusion(settings)
        joined = 2 * len(self.modalities) * width
        self.head = nn.Sequential(
            nn.Linear(joined, joined // 2),
            nn.Dropout(settings.dropout),
            nn.ReLU(),
            nn.Linear(joined // 2, 1),
        )

    def forward(self, batch: Batch) -> MisaOutput:
        """Represent each modality twice, let the representations attend to each other, predict."""
        text, lengths = self.words(batch)
        vectors, there = [self.sentence(text, lengths)], [batch.text_lengths > 0]
        for name, encoder in self.recurrent.items():
            frames, counts = self.frames(batch, name)
            vectors.append(encoder(frames, counts, batch.lengths(name)))
            there.append(counts > 0)
        unimodal = torch.stack(
            [self.dense[name](v) for name, v in zip(self.modalities, vectors, strict=True)], dim=1
        )
        shared = self.shared(unimodal)
        private = torch.stack(
            [self.private[name](unimodal[:, m]) for m, name in enumerate(self.modalities)], dim=1
        )
        present = torch.stack(there, dim=1)
        # The vector that stands for missing words is looked at, as words would be.
        open_ = torch.cat([torch.ones_like(present[:, :1]), present[:, 1:]], dim=1).repeat(1, 2)
        fused = self.fusion(torch.cat([shared, private], dim=1), open_) * open_[:, :, None]
        return MisaOutput(
            prediction=in_float32(self.head, fused.flatten(1)).squeeze(-1),
            unimodal=unimodal,
            rebuilt=self.decoder(shared + private),
            shared=shared,
            private=private,
            present=present,
        )

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """L = L_task + α·L_sim + β·L_diff + γ·L_recon.

        Args:
            output: What `forward` returned.
            targets: Of the same utterances.

        Returns:
            "total", "task" (mean squared error), "similarity", "difference", "reconstruction"; a
            part whose weight is 0 is not computed and is 0.

        Raises:
            TypeError: The output is another model's.
        """
        if not isinstance(output, MisaOutput):
            message = f"the loss of MISA reads a MisaOutput, but got {type(output).__name__}"
            raise TypeError(message)
        weights = self.settings
        task = (float32(output.prediction) - targets.labels).square().mean()
        zero = task.new_zeros(())
        similarity = _similarity(output) if weights.similarity else zero
        differing = _difference(output) if weights.difference else zero
        rebuilding = _reconstruction(output) if weights.reconstruction else zero
        total = (
            task
            + weights.similarity * similarity
            + weights.difference * differing
            + weights.reconstruction * rebuilding
        )
        return {
            "total": total,
            "task": task,
            "similarity": similarity,
            "difference": differing,
            "reconstruction": rebuilding,
        }


class Fusion(nn.Module):
    """Self-attention over the representations: one Transformer encoder layer, post-norm."""

    def __init__(self, settings: MisaConfig) -> None:
        """Make the layer.

        Args:
            settings: Width, heads, feed-forward width and dropout.
        """
        super().__init__()
        width = settings.width
        self.attention = Attention(width, settings.heads, settings.dropout)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, settings.ffn),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.ffn, width),
        )
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """(B, V, d_h) of (B, V, d_h); `mask` (B, V) is True for those that are there."""
        attended = self.norm(vectors + self.dropout(self.attention(vectors, vectors, mask)))
        out: Tensor = self.feed_forward_norm(attended + self.dropout(self.feed_forward(attended)))
        return out


def central_moment_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """CMD_K of two samples of vectors whose coordinates lie in [0, 1], K = 5.

    Args:
        first: (N, d).
        second: (N, d).

    Returns:
        ‖E(X) − E(Y)‖₂ + Σ_{k=2}^{K} ‖C_k(X) − C_k(Y)‖₂, C_k the k-th central moments; 0 for N = 0.

    Source: MISA, section 3.5, similarity loss; Zellinger et al., ICLR 2017.
    """
    if not len(first):
        return first.sum() + second.sum()
    means = first.mean(dim=0), second.mean(dim=0)
    total: Tensor = torch.linalg.vector_norm(means[0] - means[1])
    centred = first - means[0], second - means[1]
    for k in range(2, _MOMENTS + 1):
        moments = [(part**k).mean(dim=0) for part in centred]
        total = total + torch.linalg.vector_norm(moments[0] - moments[1])
    return total


def difference(first: Tensor, second: Tensor) -> Tensor:
    """How far two kinds of representations are from orthogonal: mean square of H₁ᵀH₂.

    Args:
        first: (N, d), H₁.
        second: (N, d), H₂.

    Returns:
        A scalar ≥ 0; rows are centred over the N and normalised. 0 for N = 0.

    Source: MISA, section 3.5, difference loss.
    """
    if not len(first):
        return first.sum() + second.sum()
    one, other = (
        functional.normalize(part - part.mean(dim=0), dim=1, eps=_TINY) for part in (first, second)
    )
    return (one.T @ other).square().mean()


def _similarity(output: MisaOutput) -> Tensor:
    """Mean CMD over the pairs of modalities, between their shared representations."""
    shared, present = float32(output.shared), output.present
    terms = [_nothing(shared)]
    for m, n in combinations(range(shared.shape[1]), 2):
        both = present[:, m] & present[:, n]
        terms.append(central_moment_discrepancy(shared[both, m], shared[both, n]))
    return torch.stack(terms).sum() / max(1, len(terms) - 1)


def _difference(output: MisaOutput) -> Tensor:
    """Of each modality's shared and private, and of each pair's private representations."""
    shared, private, present = float32(output.shared), float32(output.private), output.present
    count = shared.shape[1]
    terms = [difference(shared[present[:, m], m], private[present[:, m], m]) for m in range(count)]
    for m, n in combinations(range(count), 2):
        both = present[:, m] & present[:, n]
        terms.append(difference(private[both, m], private[both, n]))
    return torch.stack(terms).sum()


def _reconstruction(output: MisaOutput) -> Tensor:
    """Mean over the modalities of the mean squared distance of u_m and û_m, over d_h."""
    errors = (float32(output.unimodal) - float32(output.rebuilt)).square().mean(dim=2)
    counts = output.present.sum(dim=0).clamp(min=1)
    return ((errors * output.present).sum(dim=0) / counts).mean()


def _nothing(values: Tensor) -> Tensor:
    return values.new_zeros(())


def _encoder(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
