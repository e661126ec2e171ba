"""Frozen features: the encoder's own, encoded once, kept, and safe for two processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hscl.config import TextConfig
from hscl.data.splits import Split
from hscl.errors import InputError, RunError
from hscl.files import cache_folder
from hscl.model.text_encoder import load_text_encoder, tokenize
from hscl.training import text_features
from hscl.training.text_features import encode_words, frozen_features

WORDS = ["a good film", None, "bad !", "a film a film a good good film", "", "bad bad"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))


def _split(words: list[str | None]) -> Split:
    names = [str(i) for i in range(len(words))]
    return Split("train", names, names, None, words, None, None)


def _config(folder: Path, max_tokens: int = 6) -> TextConfig:
    return TextConfig(encoder=str(folder), finetune=False, max_tokens=max_tokens)


def _files() -> list[Path]:
    return sorted(cache_folder().iterdir())


def test_features_equal_the_encoders_output_for_each_text_alone(tiny_encoder: Path) -> None:
    config = _config(tiny_encoder)
    features = frozen_features(_split(WORDS), config, "d" * 64)
    tokens = tokenize(WORDS, config.encoder, 6)
    assert features.lengths.tolist() == tokens.lengths.tolist() == [5, 0, 4, 6, 2, 4]
    assert features.values.dtype == np.float32
    encoder = load_text_encoder(config).eval()
    for i in (0, 2, 3, 4, 5):
        ids = torch.tensor(tokens.row(i))[None].long()
        with torch.no_grad():
            expected = encoder(ids, torch.tensor([ids.shape[1]]))[0]
        np.testing.assert_allclose(features.row(i), expected, rtol=1e-4, atol=1e-5)


def test_another_process_that_encodes_for_a_gpu_writes_the_same_file(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    """Here on the CPU, where it is not used: what differs is who encodes."""
    device = torch.device("cpu")
    paths = [tmp_path / "here.arrow", tmp_path / "there.arrow"]
    text_features._encode_to(paths[0], WORDS, _config(tiny_encoder), device)
    text_features._encode_to_in_a_process(paths[1], WORDS, _config(tiny_encoder), device)
    here, there = (text_features._read(path) for path in paths)
    assert here is not None
    assert there is not None
    assert np.array_equal(here.offsets, there.offsets)
    np.testing.assert_allclose(here.values, there.values, rtol=1e-6, atol=1e-6)
    nowhere = TextConfig(encoder="nowhere")
    with pytest.raises(InputError, match="nowhere"):
        text_features._encode_to_in_a_process(paths[1], WORDS, nowhere, device)


def test_a_device_that_fails_to_encode_is_said_with_the_last_words_of_the_process(
    tiny_encoder: Path,
) -> None:
    with pytest.raises(RunError, match=r"on meta failed: .*meta.*set run\.device = \"cpu\""):
        frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64, torch.device("meta"))
    assert [path.suffix for path in _files()] == [".lock"]


def test_a_process_that_is_killed_while_it_encodes_is_said_to_be(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RunError, match="on meta failed: its process ended with -9"):
        frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64, torch.device("meta"))


def test_features_of_a_gpu_are_no_features_of_a_cpu(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.device] = []

    def encode(path: Path, words: list[str | None], config: TextConfig, device: Any) -> None:
        asked.append(device)
        text_features._encode_to(path, words, config, torch.device("cpu"))

    monkeypatch.setattr(text_features, "_encode_to_in_a_process", encode)
    cuda = torch.device("cuda", 0)
    frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64)
    for _ in range(2):
        frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64, cuda)
    assert asked == [cuda]
    assert len([path for path in _files() if path.suffix == ".arrow"]) == 2


def test_second_call_reads_what_the_first_wrote(tiny_encoder: Path) -> None:
    first = frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64)
    (written,) = [path for path in _files() if path.suffix == ".arrow"]
    before = written.stat()
    second = frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64)
    assert written.stat().st_ino == before.st_ino
    assert np.array_equal(first.values, second.values)
    assert {path.suffix for path in _files()} == {".arrow", ".lock"}


def test_blocks_and_batches_do_not_show(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str | None] = [None if i % 7 == 3 else "good " * (i % 5) for i in range(40)]
    whole = frozen_features(_split(words), _config(tiny_encoder), "a" * 64)
    monkeypatch.setattr(text_features, "_BLOCK", 6)
    monkeypatch.setattr(text_features, "_BATCH", 4)
    parts = frozen_features(_split(words), _config(tiny_encoder), "b" * 64)
    assert np.array_equal(whole.offsets, parts.offsets)
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-4, atol=1e-5)


def test_other_data_encoder_words_or_length_have_files_of_their_own(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    model = load_text_encoder(_config(tiny_encoder)).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save_pretrained(other)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (tiny_encoder / name).is_file():
            (other / name).write_bytes((tiny_encoder / name).read_bytes())
    for split, config, digest in (
        (_split(WORDS), _config(tiny_encoder), "d" * 64),
        (_split(WORDS), _config(tiny_encoder), "e" * 64),
        (_split(WORDS), _config(other), "d" * 64),
        (_split(WORDS[:3]), _config(tiny_encoder), "d" * 64),
        (_split(WORDS), _config(tiny_encoder, 5), "d" * 64),
    ):
        frozen_features(split, config, digest)
    assert len([path for path in _files() if path.suffix == ".arrow"]) == 5


def test_words_are_encoded_on_the_device_that_is_asked_for(tiny_encoder: Path) -> None:
    config = _config(tiny_encoder)
    assert encode_words(["bad"], config).lengths.tolist() == [3]
    # Only what was computed there can't be looked at.
    with pytest.raises(RuntimeError, match="meta tensors"):
        encode_words(["bad"], config, torch.device("meta"))


def test_missing_words_and_empty_words_are_different_texts(tiny_encoder: Path) -> None:
    missing = frozen_features(_split([None, "bad"]), _config(tiny_encoder), "d" * 64)
    empty = frozen_features(_split(["", "bad"]), _config(tiny_encoder), "d" * 64)
    assert missing.lengths.tolist() == [0, 3]
    assert empty.lengths.tolist() == [2, 3]


def test_no_words_at_all_give_empty_sequences(tiny_encoder: Path) -> None:
    features = frozen_features(_split([None, None]), _config(tiny_encoder), "d" * 64)
    assert features.lengths.tolist() == [0, 0]
    assert features.values.shape == (0, 16)


def test_a_damaged_file_is_encoded_again(tiny_encoder: Path) -> None:
    first = frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64).values.copy()
    (written,) = [path for path in _files() if path.suffix == ".arrow"]
    content = written.read_bytes()
    written.unlink()
    written.write_bytes(content[: len(content) // 2])
    again = frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64)
    assert np.array_equal(first, again.values)


def test_a_cache_that_is_no_folder_is_refused_with_what_to_do(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set HSCL_CACHE to a folder"):
        frozen_features(_split(WORDS), _config(tiny_encoder), "d" * 64)


_PROCESS = """
import sys
from hscl.config import TextConfig
from hscl.data.splits import Split
from hscl.files import cache_folder
from hscl.training.text_features import frozen_features

words = ["good " * (i % 6) for i in range(1000)]
names = [str(i) for i in range(1000)]
config = TextConfig(encoder=sys.argv[1], finetune=False)
print("ready", flush=True)
sys.stdin.readline()
split = Split("train", names, names, None, words, None, None)
features = frozen_features(split, config, "d" * 64)
(path,) = cache_folder().glob("*.arrow")
print(path.stat().st_ino, float(features.values.sum()), flush=True)
"""


@pytest.mark.slow
def test_two_processes_at_once_do_the_work_once(tiny_encoder: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(tiny_encoder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]  # the same file: the second did not write it again
    assert {path.suffix for path in _files()} == {".arrow", ".lock"}
