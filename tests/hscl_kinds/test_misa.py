"""MISA against the equations of its paper, one utterance and one number at a time."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from literal_layers import (
    Array,
    array,
    attention,
    layer_norm,
    linear,
    lstm_ends,
    relu,
    sigmoid,
)
from tiny_kinds import WIDTHS, batch, tiny
from torch import nn

from hscl.config import Config
from hscl.errors import InputError
from hscl.kinds.misa import MisaModel, MisaOutput, central_moment_discrepancy, difference
from hscl.model.contract import ModelOutput, Targets
from hscl.model.recurrent import EndState

LENGTHS = {"text": [3, 2, 4, 1], "audio": [4, 1, 2, 3], "vision": [2, 5, 3, 1]}
NAMES = ("text", "audio", "vision")


def _represented(model: MisaModel, name: str, frames: Array) -> dict[str, Array]:
    """u, h^c, h^p and û of one modality of one utterance."""
    if name == "text":
        end = np.array([sum(column) / len(column) for column in frames.T])
    else:
        encoder = model.recurrent[name]
        assert isinstance(encoder, EndState)
        end = lstm_ends(encoder.lstm, frames)
    first, _, norm = model.dense[name].children()
    unimodal = layer_norm(norm, relu(linear(first, end)))
    shared = sigmoid(linear(next(model.shared.children()), unimodal))
    private = sigmoid(linear(next(model.private[name].children()), unimodal))
    rebuilt = linear(model.decoder, shared + private)
    return {"unimodal": unimodal, "shared": shared, "private": private, "rebuilt": rebuilt}


def _predicted(model: MisaModel, vectors: Array) -> float:
    """The Transformer layer over the six vectors, and the prediction."""
    fusion = model.fusion
    attended = attention(fusion.attention, 3, vectors, vectors)
    first, second = (m for m in fusion.feed_forward if isinstance(m, nn.Linear))
    fused = []
    for vector, answer in zip(vectors, attended, strict=True):
        normed = layer_norm(fusion.norm, vector + answer)
        inner = linear(second, relu(linear(first, normed)))
        fused.append(layer_norm(fusion.feed_forward_norm, normed + inner))
    first, second = (m for m in model.head if isinstance(m, nn.Linear))
    return float(linear(second, relu(linear(first, np.concatenate(fused))))[0])


def _cmd(first: list[Array], second: list[Array]) -> float:
    total, count, width = 0.0, len(first), len(first[0])
    means = [[sum(x[d] for x in xs) / count for d in range(width)] for xs in (first, second)]
    for k in range(1, 6):
        squared = 0.0
        for d in range(width):
            moments = [
                means[i][d] if k == 1 else sum((x[d] - means[i][d]) ** k for x in xs) / count
                for i, xs in enumerate((first, second))
            ]
            squared += (moments[0] - moments[1]) ** 2
        total += math.sqrt(squared)
    return total


def _difference(first: list[Array], second: list[Array]) -> float:
    matrices = []
    for xs in (first, second):
        mean = sum(xs) / len(xs)
        matrices.append([(x - mean) / math.sqrt(sum((x - mean) ** 2)) for x in xs])
    width = len(first[0])
    product = [
        sum(a[i] * b[j] for a, b in zip(*matrices, strict=True))
        for i in range(width)
        for j in range(width)
    ]
    return float(sum(value**2 for value in product)) / width**2


def test_prediction_and_losses_are_those_of_the_equations(tiny_config: Config) -> None:
    torch.manual_seed(0)
    config = tiny(
        tiny_config,
        "misa",
        model__text__pooling="mean",
        model__misa__similarity=0.7,
        model__misa__difference=0.4,
        model__misa__reconstruction=0.9,
    )
    model = MisaModel(config, WIDTHS, None).eval()
    whole = batch(*LENGTHS.values())
    assert whole.labels is not None
    found = [
        {
            name: _represented(model, name, array(getattr(whole, name)[row, : LENGTHS[name][row]]))
            for name in NAMES
        }
        for row in range(4)
    ]
    predicted = [
        _predicted(
            model,
            np.array([one[name][part] for part in ("shared", "private") for name in NAMES]),
        )
        for one in found
    ]
    output = model(whole)
    assert isinstance(output, MisaOutput)
    assert output.prediction.tolist() == pytest.approx(predicted, rel=1e-4, abs=1e-5)

    def all_of(name: str, part: str) -> list[Array]:
        return [one[name][part] for one in found]

    pairs = list(combinations(NAMES, 2))
    labels = whole.labels.tolist()
    task = sum((p - y) ** 2 for p, y in zip(predicted, labels, strict=True)) / 4
    similar = sum(_cmd(all_of(m, "shared"), all_of(n, "shared")) for m, n in pairs) / 3
    differing = sum(_difference(all_of(m, "shared"), all_of(m, "private")) for m in NAMES)
    differing += sum(_difference(all_of(m, "private"), all_of(n, "private")) for m, n in pairs)
    rebuilt = (
        sum(sum((one[m]["unimodal"] - one[m]["rebuilt"]) ** 2) / 6 for one in found for m in NAMES)
        / 4
        / 3
    )
    terms = model.loss(output, Targets(whole.rows, whole.labels))
    expected = {
        "total": task + 0.7 * similar + 0.4 * differing + 0.9 * rebuilt,
        "task": task,
        "similarity": similar,
        "difference": differing,
        "reconstruction": rebuilt,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_utterances_leave_the_terms_of_what_they_lack(tiny_config: Config) -> None:
    torch.manual_seed(0)
    model = MisaModel(tiny(tiny_config, "misa"), WIDTHS, None).eval()
    whole = batch([3, 2, 4, 1], [4, 0, 2, 3], [2, 5, 0, 1])
    assert whole.labels is not None
    output = model(whole)
    terms = model.loss(output, Targets(whole.rows, whole.labels))
    shared, private = output.shared, output.private
    has = {0: [0, 1, 2, 3], 1: [0, 2, 3], 2: [0, 1, 3]}
    both = {pair: sorted(set(has[pair[0]]) & set(has[pair[1]])) for pair in combinations(has, 2)}
    similar = [
        central_moment_discrepancy(shared[rows, m], shared[rows, n])
        for (m, n), rows in both.items()
    ]
    torch.testing.assert_close(terms["similarity"], torch.stack(similar).mean())
    differing = [difference(shared[rows, m], private[rows, m]) for m, rows in has.items()]
    differing += [difference(private[rows, m], private[rows, n]) for (m, n), rows in both.items()]
    torch.testing.assert_close(terms["difference"], torch.stack(differing).sum())
    errors = (output.unimodal - output.rebuilt).square().mean(dim=2)
    rebuilt = [errors[rows, m].mean() for m, rows in has.items()]
    torch.testing.assert_close(terms["reconstruction"], torch.stack(rebuilt).mean())


def test_a_pair_of_modalities_has_one_similarity_and_three_differences(
    tiny_config: Config,
) -> None:
    torch.manual_seed(0)
    config = tiny(tiny_config, "misa", model__modalities="text+audio")
    model = MisaModel(config, WIDTHS, None).eval()
    whole = batch([3, 2, 4], [4, 1, 2], [1, 1, 1])
    assert whole.labels is not None
    output = model(whole)
    terms = model.loss(output, Targets(whole.rows, whole.labels))
    (text, audio), (own_text, own_audio) = output.shared.unbind(1), output.private.unbind(1)
    torch.testing.assert_close(terms["similarity"], central_moment_discrepancy(text, audio))
    expected = difference(text, own_text) + difference(audio, own_audio)
    torch.testing.assert_close(terms["difference"], expected + difference(own_text, own_audio))


def test_equal_samples_are_alike_and_orthogonal_ones_do_not_differ() -> None:
    sample = torch.rand(5, 3, requires_grad=True)
    discrepancy = central_moment_discrepancy(sample, sample.flip(0))
    assert discrepancy.item() == pytest.approx(0.0, abs=1e-6)
    discrepancy.backward()  # type: ignore[no-untyped-call]
    assert sample.grad is not None
    assert sample.grad.isfinite().all()
    one = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    other = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0], [0.0, -1.0]])
    assert difference(one, other).item() == 0.0
    assert difference(one, one).item() == pytest.approx(16 / 4)


@pytest.mark.parametrize("name", ["similarity", "difference", "reconstruction"])
def test_a_term_of_weight_0_is_off(tiny_config: Config, name: str) -> None:
    config = tiny(tiny_config, "misa").with_overrides({f"model.misa.{name}": 0.0})
    model = MisaModel(config, WIDTHS, None)
    whole = batch([3, 2], [4, 1], [1, 2])
    assert whole.labels is not None
    terms = model.loss(model(whole), Targets(whole.rows, whole.labels))
    assert [n for n, term in terms.items() if term.item() == 0.0] == [name]


def test_what_it_cannot_read_is_refused(tiny_config: Config) -> None:
    with pytest.raises(InputError, match=r"model\.misa\.heads.*\(6\).*got 4"):
        MisaModel(tiny(tiny_config, "misa", model__misa__heads=4), WIDTHS, None)
    model = MisaModel(tiny(tiny_config, "misa"), WIDTHS, None)
    nothing = torch.zeros(2)
    with pytest.raises(TypeError, match="MisaOutput"):
        model.loss(ModelOutput(nothing), Targets(nothing, nothing))
