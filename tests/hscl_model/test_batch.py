"""A batch moves as a whole, and only where it must."""

import numpy as np
import torch
from operators import Operators

from hscl.model.batch import _in_one_copy, moved
from hscl.training.batches import Absent, collate
from hscl.training.prepared import TrainingData

BOTH = frozenset({"audio", "vision"})
META = torch.device("meta")


def test_moving_to_the_device_where_it_is_copies_nothing(tiny_data: TrainingData) -> None:
    batch = collate(tiny_data.train, np.arange(3), modalities=BOTH)
    assert batch.to("cpu") is batch
    assert len(batch) == 3
    assert batch.host is None


def test_all_of_it_moves_in_one_copy_and_who_has_what_stays_known(
    tiny_data: TrainingData,
) -> None:
    nobody = np.zeros(3, dtype=bool)
    absent = Absent(audio=np.array([True, False, False]), vision=nobody)
    batch = collate(tiny_data.train, np.arange(3), modalities=BOTH, absent=absent)
    with Operators() as operators:
        there = batch.to(META)
    assert operators.count["aten._to_copy.default"] == 1
    for name, value in vars(batch).items():
        if value is not None:
            found = getattr(there, name)
            assert (found.shape, found.dtype, found.device) == (value.shape, value.dtype, META)
    assert there.has("audio").tolist() == [False, True, True] == batch.has("audio").tolist()
    assert there.to(META) is there


def test_a_modality_that_a_batch_lacks_is_nobodys(tiny_data: TrainingData) -> None:
    batch = collate(tiny_data.train, np.arange(3), modalities=frozenset({"audio"}))
    assert batch.lengths("vision") is None
    assert batch.to(META).has("vision").tolist() == [False] * 3


def test_what_was_copied_at_once_is_what_it_was() -> None:
    sizes = [(3, 5), (7,), (2, 0, 4), (), (3,)]
    kinds = [torch.float32, torch.int64, torch.float32, torch.float64, torch.bool]
    tensors = [
        torch.arange(int(np.prod(size))).view(size).to(kind)
        for size, kind in zip(sizes, kinds, strict=True)
    ]
    copied = _in_one_copy(tensors, torch.device("cpu"))
    for found, expected in zip(copied, tensors, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert moved(tensors[0], torch.device("cpu")) is tensors[0]
