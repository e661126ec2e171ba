"""What all kinds of models share: the mean of real vectors, and refusals."""

from dataclasses import replace

import pytest
import torch

from hscl.config import Config
from hscl.errors import InputError
from hscl.model.batch import Widths
from hscl.model.contract import SentimentModel, float32, masked_mean

WIDTHS = Widths(text=4, audio=3, vision=2)


def test_the_mean_is_that_of_the_real_vectors_whatever_stands_in_the_padding() -> None:
    values = torch.randn(3, 5, 4)
    lengths = torch.tensor([2, 5, 0])
    mean = masked_mean(values, lengths)
    torch.testing.assert_close(mean[0], values[0, :2].mean(dim=0))
    torch.testing.assert_close(mean[1], values[1].mean(dim=0))
    assert mean[2].tolist() == [0.0] * 4


def test_losses_are_at_least_single_precision() -> None:
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    wide = [float32(torch.zeros(1, dtype=kind)).dtype for kind in kinds]
    assert wide == [torch.float32, torch.float32, torch.float32, torch.float64]


def test_a_modality_that_the_data_lack_is_refused_by_every_kind() -> None:
    with pytest.raises(InputError, match="no audio; leave audio out"):
        SentimentModel(Config().model, replace(WIDTHS, audio=None), None)


def test_a_model_without_memory_keeps_nothing() -> None:
    model = SentimentModel(Config().model, WIDTHS, None)
    model.begin(torch.zeros(7))
    assert model.memory() == {}
    assert list(model.state_dict()) == ["no_words"]
