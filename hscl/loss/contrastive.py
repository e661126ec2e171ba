"""Contrastive losses on L2-normalised features, each O(M² log M) in time and O(M²) in memory.

Notable choices:

- One order per batch. What SupCR needs to know of the labels (`LabelOrder`) is worked out once
  over the N utterances and serves every loss and every view: the views of an utterance share its
  label, so the order is N × N, never M × M.
- The gradient of SupCR with respect to the logits has a closed form, found together with the value
  by two scans; autograd sees one node that keeps one M × M matrix.
- Everything happens in log space and at least float32, under autocast too, so that no temperature
  overflows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from hscl.errors import InputError
from hscl.model.contract import float32

__all__ = [
    "TOLERANCE",
    "LabelOrder",
    "Similarity",
    "ntxent_loss",
    "released_supcr_loss",
    "supcon_loss",
    "supcr_loss",
    "supcr_loss_of_views",
]

_RANGE = 600.0
TOLERANCE = 1e-4
"""Label distances closer than this are tied: labels are multiples of 0.2 or 1/3, so distances that
are equal on paper differ by rounding."""


Similarity = Literal["cosine", "negative_distance"]
"""What is compared with each other: directions, or places."""


@dataclass(frozen=True)
class LabelOrder:
    """What SupCR needs to know of a batch's labels: sorted once, used by every loss of the batch.

    Attributes:
        farthest_first: (N, N) int64; row i lists all utterances by falling label distance from
            utterance i, and i itself last.
        group_ends: (N, N) float; `group_ends[i, p]` counts the utterances j ≠ i whose set
            A(i, j) = {k : |y_i − y_k| ≥ |y_i − y_j| − tolerance} is exactly the first p + 1
            entries of row i of `farthest_first`.
    """

    farthest_first: Tensor
    group_ends: Tensor

    @classmethod
    def of(cls, labels: Tensor, tolerance: float = TOLERANCE) -> "LabelOrder":
        """Sort the label distances of every utterance.

        Args:
            labels: (N,) one label per utterance, not per view.
            tolerance: Distances at most this far apart are tied. Every A(i, j) is found by itself,
                so near-ties that chain do not merge into one group.

        Returns:
            The order, on the labels' device.
        """
        with torch.no_grad():
            y = labels.detach().reshape(-1).double()
            nearness = -(y[:, None] - y[None, :]).abs()
            nearness.fill_diagonal_(1.0)  # above all others: the anchor itself goes last
            nearness, farthest_first = nearness.sort(dim=1)
            nearness[:, -1:] = 0.0
            # nearness_k ≤ nearness_j + tolerance is |y_i − y_k| ≥ |y_i − y_j| − tolerance,
            # rounding included: both sides are exact negations.
            members = torch.searchsorted(nearness, nearness + tolerance, right=True)
            group_ends = torch.zeros_like(nearness, dtype=torch.float32)
            others = members[:, :-1] - 1
            group_ends.scatter_add_(1, others, torch.ones_like(others, dtype=torch.float32))
        return cls(farthest_first, group_ends)

    def __len__(self) -> int:
        return len(self.farthest_first)


def supcr_loss(
    features: Tensor,
    labels: Tensor,
    temperature: float,
    *,
    tolerance: float = TOLERANCE,
    similarity: Similarity = "cosine",
) -> Tensor:
    """Supervised contrastive loss for regression over M features with M labels.

    −1/M Σ_i 1/(M−1) Σ_{j≠i} log( exp(s_ij) / Σ_{k∈A(i,j)} exp(s_ik) ), where s is the similarity
    over the temperature and A(i,j) holds the k ≠ i whose label is at least as far from y_i as y_j
    is. In the order of labels nothing but distances counts, so any real label will do: an age, a
    depth, a sentiment.

        loss = supcr_loss(encoder(images), ages, 0.1)
        loss.backward()

    With two augmented views of a batch, features and labels of both are concatenated:

        features = torch.cat([encoder(first), encoder(second)])
        loss = supcr_loss(features, ages.repeat(2), 2.0, similarity="negative_distance")

    Args:
        features: (M, p), not normalised, on any device and of any precision.
        labels: (M,).
        temperature: τ > 0.
        tolerance: Label distances closer than this are tied.
        similarity: "cosine", as SupCR and HSCL have it, or "negative_distance", −‖v_i − v_j‖₂ of
            the features as they are, as Rank-N-Contrast has it.

    Returns:
        The loss, a scalar ≥ 0; 0 for a single feature. Time O(M² log M), memory O(M²).

    Raises:
        InputError: There is no such similarity.

    Source: Zha et al., arXiv:2210.01189, of which the first version is SupCR and the published one
    (NeurIPS 2023) Rank-N-Contrast; HSCL (MMM 2024), L_SupCR.
    """
    if similarity not in _SIMILARITIES:
        raise InputError(f"similarity must be one of {list(_SIMILARITIES)}, but is {similarity!r}")
    order = LabelOrder.of(labels, tolerance)
    return _supcr(features.unsqueeze(0), order, temperature, _SIMILARITIES[similarity])


def supcr_loss_of_views(views: Tensor, order: LabelOrder, temperature: float) -> Tensor:
    """`supcr_loss` over V views of N utterances, M = V·N, whose labels are already sorted.

    Args:
        views: (V, N, p), not normalised.
        order: Of the N labels.
        temperature: τ > 0.

    Returns:
        The loss, a scalar ≥ 0. One view of one utterance has no positive: 0, connected to `views`.
    """
    return _supcr(views, order, temperature, _cosines)


def _supcr(
    views: Tensor, order: LabelOrder, temperature: float, similar: Callable[[Tensor], Tensor]
) -> Tensor:
    if views.shape[0] * views.shape[1] < 2:
        return views.sum() * 0.0
    with torch.autocast(views.device.type, enabled=False):
        logits = similar(views.flatten(0, 1)) / temperature
        loss: Tensor = _SupCR.apply(logits, order)  # type: ignore[no-untyped-call]
    return loss


class _SupCR(torch.autograd.Function):
    """Mean of logsumexp_{k∈A(i,j)} s_ik − s_ij over all i and j ≠ i, with its gradient.

    In the order of a row's falling label distance every A(i, j) is a prefix, so that one running
    log-sum-exp L holds all denominators. With c_p = number of positives whose prefix ends at p:

        Σ_j logsumexp_{A(i,j)}   = Σ_p c_p·L_p
        its derivative by s_ik   = exp(s_ik) · Σ_{p ≥ position of k} c_p·exp(−L_p)

    and the last sum is a running log-sum-exp from the other end.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, order: LabelOrder) -> Tensor:
        anchors = len(logits)
        views = anchors // len(order)
        positions = order.farthest_first.repeat(views, 1)
        # Each other utterance brings `views` positives, the anchor's own one fewer: not itself.
        positives = order.group_ends.to(logits.dtype) * views
        positives[:, -1:] += views - 1
        positives = positives.repeat(views, 1)

        others = logits.clone().fill_diagonal_(0.0)
        numerators = others.sum(dim=1)
        others.fill_diagonal_(-torch.inf)
        by_utterance = others.view(anchors, views, -1).logsumexp(dim=1)
        denominators = _running_logsumexp(by_utterance.gather(1, positions))
        pairs = anchors * (anchors - 1)
        loss = ((positives * denominators).sum(dim=1) - numerators).sum() / pairs

        if ctx.needs_input_grad[0]:
            shares = _running_logsumexp((positives.log_() - denominators).flip(1)).flip(1)
            shares = torch.empty_like(shares).scatter_(1, positions, shares)
            others.view(anchors, views, -1).add_(shares.unsqueeze(1))
            gradient = others.exp_().sub_(1.0).fill_diagonal_(0.0).div_(pairs)
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None


