"""LF-DNN against its definition, one utterance and one number at a time."""

import numpy as np
import pytest
import torch
from literal_layers import Array, array, linear, relu
from tiny_kinds import WIDTHS, batch, tiny

from hscl.config import Config
from hscl.kinds.lf_dnn import LfDnnModel
from hscl.model.contract import Targets

LENGTHS = {"text": [3, 2, 5], "audio": [4, 1, 0], "vision": [2, 6, 3]}


def _mlp(layers: torch.nn.Module, x: Array) -> Array:
    """Linear layers with ReLU between, as many as there are."""
    for layer in layers.children():
        if isinstance(layer, torch.nn.Linear):
            x = linear(layer, x)
        elif isinstance(layer, torch.nn.ReLU):
            x = relu(x)
    return x


def test_prediction_and_loss_are_those_of_the_definition(tiny_config: Config) -> None:
    torch.manual_seed(0)
    config = tiny(tiny_config, "lf-dnn", model__text__pooling="mean")
    model = LfDnnModel(config, WIDTHS, None).eval()
    whole = batch(LENGTHS["text"], LENGTHS["audio"], LENGTHS["vision"])
    assert whole.labels is not None
    expected = []
    for row in range(3):
        parts = []
        for name in ("text", "audio", "vision"):
            frames = array(getattr(whole, name)[row, : LENGTHS[name][row]])
            mlp = model.unimodal[name]
            width = getattr(config.model.lf_dnn, name)
            pooled = [sum(column) / len(column) for column in frames.T if len(column)]
            parts.append(_mlp(mlp, np.array(pooled)) if len(frames) else np.zeros(width))
        expected.append(_mlp(model.fused, np.concatenate(parts))[0])
    output = model(whole)
    assert output.prediction.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    terms = model.loss(output, Targets(whole.rows, whole.labels))
    errors = [abs(p - y) for p, y in zip(expected, whole.labels.tolist(), strict=True)]
    assert terms["total"].item() == pytest.approx(sum(errors) / 3, rel=1e-4)
    assert terms["task"] is terms["total"]
