"""The house stays in order: packages listed, a test module per source module, short files."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hscl", "tune", "cluster")
TOP_LEVEL = {
    "hscl",
    "tune",
    "cluster",
    "tests",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "Makefile",
    "constraints.txt",
}
NOT_KEPT = {"build", "dist", "runs", "models"}  # .gitignore
LONG_FILES = {"hscl/config.py": "one tree; half of its lines are the keys and what they mean"}
TESTED_ELSEWHERE: dict[str, str] = {}


def _sources() -> list[Path]:
    return sorted(
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )


def test_the_package_list_is_complete() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(listed) == found


def test_every_module_has_its_own_test_module() -> None:
    missing = []
    for path in _sources():
        package, *_, name = path.relative_to(ROOT).with_suffix("").parts
        where = path.relative_to(ROOT).as_posix()
        if where in TESTED_ELSEWHERE:
            assert (ROOT / "tests" / TESTED_ELSEWHERE[where]).is_file()
        elif not (ROOT / "tests" / f"test_{package}_{name}.py").is_file():
            missing.append(where)
    assert missing == []


def test_a_file_past_300_lines_gives_its_reason() -> None:
    long = {
        path.relative_to(ROOT).as_posix()
        for path in _sources()
        if len(path.read_text().splitlines()) > 300
    }
    assert long == set(LONG_FILES)


def test_the_top_level_stays_as_agreed() -> None:
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert found - NOT_KEPT == TOP_LEVEL
