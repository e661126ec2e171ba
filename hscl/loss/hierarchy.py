"""HSCL's loss: L = L_task + ω1·(L_ta + L_tv) + ω2·L_fusion, with L_tm = SupCR + α·similarity.

A term that is switched off, or whose weight is 0, is not computed: it contributes nothing and
sends no gradient anywhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hscl.config import LossConfig
from hscl.loss.contrastive import (
    LabelOrder,
    ntxent_loss,
    released_supcr_loss,
    supcon_loss,
    supcr_loss,
    supcr_loss_of_views,
)
from hscl.model.batch import moved
from hscl.model.contract import float32
from hscl.model.network import HsclOutput

__all__ = [
    "LabelOrder",
    "LossTerms",
    "hierarchical_loss",
    "ntxent_loss",
    "released_similarity_loss",
    "released_supcr_loss",
    "similarity_loss",
    "supcon_loss",
    "supcr_loss",
    "supcr_loss_of_views",
]


@dataclass(frozen=True)
class LossTerms:
    """The loss and its parts, scalars. The parts are not weighted; one that is off is 0.

    Attributes:
        total: What to call `backward` on.
        task: Mean absolute error of the predictions.
        low_ta: Contrastive loss of the text and audio projections.
        low_tv: Contrastive loss of the text and vision projections.
        sim_ta: Similarity loss of the text and audio projections.
        sim_tv: Similarity loss of the text and vision projections.
        high: Contrastive loss of the fused representations' projections.
    """

    total: Tensor
    task: Tensor
    low_ta: Tensor
    low_tv: Tensor
    sim_ta: Tensor
    sim_tv: Tensor
    high: Tensor


def similarity_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of two views: ‖R̂_t − R̂_m‖²₂, on projections before normalisation.

    Args:
        first: (N, p).
        second: (N, p).

    Returns:
        A scalar ≥ 0; 0 where N = 0.
    """
    return (float32(first) - float32(second)).square().sum() / max(len(first), 1)


def released_similarity_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean plain distance ‖R̂_t − R̂_m‖₂, as the authors' published code has it.

    Args:
        first: (N, p).
        second: (N, p).

    Returns:
        A scalar ≥ 0; 0 where N = 0.

    Source: github.com/Turdidae810/HSCL, src/modules/loss.py, class Similarity.
    """
    distances: Tensor = torch.linalg.vector_norm(float32(first) - float32(second), dim=1)
    return distances.sum() / max(len(first), 1)


def hierarchical_loss(output: HsclOutput, labels: Tensor, loss: LossConfig) -> LossTerms:
    """All terms of the loss for one batch.

    An utterance without audio leaves the text-audio pair and the high level, one without vision
    likewise; one without words leaves both pairs. With audio or vision alone in the model, the
    high level is the contrastive loss over that one fused view (M = B), so that the label still
    orders the fused space; without labels such a view has no positive, and the term is 0.

    Args:
        output: What the network returned for B utterances.
        labels: (B,).
        loss: Temperature, weights, switches and form.

    Returns:
        The terms, in float32 or better.
    """
    labels = labels.to(output.prediction.device)
    task = (float32(output.prediction) - labels).abs().mean()
    batch = _ContrastiveBatch(output, labels, loss)
    zero = task.new_zeros(())
    low_on = loss.omega1 > 0 and loss.low
    similarity_on = loss.omega1 > 0 and loss.alpha > 0 and loss.similarity
    high_on = loss.omega2 > 0 and loss.high
    low_ta = batch.low("audio") if low_on else zero
    low_tv = batch.low("vision") if low_on else zero
    sim_ta = batch.similarity("audio") if similarity_on else zero
    sim_tv = batch.similarity("vision") if similarity_on else zero
    high = batch.high() if high_on else zero
    total = (
        task
        + loss.omega1 * (low_ta + low_tv + loss.alpha * (sim_ta + sim_tv))
        + loss.omega2 * high
    )
    return LossTerms(total, task, low_ta, low_tv, sim_ta, sim_tv, high)


class _ContrastiveBatch:
    """The projections of a batch, the rows that each pair may use, and their labels' order.

    All terms whose rows are complete share one `LabelOrder`; it is made when first needed.
    """

    def __init__(self, output: HsclOutput, labels: Tensor, loss: LossConfig) -> None:
        self._output, self._labels, self._loss = output, labels, loss
        present = {
            "audio": output.has_text & output.has_audio,
            "vision": output.has_text & output.has_vision,
            "fused": _all_of(output.has_audio, output.fused_audio)
            & _all_of(output.has_vision, output.fused_vision),
        }
        # One transfer for all three where the masks are on a device, none where on the CPU.
        complete = torch.stack([mask.all() for mask in present.values()]).tolist()
        self._rows = {
            name: None if whole else moved(mask.nonzero().squeeze(1), labels.device)
            for (name, mask), whole in zip(present.items(), complete, strict=True)
        }
        self._orders: dict[str, LabelOrder] = {}

    def low(self, modality: str) -> Tensor:
        """Contrastive loss of text against audio or vision; 0 where the model lacks it."""
        other = getattr(self._output, modality)
        if self._output.text is None or other is None:
            return self._zero()
        return self._contrast([self._output.text, other], modality)

    def similarity(self, modality: str) -> Tensor:
        """Similarity loss of text against audio or vision; 0 where the model lacks it."""
        text, other = self._output.text, getattr(self._output, modality)
        if text is None or other is None:
            return self._zero()
        rows = self._rows[modality]
        if rows is not None:
            text, other = text[rows], other[rows]
        if self._loss.form == "released":
            return released_similarity_loss(text, other)
        return similarity_loss(text, other)

    def high(self) -> Tensor:
        """Contrastive loss over the fused views; 0 where the model has none."""
        fused = (self._output.fused_audio, self._output.fused_vision)
        views = [view for view in fused if view is not None]
        return self._contrast(views, "fused") if views else self._zero()

    def _contrast(self, projections: list[Tensor], key: str) -> Tensor:
        rows, loss = self._rows[key], self._loss
        views = torch.stack(projections)
        labels = self._labels
        if rows is not None:
            views, labels = views[:, rows], labels[rows]
        if loss.labels == "none":
            return ntxent_loss(views, loss.temperature)
        if loss.labels == "supcon":
            return supcon_loss(views, labels, loss.temperature)
        if loss.form == "released":
            return released_supcr_loss(
                views.flatten(0, 1), labels.repeat(len(views)), loss.temperature
            )
        key = "complete" if rows is None else key
        if key not in self._orders:
            self._orders[key] = LabelOrder.of(labels)
        return supcr_loss_of_views(views, self._orders[key], loss.temperature)

    def _zero(self) -> Tensor:
        return float32(self._output.prediction).new_zeros(())


def _all_of(present: Tensor, view: Tensor | None) -> Tensor:
    """Who has the view; where the model lacks it, nobody is left out for that."""
    return torch.ones_like(present) if view is None else present
