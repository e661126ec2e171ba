"""`tune.search`: refusals are exceptions, a finished study comes back as it is."""

import tomllib
from pathlib import Path

import pytest
from study_factory import Simulated, write_study

import tune
from hscl.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=6, epochs=3, confirm_seeds=5, refined=3)
    return write_study(tmp_path_factory.mktemp("study") / "s", what)


def test_a_finished_study_is_returned_without_a_training(folder: Path, tiny_file: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    tree = tomllib.loads((folder / "study.toml").read_text())
    for study in (folder, str(folder), folder / "study.toml", tree):
        found = tune.search(study, data=tiny_file, out=folder)
        assert found.best_params == tune.open_study(folder).best_params
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == before


def test_what_the_command_refuses_is_an_exception(folder: Path, tiny_file: Path) -> None:
    with pytest.raises(InputError, match="began with another specification"):
        tune.search(folder, data=tiny_file, out=folder, settings={"confirm.seeds": 7})
    with pytest.raises(InputError, match=r"no\.arrow"):
        tune.search(folder, data="no.arrow", out=folder)
    with pytest.raises(InputError, match="is none of them"):
        tune.search("nothing", data=tiny_file, out=folder.parent / "new")
    with pytest.raises(InputError, match=r"loss\.temprature"):
        tune.search(
            {"space": {"loss.temprature": {"uniform": [0.1, 0.2]}}},
            data=tiny_file,
            out=folder.parent / "new",
        )
    assert not (folder.parent / "new").exists()
