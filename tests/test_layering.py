"""Who may import whom: cluster → tune → hscl, never back, and nothing heavy for --help."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import hscl

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "hscl": {"ray", "optuna", "tune", "cluster"},
    "tune": {"cluster"},
}


def _loaded_after(code: str) -> set[str]:
    """The top-level modules of a fresh process that has run some code."""
    report = "import sys; print('\\n' + ' '.join({n.split('.')[0] for n in sys.modules}))"
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(out.stdout.splitlines()[-1].split())


def _imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_every_module_of_hscl_loads_without_ray_and_optuna() -> None:
    modules = [
        info.name for info in pkgutil.walk_packages([str(Path(hscl.__file__).parent)], "hscl.")
    ]
    assert len(modules) > 20
    loaded = _loaded_after("\n".join(f"import {name}" for name in modules))
    assert "torch" in loaded
    assert loaded & FORBIDDEN["hscl"] == set()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_points_upwards_even_inside_a_function(package: str) -> None:
    found = {
        (path.name, name)
        for path in (ROOT / package).rglob("*.py")
        for name in _imported_names(path) & FORBIDDEN[package]
    }
    assert found == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["data", "--help"], ["search", "--help"], ["train", "--help"]]
)
def test_help_loads_neither_torch_nor_ray(arguments: list[str]) -> None:
    code = (
        "from hscl.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as done: assert done.code == 0, done.code"
    )
    heavy = {"torch", "ray", "transformers", "optuna", "pandas", "sklearn", "plotly", "scipy"}
    assert _loaded_after(code) & heavy == set()


def test_only_the_sampler_and_what_its_model_is_told_import_optuna() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in ("tune", "cluster")
        for path in (ROOT / package).rglob("*.py")
        if "optuna" in _imported_names(path)
    }
    assert users == {"tune/samplers.py", "tune/told_trials.py"}
