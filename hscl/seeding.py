"""One seed in, every random stream out.

A stream (the model's initial weights, the data order, dropout …) is a pure function of seed,
name and epoch. So the data order does not change when a model consumes more or fewer random
numbers, nothing has to be stored for resuming at an epoch's boundary, and neither what ran
before in a warm process nor what runs in between can change a training.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["final_seeds", "numpy_stream", "stream_seed", "torch_stream"]

_SEVEN_DIGITS = 1_000_000


def stream_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """A 63-bit seed of its own for a stream.

    Args:
        seed: The training's seed, ≥ 0.
        stream: The stream's name, such as "order".
        epoch: Which epoch draws from it.

    Returns:
        A number that differs for every combination (up to chance).
    """
    sequence = np.random.SeedSequence([seed, epoch, *stream.encode()])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def numpy_stream(seed: int, stream: str, epoch: int = 0) -> np.random.Generator:
    """A NumPy generator that depends on nothing but its arguments."""
    return np.random.default_rng(stream_seed(seed, stream, epoch))


@contextmanager
def torch_stream(
    seed: int, stream: str, epoch: int = 0, *, device: torch.device | None = None
) -> Iterator[None]:
    """Within the block torch's own generators run on this stream; afterwards on what they had.

    Layers such as dropout draw from torch's global generators, which can't be passed in.

    Args:
        seed: The training's seed.
        stream: The stream's name, such as "dropout".
        epoch: Which epoch draws from it.
        device: The GPU whose generator is set as well, if any.

    Yields:
        Nothing.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(stream_seed(seed, stream, epoch))
        yield


def final_seeds(base: int, count: int, avoid: Collection[int] = ()) -> list[int]:
    """Seeds for final training: never those of a study, and the first ones stay as more are taken.

    A study derives seeds of at most six digits; these have seven.

    Args:
        base: What they are derived from.
        count: How many.
        avoid: Seeds that a study was given by hand.

    Returns:
        Different seeds from 1,000,000 to 9,999,999.
    """
    generator = numpy_stream(base, "final training")
    found: dict[int, None] = {}
    while len(found) < count:
        seed = int(generator.integers(_SEVEN_DIGITS, 10 * _SEVEN_DIGITS))
        if seed not in avoid:
            found[seed] = None
    return list(found)
