"""A model folder and utterances -> predictions."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import hscl
from hscl.config import Config
from hscl.data.convert import from_arrays
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo
from hscl.errors import InputError
from hscl.metrics import evaluate
from hscl.trained.predict import TrainedModel
from hscl.trained.progress import TrainingProgress
from hscl.trained.record import read_folder
from hscl.trained.train import prepare_final, train_final
from hscl.training.loop import Training


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> TrainedModel:
    return hscl.load(tiny_model, device="cpu")


def test_valid_predictions_give_the_metrics_that_training_reported(
    model: TrainedModel, tiny_file: Path
) -> None:
    dataset = Dataset.open(tiny_file)
    predictions = model.predict(dataset, split="valid")
    labels = [
        label
        for label, split in zip(
            dataset.table["label"].to_pylist(), dataset.table["split"].to_pylist(), strict=True
        )
        if split == "valid"
    ]
    for run, values in zip(model.record.runs, predictions.by_seed, strict=True):
        assert evaluate(labels, values) == pytest.approx(run.valid, abs=1e-5)


def test_a_prediction_is_the_mean_of_the_seeds_with_their_spread(
    model: TrainedModel, tiny_file: Path
) -> None:
    together = model.predict(tiny_file)
    assert together.seeds == [11, 12] == model.seeds
    first, second = (model.predict(tiny_file, seed=seed).mean for seed in (11, 12))
    np.testing.assert_allclose(together.mean, (first + second) / 2, atol=1e-6)
    np.testing.assert_allclose(together.spread, np.abs(first - second) / np.sqrt(2), atol=1e-6)
    assert not np.allclose(first, second)
    assert len(together.utterances) == len(together.videos) == 60
    assert together.warnings == []


def test_one_seed_alone_has_no_spread(model: TrainedModel, tiny_file: Path) -> None:
    assert np.isnan(model.predict(tiny_file, seed=11).spread).all()


def test_labels_are_not_needed_and_not_looked_at(
    model: TrainedModel, tiny_file: Path, tmp_path: Path
) -> None:
    table = Dataset.open(tiny_file).table
    columns = {n: table[n].to_pylist() for n in ("video", "utterance", "text", "audio", "vision")}
    from_arrays(tmp_path / "new.arrow", columns)
    plain = model.predict(tmp_path / "new.arrow")
    np.testing.assert_allclose(plain.mean, model.predict(tiny_file).mean, atol=1e-6)


def test_words_alone_are_predicted_with_a_warning(model: TrainedModel) -> None:
    predictions = model.predict_texts(["a good film", "bad film !"])
    assert predictions.utterances == ["a good film", "bad film !"]
    assert np.isfinite(predictions.mean).all()
    (warning,) = predictions.warnings
    assert "2 of 2 utterances lack audio and vision" in warning


@pytest.mark.parametrize("texts", [[], [""], ["good", "  "], "good"])
def test_texts_without_words_are_refused(model: TrainedModel, texts: list[str]) -> None:
    with pytest.raises(InputError, match="texts must be"):
        model.predict_texts(texts)


def test_an_unknown_seed_or_split_is_an_error_that_names_the_known(
    model: TrainedModel, tiny_file: Path
) -> None:
    with pytest.raises(InputError, match=r"no seed 5; its seeds are \[11, 12\]"):
        model.predict(tiny_file, seed=5)
    with pytest.raises(InputError, match="validation"):
        model.predict(tiny_file, split="validation")


def test_features_of_another_width_are_refused(model: TrainedModel, tmp_path: Path) -> None:
    write_demo(tmp_path / "wide.arrow", utterances=60, audio_width=74)
    with pytest.raises(InputError, match="width 5"):
        model.predict(tmp_path / "wide.arrow")


def test_a_folder_in_which_nothing_is_finished_says_how_to_go_on(
    tiny_model: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    from hscl.trained.record import write_folder

    config, record = read_folder(tiny_model)
    write_folder(tmp_path / "begun", config, replace(record, runs=[]), "")
    with pytest.raises(InputError, match="same hscl train command"):
        hscl.load(tmp_path / "begun")


def test_a_device_that_is_not_there_is_refused_at_once(tiny_model: Path) -> None:
    with pytest.raises(InputError, match="cuda:77"):
        hscl.load(tiny_model, device="cuda:77")


def test_a_folder_can_be_moved_and_its_encoder_lost(
    tiny_model: Path, tiny_file: Path, model: TrainedModel, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    config = copy / "config.toml"
    config.write_text(config.read_text().replace(str(model.config.model.text.encoder), "lost"))
    moved = hscl.load(copy, device="cpu")
    assert moved.config.model.text.encoder == "lost"
    assert np.array_equal(moved.predict(tiny_file).mean, model.predict(tiny_file).mean)
    assert "seeds=[11, 12]" in repr(moved)


def test_a_model_predicts_in_the_precision_that_it_was_trained_in(
    encoder_config: Config, tiny_file: Path, tmp_path: Path
) -> None:
    """To the last bit what its training predicted, which is what confirm's table holds."""
    config = encoder_config.with_overrides(
        {"run.precision": "bf16", "run.micro_batch": 7, "run.threads": 1, "train.epochs": 1}
    )
    final = prepare_final(config, Dataset.open(tiny_file), [11])
    with TrainingProgress(final) as progress:
        train_final(final, tmp_path / "m", progress)
    # A folder of whoever left the precision to the machine: the seed's record says what it was.
    about = tmp_path / "m" / "config.toml"
    about.write_text(about.read_text().replace('precision = "bf16"', 'precision = "auto"'))
    training = Training(config, final.data, seed=11)
    list(training)
    assert final.data.valid is not None
    expected = training.predict(final.data.valid)
    loaded = hscl.load(tmp_path / "m", device="cpu")
    assert loaded.config.run.precision == "auto"
    assert np.array_equal(loaded.predict(tiny_file, split="valid").by_seed[0], expected)