def _running_logsumexp(values: Tensor) -> Tensor:
    """`values.logcumsumexp(dim=1)`, several times as fast on a CPU.

    As running sums of exponentials in float64, whose range holds 600 on either side of a row's
    largest value; it is taken where all that counts lies within. −∞ stands for nothing.
    """
    if values.device.type != "cpu":
        return values.logcumsumexp(dim=1)
    largest = values.amax(dim=1, keepdim=True)
    finite = torch.where(values == -torch.inf, largest, values)
    if not float((largest - finite.amin(dim=1, keepdim=True)).max()) < _RANGE:
        return values.logcumsumexp(dim=1)
    sums = (values - largest).double().exp_().cumsum_(dim=1).log_()
    return sums.to(values.dtype).add_(largest)


def released_supcr_loss(
    features: Tensor, labels: Tensor, temperature: float, *, tolerance: float = TOLERANCE
) -> Tensor:
    """SupCR as the authors' published code computes it, for comparison only.

    Its denominator is Σ_{k∈A(i,j)} exp(s_jk): the positive j, not the anchor i, is compared with
    the members of A(i,j), itself included. The published code builds M × M × M tensors; here the
    features are sorted by label, so that A(i, j) is everything left of one place and right of
    another, and two running log-sum-exps of every row hold all denominators.

    Args:
        features: (M, p), not normalised.
        labels: (M,).
        temperature: τ > 0.
        tolerance: Label distances closer than this are tied.

    Returns:
        The loss, a scalar; 0 for a single feature.

    Source: github.com/Turdidae810/HSCL, src/modules/loss.py, class SupConR.
    """
    count = len(features)
    if count < 2:
        return features.sum() * 0.0
    y, rank = labels.detach().reshape(-1).double().sort(stable=True)
    ahead = y[None, :] - y[:, None]  # rises along each row
    least = ahead.abs() - tolerance
    here = torch.arange(count, device=y.device)[:, None]
    lefts = torch.searchsorted(ahead, -least, right=True).minimum(here)
    rights = (count - torch.searchsorted(ahead, least)).minimum(count - 1 - here)
    with torch.autocast(features.device.type, enabled=False):
        logits = _logits(features[rank].unsqueeze(0), temperature)
        nothing = logits.new_full((count, 1), -torch.inf)
        left = torch.cat([nothing, logits.logcumsumexp(dim=1)], dim=1)
        right = torch.cat([nothing, logits.flip(1).logcumsumexp(dim=1)], dim=1)
        denominators = torch.logaddexp(left.gather(1, lefts.T), right.gather(1, rights.T))
        terms = denominators - logits
        return terms.masked_fill(
            torch.eye(count, dtype=torch.bool, device=y.device), 0.0
        ).sum() / (count * (count - 1))


