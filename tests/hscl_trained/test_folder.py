"""A seed's own folder: complete in itself, written whole."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.errors import InputError
from hscl.trained.folder import load_seed, seed_folder, write_seed
from hscl.trained.record import ModelRecord, read_folder
from hscl.trained.train import FinalTraining
from hscl.training.evaluation import Feed, predict
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData, prepare

CPU = torch.device("cpu")


def _record(final: FinalTraining) -> ModelRecord:
    return ModelRecord(
        config_id=final.config.config_id,
        digest=final.data.digest,
        fit="train",
        metric="mae",
        seeds=[5, 6],
        widths=dict(vars(final.data.widths)),
        splits={},
        missing={},
        versions={},
    )


@pytest.fixture
def data(encoder_config: Config, tiny_file: Path) -> TrainingData:
    return prepare(Dataset.open(tiny_file), encoder_config)


@pytest.mark.parametrize("finetune", [True, False])
def test_a_model_read_back_predicts_the_same_where_its_encoder_is_not(
    encoder_config: Config,
    tiny_encoder: Path,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    finetune: bool,
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    here = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    config = encoder_config.with_overrides(
        {"model.text.encoder": str(here), "model.text.finetune": finetune, "train.epochs": 2}
    )
    data = prepare(Dataset.open(tiny_file), config)
    training = Training(config, data, seed=5)
    assert len(list(training)) == 2
    write_seed(tmp_path / "model", training)
    assert data.valid is not None
    expected = training.predict(data.valid)
    record = _record(FinalTraining(config, data, (5,), "mae", "train"))

    shutil.rmtree(here)  # another machine
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    model = load_seed(moved, 5, config, record, device="cpu")
    feed = Feed.of(model.config, model.scalers, CPU)
    np.testing.assert_allclose(predict(model.network, data.valid, feed), expected, atol=1e-6)
    assert not model.network.training


def test_a_frozen_encoders_weights_are_kept_once(
    encoder_config: Config, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path / "cache"))
    config = encoder_config.with_overrides({"model.text.finetune": False, "train.epochs": 1})
    data = prepare(Dataset.open(tiny_file), config)
    for seed in (5, 6):
        training = Training(config, data, seed=seed)
        next(iter(training))
        write_seed(tmp_path / "model", training)
    first, second = (
        seed_folder(tmp_path / "model", seed) / "encoder" / "model.safetensors" for seed in (5, 6)
    )
    assert Path(first).samefile(second)


def test_writing_a_seed_again_replaces_it_whole(
    encoder_config: Config, data: TrainingData, tmp_path: Path
) -> None:
    training = Training(encoder_config, data, seed=5)
    next(iter(training))
    half = tmp_path / f".seed-5.{os.getpid()}.part"
    half.mkdir()
    (half / "half").touch()
    for _ in range(2):
        run = write_seed(tmp_path, training)
    assert (run.seed, run.epoch, run.device) == (5, 1, "cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["seed-5"]
    assert {p.name for p in (tmp_path / "seed-5").iterdir()} == {
        "model.safetensors",
        "scaler.json",
        "digests.json",
        "encoder",
    }


def test_a_seed_of_another_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    config, record = read_folder(tiny_model)
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    shutil.rmtree(copy / "seed-12")
    (copy / "seed-11").rename(copy / "seed-12")
    with pytest.raises(InputError, match="must be seed 12"):
        load_seed(copy, 12, config, record)


@pytest.mark.parametrize(
    "damage",
    ["model.safetensors", "scaler.json", "encoder/config.json", "encoder"],
)
def test_a_damaged_seed_is_an_error(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    config, record = read_folder(tiny_model)
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    broken = copy / "seed-11" / damage
    if broken.is_dir():
        shutil.rmtree(broken)
    else:
        broken.write_text("{ nothing")
    with pytest.raises(InputError):
        load_seed(copy, 11, config, record)


def test_loading_draws_no_random_number(tiny_model: Path) -> None:
    config, record = read_folder(tiny_model)
    state = torch.get_rng_state()
    load_seed(tiny_model, 11, config, record)
    assert torch.equal(torch.get_rng_state(), state)
