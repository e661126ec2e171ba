"""A data set -> numbers that all trials of a study share."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import known_rows, mult_mosei, pickled

from hscl.config import Config
from hscl.data.convert import convert, from_arrays
from hscl.data.dataset import Dataset
from hscl.data.splits import open_inputs, open_split
from hscl.errors import InputError
from hscl.model.batch import Widths
from hscl.model.text_encoder import tokenize
from hscl.training.loop import Training
from hscl.training.prepared import (
    TrainingData,
    merge_for_fit,
    preparation_key,
    prepare,
    prepare_inputs,
    widths_of,
)


@pytest.fixture
def data(encoder_config: Config, tiny_file: Path) -> TrainingData:
    return prepare(Dataset.open(tiny_file), encoder_config)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))


def _file(path: Path, **changes: Any) -> Dataset:
    """Nine complete utterances, some columns replaced or (None) left out."""
    generator = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "video": [f"v{i // 2}" for i in range(9)],
        "utterance": [str(i) for i in range(9)],
        "split": ["train"] * 4 + ["valid"] * 2 + ["test"] * 3,
        "label": [-1.0, 0.2, 1.4, 3.0, 0.0, -2.2, 1.0, 1.0, -1.0],
        "text": ["a good film", "bad", "good", "a film", "bad!", "good!", "a", "bad", "film"],
        "audio": [generator.normal(0, 9, (i + 1, 5)) for i in range(9)],
        "vision": [generator.normal(5, 1, (3, 20)) for _ in range(9)],
    }
    columns |= changes
    from_arrays(path, {name: values for name, values in columns.items() if values is not None})
    return Dataset.open(path)


def test_words_become_the_encoders_token_ids(
    data: TrainingData, encoder_config: Config, tiny_file: Path
) -> None:
    split = open_split(Dataset.open(tiny_file), "train")
    text = encoder_config.model.text
    expected = tokenize(split.words, text.encoder, text.max_tokens)
    assert np.array_equal(data.train.text.values, expected.values)
    assert data.train.text.values.dtype == np.int32
    assert data.train.utterances == split.utterances
    assert data.train.labels is not None
    assert split.labels is not None
    assert np.array_equal(data.train.labels, split.labels)
    assert data.widths == Widths(text=16, audio=5, vision=20)
    assert data.digest == Dataset.open(tiny_file).digest


def test_a_frozen_encoders_words_become_features(
    encoder_config: Config, tiny_file: Path, tmp_path: Path
) -> None:
    config = encoder_config.with_overrides({"model.text.finetune": False})
    data = prepare(Dataset.open(tiny_file), config)
    assert data.train.text.values.shape[1] == 16
    assert data.train.text.values.dtype == np.float32
    assert list((tmp_path / "cache").glob("*.arrow"))


def test_frames_are_views_of_the_file(data: TrainingData) -> None:
    assert data.train.audio is not None
    assert not data.train.audio.values.flags.owndata
    assert not data.train.audio.values.flags.writeable


def test_only_train_and_valid_are_there(data: TrainingData, tiny_file: Path) -> None:
    sizes = Dataset.open(tiny_file).split_sizes()
    assert data.valid is not None
    assert (data.train.name, data.valid.name) == ("train", "valid")
    assert (len(data.train), len(data.valid)) == (sizes["train"], sizes["valid"])


def test_scalers_know_nothing_but_train(encoder_config: Config, tmp_path: Path) -> None:
    loud = [np.full((2, 5), 1000.0 if i > 3 else i + 1.0) for i in range(9)]
    data = prepare(_file(tmp_path / "x.arrow", audio=loud), encoder_config)
    np.testing.assert_allclose(data.scalers["audio"].mean, 2.5)
    np.testing.assert_allclose(data.scalers["audio"].scale, np.std([1, 2, 3, 4]), rtol=1e-6)


def test_workers_share_one_copy_and_train_on_it(
    data: TrainingData, encoder_config: Config
) -> None:
    """Out-of-band buffers carry the numbers; read-only ones, as from an object store, do."""
    buffers: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    numbers = sum(len(buffer.raw()) for buffer in buffers)
    assert data.train.audio is not None
    assert numbers > data.train.audio.values.nbytes
    assert len(inside) < numbers / 5
    shared = pickle.loads(inside, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert not shared.train.text.values.flags.writeable
    reports = [list(Training(encoder_config, d, seed=1))[-1].losses for d in (data, shared)]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("absent", "asked", "advice"),
    [
        ("audio", "text+audio+vision", 'model.modalities = "text+vision"'),
        ("vision", "text+vision", 'model.modalities = "text"'),
        ("text", "text+audio", "--text"),
    ],
)
def test_a_modality_that_the_data_lack_is_an_error_that_says_what_to_set(
    encoder_config: Config, tmp_path: Path, absent: str, asked: str, advice: str
) -> None:
    dataset = _file(tmp_path / "x.arrow", **{absent: None})
    config = encoder_config.with_overrides({"model.modalities": asked})
    with pytest.raises(InputError) as caught:
        prepare(dataset, config)
    assert advice in str(caught.value)


def test_a_modality_that_is_not_asked_for_may_be_absent(
    encoder_config: Config, tmp_path: Path
) -> None:
    dataset = _file(tmp_path / "x.arrow", audio=None)
    config = encoder_config.with_overrides({"model.modalities": "text+vision"})
    data = prepare(dataset, config)
    assert data.widths.audio is None
    assert set(data.scalers) == {"vision"}
    assert len(list(Training(config, data, seed=1))) == 3


def test_utterances_may_lack_a_modality(encoder_config: Config, tmp_path: Path) -> None:
    audio = [None if i % 2 else np.full((3, 5), i + 1.0) for i in range(9)]
    dataset = _file(tmp_path / "x.arrow", audio=audio, text=["good", None] * 4 + [None])
    data = prepare(dataset, encoder_config)
    assert data.train.audio is not None
    assert data.train.audio.lengths.tolist() == [3, 0, 3, 0]
    assert data.train.text.lengths.tolist() == [3, 0, 3, 0]
    assert len(list(Training(encoder_config, data, seed=1))) == 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"split": ["train"] * 9}, "valid"),
        ({"split": ["valid"] * 9}, "train"),
        ({"label": [None, *([1.0] * 8)]}, "label"),
    ],
)
def test_an_empty_or_unlabelled_split_is_an_error(
    encoder_config: Config, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    dataset = _file(tmp_path / "x.arrow", **changes)
    with pytest.raises(InputError, match=what):
        prepare(dataset, encoder_config)


def test_configurations_share_data_as_long_as_their_text_is_prepared_alike() -> None:
    config = Config()
    alike = {"loss.temperature": 0.1, "model.modalities": "text", "train.standardize": False}
    assert preparation_key(config) == preparation_key(config.with_overrides(alike))
    for name, value in (
        ("model.text.encoder", "other"),
        ("model.text.max_tokens", 20),
        ("model.text.finetune", False),
    ):
        assert preparation_key(config) != preparation_key(config.with_overrides({name: value}))


def test_train_and_valid_can_be_merged(data: TrainingData) -> None:
    merged = merge_for_fit(data)
    valid = data.valid
    assert valid is not None
    assert merged.valid is None
    assert len(merged.train) == len(data.train) + len(valid)
    assert data.train.audio is not None
    assert valid.audio is not None
    assert merged.train.audio is not None
    assert np.array_equal(merged.train.audio.row(2), data.train.audio.row(2))
    assert np.array_equal(merged.train.audio.row(len(data.train) + 1), valid.audio.row(1))
    assert np.array_equal(merged.train.text.row(len(data.train)), valid.text.row(0))
    frames = np.concatenate([data.train.audio.values, valid.audio.values])
    np.testing.assert_allclose(merged.scalers["audio"].mean, frames.mean(axis=0), rtol=1e-4)
    with pytest.raises(InputError):
        merge_for_fit(merged)


def test_inputs_for_a_trained_model_need_no_labels_and_leave_no_cache(
    encoder_config: Config, tmp_path: Path
) -> None:
    config = encoder_config.with_overrides({"model.text.finetune": False})
    split = open_inputs(_file(tmp_path / "x.arrow", label=None, split=None, audio=None))
    prepared = prepare_inputs(split, config, Widths(text=16, audio=5, vision=20))
    assert prepared.labels is None
    assert prepared.audio is not None
    assert prepared.audio.values.shape == (0, 5)
    assert prepared.audio.lengths.tolist() == [0] * 9
    assert prepared.text.values.shape[1] == 16
    assert not (tmp_path / "cache").exists()


def test_features_of_another_width_stop_a_model_at_once(
    encoder_config: Config, tmp_path: Path
) -> None:
    split = open_inputs(_file(tmp_path / "x.arrow"))
    with pytest.raises(InputError, match=r"audio.*width 74.*have 5"):
        prepare_inputs(split, encoder_config, Widths(text=16, audio=74, vision=20))
    ignoring = encoder_config.with_overrides({"model.modalities": "text+vision"})
    prepared = prepare_inputs(split, ignoring, Widths(text=16, audio=74, vision=20))
    assert len(prepared) == 9


OWN = {"model.text.encoder": "file", "model.text.finetune": False, "model.text.max_tokens": 4}


def _vectors() -> list[Any]:
    generator = np.random.default_rng(1)
    return [None if i == 2 else generator.normal(size=(i + 1, 8)) for i in range(9)]


def test_the_data_sets_own_vectors_stand_in_for_an_encoder(
    tiny_config: Config, tmp_path: Path
) -> None:
    vectors = _vectors()
    dataset = _file(tmp_path / "a.arrow", text=None, text_vectors=vectors)
    data = prepare(dataset, tiny_config.with_overrides(OWN))
    assert data.widths == Widths(text=8, audio=5, vision=20)
    assert data.train.text.lengths.tolist() == [1, 2, 0, 4]
    assert data.valid is not None
    assert data.valid.text.lengths.tolist() == [4, 4], "the end is cut off"
    for row, own in enumerate(vectors[4:6]):
        assert np.array_equal(data.valid.text.row(row), own[:4].astype(np.float32))
    assert not (tmp_path / "cache").exists()


def test_a_mosei_pickle_of_mult_without_words_trains_on_its_own_vectors(
    tiny_config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "mosei.arrow"
    content = mult_mosei(known_rows())
    for part in content.values():  # GloVe's place in the file: (N, 50, 300), padded in front
        part["text"] = np.zeros((len(part["id"]), 50, 12))
        part["text"][:, 40:] = np.random.default_rng(0).normal(size=(len(part["id"]), 10, 12))
    assert convert([pickled(tmp_path / "mosei.pkl", content)], out).text_width == 12
    config = tiny_config.with_overrides(OWN | {"train.epochs": 1})
    (report,) = Training(config, prepare(Dataset.open(out), config), seed=0)
    assert np.isfinite(report.valid["mae"])


def test_vectors_of_which_none_is_cut_off_are_views_of_the_file(
    tiny_config: Config, tmp_path: Path
) -> None:
    dataset = _file(tmp_path / "a.arrow", text=None, text_vectors=_vectors())
    data = prepare(dataset, tiny_config.with_overrides(OWN | {"model.text.max_tokens": 50}))
    assert not data.train.text.blocks[0].flags.writeable


def test_a_set_without_vectors_or_without_words_says_what_to_do(
    tiny_config: Config, tmp_path: Path
) -> None:
    own = tiny_config.with_overrides(OWN)
    with pytest.raises(InputError, match='is "file", but these utterances have no text vectors'):
        prepare(_file(tmp_path / "words.arrow"), own)
    with pytest.raises(InputError, match=r'is "file", but .*words\.arrow has no text vectors'):
        widths_of(Dataset.open(tmp_path / "words.arrow"), own)
    wordless = _file(tmp_path / "a.arrow", text=None, text_vectors=_vectors())
    with pytest.raises(InputError, match=r'own text vectors, 8 wide: model\.text\.encoder = "f'):
        prepare(wordless, tiny_config)


def test_vectors_of_another_width_are_refused_in_prediction(
    tiny_config: Config, tmp_path: Path
) -> None:
    own = tiny_config.with_overrides(OWN)
    dataset = _file(tmp_path / "a.arrow", text=None, text_vectors=_vectors())
    widths = prepare(dataset, own).widths
    assert len(prepare_inputs(open_inputs(dataset), own, widths)) == 9
    other = _file(tmp_path / "b.arrow", text_vectors=[np.ones((2, 7))] * 9)
    with pytest.raises(InputError, match="text vectors must have the width 8"):
        prepare_inputs(open_inputs(other), own, widths)
