"""A seed's files are what training wrote, or it is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

import hscl
from hscl.errors import DataChangedError, InputError
from hscl.trained.intact import check_digests, check_weights, write_digests


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "model.safetensors").write_bytes(bytes(range(200)))
    (tmp_path / "encoder/vocab.txt").write_text("a\nb\n")
    write_digests(tmp_path)
    return tmp_path


def flip(file: Path, at: int = 100) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda place: flip(place / "model.safetensors"), r"model\.safetensors must .* changed"),
        (lambda place: flip(place / "encoder/vocab.txt", 0), r"encoder/vocab\.txt must be what"),
        (lambda place: (place / "encoder/vocab.txt").unlink(), r"vocab\.txt .* is not there"),
        (lambda place: (place / "encoder/added.json").write_text("{}"), r"added\.json .* added"),
        (lambda place: (place / "digests.json").write_text("[1]"), r"digests\.json is damaged"),
        (lambda place: (place / "digests.json").write_text("{"), r"digests\.json is damaged"),
    ],
)
def test_a_file_that_is_not_what_training_wrote_is_named(
    place: Path, damage: Callable[[Path], object], said: str
) -> None:
    check_digests(place)
    damage(place)
    with pytest.raises(DataChangedError, match=said):
        check_digests(place)


def test_hidden_files_do_not_count_and_an_earlier_versions_folder_has_no_digests(
    place: Path,
) -> None:
    (place / ".nfs0001").write_text("")
    check_digests(place)
    (place / "digests.json").unlink()
    flip(place / "model.safetensors")
    check_digests(place)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e30, 2e6])
def test_weights_that_no_training_ends_with_are_refused(bad: float) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    weights = network.state_dict()
    weights["1.running_var"].fill_(1e12)  # a buffer: features without standardisation have such
    check_weights(network, Path("seed-1"))
    weights["0.weight"][1, 2] = bad
    with pytest.raises(InputError, match=r"seed-1 must hold weights .* those of 0\.weight"):
        check_weights(network, Path("seed-1"))


def test_a_trained_folder_with_one_changed_weight_predicts_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    seed = next(model.glob("seed-*"))
    assert "model.safetensors" in json.loads((seed / "digests.json").read_text())
    assert len(hscl.load(model).predict_texts(["good"]).mean) == 1
    weights = seed / "model.safetensors"
    flip(weights, weights.stat().st_size - 5)
    with pytest.raises(InputError, match=r"model\.safetensors must be what training wrote"):
        hscl.load(model).predict_texts(["good"])