def supcon_loss(views: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss over sentiment classes.

    The class is the Acc-7 one, the label clipped to [−3, 3] and rounded, halves to even: equality
    of raw labels would leave most utterances alone. Anchors without a positive are left out.

    Args:
        views: (V, N, p), not normalised.
        labels: (N,).
        temperature: τ > 0.

    Returns:
        The loss, a scalar ≥ 0; 0 where nothing has a positive.

    Source: Khosla et al., NeurIPS 2020, equation 2 (L_out); the ablation «classes only».
    """
    return _class_loss(views, labels.detach().clamp(-3.0, 3.0).round(), temperature)


def ntxent_loss(views: Tensor, temperature: float) -> Tensor:
    """Contrastive loss without labels: the positives are the same utterance's other views.

    Args:
        views: (V, N, p), not normalised.
        temperature: τ > 0.

    Returns:
        The loss, a scalar ≥ 0; 0 for a single view.

    Source: Chen et al., ICML 2020 (SimCLR), NT-Xent; the ablation «no labels».
    """
    return _class_loss(views, torch.arange(views.shape[1], device=views.device), temperature)


def _class_loss(views: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Mean over anchors of the mean over their positives (same class) of −log softmax."""
    count, utterances = views.shape[:2]
    own = torch.eye(count * utterances, dtype=torch.bool, device=views.device)
    same = (classes[:, None] == classes[None, :]).repeat(count, count) & ~own
    with torch.autocast(views.device.type, enabled=False):
        logits = _logits(views, temperature)
        if len(logits) < 2:
            return logits.sum() * 0.0
        surprise = logits.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True) - logits
        positives = same.sum(dim=1)
        per_anchor = surprise.masked_fill(~same, 0.0).sum(dim=1) / positives.clamp(min=1)
        return per_anchor.sum() / (positives > 0).sum().clamp(min=1)


def _logits(views: Tensor, temperature: float) -> Tensor:
    """Cosines over the temperature, (V·N, V·N), in float32 or better."""
    return _cosines(views.flatten(0, 1)) / temperature


def _cosines(features: Tensor) -> Tensor:
    """(M, M) cosines, in float32 or better."""
    unit = functional.normalize(float32(features), dim=1)
    return unit @ unit.T


def _negative_distances(features: Tensor) -> Tensor:
    """(M, M) −‖v_i − v_j‖₂, in float32 or better, with a finite gradient where two are equal."""
    features = float32(features)
    # By matrix products, as torch chooses for many rows, near features would lose their distance.
    return -torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


_SIMILARITIES = {"cosine": _cosines, "negative_distance": _negative_distances}
