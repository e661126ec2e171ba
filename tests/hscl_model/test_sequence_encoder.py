"""The audio and vision encoder against torch's own Transformer encoder."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hscl.config import SequenceConfig
from hscl.errors import InputError
from hscl.model.sequence_encoder import SequenceEncoder, check_heads, sinusoidal_positions

_LENGTHS = torch.tensor([7, 3, 0])


def _encoder(width: int, heads: int, **changes: bool) -> SequenceEncoder:
    torch.manual_seed(0)
    config = SequenceConfig(heads=heads, layers=2, ffn=16, dropout=0.2)
    return SequenceEncoder(config, width, modality="audio", cls_std=1.0, **changes)


def _layers(encoder: SequenceEncoder) -> list[Any]:
    return list(encoder.layers)


def _torch_encoder(ours: SequenceEncoder, heads: int) -> nn.ModuleList:
    layers = nn.ModuleList()
    for layer in _layers(ours):
        theirs = nn.TransformerEncoderLayer(ours.width, heads, 16, 0.2, batch_first=True)
        attention = theirs.self_attn
        with torch.no_grad():
            attention.in_proj_weight.copy_(layer.in_projection.weight)
            attention.in_proj_bias.copy_(layer.in_projection.bias)
        attention.out_proj.load_state_dict(layer.out_projection.state_dict())
        theirs.linear1.load_state_dict(layer.feed_forward[0].state_dict())
        theirs.linear2.load_state_dict(layer.feed_forward[3].state_dict())
        theirs.norm1.load_state_dict(layer.attention_norm.state_dict())
        theirs.norm2.load_state_dict(layer.feed_forward_norm.state_dict())
        layers.append(theirs)
    return layers.train(ours.training)


def _frames(width: int) -> Tensor:
    return torch.randn(3, 7, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("width", "heads"), [(5, 1), (20, 5), (74, 2), (35, 5), (16, 2)])
def test_encodings_equal_those_of_torchs_post_norm_layers(width: int, heads: int) -> None:
    encoder = _encoder(width, heads).eval()
    assert encoder.cls is not None
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    frames = _frames(width)
    encoded, mask = encoder(frames, _LENGTHS)
    assert mask.tolist() == [[place <= length for place in range(8)] for length in (7, 3, 0)]
    hidden = torch.cat([encoder.cls.expand(3, 1, width), frames], dim=1) * math.sqrt(width)
    hidden = hidden + sinusoidal_positions(8, width, frames.device)
    for layer in _torch_encoder(encoder, heads):
        # Its fused evaluation path differs in rounding and needs no gradient: use the plain one.
        hidden = layer(hidden.requires_grad_(), src_key_padding_mask=~mask)
    torch.testing.assert_close(encoded[mask], hidden[mask], rtol=1e-4, atol=1e-5)


def test_positions_of_any_width_follow_the_formula() -> None:
    for width in (1, 5, 8):
        found = sinusoidal_positions(9, width, torch.device("cpu"))
        for place in range(9):
            for feature in range(width):
                angle = place / 10000 ** ((feature - feature % 2) / width)
                wave = math.sin if feature % 2 == 0 else math.cos
                assert found[place, feature].item() == pytest.approx(wave(angle), abs=1e-5)


def test_no_frames_at_all_leave_the_cls_vector() -> None:
    encoded, mask = _encoder(5, 1)(torch.empty(2, 0, 5), torch.zeros(2, dtype=torch.int64))
    assert encoded.shape == (2, 1, 5)
    assert mask.all()


def test_dropped_values_keep_the_mean_of_attention_and_drop_alike_for_all_queries() -> None:
    layer = _layers(_encoder(5, 1))[0]
    hidden, mask = _frames(5), torch.ones(3, 1, 1, 7, dtype=torch.bool)
    exact = layer.eval()._attention(hidden, mask)
    layer.train()
    drawn = layer._attention(hidden.repeat(4000, 1, 1), mask[:1]).unflatten(0, (4000, 3))
    assert drawn.std(dim=0).min() > 0
    torch.testing.assert_close(drawn.mean(dim=0), exact, rtol=0.05, atol=0.05)


def test_one_querys_dropout_has_the_spread_of_dropout_of_attention_weights() -> None:
    layer = _layers(_encoder(5, 1).eval())[0]
    hidden, mask = _frames(5)[:1], torch.ones(1, 1, 1, 7, dtype=torch.bool)
    query, key, value = layer.in_projection(hidden).unflatten(-1, (3, 5)).unbind(2)
    weights = (query @ key.transpose(1, 2) / math.sqrt(5)).softmax(-1)
    layer.train()
    ours = layer._attention(hidden.repeat(4000, 1, 1), mask)[:, 0]
    dropped = nn.functional.dropout(weights.repeat(4000, 1, 1), 0.2)
    theirs = layer.out_projection(dropped @ value)[:, 0]
    torch.testing.assert_close(ours.std(dim=0), theirs.std(dim=0), rtol=0.06, atol=1e-3)


def test_cls_is_learned_or_drawn_anew() -> None:
    frames = _frames(5)
    learned = _encoder(5, 1)
    learned(frames, _LENGTHS)[0][:, 0].square().sum().backward()
    assert learned.cls is not None
    assert learned.cls.grad is not None
    assert learned.cls.grad.any()
    drawn = _encoder(5, 1, learned=False).eval()
    assert drawn.cls is None
    assert not torch.equal(drawn(frames, _LENGTHS)[0], drawn(frames, _LENGTHS)[0])


def test_heads_that_do_not_divide_are_refused_with_the_valid_ones() -> None:
    check_heads("model.audio.heads", 2, "audio features", 74)
    with pytest.raises(
        InputError, match=r"model\.audio\.heads must divide .*\(73\), but got 5; .* 1, 73$"
    ):
        check_heads("model.audio.heads", 5, "audio features", 73)
