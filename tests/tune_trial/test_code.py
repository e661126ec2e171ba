"""Two machines that compute with the same code say so, and any other difference is named."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import tune
from tune.trial.code import code_digest, code_here, differences

ROOT = Path(tune.__file__).parents[1]
SAY = "from tune.trial.code import code_here; print(code_here()['sources'])"


def sources_in(folder: Path) -> str:
    """What a process says whose packages lie in this folder."""
    command = [sys.executable, "-c", SAY]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_copy_elsewhere_is_the_same_code_and_one_changed_letter_is_not(tmp_path: Path) -> None:
    for name in ("hscl", "tune", "cluster"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=lambda _, names: [n for n in names if n == "bin"]
        )
    assert sources_in(tmp_path) == code_here()["sources"]
    changed = tmp_path / "hscl" / "loss" / "__init__.py"
    changed.write_text(changed.read_text().replace(".", "!", 1))
    assert sources_in(tmp_path) != code_here()["sources"]


def test_a_users_folder_that_is_named_like_a_package_changes_nothing(tmp_path: Path) -> None:
    """README makes one by `hscl cluster template onprem --out cluster`."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "onprem.yaml").touch()
    (folder / "mine.py").touch()
    assert sources_in(tmp_path) == code_here()["sources"]


def test_versions_of_what_computes_are_told_without_a_builds_own_label() -> None:
    code = code_here()
    assert code["torch"] == version("torch").partition("+")[0]
    assert {"transformers", "numpy", "pyarrow", "hscl-search"} < set(code)
    assert code_digest(code) == code_digest(dict(sorted(code.items())))
    assert code_digest(code) != code_digest({**code, "torch": "1.0"})


def test_what_differs_is_named_with_both_sides() -> None:
    here, there = {"sources": "a" * 64, "torch": "2.1"}, {"sources": "b" * 64, "torch": "2.1"}
    assert differences(here, here) == ""
    assert differences(here, there) == f"sources {'a' * 12}, not {'b' * 12}"
    assert differences({"torch": "2.1"}, {"torch": "2.1", "numpy": "2"}) == "numpy unknown, not 2"
