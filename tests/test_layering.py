"""Who may import whom: cluster → tune → hscl, folders downwards only, nothing heavy for --help."""

import ast
import itertools
import pkgutil
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from rooms import ORDER

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
        "from hscl.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as done: assert done.code == 0, done.code"
    )
    heavy = {"torch", "ray", "transformers", "optuna", "pandas", "sklearn", "plotly", "scipy"}
    assert _loaded_after(code) & heavy == set()


def test_whole_studies_are_simulated_without_ray() -> None:
    modules = ("detection", "runs", "sample_size", "study")
    loaded = _loaded_after("\n".join(f"import tune.simulate.{name}" for name in modules))
    assert "pyarrow" in loaded
    assert loaded & {"ray", "optuna", "torch"} == set()


def test_only_the_sampler_what_its_model_is_told_and_the_file_for_optuna_import_it() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in ("tune", "cluster")
        for path in (ROOT / package).rglob("*.py")
        if "optuna" in _imported_names(path)
    }
    names = ("run_model_sampler", "samplers", "told_trials")
    planner = {f"tune/planner/{name}.py" for name in names}
    assert users == planner | {"tune/views/optuna_trials.py"}


@cache
def _modules() -> dict[str, Path]:
    """Every module by its dotted name; a package's own `__init__` is no room but a door."""
    found = {}
    for package in ORDER:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name not in ORDER}


@cache
def _imports() -> dict[str, set[str]]:
    """Of each module, all that it imports: in functions and under TYPE_CHECKING too."""
    modules = _modules()
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        graph[name] = {one for one in found if one in modules} - {name}
    return graph


def _room(module: str) -> tuple[str, str]:
    """Package and room; a folder inside a room (hscl/data/readers) belongs to it."""
    package, *inner = module.split(".")
    named = {room for line in ORDER[package] for room in line.split()}
    return package, inner[0] if inner[0] in named else ""


def test_no_circle_of_imports_anywhere() -> None:
    assert len(list(TopologicalSorter(_imports()).static_order())) == len(_modules())


def test_every_room_has_its_place_in_the_order() -> None:
    folders = {path.parent.relative_to(ROOT).parts[:2] for path in _modules().values()}
    rooms = {folder for folder in folders if len(folder) == 2}
    assert len(rooms) > 15
    assert {room for room in rooms if _room(".".join(room)) != room} == set()


def test_rooms_import_downwards_only() -> None:
    level = {
        (package, room): n
        for package, lines in ORDER.items()
        for n, line in enumerate(lines)
        for room in line.split() or [""]
    }
    upwards = {
        (module, other)
        for module, others in _imports().items()
        for other in others
        if _room(module) != _room(other)
        and _room(module)[0] == _room(other)[0]
        and level[_room(other)] >= level[_room(module)]
    }
    assert upwards == set()


def test_planner_trial_and_evidence_do_not_know_each_other() -> None:
    apart = ("tune.planner", "tune.trial", "tune.evidence")
    for one, other in itertools.permutations(apart, 2):
        known = {name for m, found in _imports().items() if m.startswith(one) for name in found}
        assert [name for name in known if name.startswith(other)] == []
