"""Contrastive losses against literal loops, golden numbers and numerical gradients."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hscl.errors import InputError
from hscl.loss import contrastive
from hscl.loss import supcr_loss as public_loss
from hscl.loss.contrastive import (
    TOLERANCE,
    LabelOrder,
    ntxent_loss,
    released_supcr_loss,
    supcon_loss,
    supcr_loss,
    supcr_loss_of_views,
)


def literal_supcr(
    features: Tensor,
    labels: Tensor,
    temperature: float,
    *,
    tolerance: float = TOLERANCE,
    from_positive: bool = False,
) -> Tensor:
    """The formula as three loops; the oracle of this file."""
    unit = functional.normalize(features, dim=1)
    similarity = unit @ unit.T / temperature
    y = labels.double().tolist()
    count = len(y)
    total = features.new_zeros(())
    for i in range(count):
        for j in range(count):
            if j == i:
                continue
            row = similarity[j if from_positive else i]
            members = [
                row[k]
                for k in range(count)
                if k != i and abs(y[i] - y[k]) >= abs(y[i] - y[j]) - tolerance
            ]
            total = total + torch.logsumexp(torch.stack(members), 0) - similarity[i, j]
    return total / (count * (count - 1))


def _golden(shared: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((shared / "golden/losses.json").read_text())["cases"]
    return cases


def _views(case: dict[str, Any]) -> Tensor:
    """(2, N, p) double."""
    features = torch.tensor(case["features"], dtype=torch.float64)
    return features.transpose(0, 1).contiguous().requires_grad_()


def test_supcr_and_its_gradient_equal_the_golden_numbers(shared: Path) -> None:
    for case in _golden(shared):
        views = _views(case)
        order = LabelOrder.of(torch.tensor(case["labels"], dtype=torch.float64))
        loss = supcr_loss_of_views(views, order, case["temperature"])
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() == pytest.approx(case["supcr"], abs=1e-6), case["name"]
        expected = torch.tensor(case["supcr_grad"], dtype=torch.float64).transpose(0, 1)
        assert views.grad is not None
        torch.testing.assert_close(views.grad, expected, rtol=0, atol=1e-6)


def test_the_released_variant_equals_the_golden_numbers(shared: Path) -> None:
    for case in _golden(shared):
        labels = torch.tensor(case["labels"], dtype=torch.float64).repeat(2)
        loss = released_supcr_loss(_views(case).flatten(0, 1), labels, case["temperature"])
        assert loss.item() == pytest.approx(case["released"], abs=1e-6), case["name"]


_LABELS = st.one_of(
    st.integers(-15, 15).map(lambda n: n / 5),
    st.integers(-9, 9).map(lambda n: n / 3),
    st.floats(-3, 3, width=32),
    # steps below the tolerance: near-ties that chain
    st.integers(0, 8).map(lambda n: n * 0.6 * TOLERANCE),
)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(_LABELS, min_size=2, max_size=9),
    temperature=st.sampled_from([1.0, 0.5, 0.03, 0.001]),
    seed=st.integers(0, 10_000),
)
def test_sorted_form_equals_the_literal_loop_with_its_gradient(
    labels: list[float], temperature: float, seed: int
) -> None:
    y = torch.tensor(labels, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(y), 3, dtype=torch.float64, generator=generator)
    for ours, from_positive in ((supcr_loss, False), (released_supcr_loss, True)):
        ready, plain = features.clone().requires_grad_(), features.clone().requires_grad_()
        loss = ours(ready, y, temperature)
        oracle = literal_supcr(plain, y, temperature, from_positive=from_positive)
        torch.testing.assert_close(loss, oracle, rtol=1e-9, atol=1e-9)
        found = torch.autograd.grad(loss, ready)[0]
        expected = torch.autograd.grad(oracle, plain)[0]
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9 / temperature)


def test_near_ties_that_chain_stay_apart_as_in_the_literal_loop() -> None:
    # 0, .6, 1.2 and 1.8 tolerances: neighbours are tied with 0's distances, the ends are not.
    y = torch.arange(4, dtype=torch.float64) * 0.6 * TOLERANCE
    features = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    merged = literal_supcr(features, torch.zeros(4), 0.5)
    loss = supcr_loss(features, y, 0.5)
    torch.testing.assert_close(loss, literal_supcr(features, y, 0.5))
    assert not torch.isclose(loss, merged)


def test_labels_equal_but_for_rounding_are_tied() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    exact = torch.tensor([-0.2, 0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    rounded = exact.float().double()
    assert supcr_loss(features, exact, 0.5) == supcr_loss(features, rounded, 0.5)


def test_two_views_equal_the_general_form_with_doubled_labels() -> None:
    views = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([0.2, -1.0, 0.2, 3.0, 2.8, -1.0, 0.0])
    paired = supcr_loss_of_views(views, LabelOrder.of(y), 0.2)
    torch.testing.assert_close(paired, supcr_loss(views.flatten(0, 1), y.repeat(2), 0.2))


def test_gradients_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    views = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    y = torch.tensor([0.2, 0.4, -1.0, 0.2, 3.0])
    order = LabelOrder.of(y)

    def supcr(tau: float) -> Callable[[Tensor], Tensor]:
        return lambda z: supcr_loss_of_views(z, order, tau)

    assert torch.autograd.gradcheck(supcr(0.5), views)
    assert torch.autograd.gradcheck(supcr(0.1), views)
    assert torch.autograd.gradcheck(lambda z: supcr_loss(z[0], y, 0.5), views)
    assert torch.autograd.gradcheck(
        lambda z: released_supcr_loss(z.flatten(0, 1), y.repeat(2), 0.5), views
    )
    assert torch.autograd.gradcheck(lambda z: supcon_loss(z, y, 0.5), views)
    assert torch.autograd.gradcheck(lambda z: ntxent_loss(z, 0.5), views)


@pytest.mark.parametrize("temperature", [1e-4, 1e-3, 0.01, 0.05, 1.0, 100.0])
def test_float32_stays_near_double_at_any_temperature(temperature: float) -> None:
    generator = torch.Generator().manual_seed(4)
    exact = torch.randn(2, 12, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    y = torch.randint(-15, 16, (12,), generator=generator) / 5
    order = LabelOrder.of(y)
    rough = exact.detach().float().requires_grad_()
    losses = [supcr_loss_of_views(z, order, temperature) for z in (rough, exact)]
    gradients = [
        torch.autograd.grad(loss, z)[0] for loss, z in zip(losses, (rough, exact), strict=True)
    ]
    torch.testing.assert_close(losses[0].double(), losses[1], rtol=1e-4, atol=1e-5)
    scale = float(gradients[1].abs().max())
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-2, atol=2e-3 * scale)


def test_the_value_is_never_negative_and_a_single_utterance_gives_0() -> None:
    generator = torch.Generator().manual_seed(5)
    views = torch.randn(2, 1, 4, generator=generator, requires_grad=True)
    loss = supcr_loss_of_views(views, LabelOrder.of(torch.tensor([1.0])), 0.5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert views.grad is not None
    assert not views.grad.any()


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: supcr_loss(z, torch.ones(1), 0.5),
        lambda z: released_supcr_loss(z, torch.ones(1), 0.5),
        lambda z: supcon_loss(z[None], torch.ones(1), 0.5),
        lambda z: ntxent_loss(z[None], 0.5),
    ],
)
def test_one_feature_alone_gives_0_and_still_trains(loss: Callable[[Tensor], Tensor]) -> None:
    features = torch.ones(1, 4, requires_grad=True)
    value = loss(features)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0.0
    assert features.grad is not None
    assert not features.grad.any()


def test_equal_labels_make_every_other_feature_a_negative() -> None:
    generator = torch.Generator().manual_seed(6)
    features = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    unit = functional.normalize(features, dim=1)
    logits = (unit @ unit.T / 0.5).fill_diagonal_(-torch.inf)
    expected = -logits.log_softmax(1)[~torch.eye(6, dtype=torch.bool)].mean()
    torch.testing.assert_close(supcr_loss(features, torch.full((6,), 2.0), 0.5), expected)


def test_dead_projections_of_only_zeros_keep_the_loss_finite() -> None:
    features = torch.zeros(4, 3)
    loss = supcr_loss(features, torch.arange(4.0), 0.5)
    assert math.isfinite(loss.item())


def test_order_of_the_utterances_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(8, 4, dtype=torch.float64, generator=generator)
    y = torch.tensor([0.0, 0.0, 1.0, -2.0, 3.0, 1.0, 0.2, -0.2])
    shuffled = torch.randperm(8, generator=generator)
    for loss in (supcr_loss, released_supcr_loss):
        torch.testing.assert_close(
            loss(features[shuffled], y[shuffled], 0.3), loss(features, y, 0.3)
        )


def test_loss_is_computed_in_float32_under_autocast() -> None:
    views = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(8))
    order = LabelOrder.of(torch.arange(6.0))
    plain = supcr_loss_of_views(views, order, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(supcr_loss_of_views(views, order, 0.1), plain)
        halves = supcr_loss_of_views(views.bfloat16(), order, 0.1)
    assert halves.dtype == torch.float32


def test_supcon_equals_the_literal_loop_over_acc7_classes() -> None:
    generator = torch.Generator().manual_seed(9)
    views = torch.randn(2, 6, 4, dtype=torch.float64, generator=generator)
    y = torch.tensor([0.4, 0.5, -0.2, 1.5, 2.5, -3.8])
    classes = [0, 0, 0, 2, 2, -3] * 2
    unit = functional.normalize(views.flatten(0, 1), dim=1)
    logits = unit @ unit.T / 0.3
    total = 0.0
    for i in range(12):
        others = [a for a in range(12) if a != i]
        positives = [j for j in others if classes[j] == classes[i]]
        bottom = torch.logsumexp(logits[i, others], 0)
        total += sum(float(bottom - logits[i, j]) for j in positives) / len(positives)
    assert supcon_loss(views, y, 0.3).item() == pytest.approx(total / 12, rel=1e-9)


def test_supcon_leaves_out_anchors_without_a_positive() -> None:
    generator = torch.Generator().manual_seed(10)
    view = torch.randn(1, 3, 4, dtype=torch.float64, generator=generator)
    unit = functional.normalize(view[0], dim=1)
    logits = (unit @ unit.T / 0.5).fill_diagonal_(-torch.inf)
    surprise = -logits.log_softmax(1)
    expected = (surprise[0, 1] + surprise[1, 0]) / 2
    found = supcon_loss(view, torch.tensor([1.0, 1.2, -2.0]), 0.5)
    torch.testing.assert_close(found, expected)


def test_ntxent_is_cross_entropy_for_the_other_view() -> None:
    generator = torch.Generator().manual_seed(11)
    views = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    unit = functional.normalize(views.flatten(0, 1), dim=1)
    logits = (unit @ unit.T / 0.2).fill_diagonal_(-torch.inf)
    partner = (torch.arange(10) + 5) % 10
    torch.testing.assert_close(ntxent_loss(views, 0.2), functional.cross_entropy(logits, partner))


def test_ntxent_over_a_single_view_is_0() -> None:
    view = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(12))
    assert ntxent_loss(view, 0.2).item() == 0.0


@pytest.mark.parametrize("scale", [0.1, 10.0, 120.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_running_logsumexp_is_torchs(scale: float, dtype: torch.dtype) -> None:
    """Within what float64 holds, and where it is not taken; with nothing here and there."""
    generator = torch.Generator().manual_seed(0)
    values = scale * torch.randn(40, 30, dtype=dtype, generator=generator)
    values[torch.rand(40, 30, generator=generator) < 0.2] = -torch.inf
    expected = values.double().logcumsumexp(dim=1).to(dtype)
    found = contrastive._running_logsumexp(values)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)


def rank_n_contrast(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The loss as Rank-N-Contrast's authors publish it (github.com/kaiwenzha/Rank-N-Contrast)."""
    count = len(features)
    apart = (labels[:, None] - labels[None, :]).abs()
    logits = -(features[:, None, :] - features[None, :, :]).norm(2, dim=-1) / temperature
    others = ~torch.eye(count, dtype=torch.bool)
    apart = apart.masked_select(others).view(count, count - 1)
    logits = logits.masked_select(others).view(count, count - 1)
    loss = features.new_zeros(())
    for k in range(count - 1):
        members = (apart >= apart[:, k : k + 1]).to(logits.dtype)
        chances = logits[:, k] - (members * logits.exp()).sum(dim=1).log()
        loss = loss - (chances / (count * (count - 1))).sum()
    return loss


