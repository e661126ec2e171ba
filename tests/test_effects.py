"""Every configuration value changes something that can be seen; `run.` changes nothing."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData, prepare

# Under which other values an effect shows, where the default hides it.
UNDER: dict[str, dict[str, Any]] = {
    "train.warmup": {"train.schedule": "linear"},
    "train.schedule": {"train.step_epochs": 1},
    "train.step_gamma": {"train.step_epochs": 1},
    "train.patience": {"train.lr": 1e-30, "train.lr_text": 1e-30},  # nothing gets better
}
# Another allowed value for every key; numbers are halved or moved where nothing stands here.
OTHER: dict[str, Any] = {
    "loss.labels": "none",
    "loss.form": "released",
    "train.optimizer": "adamw",
    "train.schedule": "constant",
    "train.step_epochs": 1,
    "train.batching": "length",
    "train.patience": 1,
    "train.warmup": 0.5,
    "train.epochs": 4,
    "train.modality_dropout": 0.5,
    "train.clip": 1e-3,
    "model.modalities": "text+audio",
    "model.audio_input": "shuffled",
    "model.vision_input": "hidden",
    "model.form": "released",
    "model.text.max_tokens": 3,
    "model.text.pooling": "mean",
    "model.text.finetune": False,
    "model.audio.heads": 5,
    "model.vision.heads": 4,
    "model.fusion.heads": 4,
    "model.kind": "lf-dnn",
}


def _keys() -> list[str]:
    """Keys of HSCL and of all kinds of models; tests/hscl_kinds looks at the others' own."""
    named = Config().dotted()
    return [name for name in named if Config().uses(name) and not name.startswith("run.")]


def _louder(encoder: Path, folder: Path) -> str:
    """Another text encoder: all weights doubled."""
    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    doubled = {name: 2 * weight for name, weight in weights.items()}
    save_file(doubled, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def _other(name: str, value: Any) -> Any:
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, str):
        return None
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2


@pytest.fixture(scope="module")
def base(encoder_config: Config) -> Config:
    return encoder_config.with_overrides({"loss.omega1": 0.5, "train.epochs": 3})


Seen = Callable[[Config], str]


@pytest.fixture(scope="module")
def seen(base: Config, tiny_file: Any) -> Seen:
    """What a configuration shows on the base's data; most tests share one, which trains once."""
    data = prepare(Dataset.open(tiny_file), base)
    return functools.cache(lambda config: _seen(config, data))


def _seen(config: Config, data: TrainingData) -> str:
    training = Training(config, data, seed=3)
    reports = [(r.losses, r.valid, r.steps, r.finished) for r in training]
    assert data.valid is not None
    return repr((reports, training.predict(data.valid).tolist()))


@pytest.mark.parametrize("name", _keys())
def test_every_value_changes_something(
    base: Config,
    seen: Seen,
    tiny_file: Any,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    before = base.with_overrides(UNDER.get(name, {}))
    value = _other(name, before.dotted()[name])
    if name == "model.text.encoder":
        value = _louder(Path(before.model.text.encoder), tmp_path / "encoder")
    after = before.with_overrides({name: value})
    assert after.config_id != before.config_id
    if "model.text" in name:
        prepared = prepare(Dataset.open(tiny_file), after)
        assert _seen(after, prepared) != seen(before)
    else:
        assert seen(after) != seen(before)


@pytest.mark.parametrize(
    ("name", "value"), [("run.device", "auto"), ("run.threads", 1), ("run.precision", "fp32")]
)
def test_how_it_is_executed_changes_nothing(
    base: Config, seen: Seen, name: str, value: Any
) -> None:
    """Micro-batches and compilation change rounding; `auto` may mean another device."""
    if name == "run.device":
        import torch

        if torch.cuda.is_available():
            pytest.skip("a GPU rounds differently")
    config = base.with_overrides({name: value})
    assert config.config_id == base.config_id
    assert seen(config) == seen(base)
