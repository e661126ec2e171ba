"""Encoding in groups of like lengths is encoding the whole batch."""

import pytest
import torch
from torch import Tensor

from hscl.model import length_groups
from hscl.model.length_groups import in_length_groups

_LENGTHS = torch.tensor([3, 1, 7, 2, 7, 5, 1])
_REAL = torch.arange(9) < _LENGTHS[:, None]


def _encode(rows: Tensor, lengths: Tensor) -> Tensor:
    """Each place gets the sum of its row's real places: a row by itself, like attention."""
    mask = (torch.arange(rows.shape[1]) < lengths[:, None])[..., None]
    return rows.tanh() + (rows * mask).sum(dim=1, keepdim=True)


def _padded() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 9, 3, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 7, 100])
def test_values_and_gradients_are_those_of_the_whole_batch(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length_groups, "ROWS", {"cpu": rows})
    grouped, whole = _padded(), _padded()
    found, expected = in_length_groups(_encode, grouped, _LENGTHS), _encode(whole, _LENGTHS)
    assert found.shape == expected.shape
    torch.testing.assert_close(found[_REAL], expected[_REAL])
    weights = torch.arange(float(_REAL.sum()), dtype=torch.float64)[:, None]
    gradients = [
        torch.autograd.grad((result[_REAL] * weights).sum(), source)[0]
        for result, source in ((found, grouped), (expected, whole))
    ]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_groups_hold_like_lengths_and_are_no_longer_than_they_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(length_groups, "ROWS", {"cpu": 3})
    seen = []

    def encode(rows: Tensor, lengths: Tensor) -> Tensor:
        seen.append((rows.shape[1], lengths.tolist()))
        return rows

    in_length_groups(encode, _padded(), _LENGTHS)
    assert seen == [(2, [1, 1, 2]), (7, [3, 5, 7]), (7, [7])]


def test_token_ids_are_grouped_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(length_groups, "ROWS", {"cpu": 2})
    table = torch.randn(10, 4)
    ids = torch.randint(0, 10, (7, 9))
    found = in_length_groups(lambda rows, _: table[rows], ids, _LENGTHS)
    torch.testing.assert_close(found[_REAL], table[ids][_REAL])
