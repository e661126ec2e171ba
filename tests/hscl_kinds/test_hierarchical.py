"""HSCL as one kind of model: its network with its loss."""

import pytest
import torch

from hscl.config import Config
from hscl.kinds.hierarchical import HsclModel
from hscl.loss.hierarchy import hierarchical_loss
from hscl.model.contract import ModelOutput, Targets
from hscl.training.batches import collate
from hscl.training.prepared import TrainingData

BOTH = frozenset({"audio", "vision"})


def test_its_loss_is_the_hierarchy_of_its_configuration(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    config = tiny_config.with_overrides({"loss.omega1": 0.7, "loss.temperature": 0.2})
    model = HsclModel(config, tiny_data.widths, None).eval()
    batch = collate(tiny_data.train, torch.arange(9).numpy(), modalities=BOTH)
    output = model(batch)
    assert batch.labels is not None
    terms = model.loss(output, Targets(batch.rows, batch.labels))
    expected = hierarchical_loss(output, batch.labels, config.loss)
    assert {name: term.item() for name, term in terms.items()} == {
        name: term.item() for name, term in vars(expected).items()
    }
    with pytest.raises(TypeError, match="reads an HsclOutput, but got ModelOutput"):
        model.loss(ModelOutput(output.prediction), Targets(batch.rows, batch.labels))
