"""Encoding real tokens alone is encoding the padded batch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from hscl.model import length_groups, packing
from hscl.model.packing import Packing, encode_packed, packing_for, prepare_for_packing
from hscl.model.text_encoder import TextEncoder

_LENGTHS = torch.tensor([3, 1, 7, 2, 7, 5, 1])
_REAL = torch.arange(9) < _LENGTHS[:, None]
_SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}


def _ids() -> Tensor:
    ids = torch.randint(2, 30, (7, 9), generator=torch.Generator().manual_seed(0))
    return torch.where(_REAL, ids, 0)


def _bert(**changes: Any) -> Any:
    torch.manual_seed(0)
    return BertModel(BertConfig(**_SIZES, **changes), add_pooling_layer=False).double()


def _gradients(states: Tensor, model: nn.Module) -> list[Tensor]:
    weights = torch.arange(float(_REAL.sum()), dtype=torch.float64)[:, None]
    return list(torch.autograd.grad((states[_REAL] * weights).sum(), list(model.parameters())))


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_values_and_gradients_are_those_of_the_padded_batch(rows: int) -> None:
    model, ids = _bert().eval(), _ids()
    expected = model(input_ids=ids, attention_mask=_REAL.long()).last_hidden_state
    assert prepare_for_packing(model)
    found = encode_packed(model, ids, Packing.of(_LENGTHS, 9, rows))
    torch.testing.assert_close(found[_REAL], expected[_REAL])
    assert not found[~_REAL].any()
    for gradient, other in zip(_gradients(found, model), _gradients(expected, model), strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-10)


def test_a_prepared_model_still_heeds_the_mask_of_a_padded_batch() -> None:
    model, ids = _bert().eval(), _ids()
    expected = model(input_ids=ids, attention_mask=_REAL.long()).last_hidden_state
    prepare_for_packing(model)
    found = model(input_ids=ids, attention_mask=_REAL.long()).last_hidden_state
    torch.testing.assert_close(found, expected)


def test_attention_weights_are_dropped_out_as_in_the_padded_batch() -> None:
    # One layer: dropped weights zero a value's share and scale the others' by 1/(1 − p), so that
    # on average, and only so, the attention's result is the one without dropout.
    module = _bert(attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0)
    prepare_for_packing(module)
    packed, ids = Packing.of(_LENGTHS, 9, 3), _ids()
    attention = module.encoder.layer[0].attention.self
    with torch.no_grad():
        ids = ids.flatten()[packed.places]
        hidden = module.embeddings(ids[None], None, packed.positions[None])
        expected = attention.eval()(hidden, packing=packed)[0]
        attention.train()
        drawn = torch.stack([attention(hidden, packing=packed)[0] for _ in range(3000)])
    assert drawn.std(dim=0).min() > 0.0
    torch.testing.assert_close(drawn.mean(dim=0), expected, rtol=0, atol=0.01)


def test_rows_of_a_group_are_of_like_lengths_and_every_token_is_in_one() -> None:
    packed = Packing.of(_LENGTHS, 9, 3)
    assert [tuple(group.mask.shape) for group in packed.groups] == [
        (3, 1, 1, 2),
        (3, 1, 1, 7),
        (1, 1, 1, 7),
    ]
    assert sorted(packed.places.tolist()) == _REAL.flatten().nonzero().squeeze(1).tolist()
    assert torch.equal(packed.positions, packed.places % 9)
    stops = [group.tokens.stop for group in packed.groups]
    assert [group.tokens.start for group in packed.groups] == [0, *stops[:-1]]
    assert stops[-1] == _LENGTHS.sum()


def test_an_encoder_that_counts_positions_otherwise_is_not_packed() -> None:
    torch.manual_seed(0)
    settings = RobertaConfig(**_SIZES, pad_token_id=0)
    model: Any = RobertaModel(settings, add_pooling_layer=False).eval()  # type: ignore[no-untyped-call]
    assert not prepare_for_packing(model)
    expected = model(input_ids=_ids(), attention_mask=_REAL.long()).last_hidden_state
    found = TextEncoder(model, 16)(_ids(), _LENGTHS)
    torch.testing.assert_close(found[_REAL], expected[_REAL])


def test_a_device_that_takes_the_whole_batch_packs_where_enough_padding_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = TextEncoder(_bert(), 16).eval()
    in_groups = encoder(_ids(), _LENGTHS)
    monkeypatch.setattr(length_groups, "ROWS", {})
    padding = int((~_REAL).sum())
    monkeypatch.setattr(packing, "_PADDING", padding + 1)
    whole = encoder(_ids(), _LENGTHS)
    monkeypatch.setattr(packing, "_PADDING", padding)
    packed = encoder(_ids(), _LENGTHS)
    assert whole[~_REAL].any()
    for found in (in_groups, packed):
        assert not found[~_REAL].any()
        torch.testing.assert_close(found[_REAL], whole[_REAL])


def test_a_packing_is_made_of_lengths_on_the_cpu_and_lies_on_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meta = torch.device("meta")
    monkeypatch.setattr(packing, "_PADDING", 1)
    found = packing_for(_LENGTHS, 9, meta)
    assert found is not None
    (group,) = found.groups
    for tensor in (found.places, found.positions, group.places, group.mask):
        assert tensor.device == meta
    assert len(found.places) == _LENGTHS.sum()
    assert group.mask.shape == (7, 1, 1, 7)
    assert packing_for(_LENGTHS.to(meta), 9, meta) is None  # it would have to be waited for
