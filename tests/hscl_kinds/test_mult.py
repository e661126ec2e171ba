"""MulT against the equations of its paper, one utterance and one number at a time."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from literal_layers import Array, array, attention, layer_norm, linear, relu
from tiny_kinds import KINDS, WIDTHS, batch, tiny

from hscl.config import Config
from hscl.errors import InputError
from hscl.kinds.mult import Layer, MultModel, Stack
from hscl.model.contract import Targets

LENGTHS = {"text": [3, 2], "audio": [4, 2], "vision": [2, 6]}
NAMES = ("text", "audio", "vision")
WIDTH, HEADS = 6, 2


def _convolved(weight: Array, frames: Array) -> Array:
    """Conv1D over time, zeros beyond both ends, plus sine and cosine of the place."""
    out, _, kernel = weight.shape
    low = np.zeros((len(frames), out))
    for place, channel in product(range(len(frames)), range(out)):
        for tap in range(kernel):
            at = place + tap - (kernel - 1) // 2
            if 0 <= at < len(frames):
                low[place, channel] += float(weight[channel, :, tap] @ frames[at])
        angle = place / 10000 ** (channel // 2 * 2 / out)
        low[place, channel] += math.cos(angle) if channel % 2 else math.sin(angle)
    return low


def _layer(layer: Layer, stream: Array, low: Array | None) -> Array:
    """Ẑ = CM(LN(Z), LN(Z_β)) + LN(Z), then f(LN(Ẑ)) + LN(Ẑ)."""
    target = np.array([layer_norm(layer.norm, z) for z in stream])
    source = target if low is None else np.array([layer_norm(layer.norm, z) for z in low])
    adapted = attention(layer.attention, HEADS, target, source) + target
    first, _, second = layer.feed_forward
    out = []
    for z in adapted:
        normed = layer_norm(layer.feed_forward_norm, z)
        out.append(linear(second, relu(linear(first, normed))) + normed)
    return np.array(out)


def _stack(stack: torch.nn.Module, stream: Array, low: Array | None) -> Array:
    assert isinstance(stack, Stack)
    for layer in stack.layers:
        assert isinstance(layer, Layer)
        stream = _layer(layer, stream, low)
    return stream


def test_prediction_and_loss_are_those_of_the_equations(tiny_config: Config) -> None:
    torch.manual_seed(0)
    model = MultModel(tiny(tiny_config, "mult"), WIDTHS, None).eval()
    whole = batch(LENGTHS["text"], LENGTHS["audio"], LENGTHS["vision"])
    assert whole.labels is not None
    expected = []
    for row in range(2):
        low = {
            name: _convolved(
                array(model.get_parameter(f"convolutions.{name}.weight")),
                array(getattr(whole, name)[row, : LENGTHS[name][row]]),
            )
            for name in NAMES
        }
        last = []
        for target in NAMES:
            crossed = [
                _stack(model.crossmodal[f"{source}_to_{target}"], low[target], low[source])
                for source in NAMES
                if source != target
            ]
            own = _stack(model.self_attention[target], np.concatenate(crossed, axis=1), None)
            last.append(own[-1])
        joined = np.concatenate(last)
        assert len(joined) == 6 * WIDTH
        residual = joined + linear(model.narrow, relu(linear(model.widen, joined)))
        expected.append(float(linear(model.out, residual)[0]))
    output = model(whole)
    assert output.prediction.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    terms = model.loss(output, Targets(whole.rows, whole.labels))
    errors = [abs(p - y) for p, y in zip(expected, whole.labels.tolist(), strict=True)]
    assert terms["total"].item() == pytest.approx(sum(errors) / 2, rel=1e-4)


def test_there_is_a_stack_for_every_direction_and_each_counts(tiny_config: Config) -> None:
    torch.manual_seed(0)
    model = MultModel(tiny(tiny_config, "mult"), WIDTHS, None).eval()
    assert len(model.crossmodal) == 6
    pair = tiny(tiny_config, "mult", model__modalities="text+audio")
    assert sorted(MultModel(pair, WIDTHS, None).crossmodal) == ["audio_to_text", "text_to_audio"]
    whole = batch(LENGTHS["text"], LENGTHS["audio"], LENGTHS["vision"])
    before = model(whole).prediction
    for name in model.crossmodal:
        weight = model.get_parameter(f"crossmodal.{name}.layers.0.attention.value.weight")
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.zero_()
            assert not torch.equal(model(whole).prediction, before), name
            weight.copy_(kept)


def test_heads_must_divide_the_width(tiny_config: Config) -> None:
    config = tiny(tiny_config, "mult", model__mult__heads=4)
    assert KINDS["mult"]["model.mult.width"] == WIDTH
    with pytest.raises(InputError, match=r"model\.mult\.heads.*\(6\).*got 4.*1, 2, 3, 6"):
        MultModel(config, WIDTHS, None)
