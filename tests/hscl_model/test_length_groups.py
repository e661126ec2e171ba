"""Encoding in groups of like lengths is encoding the whole batch."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from hscl.model.length_groups import group_sizes, in_length_groups

_LENGTHS = torch.tensor([3, 1, 7, 2, 7, 5, 1])
_REAL = torch.arange(9) < _LENGTHS[:, None]


def _encode(rows: Tensor, lengths: Tensor) -> Tensor:
    """Each place gets the sum of its row's real places: a row by itself, like attention."""
    mask = (torch.arange(rows.shape[1]) < lengths[:, None])[..., None]
    return rows.tanh() + (rows * mask).sum(dim=1, keepdim=True)


def _padded() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 9, 3, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("a_pass", [0.0, 1.0, 3.0, 6.0, 1e9])
def test_values_and_gradients_are_those_of_the_whole_batch(a_pass: float) -> None:
    grouped, whole = _padded(), _padded()
    found = in_length_groups(_encode, grouped, _LENGTHS, a_pass=a_pass)
    expected = _encode(whole, _LENGTHS)
    assert found.shape == expected.shape
    torch.testing.assert_close(found[_REAL], expected[_REAL])
    weights = torch.arange(float(_REAL.sum()), dtype=torch.float64)[:, None]
    gradients = [
        torch.autograd.grad((result[_REAL] * weights).sum(), source)[0]
        for result, source in ((found, grouped), (expected, whole))
    ]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_groups_hold_like_lengths_and_are_no_longer_than_they_must() -> None:
    seen = []

    def encode(rows: Tensor, lengths: Tensor) -> Tensor:
        seen.append((rows.shape[1], lengths.tolist()))
        return rows

    in_length_groups(encode, _padded(), _LENGTHS, a_pass=3.0)
    assert seen == [(1, [1, 1]), (3, [2, 3]), (7, [5, 7, 7])]


def test_no_other_cut_costs_less() -> None:
    """Against all ways to cut eight rows."""
    generator = np.random.default_rng(0)
    for a_pass in (0.5, 10.0, 100.0, 400.0):
        lengths = sorted(generator.integers(1, 90, 8).tolist())

        def cost(sizes: list[int], lengths: list[int] = lengths, own: float = a_pass) -> float:
            ends = np.cumsum(sizes)
            longest = [lengths[end - 1] for end in ends]
            work = (size * m * (1 + m / 250) for size, m in zip(sizes, longest, strict=True))
            return float(sum(work) + own * len(sizes))

        ways = []
        for cuts in itertools.product([False, True], repeat=7):
            ends = [i + 1 for i, cut in enumerate(cuts) if cut]
            ways.append(np.diff([0, *ends, 8]).tolist())
        found = group_sizes(lengths, a_pass)
        assert sum(found) == 8
        assert cost(found) == pytest.approx(min(cost(way) for way in ways))


def test_rows_of_equal_length_are_one_group() -> None:
    assert group_sizes([2] * 128, 24.0) == [128]
    assert group_sizes([], 24.0) == []


def test_token_ids_are_grouped_as_well() -> None:
    table = torch.randn(10, 4)
    ids = torch.randint(0, 10, (7, 9))
    found = in_length_groups(lambda rows, _: table[rows], ids, _LENGTHS, a_pass=1.0)
    torch.testing.assert_close(found[_REAL], table[ids][_REAL])
