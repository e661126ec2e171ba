"""What every kind of model is: a `Batch` in, a `ModelOutput` out, a loss of named terms.

The loop of `hscl.training` trains whatever keeps this contract. It may compute a batch in parts,
join the outputs and ask for the loss of the whole, so a forward pass looks at each utterance by
itself (no batch norm), and a loss sees representations only through the output.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hscl.config import ModelConfig
from hscl.errors import InputError
from hscl.model.batch import Batch, Widths

__all__ = ["ModelOutput", "SentimentModel", "Targets", "float32", "in_float32", "masked_mean"]


@dataclass(frozen=True)
class ModelOutput:
    """What a model says about B utterances.

    A kind of model adds the fields that its loss reads: tensors whose first axis is B, or None
    where the model lacks the part.

    Attributes:
        prediction: (B,) sentiment, unbounded.
    """

    prediction: Tensor


@dataclass(frozen=True)
class Targets:
    """What B training utterances are to be predicted as.

    Attributes:
        rows: (B,) int64, their positions in the training split.
        labels: (B,) float32.
    """

    rows: Tensor
    labels: Tensor


class SentimentModel(nn.Module):
    """Base of all kinds of models: the text path that all share, and what training calls.

    Attributes:
        config: The model's part of the configuration.
        widths: Sizes of the inputs.
        modalities: "text" first, then what else the model sees.
        text_encoder: A `hscl.model.text_encoder.TextEncoder`; None where batches bring frozen
            features instead of token ids.
        no_words: (d_t,) stands for the words of an utterance that has none; starts at 0.
    """

    def __init__(
        self, config: ModelConfig, widths: Widths, text_encoder: nn.Module | None
    ) -> None:
        """Take what all kinds share; initial values come from torch's global generator.

        Args:
            config: The model's part of the configuration.
            widths: Sizes of the inputs.
            text_encoder: As the attribute.

        Raises:
            InputError: A modality is asked for that the data lacks, or text is not among them.
        """
        super().__init__()
        self.modalities = tuple(config.modalities.split("+"))
        if "text" not in self.modalities:
            raise InputError(
                "model.modalities must contain text, which every kind of model reads, "
                f"but got {config.modalities!r}"
            )
        for name in self.modalities:
            if getattr(widths, name) is None:
                there = [one for one in self.modalities if getattr(widths, one) is not None]
                raise InputError(
                    f"model.modalities is {config.modalities!r}, but the data set has no {name}; "
                    f"leave {name} out",
                    setting=f"model.modalities={'+'.join(there)}",
                )
        self.config = config
        self.widths = widths
        self.text_encoder = text_encoder
        self.no_words = nn.Parameter(torch.zeros(widths.text))

    def forward(self, batch: Batch) -> ModelOutput:
        """What the model says about B utterances, each looked at by itself.

        Args:
            batch: Of any size; longer padding and other companions change nothing.

        Returns:
            The prediction, and what the loss reads.
        """
        raise NotImplementedError

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """The loss of one batch.

        Args:
            output: What `forward` returned, in float32, for all utterances of the batch.
            targets: Of the same utterances, on the same device.

        Returns:
            Scalars by name, the same names for every batch: "total" is what is minimised, "task"
            the error of the predictions; others are parts, unweighted, 0 where one is off.
        """
        raise NotImplementedError

    def begin(self, labels: Tensor) -> None:
        """Training begins; where it goes on, `memory` is filled from the saved state afterwards.

        Args:
            labels: (N,) float32, of all training utterances, on the model's device.
        """

    def end_step(self, output: ModelOutput, targets: Targets, epoch: int) -> None:
        """A step is done: keep of it what later steps need.

        Args:
            output: Of the step's batch, before the update of the weights, without a graph.
            targets: Of the same utterances.
            epoch: From 1.
        """

    def memory(self) -> dict[str, Tensor]:
        """What the model keeps from step to step beside its weights.

        Returns:
            The tensors themselves, by name: saved with a training's state, and written into
            where it goes on. No part of a trained model.
        """
        return {}

    def text_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the fine-tuned text encoder, which have their own learning rate."""
        if self.text_encoder is not None:
            yield from self.text_encoder.parameters()

    def width(self, name: str) -> int:
        """Width of a modality's vectors; only of one that the model sees."""
        return int(getattr(self.widths, name))

    def encode_text(
        self,
        tokens: Tensor,
        token_counts: Tensor,
        *,
        padding: bool = False,
        known: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Vectors of the words, through the encoder where there is one.

        Args:
            tokens: (B, L) token ids or (B, L, d_t) frozen features.
            token_counts: (B,) real tokens; 0 where an utterance has no words.
            padding: As in `TextEncoder.forward`.
            known: The counts on the CPU, such as `Batch.lengths` has them for a GPU's batch.

        Returns:
            E_t (B, L, d_t), and its lengths (B,), at least 1: where words are missing, `no_words`
            stands at the first place. Frozen features need no gradient where nobody lacks words.
        """
        lengths = token_counts.clamp(min=1)
        known = token_counts if known is None else known
        if self.text_encoder is not None:
            text = self.text_encoder(tokens, lengths, padding=padding, known=known.clamp(min=1))
        else:
            text = tokens
        if _all_above_0(known):
            return text, lengths
        wordless = (token_counts == 0)[:, None, None]
        return torch.where(wordless, self.no_words.to(text.dtype), text), lengths

    def sentence(self, text: Tensor, lengths: Tensor) -> Tensor:
        """R_t (B, d_t), by `model.text.pooling`: the first vector, or the mean of the tokens."""
        if self.config.text.pooling == "mean":
            return masked_mean(text, lengths)
        return text[:, 0]

    def words(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """`encode_text` of a batch: E_t (B, L, d_t) and its lengths (B,), at least 1."""
        return self.encode_text(batch.text, batch.text_lengths, known=batch.lengths("text"))

    def frames(self, batch: Batch, name: str) -> tuple[Tensor, Tensor]:
        """Frames (B, L, d) and lengths (B,); none at all where the batch lacks the modality."""
        frames: Tensor | None = getattr(batch, name)
        lengths: Tensor | None = getattr(batch, f"{name}_lengths")
        if frames is None or lengths is None:
            count = len(batch.text_lengths)
            frames = self.no_words.new_zeros(count, 0, self.width(name))
            lengths = torch.zeros_like(batch.text_lengths)
        return frames, lengths


def _all_above_0(counts: Tensor) -> bool:
    """Whether that is known; a GPU would have to be waited for."""
    known = counts.device.type == "cpu" and not torch.compiler.is_compiling()
    return known and bool((counts > 0).all())


def masked_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean of the first `lengths` vectors of each row.

    Args:
        values: (B, L, d), padded at the end.
        lengths: (B,), from 0 to L.

    Returns:
        (B, d); 0 for a row without any.
    """
    mask = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
    share = mask.to(values.dtype) / lengths.clamp(min=1)[:, None]
    return (share.to(values.dtype)[:, None, :] @ values).squeeze(1)


def float32(values: Tensor) -> Tensor:
    """At least float32: losses are not computed in half precision."""
    return values if values.dtype == torch.float64 else values.float()


def in_float32(layers: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """The output of a model's last layers in at least float32, under autocast too.

    What metrics and losses look at is not rounded to the eight bits of bf16: of 686 predictions
    only 398 stayed distinct, and contrastive gradients were off by a sixth.

    Args:
        layers: Of a few vectors an utterance, so that this costs next to nothing.
        values: Their input, of any precision.
    """
    with torch.autocast(values.device.type, enabled=False):
        return layers(float32(values))
