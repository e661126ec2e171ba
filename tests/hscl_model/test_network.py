"""What must hold for the network's predictions, gradients and refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hscl.config import Config, LossConfig, ModelConfig
from hscl.data.splits import Split
from hscl.errors import InputError
from hscl.loss.hierarchy import hierarchical_loss
from hscl.model.batch import Batch, Widths
from hscl.model.network import HsclNetwork, HsclOutput
from hscl.model.text_encoder import load_text_encoder, tokenize
from hscl.training.text_features import frozen_features

WIDTHS = Widths(text=8, audio=5, vision=6)


def _config(**changes: Any) -> ModelConfig:
    small = {
        "model.projection": 7,
        "model.fusion.heads": 2,
        "model.fusion.ffn": 12,
        "model.head.hidden": 9,
        "model.audio.layers": 2,
        "model.vision.layers": 1,
        "model.vision.heads": 3,
        "model.text.max_tokens": 12,
    }
    changes = {f"model.{name.replace('__', '.')}": value for name, value in changes.items()}
    return Config().with_overrides(small | changes).model


def _network(text_encoder: torch.nn.Module | None = None, **changes: Any) -> HsclNetwork:
    torch.manual_seed(0)
    widths = WIDTHS if text_encoder is None else replace(WIDTHS, text=16)
    return HsclNetwork(_config(**changes), widths, text_encoder)


def _batch(
    text: list[int], audio: list[int], vision: list[int], *, seed: int = 1, extra: int = 0
) -> Batch:
    """Random features of these lengths, `extra` places longer than the longest."""
    generator = torch.Generator().manual_seed(seed)

    def padded(lengths: list[int], width: int) -> Tensor:
        values = torch.randn(len(lengths), max(lengths), width, generator=generator)
        places = torch.arange(max(lengths))[None, :, None]
        values = values.where(places < torch.tensor(lengths)[:, None, None], 0.0)
        return torch.nn.functional.pad(values, (0, 0, 0, extra))

    return Batch(
        rows=torch.arange(len(text)),
        text=padded(text, 8),
        text_lengths=torch.tensor(text),
        audio=padded(audio, 5),
        audio_lengths=torch.tensor(audio),
        vision=padded(vision, 6),
        vision_lengths=torch.tensor(vision),
        labels=torch.linspace(-2, 2, len(text)),
    )


def _rows(batch: Batch, chosen: list[int]) -> Batch:
    taken: dict[str, Any] = {k: None if v is None else v[chosen] for k, v in vars(batch).items()}
    return Batch(**taken)


def _doubled(batch: Batch) -> Batch:
    parts = {k: v for k, v in vars(batch).items() if v is not None and v.is_floating_point()}
    doubles: dict[str, Any] = {k: v.double() for k, v in parts.items()}
    return replace(batch, **doubles)


def _tensors(output: HsclOutput) -> dict[str, Tensor]:
    return {k: v for k, v in vars(output).items() if isinstance(v, Tensor)}


def _assert_same(first: HsclOutput, second: HsclOutput) -> None:
    for name, value in _tensors(first).items():
        torch.testing.assert_close(getattr(second, name), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_prediction_changes_neither_with_padding_nor_with_companions(pooling: str) -> None:
    network = _network(text__pooling=pooling).eval()
    lengths = [[3, 9, 1, 0], [4, 1, 0, 7], [2, 8, 5, 0]]
    tight, loose = (_batch(*lengths, extra=extra) for extra in (0, 6))
    whole = network(tight)
    _assert_same(whole, network(loose))
    for row in range(4):
        alone = network(_rows(loose, [row]))
        torch.testing.assert_close(
            alone.prediction, whole.prediction[row : row + 1], rtol=1e-4, atol=1e-6
        )


def test_what_stands_in_the_padding_does_not_matter() -> None:
    network = _network().eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    assert batch.audio is not None
    assert batch.vision is not None
    dirty = replace(
        batch, text=batch.text.clone(), audio=batch.audio.clone(), vision=batch.vision.clone()
    )
    for frames, length in ((dirty.text, 3), (dirty.audio, 4), (dirty.vision, 2)):
        assert frames is not None
        frames[0, length:] = 100.0
    _assert_same(network(batch), network(dirty))


def test_evaluating_twice_is_identical() -> None:
    network = _network().eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    first, second = _tensors(network(batch)), _tensors(network(batch))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_parameter_receives_a_gradient(tiny_encoder: Path) -> None:
    text = _config(text__encoder=str(tiny_encoder)).text
    network = _network(load_text_encoder(text))
    batch = replace(
        _batch([3, 5, 0, 2], [4, 6, 2, 1], [2, 7, 3, 4]),
        text=torch.tensor([[2, 5, 3, 0, 0], [2, 7, 6, 8, 3], [0] * 5, [2, 3, 0, 0, 0]]),
        labels=torch.tensor([2.0, 2.2, 3.0, 2.6]),
    )
    output = network(batch)
    assert batch.labels is not None
    hierarchical_loss(output, batch.labels, LossConfig()).total.backward()  # type: ignore[no-untyped-call]
    without = [
        name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()
    ]
    # A bias on BERT's keys shifts all scores of a query alike: its gradient is 0 in theory.
    assert [name for name in without if not name.endswith("key.bias")] == []
    assert "encoders.audio.cls" in dict(network.named_parameters())


def test_a_batch_of_one_trains() -> None:
    network = _network()
    batch = _batch([3], [4], [2])
    assert batch.labels is not None
    terms = hierarchical_loss(network(batch), batch.labels, LossConfig())
    terms.total.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    assert terms.high.item() == 0.0


def test_prediction_is_the_mlp_of_half_the_sum_of_both_fused_representations() -> None:
    network = _network().eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    text, mask, sentence = network._encode_text(batch)
    assert torch.equal(sentence, text[:, 0])
    fused = []
    for name in ("audio", "vision"):
        frames, lengths = network.frames(batch, name)
        encoded, frame_mask = network.encoders[name](frames, lengths)
        fused.append(network.fusions[name](sentence, text, mask, encoded, frame_mask))
    expected = network.head(0.5 * (fused[0] + fused[1])).squeeze(-1)
    torch.testing.assert_close(network(batch).prediction, expected)


def test_a_missing_modality_leaves_the_other_ones_prediction_alone() -> None:
    network = _network().eval()
    batch = _batch([3, 3, 3], [4, 4, 0], [2, 0, 0])
    same = {name: getattr(batch, name)[[0, 0, 0]] for name in ("text", "audio", "vision")}
    output = network(replace(batch, **same))
    only_audio = _network(modalities="text+audio").eval()
    only_audio.load_state_dict(network.state_dict(), strict=False)
    text_only = _network(modalities="text").eval()
    text_only.load_state_dict(network.state_dict(), strict=False)
    torch.testing.assert_close(
        output.prediction[1], only_audio(replace(batch, **same)).prediction[1]
    )
    torch.testing.assert_close(
        output.prediction[2], text_only(replace(batch, **same)).prediction[2]
    )
    assert output.has_audio.tolist() == [True, True, False]
    assert output.has_vision.tolist() == [True, False, False]


def test_a_batch_without_a_modality_counts_as_missing_it_everywhere() -> None:
    network = _network().eval()
    batch = _batch([3, 2], [0, 0], [2, 4])
    bare = replace(batch, audio=None, audio_lengths=None)
    _assert_same(network(batch), network(bare))


def test_missing_words_are_stood_for_by_the_learned_vector() -> None:
    network = _network().eval()
    batch = _batch([0, 3], [4, 4], [2, 2])
    before = network(batch)
    assert before.has_text.tolist() == [False, True]
    with torch.no_grad():
        network.no_words.fill_(1.0)
    after = network(batch)
    assert before.prediction[0] != after.prediction[0]
    assert before.prediction[1] == after.prediction[1]


@pytest.mark.parametrize(
    ("modalities", "missing"),
    [
        ("text", {"text", "audio", "vision", "fused_audio", "fused_vision"}),
        ("text+audio", {"vision", "fused_vision"}),
        ("text+vision", {"audio", "fused_audio"}),
        ("text+audio+vision", set()),
    ],
)
def test_each_ablation_of_modalities_trains_without_the_parts_it_lacks(
    modalities: str, missing: set[str]
) -> None:
    network = _network(modalities=modalities)
    batch = _batch([3, 5, 2], [4, 6, 3], [2, 7, 1])
    output = network(batch)
    assert {name for name, value in vars(output).items() if value is None} == missing
    assert batch.labels is not None
    hierarchical_loss(output, batch.labels, LossConfig()).total.backward()  # type: ignore[no-untyped-call]
    untouched = {name for name, p in network.named_parameters() if p.grad is None}
    assert untouched == {"no_words"}, "nobody here lacks words"
    lacking = {"audio", "vision"} - set(modalities.split("+"))
    names = " ".join(name for name, _ in network.named_parameters())
    assert not any(part in names for part in lacking)


_LOW = {"projections.text", "projections.audio", "projections.vision"}
_HIGH = {"fused_projections.audio", "fused_projections.vision"}


@pytest.mark.parametrize(
    ("changes", "silent"),
    [
        ({}, set()),
        ({"omega1": 0.0}, _LOW),
        ({"low": False, "similarity": False}, _LOW),
        ({"omega2": 0.0}, _HIGH),
        ({"high": False}, _HIGH),
        ({"omega1": 0.0, "omega2": 0.0}, _LOW | _HIGH),
        ({"similarity": False}, set()),
        ({"alpha": 0.0}, set()),
        ({"low": False}, set()),
        ({"labels": "supcon"}, set()),
        ({"labels": "none"}, set()),
    ],
)
def test_each_ablation_of_losses_trains_without_the_parts_that_only_it_would_train(
    changes: dict[str, Any], silent: set[str]
) -> None:
    network = _network()
    batch = _batch([3, 5, 2, 4], [4, 6, 3, 2], [2, 7, 1, 3])
    assert batch.labels is not None
    labels = batch.labels.clone()
    labels[1] = labels[0]  # a positive of the same class
    loss = LossConfig.model_validate(changes)
    hierarchical_loss(network(batch), labels, loss).total.backward()  # type: ignore[no-untyped-call]
    untouched = {
        name.rsplit(".", 2)[0] for name, p in network.named_parameters() if p.grad is None
    }
    assert untouched - {"no_words"} == silent


def test_trimming_changes_no_gradient() -> None:
    network = _network().eval().double()
    gradients = []
    for extra in (0, 9):
        batch = _doubled(_batch([3, 5, 0, 2], [4, 6, 2, 0], [2, 7, 3, 4], extra=extra))
        assert batch.labels is not None
        network.zero_grad()
        total = hierarchical_loss(network(batch), batch.labels, LossConfig(omega1=1.0)).total
        total.backward()  # type: ignore[no-untyped-call]
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-10)


def test_frozen_features_predict_what_the_encoder_predicts(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    config = _config(text__encoder=str(tiny_encoder))
    words = ["a good film", None, "bad !"]
    names = ["1", "2", "3"]
    split = Split("train", names, names, None, words, None, None)
    tokens = tokenize(words, str(tiny_encoder), 12)
    features = frozen_features(split, config.text, "d" * 64)
    batch = _batch([5, 0, 4], [4, 6, 2], [2, 7, 3])
    assert tokens.lengths.tolist() == features.lengths.tolist() == batch.text_lengths.tolist()
    ids, vectors = torch.zeros(3, 5, dtype=torch.int64), torch.zeros(3, 5, 16)
    for row in range(3):
        length = len(tokens.row(row))
        ids[row, :length] = torch.tensor(tokens.row(row))
        vectors[row, :length] = torch.tensor(features.row(row))
    encoder = load_text_encoder(config.text)
    tuned = HsclNetwork(config, replace(WIDTHS, text=16), encoder).eval()
    frozen = HsclNetwork(config, replace(WIDTHS, text=16), None).eval()
    frozen.load_state_dict(
        {k: v for k, v in tuned.state_dict().items() if not k.startswith("text_encoder.")}
    )
    _assert_same(tuned(replace(batch, text=ids)), frozen(replace(batch, text=vectors)))


def test_audio_and_vision_without_text_is_refused() -> None:
    config = _config().model_copy(update={"modalities": "audio+vision"})
    with pytest.raises(InputError, match="must contain text"):
        HsclNetwork(config, WIDTHS, None)


def test_a_modality_that_the_data_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="no vision; leave vision out"):
        HsclNetwork(_config(), replace(WIDTHS, vision=None), None)


def test_heads_that_do_not_divide_the_width_are_refused_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r"model\.audio\.heads.*\(73\).*got 5.*one of 1, 73"):
        HsclNetwork(_config(audio__heads=5), replace(WIDTHS, audio=73), None)
    with pytest.raises(InputError, match=r"model\.fusion\.heads.*\(8\).*got 3.*1, 2, 4, 8"):
        HsclNetwork(_config(fusion__heads=3), WIDTHS, None)


def test_parameters_fall_into_two_groups_without_overlap(tiny_encoder: Path) -> None:
    network = _network(load_text_encoder(_config(text__encoder=str(tiny_encoder)).text))
    text = {id(p) for p in network.text_parameters()}
    named = dict(network.named_parameters())
    other = {id(p) for name, p in named.items() if not name.startswith("text_encoder.")}
    assert text
    assert not text & other
    assert text | other == {id(p) for p in network.parameters()}


def test_equal_seeds_make_equal_networks_and_other_seeds_others() -> None:
    first, second = _network().state_dict(), _network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    third = HsclNetwork(_config(), WIDTHS, None).state_dict()
    assert not torch.equal(first["head.1.weight"], third["head.1.weight"])


def test_released_cls_vectors_are_drawn_anew_in_evaluation_and_are_no_parameters() -> None:
    network = _network(form="released").eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    assert not [name for name, _ in network.named_parameters() if "cls" in name]
    first, second = network(batch).prediction, network(batch).prediction
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    third = network(batch).prediction
    torch.manual_seed(5)
    assert torch.equal(network(batch).prediction, third)


def test_released_text_padding_is_attended_to_and_always_as_long_as_max_tokens() -> None:
    network = _network(form="released").eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    torch.manual_seed(5)
    plain = network(batch).prediction
    dirty = replace(batch, text=batch.text.clone())
    dirty.text[0, 3:] = 1.0
    torch.manual_seed(5)
    assert network(dirty).prediction[0] != plain[0]
    longer = replace(batch, text=torch.nn.functional.pad(batch.text, (0, 0, 0, 4)))
    torch.manual_seed(5)
    torch.testing.assert_close(network(longer).prediction, plain)


def test_projections_are_never_negative() -> None:
    output = _network()(_batch([3, 5], [4, 6], [2, 7]))
    for view in (output.text, output.audio, output.vision, output.fused_audio):
        assert view is not None
        assert view.min() >= 0


def test_bfloat16_autocast_stays_near_float32() -> None:
    network = _network().eval()
    batch = _batch([3, 5], [4, 6], [2, 7])
    exact = network(batch).prediction
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network(batch).prediction
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)
