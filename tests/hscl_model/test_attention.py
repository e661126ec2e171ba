"""Multi-head attention against its equation, and where there is nothing to look at."""

import torch
from literal_layers import array, attention

from hscl.model.attention import Attention, lengths_mask


def test_it_is_the_attention_of_the_equation() -> None:
    torch.manual_seed(0)
    layer = Attention(6, 3, 0.5).eval()
    query, memory = torch.randn(2, 4, 6), torch.randn(2, 5, 6)
    answered = layer(query, memory, lengths_mask(torch.tensor([5, 3]), 5))
    for row, length in enumerate((5, 3)):
        expected = attention(layer, 3, array(query[row]), array(memory[row, :length]))
        torch.testing.assert_close(
            answered[row].double(), torch.tensor(expected), rtol=1e-5, atol=1e-6
        )


def test_nothing_to_look_at_answers_nothing_and_has_a_finite_gradient() -> None:
    layer = Attention(4, 2, 0.0)
    query = torch.randn(2, 3, 4, requires_grad=True)
    answered = layer(query, torch.randn(2, 2, 4), lengths_mask(torch.tensor([0, 2]), 2))
    assert not answered[0].any()
    assert answered[1].all()
    answered.sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_dropout_hides_values_in_training_alone() -> None:
    torch.manual_seed(0)
    layer = Attention(4, 2, 0.5)
    query, everywhere = torch.randn(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    assert not torch.equal(layer(query, query, everywhere), layer(query, query, everywhere))
    layer.eval()
    assert torch.equal(layer(query, query, everywhere), layer(query, query, everywhere))
