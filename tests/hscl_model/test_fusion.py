"""The fusion block at one query against torch's attention over all of them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from hscl.config import FusionConfig
from hscl.model.fusion import FusionBlock, QueryAttention

_MASK = torch.arange(6)[None, :] < torch.tensor([6, 2, 1])[:, None]


def _torch_attention(ours: QueryAttention, width: int, memory_width: int) -> nn.MultiheadAttention:
    """Torch's own attention with our weights, and biases on keys and values as zero."""
    theirs = nn.MultiheadAttention(
        width, ours.heads, kdim=memory_width, vdim=memory_width, batch_first=True
    )
    with torch.no_grad():
        if theirs.in_proj_weight is not None:
            theirs.in_proj_weight.copy_(
                torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
            )
        else:
            for name, layer in (("q", ours.query), ("k", ours.key), ("v", ours.value)):
                getattr(theirs, f"{name}_proj_weight").copy_(layer.weight)
        theirs.in_proj_bias.zero_()
        theirs.in_proj_bias[:width] = ours.query.bias
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    return theirs.eval()


def _all_queries(block: FusionBlock, text: Tensor, memory: Tensor) -> Tensor:
    """The block as the paper writes it: every place of the text asks. (B, L_t, d_t)."""
    width, memory_width = text.shape[-1], memory.shape[-1]
    look = _torch_attention(block.self_attention, width, width)
    ask = _torch_attention(block.cross_attention, width, memory_width)
    seen = look(text, text, text, key_padding_mask=~_MASK, need_weights=False)[0]
    hidden = block.norms[0](text + seen)
    told = ask(hidden, memory, memory, key_padding_mask=~_MASK, need_weights=False)[0]
    fused = block.norms[1]((text if block.released else hidden) + told)
    out: Tensor = block.norms[2](fused + block.narrow(functional.relu(block.widen(fused))))
    return out


def _block(*, released: bool = False) -> FusionBlock:
    torch.manual_seed(0)
    block = FusionBlock(FusionConfig(heads=2, ffn=16), 8, 5, released=released)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return block.eval()


def _inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 6, 8, generator=generator), torch.randn(3, 6, 5, generator=generator)


def test_one_query_gives_what_the_block_over_all_places_gives_there() -> None:
    text, memory = _inputs()
    for released in (False, True):
        block = _block(released=released)
        found = block(text[:, 0], text, _MASK, memory, _MASK)
        torch.testing.assert_close(found, _all_queries(block, text, memory)[:, 0])


def test_released_residual_makes_a_difference() -> None:
    text, memory = _inputs()
    paper, released = (
        _block(released=flag)(text[:, 0], text, _MASK, memory, _MASK) for flag in (False, True)
    )
    assert not torch.allclose(paper, released)


def test_gradients_reach_query_memory_and_every_parameter() -> None:
    text, memory = (values.requires_grad_() for values in _inputs())
    block = _block().train()
    block(text[:, 0], text, _MASK, memory, _MASK).square().sum().backward()
    assert memory.grad is not None
    assert not memory.grad[~_MASK].any()
    assert memory.grad[_MASK].any(dim=-1).any()
    assert all(p.grad is not None and p.grad.any() for p in block.parameters())


def test_without_a_mask_every_place_is_looked_at() -> None:
    text, memory = _inputs()
    block = _block()
    everywhere = torch.ones_like(_MASK)
    torch.testing.assert_close(
        block(text[:, 0], text, None, memory, _MASK),
        block(text[:, 0], text, everywhere, memory, _MASK),
    )


def test_initial_values_are_those_of_torchs_attention_under_xavier_normal() -> None:
    torch.manual_seed(0)
    attention = QueryAttention(256, 256, 4, 0.0, stacked=True)
    reference = torch.empty(768, 256)
    nn.init.xavier_normal_(reference)
    for layer in (attention.query, attention.key, attention.value):
        assert abs(float(layer.weight.detach().std() / reference.std()) - 1) < 0.02
    assert not attention.query.bias.any()
    assert not attention.out.bias.any()


def test_dropout_of_attention_keeps_the_mean() -> None:
    torch.manual_seed(0)
    attention = QueryAttention(8, 5, 2, 0.3, stacked=False)
    _, memory = _inputs()
    query = torch.randn(3, 8)
    exact = attention.eval()(query, memory, _MASK)
    attention.train()
    many = [values.repeat(4000, *[1] * (values.ndim - 1)) for values in (query, memory, _MASK)]
    drawn = attention(*many).unflatten(0, (4000, 3))
    assert drawn.std(dim=0).min() > 0
    torch.testing.assert_close(drawn.mean(dim=0), exact, rtol=0.05, atol=0.05)
