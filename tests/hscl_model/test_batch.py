"""A batch moves as a whole, and only where it must."""

import numpy as np

from hscl.training.batches import collate
from hscl.training.prepared import TrainingData

BOTH = frozenset({"audio", "vision"})


def test_moving_to_the_device_where_it_is_copies_nothing(tiny_data: TrainingData) -> None:
    batch = collate(tiny_data.train, np.arange(3), modalities=BOTH)
    assert batch.to("cpu") is batch
    assert len(batch) == 3
    assert batch.to("meta").text.device.type == "meta"
