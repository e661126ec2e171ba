"""`model.kind = "self-mm"`: a multimodal task beside unimodal ones whose labels training makes.

- Two modalities: the tasks of the modalities that are there, and the multimodal one over both.
- An utterance without a modality has no such unimodal task: it enters neither its loss nor its
  class centers, and its label stays. In the multimodal task that modality's place is zeros.
  Missing words are stood for by the learned vector that all kinds have.
- What is kept from step to step (`memory`): for each training utterance its label and its last
  representation in every task. It is saved with a training and is no part of a trained model.
- A label that is made stays within ±`label_bound`, as in the authors' code: it is made by
  dividing by the multimodal task's relative distance, which may be near 0.

Source: Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task
Learning for Multimodal Sentiment Analysis" (AAAI 2021), section 3 and algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hscl.config import Config
from hscl.model.batch import Batch, Widths
from hscl.model.contract import ModelOutput, SentimentModel, Targets, float32, in_float32
from hscl.model.recurrent import EndState

__all__ = ["SelfMmModel", "SelfMmOutput", "made_label", "momentum", "relative_distance"]

FUSED = "fused"
_TINY = 1e-8  # ε in α


@dataclass(frozen=True)
class SelfMmOutput(ModelOutput):
    """What Self-MM says about B utterances; M modalities, in the order of `model.modalities`.

    Attributes:
        unimodal: (B, M), ŷ_s.
        fused: (B, d_m), F*_m.
        text: (B, d_t), F*_t.
        audio: (B, d_a), F*_a; None where the model has no audio.
        vision: (B, d_v), F*_v; None where it has no vision.
        present: (B, M) bool, who has which modality.
    """

    unimodal: Tensor
    fused: Tensor
    text: Tensor
    audio: Tensor | None
    vision: Tensor | None
    present: Tensor


class SelfMmModel(SentimentModel):
    """LSTMs for audio and vision, and for each task a hidden layer and an output."""

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
        settings = config.model.self_mm
        self.label_bound = settings.label_bound
        self.recurrent = nn.ModuleDict(
            {
                name: EndState(self.width(name), getattr(settings, name))
                for name in self.modalities[1:]
            }
        )
        inputs = {name: getattr(settings, name) for name in self.modalities[1:]}
        inputs = {"text": widths.text} | inputs
        inputs[FUSED] = sum(inputs.values())
        hidden = {name: getattr(settings, f"task_{name}") for name in self.modalities}
        hidden[FUSED] = settings.fused
        self.hidden = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Dropout(getattr(settings, f"dropout_{name}")),
                    nn.Linear(width, hidden[name]),
                    nn.ReLU(),
                )
                for name, width in inputs.items()
            }
        )
        self.outputs = nn.ModuleDict({name: nn.Linear(hidden[name], 1) for name in inputs})
        self._hidden_widths = hidden
        self._memory: dict[str, Tensor] = {}

    def forward(self, batch: Batch) -> SelfMmOutput:
        """Predict by every task; the multimodal one is the prediction."""
        text, lengths = self.words(batch)
        inputs, there = {"text": self.sentence(text, lengths)}, [batch.text_lengths > 0]
        for name, encoder in self.recurrent.items():
            frames, counts = self.frames(batch, name)
            inputs[name] = encoder(frames, counts, batch.lengths(name))
            there.append(counts > 0)
        inputs[FUSED] = torch.cat(list(inputs.values()), dim=1)
        hidden = {name: in_float32(self.hidden[name], value) for name, value in inputs.items()}
        said = {name: in_float32(self.outputs[name], h).squeeze(-1) for name, h in hidden.items()}
        return SelfMmOutput(
            prediction=said[FUSED],
            unimodal=torch.stack([said[name] for name in self.modalities], dim=1),
            fused=hidden[FUSED],
            text=hidden["text"],
            audio=hidden.get("audio"),
            vision=hidden.get("vision"),
            present=torch.stack(there, dim=1),
        )

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """L = mean over utterances of |ŷ_m − y_m| + Σ_s tanh|y_s − y_m|·|ŷ_s − y_s|.

        Args:
            output: What `forward` returned.
            targets: Of the same utterances, after `begin`.

        Returns:
            "total", "task", and for each modality its task's weighted error.

        Raises:
            TypeError: The output is another model's.
        """  # noqa: DOC502 - raised by the look at it
        ours = _ours(output)
        labels = targets.labels
        task = (float32(ours.prediction) - labels).abs().mean()
        terms = {"total": task, "task": task}
        for m, name in enumerate(self.modalities):
            own = self._memory[f"labels/{name}"][targets.rows]
            weight = (own - labels).abs().tanh() * ours.present[:, m]
            terms[name] = (weight * (float32(ours.unimodal[:, m]) - own).abs()).mean()
            terms["total"] = terms["total"] + terms[name]
        return terms

    def begin(self, labels: Tensor) -> None:
        """Every unimodal label is the multimodal one, every representation 0 (algorithm 1).

        Args:
            labels: (N,), of all training utterances.
        """
        memory = {"seen": labels.new_zeros(len(labels), len(self.modalities), dtype=torch.bool)}
        memory["labels/fused"] = labels.clone()
        memory |= {f"labels/{name}": labels.clone() for name in self.modalities}
        memory |= {
            f"features/{name}": labels.new_zeros(len(labels), width)
            for name, width in self._hidden_widths.items()
        }
        self._memory = memory

    def memory(self) -> dict[str, Tensor]:
        """Labels and representations of all training utterances."""
        return self._memory

    def end_step(self, output: ModelOutput, targets: Targets, epoch: int) -> None:
        """From the second epoch on make new unimodal labels; then keep the representations.

        Args:
            output: Of the step's batch.
            targets: Of the same utterances.
            epoch: From 1; n of algorithm 1.

        Raises:
            TypeError: The output is another model's.
        """  # noqa: DOC502 - raised by the look at it
        ours = _ours(output)
        rows, labels, memory = targets.rows, targets.labels, self._memory
        features = {name: float32(getattr(ours, name)) for name in (FUSED, *self.modalities)}
        if epoch > 1:
            everyone = torch.ones_like(memory["labels/fused"], dtype=torch.bool)
            multimodal = self._distance(FUSED, features[FUSED], everyone)
            for m, name in enumerate(self.modalities):
                old = memory[f"labels/{name}"][rows]
                unimodal = self._distance(name, features[name], memory["seen"][:, m])
                made = made_label(labels, unimodal, multimodal, self.label_bound)
                new = momentum(old, made, epoch)
                memory[f"labels/{name}"][rows] = torch.where(ours.present[:, m], new, old)
        for m, name in enumerate(self.modalities):
            held = memory[f"features/{name}"]
            held[rows] = torch.where(ours.present[:, m, None], features[name], held[rows])
        memory[f"features/{FUSED}"][rows] = features[FUSED]
        memory["seen"][rows] |= ours.present

    def _distance(self, name: str, features: Tensor, counted: Tensor) -> Tensor:
        labels, held = self._memory[f"labels/{name}"], self._memory[f"features/{name}"]
        positive, negative = (
            held[chosen].sum(dim=0) / chosen.sum().clamp(min=1)
            for chosen in ((labels > 0) & counted, (labels < 0) & counted)
        )
        return relative_distance(features, positive, negative)


def relative_distance(features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """α = (Dⁿ − Dᵖ) / (Dᵖ + ε), D the squared distance to a class center over √d.

    Args:
        features: (B, d), F*.
        positive: (d,), center of the positive class, Cᵖ.
        negative: (d,), center of the negative class, Cⁿ.

    Returns:
        (B,), section 3.3, relative distance value.
    """
    root = features.shape[1] ** 0.5
    to_positive = (features - positive).square().sum(dim=1) / root
    to_negative = (features - negative).square().sum(dim=1) / root
    alpha: Tensor = (to_negative - to_positive) / (to_positive + _TINY)
    return alpha


def made_label(label: Tensor, unimodal: Tensor, multimodal: Tensor, bound: float) -> Tensor:
    """y_s = y_m + (α_s − α_m)/2 · (y_m + α_m)/α_m, within ±bound.

    Args:
        label: (B,), y_m.
        unimodal: (B,), α_s.
        multimodal: (B,), α_m.
        bound: The largest size of a label.

    Returns:
        (B,), section 3.3, shifting value.
    """
    divisor = torch.where(multimodal.abs() < _TINY, _TINY, multimodal)
    shift = (unimodal - multimodal) / 2 * (label + multimodal) / divisor
    return (label + shift).clamp(-bound, bound)


def momentum(old: Tensor, made: Tensor, epoch: int) -> Tensor:
    """((n − 1)·y⁽ⁿ⁻¹⁾ + 2·yⁿ) / (n + 1), the momentum-based update.

    Args:
        old: (B,), the label so far.
        made: (B,), the one that was just made.
        epoch: n, at least 2.

    Returns:
        (B,), the label from now on.
    """
    return old * ((epoch - 1) / (epoch + 1)) + made * (2 / (epoch + 1))


def _ours(output: ModelOutput) -> SelfMmOutput:
    """The output of this kind of model.

    Raises:
        TypeError: It is another model's.
    """
    if not isinstance(output, SelfMmOutput):
        message = f"the loss of Self-MM reads a SelfMmOutput, but got {type(output).__name__}"
        raise TypeError(message)
    return output
