"""A network and a split -> one prediction an utterance."""

import numpy as np
import pytest
import torch

from hscl.config import Config
from hscl.model.batch import Batch
from hscl.model.network import HsclNetwork, HsclOutput
from hscl.training.evaluation import Feed, is_collapsed, predict
from hscl.training.prepared import TrainingData

CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_config: Config, tiny_data: TrainingData) -> HsclNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HsclNetwork(tiny_config.model, tiny_data.widths, None).eval()


@pytest.mark.parametrize("size", [0, 1, 7])
def test_predictions_are_those_of_one_utterance_at_a_time(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork, size: int
) -> None:
    feed = Feed.of(tiny_config, tiny_data.scalers, CPU)
    split = tiny_data.train
    predictions = predict(network, split, feed, batch_size=size)
    with torch.no_grad():
        alone = [
            network(feed.batch(split, np.array([row]))).prediction.item()
            for row in range(len(split))
        ]
    assert predictions.dtype == np.float64
    np.testing.assert_allclose(predictions, alone, atol=1e-5)


def test_batches_are_as_large_as_asked_for(
    tiny_config: Config, tiny_data: TrainingData, network: HsclNetwork
) -> None:
    sizes = []

    def watched(batch: Batch) -> HsclOutput:
        sizes.append(len(batch))
        assert torch.is_inference_mode_enabled()
        output: HsclOutput = network(batch)
        return output

    feed = Feed.of(tiny_config, tiny_data.scalers, CPU)
    predict(watched, tiny_data.train, feed, batch_size=9)
    assert sizes == [9, 9, 9, 9, 5]


def test_a_feed_gives_what_the_configuration_uses(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    everything = Feed.of(tiny_config, tiny_data.scalers, CPU)
    assert everything.modalities == {"audio", "vision"}
    assert set(everything.scalers) == {"audio", "vision"}
    one = tiny_config.with_overrides({"model.modalities": "text+audio"})
    assert set(Feed.of(one, tiny_data.scalers, CPU).scalers) == {"audio"}
    raw = tiny_config.with_overrides({"train.standardize": False})
    assert Feed.of(raw, tiny_data.scalers, CPU).scalers == {}


def test_an_utterance_costs_what_the_network_looks_at(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    split = tiny_data.train
    before = split.text.lengths.tolist()
    assert split.audio is not None
    config = tiny_config.with_overrides({"model.modalities": "text+audio"})
    costs = Feed.of(config, {}, CPU).costs(split)
    assert costs.tolist() == (split.text.lengths + split.audio.lengths).tolist()
    assert split.text.lengths.tolist() == before


@pytest.mark.parametrize(
    ("predictions", "collapsed"),
    [
        ([0.3, 0.3, 0.3], True),
        ([0.3, 0.3 + 1e-8, 0.3], True),
        ([0.3, 0.3 + 1e-4, 0.3], False),
        ([1e8, 1e8 + 1, 1e8], True),
        ([0.3], False),
    ],
)
def test_a_constant_prediction_is_recognised_up_to_rounding(
    predictions: list[float], *, collapsed: bool
) -> None:
    assert is_collapsed(np.array(predictions)) is collapsed


def test_the_released_forms_noise_is_the_same_at_every_call(
    tiny_config: Config, tiny_data: TrainingData
) -> None:
    """Its CLS vectors are drawn in evaluation too; who calls, and when, must not matter."""
    config = tiny_config.with_overrides({"model.form": "released"})
    network = HsclNetwork(config.model, tiny_data.widths, None).eval()
    feed = Feed.of(config, tiny_data.scalers, CPU)
    first = predict(network, tiny_data.train, feed)
    torch.rand(3)
    assert np.array_equal(first, predict(network, tiny_data.train, feed))