def test_with_negative_distances_it_is_rank_n_contrast_and_so_is_its_gradient() -> None:
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(-9, 10, (14,), generator=generator, dtype=torch.float64)
    features = torch.randn(14, 5, generator=generator, dtype=torch.float64)
    found, expected = (features.clone().requires_grad_() for _ in range(2))
    loss = public_loss(found, labels, 2.0, similarity="negative_distance")
    literal = rank_n_contrast(expected, labels, 2.0)
    torch.testing.assert_close(loss, literal)
    (mine,) = torch.autograd.grad(loss, found)
    (theirs,) = torch.autograd.grad(literal, expected)
    torch.testing.assert_close(mine, theirs)
    assert not torch.allclose(loss, public_loss(features, labels, 2.0))


def test_equal_features_have_a_finite_gradient_and_near_ones_keep_their_distance() -> None:
    features = torch.full((4, 3), 100.0)
    features[3, 0] += 1e-3
    features.requires_grad_()
    labels = torch.tensor([0.0, 1.0, 2.0, 3.0])
    loss = public_loss(features, labels, 1e-3, similarity="negative_distance")
    (gradient,) = torch.autograd.grad(loss, features)
    assert torch.isfinite(gradient).all()
    exact = public_loss(features.double(), labels, 1e-3, similarity="negative_distance")
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4)


def test_an_unknown_similarity_is_refused() -> None:
    with pytest.raises(InputError, match="similarity must be one of"):
        public_loss(torch.ones(2, 2), torch.ones(2), 1.0, similarity="dot")  # type: ignore[arg-type]
