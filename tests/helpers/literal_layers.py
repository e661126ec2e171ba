"""Layers of networks as their equations say, one number at a time: for one utterance, in NumPy."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[np.float64]


def array(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()


def linear(layer: nn.Module, x: Array) -> Array:
    """W·x + b."""
    weights = dict(layer.named_parameters())
    out = np.array(
        [sum(w * v for w, v in zip(row, x, strict=True)) for row in array(weights["weight"])]
    )
    return out + array(weights["bias"]) if "bias" in weights else out


def relu(x: Array) -> Array:
    return np.array([max(0.0, v) for v in x])


def sigmoid(x: Array) -> Array:
    return np.array([1 / (1 + math.exp(-v)) for v in x])


def layer_norm(layer: nn.Module, x: Array) -> Array:
    """(x − mean) / √(variance + 1e-5) · gain + bias."""
    weights = dict(layer.named_parameters())
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    unit = np.array([(v - mean) / math.sqrt(variance + 1e-5) for v in x])
    return unit * array(weights["weight"]) + array(weights["bias"])


def attention(layer: nn.Module, heads: int, queries: Array, memory: Array) -> Array:
    """softmax(q·k / √(head width))·v for every head and query, then the output's matrix."""
    parts = dict(layer.named_children())
    asked, keys, values = (
        [linear(parts[name], x) for x in xs]
        for name, xs in (("query", queries), ("key", memory), ("value", memory))
    )
    size = len(asked[0]) // heads
    answers = []
    for query in asked:
        joined: list[float] = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = [math.exp(float(query[own] @ key[own]) / math.sqrt(size)) for key in keys]
            shares = [score / sum(scores) for score in scores]
            joined += [
                sum(s * float(value[at]) for s, value in zip(shares, values, strict=True))
                for at in range(own.start, own.stop)
            ]
        answers.append(linear(parts["out"], np.array(joined)))
    return np.array(answers)


def lstm_ends(lstm: nn.LSTM, frames: Array) -> Array:
    """End states of an LSTM, layer by layer, forwards and then backwards."""
    weights = {name: array(w) for name, w in lstm.named_parameters()}
    ends: list[Array] = []
    inputs = [np.array(frame) for frame in frames]
    for layer in range(lstm.num_layers):
        outputs = []
        for direction in ("", "_reverse") if lstm.bidirectional else ("",):
            steps = inputs[::-1] if direction else inputs
            states = _one_direction(weights, f"l{layer}{direction}", lstm.hidden_size, steps)
            ends.append(states[-1])
            outputs.append(states[::-1] if direction else states)
        inputs = [np.concatenate(states) for states in zip(*outputs, strict=True)]
    return np.concatenate(ends)


def _one_direction(
    weights: Mapping[str, Array], name: str, hidden: int, steps: list[Array]
) -> list[Array]:
    state, cell = np.zeros(hidden), np.zeros(hidden)
    states = []
    for x in steps:
        gates = weights[f"weight_ih_{name}"] @ x + weights[f"bias_ih_{name}"]
        gates = gates + weights[f"weight_hh_{name}"] @ state + weights[f"bias_hh_{name}"]
        enter, forget, new, out = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(out) * np.tanh(cell)
        states.append(state)
    return states
