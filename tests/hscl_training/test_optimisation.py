"""Learning rates, clipping, and the gradient of a batch that comes in parts."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from operators import Operators
from torch import nn

from hscl.config import Config, LossConfig, TrainConfig
from hscl.loss.hierarchy import hierarchical_loss
from hscl.model.batch import Batch
from hscl.model.contract import ModelOutput, Targets
from hscl.model.network import HsclNetwork, HsclOutput
from hscl.training.batches import Absent, collate
from hscl.training.optimisation import (
    Loss,
    backward,
    build_optimizer,
    clipped_step,
    gradient_norm,
    learning_rate_factor,
    set_learning_rates,
)
from hscl.training.prepared import TrainingData

BOTH = frozenset({"audio", "vision"})
Gradients = dict[str, torch.Tensor]


@pytest.fixture
def network(tiny_config: Config, tiny_data: TrainingData) -> Iterator[HsclNetwork]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield HsclNetwork(tiny_config.model, tiny_data.widths, None)


def _of(config: LossConfig) -> Loss:
    def loss(output: ModelOutput, targets: Targets) -> Mapping[str, torch.Tensor]:
        assert isinstance(output, HsclOutput)
        return vars(hierarchical_loss(output, targets.labels, config))

    return loss


def _parts(
    data: TrainingData, cuts: list[int], hidden: Sequence[Absent | None] = ()
) -> list[Batch]:
    bounds = itertools.pairwise([0, *np.cumsum(cuts).tolist()])
    return [
        collate(data.train, np.arange(a, b), modalities=BOTH, absent=absent)
        for (a, b), absent in zip(bounds, hidden or [None] * len(cuts), strict=True)
    ]


def _gradients(network: nn.Module) -> Gradients:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
    }


def _assert_equal(first: Gradients, second: Gradients) -> None:
    assert any(g.abs().max() > 1e-3 for g in first.values())
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], rtol=0, atol=1e-5, msg=name)


def _literal(outputs: list[HsclOutput]) -> HsclOutput:
    joined: dict[str, Any] = {}
    for field in fields(HsclOutput):
        values = [getattr(o, field.name) for o in outputs]
        joined[field.name] = None if values[0] is None else torch.cat(values)
    return HsclOutput(**joined)


@pytest.mark.parametrize("labels", ["supcr", "supcon", "none"])
@pytest.mark.parametrize("cuts", [[10, 10], [8, 8, 4], [1] * 20])
def test_parts_give_the_gradient_of_the_whole_batch(
    tiny_config: Config,
    tiny_data: TrainingData,
    network: HsclNetwork,
    cuts: list[int],
    labels: str,
) -> None:
    loss = _of(
        tiny_config.with_overrides(
            {"loss.labels": labels, "loss.omega1": 1.0, "loss.omega2": 1.0}
        ).loss
    )
    network.eval()  # without dropout the two ways must agree entirely
    whole = backward(network, _parts(tiny_data, [20]), loss)
    expected = _gradients(network)
    network.zero_grad()
    parts = backward(network, _parts(tiny_data, cuts), loss)
    _assert_equal(expected, _gradients(network))
    assert floats(parts.terms) == pytest.approx(floats(whole.terms), abs=1e-5)
    for done in (whole, parts):
        assert done.targets.rows.tolist() == list(range(20))
        assert not done.output.prediction.requires_grad
    torch.testing.assert_close(parts.output.prediction, whole.output.prediction)


def test_parts_give_the_whole_gradient_with_dropout_on(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    """Against one graph over all parts, each drawing the same dropout."""
    loss = _of(replace_weights(tiny_config).loss)
    parts = _parts(tiny_data, [7, 7, 6])
    labels = torch.cat([part.labels for part in parts if part.labels is not None])
    targets = Targets(torch.arange(20), labels)
    network.train()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        output = _literal([network(part) for part in parts])
        terms = loss(output, targets)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        after = torch.get_rng_state()
        expected = _gradients(network)
        network.zero_grad()
        torch.manual_seed(5)
        again = backward(network, parts, loss)
        assert torch.equal(after, torch.get_rng_state())  # random numbers are drawn once
    _assert_equal(expected, _gradients(network))
    assert floats(again.terms) == pytest.approx(floats(terms), abs=1e-6)


def floats(terms: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in terms.items()}


def replace_weights(config: Config) -> Config:
    """Contrastive terms that weigh as much as the task."""
    return config.with_overrides({"loss.omega1": 1.0, "loss.omega2": 1.0})


def test_the_sum_of_the_parts_own_losses_would_be_wrong(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    """What plain gradient accumulation computes differs: the test above can fail."""
    loss = _of(replace_weights(tiny_config).loss)
    network.eval()
    backward(network, _parts(tiny_data, [20]), loss)
    expected = _gradients(network)
    network.zero_grad()
    for part in _parts(tiny_data, [10, 10]):
        done = backward(network, [part], loss)
        assert torch.isfinite(done.terms["total"])
    plain = {name: g / 2 for name, g in _gradients(network).items()}
    assert max((plain[n] - expected[n]).abs().max().item() for n in plain) > 1e-3


def test_trimming_a_batch_changes_no_gradient(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    loss = _of(replace_weights(tiny_config).loss)
    (batch,) = _parts(tiny_data, [20])

    def longer(tensor: torch.Tensor | None) -> torch.Tensor:
        assert tensor is not None
        padding = torch.zeros(tensor.shape[0], 30, tensor.shape[2])
        return torch.cat([tensor, padding], dim=1)

    padded = replace(
        batch,
        text=longer(batch.text),
        audio=longer(batch.audio),
        vision=longer(batch.vision),
    )
    network.eval()
    backward(network, [batch], loss)
    expected = _gradients(network)
    network.zero_grad()
    backward(network, [padded], loss)
    _assert_equal(expected, _gradients(network))


@pytest.mark.parametrize("cuts", [[20], [8, 12]])
@pytest.mark.parametrize("labels", ["supcr", "supcon", "none"])
def test_a_backward_pass_on_a_device_asks_it_nothing(
    tiny_config: Config,
    tiny_data: TrainingData,
    network: HsclNetwork,
    cuts: list[int],
    labels: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tensors of the device "meta" have no values: whatever looked at one would fail."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it has none
    loss = _of(replace_weights(tiny_config).with_overrides({"loss.labels": labels}).loss)
    hidden = [Absent(np.arange(n) % 3 == 0, np.arange(n) % 4 == 0) for n in cuts]
    there = [part.to("meta") for part in _parts(tiny_data, cuts, hidden)]
    assert not all(part.has("audio").all() for part in there)
    done = backward(network.to("meta"), there, loss)
    assert done.terms["high"].device.type == "meta"
    assert all(p.grad is not None for name, p in network.named_parameters() if name != "no_words")
    with pytest.raises(RuntimeError, match="meta"):
        done.terms["high"].item()


def test_an_update_reads_nothing_from_the_device(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    read = "aten._local_scalar_dense.default"
    optimizer = build_optimizer(network, tiny_config.train)
    with Operators() as operators:
        done = backward(network, _parts(tiny_data, [20]), _of(tiny_config.loss))
        within = operators.count[read]
        clipped_step(optimizer, gradient_norm(network), done.terms["total"].detach(), 1.0)
        assert operators.count[read] == within
        done.terms["total"].item()
    assert operators.count[read] == within + 1  # it counts


def test_a_batch_without_labels_is_a_mistake_of_the_caller(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    (batch,) = _parts(tiny_data, [3])
    with pytest.raises(ValueError, match="labels"):
        backward(network, [replace(batch, labels=None)], _of(tiny_config.loss))


def test_the_text_encoder_has_its_own_learning_rate(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    encoder = nn.Linear(8, 8)
    network = HsclNetwork(tiny_config.model, tiny_data.widths, encoder)
    optimizer = build_optimizer(network, tiny_config.train)
    text, others = optimizer.param_groups
    assert {id(p) for p in text["params"]} == {id(p) for p in encoder.parameters()}
    assert len(text["params"]) + len(others["params"]) == len(list(network.parameters()))
    assert (text["lr"], others["lr"]) == (5e-5, 1e-3)
    set_learning_rates(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == [2.5e-5, 5e-4]
    set_learning_rates(optimizer, 1.0)
    assert [g["lr"] for g in optimizer.param_groups] == [5e-5, 1e-3]


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_step_is_that_of_the_textbook(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork, kind: str
) -> None:
    """Adam's first step by hand: L2 inside the gradient (adam), or beside it (adamw)."""
    train = tiny_config.with_overrides(
        {"train.optimizer": kind, "train.weight_decay": 0.1, "train.lr": 0.01}
    ).train
    optimizer = build_optimizer(network, train)
    before = copy.deepcopy(dict(network.named_parameters()))
    backward(network, _parts(tiny_data, [20]), _of(tiny_config.loss))
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    optimizer.step()
    for name, gradient in gradients.items():
        start = before[name].detach()
        if kind == "adam":
            gradient = gradient + 0.1 * start  # noqa: PLW2901
            expected = start - 0.01 * gradient / (gradient.abs() + 1e-8)
        else:
            expected = start * (1 - 0.01 * 0.1) - 0.01 * gradient / (gradient.abs() + 1e-8)
        after = dict(network.named_parameters())[name].detach()
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_the_step_schedule_falls_every_so_many_epochs() -> None:
    train = TrainConfig(schedule="step", step_epochs=3, step_gamma=0.1)
    factors = [learning_rate_factor(train, step, steps_per_epoch=2) for step in range(14)]
    assert factors == pytest.approx([1.0] * 6 + [0.1] * 6 + [0.01] * 2)


