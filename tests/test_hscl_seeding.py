"""One seed in, every random stream out."""

import numpy as np
import torch

from hscl.seeding import numpy_stream, stream_seed, torch_stream


def test_equal_arguments_give_equal_streams() -> None:
    assert numpy_stream(3, "order", 2).random(5).tolist() == (
        numpy_stream(3, "order", 2).random(5).tolist()
    )
    with torch_stream(3, "dropout", 2):
        first = torch.rand(5)
    with torch_stream(3, "dropout", 2):
        assert torch.equal(first, torch.rand(5))


def test_seed_name_and_epoch_each_give_another_stream() -> None:
    seeds = {
        stream_seed(seed, stream, epoch)
        for seed in range(20)
        for stream in ("order", "dropout", "weights")
        for epoch in range(10)
    }
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_does_not_depend_on_what_was_drawn_before_it() -> None:
    torch.manual_seed(1)
    with torch_stream(5, "weights"):
        first = torch.rand(3)
    torch.manual_seed(2)
    torch.rand(100)
    with torch_stream(5, "weights"):
        assert torch.equal(first, torch.rand(3))


def test_after_a_stream_torch_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    with torch_stream(0, "dropout"):
        torch.rand(50)
    assert torch.equal(expected, torch.rand(4))


def test_streams_of_neighbouring_seeds_are_uncorrelated() -> None:
    draws = np.stack([numpy_stream(seed, "order").standard_normal(2000) for seed in range(8)])
    correlation = np.corrcoef(draws) - np.eye(8)
    assert np.abs(correlation).max() < 0.1
