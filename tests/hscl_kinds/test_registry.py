"""A configuration names its kind of model."""

from hscl.config import Config
from hscl.kinds.hierarchical import HsclModel
from hscl.kinds.registry import build_model
from hscl.training.prepared import TrainingData


def test_the_default_is_hscl(tiny_config: Config, tiny_data: TrainingData) -> None:
    assert isinstance(build_model(tiny_config, tiny_data.widths), HsclModel)