def test_the_step_schedule_is_that_of_torch() -> None:
    train = TrainConfig(schedule="step", step_epochs=5, step_gamma=0.3, epochs=17)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.3)
    for epoch in range(17):
        assert learning_rate_factor(train, epoch * 4 + 3, 4) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )
        optimizer.step()
        reference.step()


def test_the_linear_schedule_warms_up_and_falls_to_nothing() -> None:
    train = TrainConfig(schedule="linear", warmup=0.2, epochs=5)
    factors = [learning_rate_factor(train, step, steps_per_epoch=2) for step in range(10)]
    assert factors == pytest.approx([1 / 2, 1.0] + [1 - i / 8 for i in range(8)])


def test_the_linear_schedule_without_warm_up_starts_in_full() -> None:
    train = TrainConfig(schedule="linear", warmup=0.0, epochs=1)
    factors = [learning_rate_factor(train, step, steps_per_epoch=4) for step in range(5)]
    assert factors == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])


def test_the_constant_schedule_is_constant() -> None:
    train = TrainConfig(schedule="constant")
    assert {learning_rate_factor(train, step, 3) for step in range(99)} == {1.0}


def test_gradients_are_clipped_to_a_global_norm(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    backward(network, _parts(tiny_data, [20]), _of(tiny_config.loss))
    before = _gradients(network)
    norm = torch.sqrt(sum((g.square().sum() for g in before.values()), torch.zeros(())))
    torch.testing.assert_close(gradient_norm(network), norm)
    plain = TrainConfig(weight_decay=0.0)
    for largest, share in ((0.0, 1.0), (norm.item() / 4, 0.25), (1e9, 1.0)):
        clipped = copy.deepcopy(network)
        for name, parameter in clipped.named_parameters():
            parameter.grad = before[name].clone() if name in before else None
        optimizer = build_optimizer(clipped, plain)
        clipped_step(optimizer, norm, torch.ones(()), largest)
        for name, parameter in clipped.named_parameters():
            if name in before:  # Adam's first moment after one step is a tenth of the gradient
                moment = optimizer.state[parameter]["exp_avg"]
                torch.testing.assert_close(moment, 0.1 * share * before[name])


def test_nothing_is_updated_by_what_is_not_finite(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    backward(network, _parts(tiny_data, [20]), _of(tiny_config.loss))
    optimizer = build_optimizer(network, tiny_config.train)
    norm, one = gradient_norm(network), torch.ones(())
    clipped_step(optimizer, norm, one, 1.0)
    before = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    for bad in ((norm * torch.nan, one), (norm, one * torch.inf)):
        clipped_step(optimizer, *bad, 1.0)
    torch.testing.assert_close((network.state_dict(), optimizer.state_dict()), before)
    assert str(network.state_dict()) == str(before[0])
    clipped_step(optimizer, norm, one, 1.0)
    assert str(network.state_dict()) != str(before[0])
