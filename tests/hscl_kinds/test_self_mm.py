"""Self-MM against its paper's equations and its algorithm 1, one number at a time."""

import math

import numpy as np
import pytest
import torch
from literal_layers import Array, array, linear, lstm_ends, relu
from tiny_kinds import WIDTHS, batch, rows, tiny

from hscl.config import Config
from hscl.kinds.self_mm import (
    SelfMmModel,
    SelfMmOutput,
    made_label,
    momentum,
    relative_distance,
)
from hscl.model.batch import Batch
from hscl.model.contract import ModelOutput, Targets
from hscl.model.recurrent import EndState

LENGTHS = {"text": [3, 2, 4, 1], "audio": [4, 1, 2, 3], "vision": [2, 5, 0, 1]}
NAMES = ("text", "audio", "vision")
LABELS = [2.0, -1.4, 0.6, -2.2]


def _hidden(model: SelfMmModel, name: str, x: Array) -> Array:
    _, layer, _ = model.hidden[name].children()
    return relu(linear(layer, x))


def _literal(model: SelfMmModel, whole: Batch, row: int) -> dict[str, Array]:
    """F* of every task, and every task's ŷ under `say/…`."""
    inputs = {"text": array(whole.text[row, 0])}
    for name in NAMES[1:]:
        frames = array(getattr(whole, name)[row, : LENGTHS[name][row]])
        encoder = model.recurrent[name]
        assert isinstance(encoder, EndState)
        inputs[name] = lstm_ends(encoder.lstm, frames) if len(frames) else np.zeros(encoder.width)
    inputs["fused"] = np.concatenate([inputs[name] for name in NAMES])
    found = {name: _hidden(model, name, x) for name, x in inputs.items()}
    said = {f"say/{name}": linear(model.outputs[name], f) for name, f in found.items()}
    return found | said


@pytest.fixture
def model(tiny_config: Config) -> SelfMmModel:
    torch.manual_seed(0)
    model = SelfMmModel(tiny(tiny_config, "self-mm"), WIDTHS, None).eval()
    model.begin(torch.tensor(LABELS))
    return model


def test_predictions_and_loss_are_those_of_the_equations(model: SelfMmModel) -> None:
    whole = batch(*LENGTHS.values())
    targets = Targets(torch.arange(4), torch.tensor(LABELS))
    shifts = {"text": 0.3, "audio": -0.5, "vision": 0.9}
    for name, shift in shifts.items():
        model.memory()[f"labels/{name}"].add_(shift)
    found = [_literal(model, whole, row) for row in range(4)]
    output = model(whole)
    assert isinstance(output, SelfMmOutput)
    expected = [float(one["say/fused"][0]) for one in found]
    assert output.prediction.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    terms = {"task": 0.0, **dict.fromkeys(NAMES, 0.0)}
    for row, one in enumerate(found):
        terms["task"] += abs(expected[row] - LABELS[row]) / 4
        for name, shift in shifts.items():
            if LENGTHS[name][row]:
                error = abs(float(one[f"say/{name}"][0]) - (LABELS[row] + shift))
                terms[name] += math.tanh(abs(shift)) * error / 4
    terms["total"] = sum(terms.values())
    said = {name: term.item() for name, term in model.loss(output, targets).items()}
    assert said == pytest.approx(terms, rel=1e-4)


class _Algorithm:
    """Algorithm 1 in plain Python: every task's labels and representations, row by row."""

    def __init__(self, found: list[dict[str, Array]]) -> None:
        self.found = found
        self.labels = {task: dict(enumerate(LABELS)) for task in ("fused", *NAMES)}
        self.held: dict[str, dict[int, Array]] = {task: {} for task in self.labels}

    def alpha(self, task: str, row: int) -> float:
        own = self.found[row][task]
        distances = []
        for sign in (1, -1):
            held = self.held[task].items()
            of_class = [f for j, f in held if self.labels[task][j] * sign > 0]
            center = sum(of_class) / max(1, len(of_class)) + 0 * own
            distances.append(sum((own - center) ** 2) / math.sqrt(len(own)))
        positive, negative = distances
        return float((negative - positive) / (positive + 1e-8))

    def label(self, name: str, row: int, epoch: int) -> float:
        y, unimodal, multimodal = LABELS[row], self.alpha(name, row), self.alpha("fused", row)
        made = (y * unimodal / multimodal + y + unimodal - multimodal) / 2
        made = min(3.0, max(-3.0, made))
        return ((epoch - 1) * self.labels[name][row] + 2 * made) / (epoch + 1)

    def step(self, chosen: list[int], epoch: int) -> None:
        there = [(name, row) for name in NAMES for row in chosen if LENGTHS[name][row]]
        if epoch > 1:
            made = {(name, row): self.label(name, row, epoch) for name, row in there}
            for (name, row), value in made.items():
                self.labels[name][row] = value
        for task, row in there + [("fused", row) for row in chosen]:
            self.held[task][row] = self.found[row][task]


def test_labels_are_made_as_by_the_algorithm(model: SelfMmModel) -> None:
    """Three epochs of two batches each; weights that stay, so that only the labels move."""
    whole = batch(*LENGTHS.values())
    literal = _Algorithm([_literal(model, whole, row) for row in range(4)])
    for epoch in (1, 2, 3):
        for chosen in ([2, 0], [1, 3]):
            targets = Targets(torch.tensor(chosen), torch.tensor(LABELS)[chosen])
            with torch.no_grad():
                model.end_step(model(rows(whole, chosen)), targets, epoch)
            literal.step(chosen, epoch)
        for task, labels in literal.labels.items():
            kept = model.memory()[f"labels/{task}"].tolist()
            assert kept == pytest.approx(list(labels.values()), rel=1e-3, abs=1e-4)
    assert model.memory()["labels/fused"].tolist() == pytest.approx(LABELS)
    assert model.memory()["labels/vision"][2].item() == pytest.approx(LABELS[2])
    assert model.memory()["labels/text"].tolist() != pytest.approx(LABELS, abs=0.05)


def test_the_shift_is_half_the_ratio_and_half_the_difference() -> None:
    label = torch.tensor([1.0, -0.5, 2.0])
    unimodal, multimodal = torch.tensor([0.5, 1.0, -2.0]), torch.tensor([1.0, -0.5, 0.5])
    expected = (label * unimodal / multimodal + label + unimodal - multimodal) / 2
    torch.testing.assert_close(made_label(label, unimodal, multimodal, 100.0), expected)
    assert made_label(label, unimodal, torch.zeros(3), 3.0).abs().max() <= 3.0
    nothing = torch.zeros(3)
    assert made_label(nothing, nothing, nothing, 3.0).isfinite().all()


def test_a_representation_at_a_center_is_far_from_the_other() -> None:
    centers = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    at_positive, at_negative, between = relative_distance(
        torch.stack([centers[0], centers[1], centers.mean(dim=0)]), *centers
    ).tolist()
    assert at_positive > 1e6
    assert at_negative == pytest.approx(-1.0)
    assert between == pytest.approx(0.0, abs=1e-6)


def test_momentum_weighs_the_new_label_less_from_epoch_to_epoch() -> None:
    old, new = torch.zeros(1), torch.ones(1)
    shares = [momentum(old, new, epoch).item() for epoch in (2, 3, 9)]
    assert shares == pytest.approx([2 / 3, 1 / 2, 1 / 5])


def test_another_models_output_is_refused(model: SelfMmModel) -> None:
    nothing = torch.zeros(2)
    with pytest.raises(TypeError, match="SelfMmOutput"):
        model.loss(ModelOutput(nothing), Targets(nothing, nothing))
