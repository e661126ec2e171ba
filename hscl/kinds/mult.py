"""`model.kind = "mult"`: every modality attends to every other, before anything is pooled.

- Two modalities: the two crossmodal stacks that exist; a target then has one source, and its
  self-attention is d wide instead of 2d. Text alone has nothing to cross, and is refused.
- An utterance without a target modality has zeros in that target's place before the prediction;
  one without a source gets nothing from it: attention over nothing is 0, and the target's own
  stream remains. Missing words are stood for by the learned vector that all kinds have.
- "Last element" is the last real one: sequences are padded at the end, and padding is never
  attended to. Convolutions see zeros beyond both ends, so that a sequence keeps its length.
- Residuals are those of the paper's equation of a layer: what the layer norm gives is added. The
  released code adds what goes into the norm, hides later places from earlier ones, and adds
  positions in the self-attention stacks once more.

Source: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences"
(ACL 2019), sections 3.1 and 3.2; the number of layers and the residual block of the prediction as
in github.com/yaohungt/Multimodal-Transformer.
"""

from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import Config
from hscl.config_kinds import MultConfig
from hscl.errors import InputError
from hscl.model.attention import Attention, lengths_mask
from hscl.model.batch import Batch, Widths
from hscl.model.contract import ModelOutput, SentimentModel, Targets, float32, in_float32
from hscl.model.sequence_encoder import check_heads, sinusoidal_positions

__all__ = ["MultModel"]


class MultModel(SentimentModel):
    """Convolutions, crossmodal stacks, self-attention stacks, a residual block and one output."""

    def __init__(self, config: Config, widths: Widths, text_encoder: nn.Module | None) -> None:
        """Make the model; see `SentimentModel`.

        Args:
            config: Its `model` is looked at.
            widths: Sizes of the inputs.
            text_encoder: None where batches bring frozen features instead of token ids.

        Raises:
            InputError: A modality is asked for that the data lacks, there is nothing beside text,
                or the number of heads does not divide the width.
        """
        super().__init__(config.model, widths, text_encoder)
        if len(self.modalities) < 2:
            raise InputError(
                "model.kind = 'mult' attends from one modality to another, so model.modalities "
                f"must name audio or vision beside text, but got {config.model.modalities!r}"
            )
        settings = config.model.mult
        width, sources = settings.width, len(self.modalities) - 1
        check_heads("model.mult.heads", settings.heads, "MulT stacks", width)
        self.text_dropout = nn.Dropout(settings.text_dropout)
        self.convolutions = nn.ModuleDict(
            {
                name: nn.Conv1d(
                    self.width(name), width, getattr(settings, f"kernel_{name}"), bias=False
                )
                for name in self.modalities
            }
        )
        attending = {
            "text": settings.attention_dropout,
            "audio": settings.attention_dropout_audio,
            "vision": settings.attention_dropout_vision,
        }
        self.crossmodal = nn.ModuleDict(
            {
                _named(source, target): Stack(settings, width, attending[source])
                for target, source in permutations(self.modalities, 2)
            }
        )
        self.self_attention = nn.ModuleDict(
            {
                name: Stack(settings, sources * width, settings.attention_dropout)
                for name in self.modalities
            }
        )
        joined = len(self.modalities) * sources * width
        self.widen = nn.Linear(joined, joined)
        self.narrow = nn.Linear(joined, joined)
        self.output_dropout = nn.Dropout(settings.output_dropout)
        self.out = nn.Linear(joined, 1)

    def forward(self, batch: Batch) -> ModelOutput:
        """Cross every pair of modalities, then predict from each target's last place."""
        text, lengths = self.words(batch)
        sequences = {"text": (self.text_dropout(text), lengths)}
        sequences |= {name: self.frames(batch, name) for name in self.modalities[1:]}
        counts = {name: count for name, (_, count) in sequences.items()}
        low = {n: self._low_level(n, frames, count) for n, (frames, count) in sequences.items()}
        masks = {name: lengths_mask(counts[name], low[name].shape[1]) for name in low}
        last = []
        for target in self.modalities:
            crossed = [
                self.crossmodal[_named(source, target)](low[target], low[source], masks[source])
                for source in self.modalities
                if source != target
            ]
            stream = self.self_attention[target](torch.cat(crossed, dim=-1), None, masks[target])
            place = (counts[target] - 1).clamp(min=0)
            end = stream[torch.arange(len(stream), device=stream.device), place]
            last.append(end * (counts[target] > 0)[:, None])
        return ModelOutput(in_float32(self._predict, torch.cat(last, dim=1)).squeeze(-1))

    def _predict(self, joined: Tensor) -> Tensor:
        inner = self.output_dropout(functional.relu(self.widen(joined)))
        out: Tensor = self.out(joined + self.narrow(inner))
        return out

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """Mean absolute error."""
        task = (float32(output.prediction) - targets.labels).abs().mean()
        return {"total": task, "task": task}

    def _low_level(self, name: str, frames: Tensor, lengths: Tensor) -> Tensor:
        """Z^[0] = Conv1D(X) + PE, (B, L, d), L at least 1."""
        frames = functional.pad(frames, (0, 0, 0, max(0, 1 - frames.shape[1])))
        longest = frames.shape[1]
        real = frames * lengths_mask(lengths, longest)[:, :, None]
        kernel = getattr(self.config.mult, f"kernel_{name}")
        around = functional.pad(real.transpose(1, 2), ((kernel - 1) // 2, kernel // 2))
        convolved: Tensor = self.convolutions[name](around).transpose(1, 2)
        positions = sinusoidal_positions(longest, convolved.shape[-1], convolved.device)
        return torch.add(convolved, positions.to(convolved.dtype))


class Stack(nn.Module):
    """D layers of attention from a target to a source's low level, or to the target itself."""

    def __init__(self, settings: MultConfig, width: int, attention_dropout: float) -> None:
        """Make the stack.

        Args:
            settings: Heads, layers and dropout of what enters.
            width: Of target and source.
            attention_dropout: Dropout of the attention weights.
        """
        super().__init__()
        self.dropout = nn.Dropout(settings.embedding_dropout)
        self.layers = nn.ModuleList(
            Layer(width, settings.heads, attention_dropout) for _ in range(settings.layers)
        )

    def forward(self, target: Tensor, source: Tensor | None, mask: Tensor) -> Tensor:
        """Z^[D] (B, L, width).

        Args:
            target: (B, L, width), Z^[0] of what is adapted.
            source: (B, S, width), Z^[0] of what it is adapted to; None: itself, anew a layer.
            mask: (B, S), True at real places of the source.
        """
        stream: Tensor = self.dropout(target)
        low = None if source is None else self.dropout(source)
        for layer in self.layers:
            stream = layer(stream, low, mask)
        return stream


class Layer(nn.Module):
    """Ẑ = CM(LN(Z), LN(Z_β)) + LN(Z), then f(LN(Ẑ)) + LN(Ẑ)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Make the layer.

        Args:
            width: Of target and source.
            heads: Attention heads.
            dropout: Dropout of the attention weights.
        """
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.norm = nn.LayerNorm(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, stream: Tensor, low: Tensor | None, mask: Tensor) -> Tensor:
        """Z^[i] (B, L, width) of Z^[i−1], the source's Z^[0] and its mask."""
        target = self.norm(stream)
        source = target if low is None else self.norm(low)
        adapted = self.feed_forward_norm(self.attention(target, source, mask) + target)
        out: Tensor = self.feed_forward(adapted) + adapted
        return out


def _named(source: str, target: str) -> str:
    return f"{source}_to_{target}"
