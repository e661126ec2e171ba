"""The house stays in order: rooms of a size one can overlook, a test module per module."""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

import pytest

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
DOZEN = 12
LONG_FILES: dict[str, str] = {
    "tune/tables/history.py": "one fold, its questions, and the same of one screen of several",
}
"""Modules with more than 300 lines of code, and why."""


def _sources() -> list[Path]:
    return sorted(
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )


def _folders() -> list[Path]:
    return sorted({path.parent for path in _sources()})


def _lines_of_code(path: Path) -> int:
    """Lines that hold code: no docstring, no comment, no blank line."""
    text = path.read_text()
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_every_folder_is_a_package_that_says_what_lives_there_and_what_may_not() -> None:
    for folder in _folders():
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert docstring is not None, folder
        assert folder.name in PACKAGES or len(docstring.split("\n\n")) == 2, folder


def test_a_folder_has_at_most_a_dozen_modules() -> None:
    modules = Counter(path.parent for path in _sources())
    assert {folder: n for folder, n in modules.items() if n > DOZEN} == {}


def test_every_module_has_its_own_test_module() -> None:
    missing = []
    for path in _sources():
        *folders, name = path.relative_to(ROOT).with_suffix("").parts
        expected = (
            ROOT / "tests" / f"test_{folders[0]}_{name}.py"
            if len(folders) == 1
            else ROOT / "tests" / "_".join(folders) / f"test_{name}.py"
        )
        if not expected.is_file():
            missing.append(expected.relative_to(ROOT).as_posix())
    assert missing == []


def test_every_folder_of_tests_mirrors_a_folder_of_modules() -> None:
    mirrored = {"_".join(path.relative_to(ROOT).parts) for path in _folders()}
    found = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert found - mirrored <= {"helpers", "bench", "old", "__pycache__"}


def test_no_public_class_has_the_name_of_another() -> None:
    names = Counter(
        node.name
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_module_past_300_lines_of_code_gives_its_reason() -> None:
    long = {path.relative_to(ROOT).as_posix() for path in _sources() if _lines_of_code(path) > 300}
    assert long == set(LONG_FILES)


def test_lines_of_code_are_neither_docstrings_nor_comments(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    text = '"""Two\nlines."""\n\n# why\nX = 1\n\n\ndef f():\n    """Doc."""\n    return X\n'
    path.write_text(text)
    assert _lines_of_code(path) == 3


def test_the_top_level_stays_as_agreed() -> None:
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert found - NOT_KEPT == TOP_LEVEL


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_of_tests_shadows_a_package(package: str) -> None:
    assert not (ROOT / "tests" / package).exists()
