"""The loss hierarchy: weights, switches, missing modalities, and the similarity losses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hscl.config import LossConfig
from hscl.loss.contrastive import ntxent_loss, released_supcr_loss, supcon_loss, supcr_loss
from hscl.loss.hierarchy import hierarchical_loss, released_similarity_loss, similarity_loss
from hscl.model.network import HsclOutput

PARTS = ("text", "audio", "vision", "fused_audio", "fused_vision")
LABELS = torch.tensor([0.4, -1.0, 0.4, 2.6, -3.0], dtype=torch.float64)


def _output(
    *, has_text: str = "11111", has_audio: str = "11111", has_vision: str = "11111"
) -> HsclOutput:
    """Random projections of five utterances; who has what as a row of digits."""
    generator = torch.Generator().manual_seed(0)
    parts = torch.rand(6, 5, 4, dtype=torch.float64, generator=generator)
    leaves = [part.clone().requires_grad_() for part in parts]
    return HsclOutput(
        prediction=parts[5, :, 0].clone().requires_grad_(),
        **dict(zip(PARTS, leaves, strict=False)),
        has_text=torch.tensor([c == "1" for c in has_text]),
        has_audio=torch.tensor([c == "1" for c in has_audio]),
        has_vision=torch.tensor([c == "1" for c in has_vision]),
    )


def _part(output: HsclOutput, name: str) -> Tensor:
    part: Tensor | None = getattr(output, name)
    assert part is not None
    return part


def _pair(output: HsclOutput, first: str, second: str, rows: list[int]) -> Tensor:
    """(2·rows, p): both views one after the other."""
    return torch.cat([_part(output, first)[rows], _part(output, second)[rows]])


def _gradients(output: HsclOutput, loss: LossConfig) -> dict[str, Tensor | None]:
    hierarchical_loss(output, LABELS, loss).total.backward()  # type: ignore[no-untyped-call]
    return {name: _part(output, name).grad for name in PARTS}


ALL = list(range(5))


def test_similarity_losses_equal_the_golden_numbers(shared: Path) -> None:
    for case in json.loads((shared / "golden/losses.json").read_text())["cases"]:
        first, second = torch.tensor(case["features"], dtype=torch.float64).unbind(1)
        squared, plain = case["similarity_squared_l2"], case["similarity_l2"]
        assert similarity_loss(first, second).item() == pytest.approx(squared, abs=1e-6)
        assert released_similarity_loss(first, second).item() == pytest.approx(plain, abs=1e-6)


def test_similarity_losses_have_the_gradients_of_finite_differences() -> None:
    pair = [t.clone().requires_grad_() for t in torch.rand(2, 3, 4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(similarity_loss, pair)
    assert torch.autograd.gradcheck(released_similarity_loss, pair)


def test_equal_views_have_a_finite_gradient_in_both_similarity_losses() -> None:
    view = torch.ones(3, 4, requires_grad=True)
    for loss in (similarity_loss, released_similarity_loss):
        (gradient,) = torch.autograd.grad(loss(view, view.detach()), view)
        assert gradient.isfinite().all()


def test_total_is_the_weighted_sum_of_its_parts() -> None:
    output = _output()
    loss = LossConfig(temperature=0.2, alpha=0.3, omega1=0.7, omega2=1.3)
    terms = hierarchical_loss(output, LABELS, loss)
    twice = LABELS.repeat(2)
    expected = {
        "task": (output.prediction - LABELS).abs().mean(),
        "low_ta": supcr_loss(_pair(output, "text", "audio", ALL), twice, 0.2),
        "low_tv": supcr_loss(_pair(output, "text", "vision", ALL), twice, 0.2),
        "sim_ta": similarity_loss(_part(output, "text"), _part(output, "audio")),
        "sim_tv": similarity_loss(_part(output, "text"), _part(output, "vision")),
        "high": supcr_loss(_pair(output, "fused_audio", "fused_vision", ALL), twice, 0.2),
    }
    for name, value in expected.items():
        torch.testing.assert_close(getattr(terms, name), value)
    low = expected["low_ta"] + expected["low_tv"]
    similar = expected["sim_ta"] + expected["sim_tv"]
    total = expected["task"] + 0.7 * (low + 0.3 * similar) + 1.3 * expected["high"]
    torch.testing.assert_close(terms.total, total)


def test_released_form_uses_the_released_denominator_and_the_plain_norm() -> None:
    output = _output()
    terms = hierarchical_loss(output, LABELS, LossConfig(form="released"))
    pair = _pair(output, "text", "audio", ALL)
    torch.testing.assert_close(terms.low_ta, released_supcr_loss(pair, LABELS.repeat(2), 0.5))
    torch.testing.assert_close(
        terms.sim_tv, released_similarity_loss(_part(output, "text"), _part(output, "vision"))
    )


def test_labels_may_be_used_as_classes_or_not_at_all() -> None:
    output = _output()
    views = torch.stack([_part(output, "fused_audio"), _part(output, "fused_vision")])
    classes = hierarchical_loss(output, LABELS, LossConfig(labels="supcon"))
    torch.testing.assert_close(classes.high, supcon_loss(views, LABELS, 0.5))
    alone = hierarchical_loss(output, LABELS, LossConfig(labels="none"))
    torch.testing.assert_close(alone.high, ntxent_loss(views, 0.5))
    shuffled = hierarchical_loss(output, LABELS.flip(0), LossConfig(labels="none"))
    torch.testing.assert_close(alone.low_ta, shuffled.low_ta)


_LOW, _HIGH = {"text", "audio", "vision"}, {"fused_audio", "fused_vision"}


@pytest.mark.parametrize(
    ("changes", "trained", "silent"),
    [
        ({}, _LOW | _HIGH, set()),
        ({"omega1": 0.0}, _HIGH, {"low_ta", "low_tv", "sim_ta", "sim_tv"}),
        ({"low": False, "similarity": False}, _HIGH, {"low_ta", "low_tv", "sim_ta", "sim_tv"}),
        ({"omega2": 0.0}, _LOW, {"high"}),
        ({"high": False}, _LOW, {"high"}),
        (
            {"omega1": 0.0, "omega2": 0.0},
            set(),
            {"low_ta", "low_tv", "sim_ta", "sim_tv", "high"},
        ),
        ({"alpha": 0.0}, _LOW | _HIGH, {"sim_ta", "sim_tv"}),
        ({"similarity": False}, _LOW | _HIGH, {"sim_ta", "sim_tv"}),
        ({"low": False}, _LOW | _HIGH, {"low_ta", "low_tv"}),
        ({"low": False, "high": False}, _LOW, {"low_ta", "low_tv", "high"}),
    ],
)
def test_a_part_that_is_off_is_0_and_sends_no_gradient(
    changes: dict[str, Any], trained: set[str], silent: set[str]
) -> None:
    output = _output()
    terms = hierarchical_loss(output, LABELS, LossConfig(**changes))
    assert {name for name, value in vars(terms).items() if value.item() == 0.0} == silent
    for name in silent:
        assert not getattr(terms, name).requires_grad
    terms.total.backward()  # type: ignore[no-untyped-call]
    assert {name for name in PARTS if _part(output, name).grad is not None} == trained
    assert output.prediction.grad is not None


def test_similarity_alone_equals_the_total_without_contrast() -> None:
    output = _output()
    loss = LossConfig(low=False, high=False, omega1=0.5, alpha=0.2)
    terms = hierarchical_loss(output, LABELS, loss)
    torch.testing.assert_close(terms.total, terms.task + 0.5 * 0.2 * (terms.sim_ta + terms.sim_tv))


def test_utterances_leave_the_pairs_of_what_they_lack() -> None:
    output = _output(has_text="01111", has_audio="11011", has_vision="11110")
    terms = hierarchical_loss(output, LABELS, LossConfig(omega1=1.0))
    audio, vision, fused = [1, 3, 4], [1, 2, 3], [0, 1, 3]
    for found, pair, rows in (
        (terms.low_ta, ("text", "audio"), audio),
        (terms.low_tv, ("text", "vision"), vision),
        (terms.high, ("fused_audio", "fused_vision"), fused),
    ):
        expected = supcr_loss(_pair(output, *pair, rows), LABELS[rows].repeat(2), 0.5)
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        terms.sim_ta, similarity_loss(_part(output, "text")[audio], _part(output, "audio")[audio])
    )
    terms.total.backward()  # type: ignore[no-untyped-call]
    gradient = _part(output, "audio").grad
    assert gradient is not None
    assert gradient.any(dim=1).tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("labels", ["supcr", "supcon", "none"])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_nobody_left_in_a_pair_gives_0_and_the_rest_still_trains(labels: str, form: str) -> None:
    output = _output(has_audio="00000", has_vision="00100")
    terms = hierarchical_loss(
        output, LABELS, LossConfig.model_validate({"labels": labels, "form": form})
    )
    assert terms.low_ta.item() == terms.sim_ta.item() == terms.high.item() == 0.0
    terms.total.backward()  # type: ignore[no-untyped-call]
    gradient = output.prediction.grad
    assert gradient is not None
    assert gradient.isfinite().all()


def test_a_single_fused_view_is_ordered_by_its_labels() -> None:
    output = replace(_output(has_vision="00000"), vision=None, fused_vision=None)
    terms = hierarchical_loss(output, LABELS, LossConfig())
    torch.testing.assert_close(terms.high, supcr_loss(_part(output, "fused_audio"), LABELS, 0.5))
    assert terms.low_tv.item() == terms.sim_tv.item() == 0.0
    unlabelled = hierarchical_loss(output, LABELS, LossConfig(labels="none"))
    assert unlabelled.high.item() == 0.0


def test_text_alone_has_the_task_loss_only() -> None:
    nothing: dict[str, Any] = dict.fromkeys(PARTS)
    output = replace(_output(has_audio="00000", has_vision="00000"), **nothing)
    terms = hierarchical_loss(output, LABELS, LossConfig())
    torch.testing.assert_close(terms.total, terms.task)


def test_every_switch_changes_some_gradient() -> None:
    reference = _gradients(_output(), LossConfig(omega1=1.0))
    for changes in (
        {"temperature": 0.1},
        {"alpha": 0.5},
        {"omega1": 0.5},
        {"omega2": 0.5},
        {"labels": "supcon"},
        {"labels": "none"},
        {"form": "released"},
    ):
        loss = LossConfig.model_validate({"omega1": 1.0} | changes)
        changed = _gradients(_output(), loss)
        assert any(
            not torch.allclose(reference[name], changed[name])  # type: ignore[arg-type]
            for name in PARTS
        ), changes


def test_half_precision_projections_are_compared_in_float32() -> None:
    output = _output()
    halves = {name: _part(output, name).detach().bfloat16() for name in PARTS}
    terms = hierarchical_loss(replace(output, **halves), LABELS.float(), LossConfig())
    assert terms.low_ta.dtype == terms.sim_ta.dtype == torch.float32
