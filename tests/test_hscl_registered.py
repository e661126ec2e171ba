"""A model of one's own: installed, then used like any other kind; refused where it is none."""

import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tiny_kinds import WIDTHS

from hscl.config import Config
from hscl.config_toml import dump_config, load_config, parse_config
from hscl.data.dataset import Dataset
from hscl.errors import InputError
from hscl.kinds.registry import build_model
from hscl.registered import registered_model
from hscl.trained.predict import load_model
from hscl.trained.progress import TrainingProgress
from hscl.trained.train import prepare_final, train_final
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData
from tune.study.space import Point
from tune.study.toml import dump_spec, parse_spec

EXAMPLE = Path(__file__).parent / "helpers" / "own_model"


def _install(target: Path, name: str, version: str, points: dict[str, str]) -> None:
    """What pip leaves of a package beside its modules."""
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{kind} = {where}" for kind, where in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[hscl.models]", *lines, ""]))


def _install_example(target: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["hscl.models"]
    _install(target, project["name"], project["version"], points)
    (target / "gru_model.py").write_text((EXAMPLE / "gru_model.py").read_text())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example in a folder of its own on the path."""
    target = tmp_path / "site"
    _install_example(target)
    monkeypatch.syspath_prepend(target)
    importlib.invalidate_caches()
    registered_model.cache_clear()
    return target


def test_nothing_of_it_is_known_before_it_is_installed() -> None:
    registered_model.cache_clear()
    with pytest.raises(InputError, match=r"'gru'; .* registered by an installed package"):
        Config().with_overrides({"model.kind": "gru"})
    with pytest.raises(InputError, match=r"'hscl\.models'\); valid are: hscl, .*, self-mm$"):
        Config().with_overrides({"model.kind": "MulT"})
    with pytest.raises(InputError, match=r"'model\.gru\.width' is no configuration key"):
        Config().with_overrides({"model.gru.width": 3})
    with pytest.raises(InputError, match="did you mean 'mult'"):
        Config().with_overrides({"model.kind": "mulT"})
    with pytest.raises(InputError, match=r"model\.gru is no configuration key"):
        Config.from_json('{"model": {"gru": {"width": 3}}}')


def test_a_path_or_module_name_in_a_file_imports_nothing(tmp_path: Path) -> None:
    for name in ("gru_model:GruModel", "os", "./gru_model.py", "hscl.kinds.mult"):
        with pytest.raises(InputError, match=r"model\.kind must be a kind of model"):
            parse_config(f"[model]\nkind = {name!r}")


@pytest.mark.usefixtures("installed")
def test_its_keys_and_its_package_count_and_older_configurations_keep_their_identity() -> None:
    before = Config().config_id
    gru = Config().with_settings({"model.kind": "gru"})
    wide = Config().with_settings({"model.kind": "gru", "model.gru.width": 8})
    assert Config().config_id == before == "1df1ed3985f4"
    assert len({before, gru.config_id, wide.config_id}) == 3
    assert gru.identity()["model"]["package"] == "gru-model 0.1"
    assert wide.dotted()["model.gru.width"] == 8
    assert Config.from_json(wide.to_json()) == wide
    assert parse_config(dump_config(wide)).config_id == wide.config_id
    assert "loss" not in wide.used_tree()
    with pytest.raises(InputError, match=r"model\.gru\.width: .*valid integer.*'wide'"):
        gru.with_overrides({"model.gru.width": "wide"})
    with pytest.raises(InputError, match=r"did you mean 'model\.gru\.width'"):
        gru.with_overrides({"model.gru.widht": 3})
    with pytest.raises(InputError, match=r"model\.gru\.width means nothing to .* 'hscl'"):
        Config().with_settings({"model.gru.width": 3})


@pytest.mark.usefixtures("installed")
def test_it_trains_resumes_and_predicts_like_any_kind(
    tiny_config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    config = tiny_config.with_overrides({"model.kind": "gru", "model.gru.width": 6})
    whole = Training(config, tiny_data, seed=1)
    list(whole)
    first = Training(config, tiny_data, seed=1)
    next(iter(first))
    first.save(tmp_path / "state")
    second = Training(config, tiny_data, seed=1)
    second.restore(tmp_path / "state")
    list(second)
    assert second.reports[-1].losses == whole.reports[-1].losses
    assert tiny_data.valid is not None
    assert np.array_equal(second.predict(tiny_data.valid), whole.predict(tiny_data.valid))


@pytest.mark.usefixtures("installed")
def test_its_model_folder_works(encoder_config: Config, tiny_file: Path, tmp_path: Path) -> None:
    config = encoder_config.with_overrides({"model.kind": "gru", "train.epochs": 1})
    final = prepare_final(config, Dataset.open(tiny_file), [11])
    with TrainingProgress(final) as progress:
        train_final(final, tmp_path / "model", progress)
    model = load_model(tmp_path / "model")
    assert model.config.model.kind == "gru"
    assert np.isfinite(model.predict_texts(["a good film"]).mean).all()


@pytest.mark.usefixtures("installed")
def test_its_parameters_are_searched_and_a_frozen_study_reads_back(tmp_path: Path) -> None:
    tree = {
        "space": {
            "model.kind": {"choice": ["hscl", "gru"]},
            "model.gru.width": {"int": [4, 64], "when": {"model.kind": "gru"}},
            "loss.alpha": {"uniform": [0.0, 1.0], "when": {"model.kind": "hscl"}},
        },
        "known": [{"name": "gru", "model.kind": "gru", "model.gru.dropout": 0.3}],
    }
    spec = parse_spec(tree)
    (tmp_path / "study.toml").write_text(dump_spec(spec))
    assert parse_spec(tomllib.loads((tmp_path / "study.toml").read_text())) == spec
    point: Point = {"model.kind": "gru", "model.gru.width": 5}
    config = spec.searched.to_config(point)
    assert spec.searched.inside(config) == point
    assert config.dotted()["model.gru.width"] == 5
    known = spec.start_points[1].config
    assert (known.model.kind, known.dotted()["model.gru.dropout"]) == ("gru", 0.3)
    assert spec.searched.inside(Config()) is not None


def test_installed_in_an_environment_the_command_trains_it(
    tiny_file: Path, encoder_config: Config, tmp_path: Path
) -> None:
    target = tmp_path / "site"
    _install_example(target)
    tree = encoder_config.model_dump()
    tree["model"] = {
        "kind": "gru",
        "gru": {"width": 6},
        "text": tree["model"]["text"] | {"finetune": True},
    }
    tree["train"] |= {"epochs": 1}
    (tmp_path / "gru.json").write_text(json.dumps({k: tree[k] for k in ("model", "train")}))
    command = ["train", str(tmp_path / "gru.json"), "--data", str(tiny_file), "--seed-list", "7"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "hscl"), *command, "--out", str(tmp_path / "model")],
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gru-model" not in (tmp_path / "model" / "config.toml").read_text()
    assert "[model.gru]" in (tmp_path / "model" / "config.toml").read_text()
    registered_model.cache_clear()
    with pytest.raises(InputError, match="registered by an installed package"):
        load_config(tmp_path / "model" / "config.toml")


_SETTINGS = """from hscl.config import FrozenTree
class Model:
    class Settings(FrozenTree):
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import nowhere_at_all", "can't be imported .*nowhere_at_all"),
        ("Model = 3", "must be a class with a class Settings"),
        ("class Model: Settings = dict", "must be a class with a class Settings"),
        (f"{_SETTINGS}        width: int", "must have a default"),
        (f"{_SETTINGS}        width: int = 3", "must be a subclass of .*SentimentModel"),
    ],
)
def test_what_is_no_model_is_said_with_its_package(
    code: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"own_{abs(hash(code))}"
    _install(tmp_path, "bad-model", "2.0", {"bad": f"{module}:Model"})
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    registered_model.cache_clear()
    with pytest.raises(InputError, match=f"(?s)bad-model 2.0 .*{expected}|{expected}.*bad-model"):
        build_model(Config().with_overrides({"model.kind": "bad"}), WIDTHS)


def test_two_packages_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one-model", "other-model"):
        _install(tmp_path, name, "1.0", {"twice": "somewhere:Model"})
    monkeypatch.syspath_prepend(tmp_path)
    registered_model.cache_clear()
    with pytest.raises(InputError, match=r"one-model 1\.0 and other-model 1\.0|other.* and one"):
        Config().with_overrides({"model.kind": "twice"})
