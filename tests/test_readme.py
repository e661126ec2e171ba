"""The README cannot lie: its commands run, its references are generated from the code.

Renew the generated parts with `PYTHONPATH=tests/helpers python tests/test_readme.py`.
"""

import ast
import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import BaseModel
from rooms import ORDER

from hscl.config import Config
from tune.tables.schemas import SCHEMAS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BIN = Path(sys.executable).parent
NEEDS_A_CLUSTER = "needs-cluster"


def _blocks(language: str) -> list[tuple[str, str]]:
    """(info string after the language, content) of every fenced block of a language."""
    pattern = rf"^```{language}\b[ ]*([^\n]*)\n(.*?)^```$"
    return re.findall(pattern, README.read_text(), re.DOTALL | re.MULTILINE)


def _commands() -> list[str]:
    """The command lines that need no cluster, in order."""
    return [
        line
        for info, block in _blocks("sh")
        if NEEDS_A_CLUSTER not in info
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


def _leaves_of(value: BaseModel, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in type(value).model_fields.items():
        inner = getattr(value, name)
        if isinstance(inner, BaseModel):
            yield from _leaves_of(inner, f"{prefix}{name}.")
        else:
            yield _row(prefix + name, field.annotation, inner, field.description or "")


def _row(name: str, kind: object, value: object, text: str) -> tuple[str, str, str, str]:
    choices = getattr(kind, "__args__", None)
    shown = (
        " \\| ".join(f"`{c}`" for c in choices)
        if choices
        else f"`{getattr(kind, '__name__', kind)}`"
    )
    return (
        f"`{name}`",
        shown,
        f"`{str(value).lower() if isinstance(value, bool) else value}`",
        " ".join(text.split()),  # a line that ends inside a row ends the table
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def configuration_reference() -> str:
    """Every key of the configuration with its type, default and meaning."""
    rows = list(_leaves_of(Config(), ""))
    return _table(("key", "values", "default (`mosi`)", "meaning"), [*rows])


def tables_reference() -> str:
    """Every column of every table."""
    parts = []
    for name, schema in SCHEMAS.items():
        assert isinstance(schema, pa.Schema)
        columns = ", ".join(f"`{field.name}` {field.type}" for field in schema)
        parts.append((f"`{name}`", columns))
    return _table(("table", "columns"), parts)


def rooms_reference() -> str:
    """The tree of folders, lowest first: each with the first line of its docstring.

    What lies directly in a package is named, as it has no docstring of its own.
    """
    lines = []
    for package, order in ORDER.items():
        lines.append(_tree_line(ROOT / package))
        modules = sorted(p.stem for p in (ROOT / package).glob("*.py") if p.stem != "__init__")
        lines.append(f"  {'*.py':<14} {', '.join(modules)}")
        for room in (room for line in order for room in line.split()):
            inits = sorted((ROOT / package / room).rglob("__init__.py"))
            lines += [_tree_line(init.parent) for init in inits]
    return "\n".join(["```text", *lines, "```"])


def _tree_line(folder: Path) -> str:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    indent = "  " * (len(folder.relative_to(ROOT).parts) - 1)
    return f"{indent + folder.name + '/':<16} {said.splitlines()[0]}"


GENERATED: dict[str, Callable[[], str]] = {
    "tables": tables_reference,
    "configuration": configuration_reference,
    "rooms": rooms_reference,
}


def renewed(text: str) -> str:
    """The README with its generated parts made anew."""
    for name, make in GENERATED.items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, rest = text.split(start)
        text = before + start + make() + "\n" + end + rest.split(end, 1)[1]
    return text


def test_the_generated_references_are_current() -> None:
    assert README.read_text() == renewed(README.read_text()), (
        "run: PYTHONPATH=tests/helpers python tests/test_readme.py"
    )


def test_links_inside_the_repository_resolve() -> None:
    text = README.read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_place_that_contributing_names_is_there() -> None:
    table = (ROOT / ".github/CONTRIBUTING.md").read_text().split("## Where is")[1].split("##")[0]
    places = re.findall(r"`((?:hscl|tune|cluster)/[\w./]*)`", table)
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_every_toml_block_is_toml() -> None:
    assert [tomllib.loads(block) for _, block in _blocks("toml")]


@pytest.mark.slow
def test_make_search_ends_with_winner_difference_and_next_steps(tmp_path: Path) -> None:
    assert "make search" in _commands()
    done = subprocess.run(
        ["make", "search", f"OUT={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for word in ("winner", "default", "hscl export"):
        assert word in done.stdout


def test_the_path_of_a_user_runs_as_written(shared: Path, tmp_path: Path) -> None:
    mosi = shared / "data" / "mosi"
    splits = pickle.loads((mosi / "mosi_data_noalign_10videos.pkl").read_bytes())
    third = {name: {key: v[::3] for key, v in of.items()} for name, of in splits.items()}
    (tmp_path / "mosi_data.pkl").write_bytes(pickle.dumps(third))  # what takes a third of the time
    shutil.copy(mosi / "MOSI-label.csv", tmp_path)
    study = next(block for _, block in _blocks("toml") if "[study]" in block)
    (tmp_path / "study.toml").write_text(study)
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HSCL_CACHE": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
    }
    commands = [line for line in _commands() if not line.startswith("make ")]
    assert len(commands) > 8
    for line in commands:
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
