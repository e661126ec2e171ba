"""Where a command's study comes from."""

from pathlib import Path

import pytest
from study_factory import Simulated, write_study

from hscl.errors import InputError
from tune.cli.sources import read_study, ready_tree
from tune.study.toml import load_spec


def test_a_studys_folder_is_the_study_that_began_there_and_where_it_goes_on(
    tmp_path: Path,
) -> None:
    what = Simulated(trials=3, epochs=2, confirm_seeds=0, refined=0, until="screen")
    folder = write_study(tmp_path / "s", what)
    spec, out = read_study(str(folder), None, {})
    assert spec == load_spec(folder / "study.toml", frozen=True)
    assert out == str(folder)
    changed, out = read_study(str(folder), "elsewhere", {"confirm.seeds": 9})
    assert (changed.confirm.seeds, out) == (9, "elsewhere")


def test_a_ready_study_is_known_by_its_name_and_adapted(tmp_path: Path) -> None:
    spec, out = read_study("search", None, {"train.epochs": 3, "model.modalities": "text"})
    assert (spec.base.train.epochs, spec.base.model.modalities, out) == (3, "text", None)
    assert spec.study.name == ready_tree("search").get("study", {}).get("name", "search")


def test_what_is_none_of_the_three_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'baselines'"):
        read_study("baseline", None, {})
    with pytest.raises(InputError, match=r"no key|no configuration key"):
        read_study("search", None, {"train.epoch": 3})
