"""The optimizer with its two learning rates, their schedule, and the gradient of a large batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from hscl.config import TrainConfig
from hscl.model.batch import Batch
from hscl.model.contract import ModelOutput, SentimentModel, Targets

__all__ = [
    "Done",
    "Forward",
    "Loss",
    "backward",
    "build_optimizer",
    "clipped_step",
    "gradient_norm",
    "learning_rate_factor",
    "set_learning_rates",
]

_TINY = 1e-6  # as torch's own clipping has it

Forward = Callable[[Batch], ModelOutput]
Loss = Callable[[ModelOutput, Targets], Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Done:
    """What a backward pass leaves of a whole batch, still on the device.

    Attributes:
        terms: The loss and its parts, scalars by name.
        output: What the model said, without a graph.
        targets: What it should have said.
    """

    terms: Mapping[str, torch.Tensor]
    output: ModelOutput
    targets: Targets


def build_optimizer(network: SentimentModel, train: TrainConfig) -> torch.optim.Adam:
    """Adam or AdamW over two groups, the text encoder's parameters and all others.

    Every parameter is decayed, biases and norms too, as in the released code (solver.py:70-78).

    Args:
        network: What is trained; a frozen text encoder is no part of it.
        train: Learning rates, weight decay and the kind of optimizer.

    Returns:
        The optimizer; group 0 is the text encoder (may be empty), group 1 the rest.
    """
    text = list(network.text_parameters())
    of_text = {id(parameter) for parameter in text}
    others = [p for p in network.parameters() if id(p) not in of_text]
    kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    groups = [
        {"params": text, "lr": train.lr_text, "full_lr": train.lr_text},
        {"params": others, "lr": train.lr, "full_lr": train.lr},
    ]
    return kind(groups, weight_decay=train.weight_decay, fused=True)


def learning_rate_factor(train: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """What both learning rates are multiplied with at a step.

    A pure function, so that a resumed training needs no schedule's state.

    Args:
        train: The schedule; its length is `train.epochs`.
        step: Steps done before this one, over all epochs.
        steps_per_epoch: Steps in one epoch.

    Returns:
        "constant": 1. "step": gamma to the number of whole `step_epochs` that are over. "linear":
        rising to 1 over the warm-up's share of all steps, then falling so that the step after
        the last one would have 0.
    """
    if train.schedule == "step":
        return float(train.step_gamma ** (step // steps_per_epoch // train.step_epochs))
    if train.schedule == "linear":
        total = train.epochs * steps_per_epoch
        warmup = int(train.warmup * total)
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (total - step) / (total - warmup))
    return 1.0


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Multiply each group's full learning rate with a factor, for the next step."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor


def backward(forward: Forward, parts: Sequence[Batch], loss: Loss) -> Done:
    """Add the gradient of one batch's loss to the parameters, however many parts it comes in.

    A loss may compare every utterance of the batch with every other, so the losses of parts don't
    add up to the loss of the whole. With several parts the representations of all are computed
    without a graph first; the loss of the whole batch gives the gradient at them; then each part
    is computed again, with the same dropout, and takes its share backwards. Memory is that of one
    part, the gradient that of the batch.

    Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
    (RepL4NLP 2021, GradCache).

    Args:
        forward: The model in training mode, on the device of the parts.
        parts: The batch, in the order of its rows; each part with labels.
        loss: Of a whole batch's output.

    Returns:
        The loss terms of the whole batch, and the output that they are of.
    """
    targets = Targets(
        rows=torch.cat([part.rows for part in parts]),
        labels=torch.cat([_labels(part) for part in parts]),
    )
    if len(parts) == 1:
        output = _float32(forward(parts[0]))
        terms = loss(output, targets)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        return Done(terms, _detached(output), targets)
    device = targets.labels.device
    states = []
    outputs = []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(device))
            outputs.append(_float32(forward(part)))
    whole = _joined(outputs)
    leaves = {name: tensor.requires_grad_() for name, tensor in _representations(whole).items()}
    terms = loss(whole, targets)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    start = 0
    for part, state in zip(parts, states, strict=True):
        _set_random_state(device, state)
        again = _representations(_float32(forward(part)))
        stop = start + len(part)
        torch.autograd.backward(
            [again[name] for name in gradients],
            [gradient[start:stop] for gradient in gradients.values()],
        )
        start = stop
    return Done(terms, _detached(whole), targets)


def _labels(batch: Batch) -> torch.Tensor:
    if batch.labels is None:
        message = "a batch for training must have labels"
        raise ValueError(message)
    return batch.labels


def _representations(output: ModelOutput) -> dict[str, torch.Tensor]:
    """The fields that a loss may differentiate through: floating point, and present."""
    named = {field.name: getattr(output, field.name) for field in fields(output)}
    return {n: t for n, t in named.items() if t is not None and t.is_floating_point()}


def _float32(output: ModelOutput) -> ModelOutput:
    """The same output with float32 representations, whatever autocast made of them."""
    if all(tensor.dtype == torch.float32 for tensor in _representations(output).values()):
        return output
    changes: dict[str, Any] = {n: t.float() for n, t in _representations(output).items()}
    return replace(output, **changes)


def _detached(output: ModelOutput) -> ModelOutput:
    changes: dict[str, Any] = {n: t.detach() for n, t in _representations(output).items()}
    return replace(output, **changes)


def _joined(outputs: Sequence[ModelOutput]) -> ModelOutput:
    """One output over the utterances of several."""
    joined: dict[str, Any] = {}
    for field in fields(outputs[0]):
        values = [getattr(output, field.name) for output in outputs]
        joined[field.name] = None if values[0] is None else torch.cat(values)
    return replace(outputs[0], **joined)


def _random_state(device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


def _set_random_state(device: torch.device, state: torch.Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def gradient_norm(network: nn.Module) -> torch.Tensor:
    """Global norm of all gradients, a tensor on the device of the network."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients, foreach=True)


def clipped_step(
    optimizer: torch.optim.Optimizer, norm: torch.Tensor, loss: torch.Tensor, largest: float
) -> None:
    """Update the weights by gradients whose global norm is at most `largest`.

    The fused optimizer scales the gradients as it reads them, and leaves everything as it is where
    norm or loss are not finite: no pass over the gradients beside its own, and nothing that waits
    for the device.

    Args:
        optimizer: From `build_optimizer`.
        norm: Of the gradients.
        loss: That they are of.
        largest: The largest norm; 0 scales nothing.
    """
    finite = torch.isfinite(norm) & torch.isfinite(loss)
    extras: Any = optimizer  # the names are torch's own, from automatic mixed precision
    extras.grad_scale = ((norm.float() + _TINY) / largest).clamp(min=1.0) if largest else None
    extras.found_inf = (~finite).float()
    optimizer.step()
