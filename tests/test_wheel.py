"""The built wheel, installed away from the checkout, brings everything it needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel was built, from a copy so that the checkout stays clean; with its log."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    with (folder / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "-w", folder, source],
            check=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    return next(folder.glob("hscl_search-*.whl"))


def test_nothing_is_warned_of_when_it_is_built(folder: Path) -> None:
    log = (folder / "log").read_text()
    assert "tune/report/templates/report.css" in log  # the build's own output is there
    told = [line for line in log.splitlines() if "importable" in line or "Deprecated" in line]
    assert told == []


def test_the_wheel_holds_every_module_template_and_study(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("hscl", "tune", "cluster")
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and path.name != "ruff.toml"
        and ".ruff_cache" not in path.parts
    }
    assert wanted - packed == set()


def test_the_command_runs_from_the_wheel_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True,
        capture_output=True,
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "import hscl, tune; assert 'site' in hscl.__file__ and 'site' in tune.__file__;"
        "from hscl.cli.main import main; main(sys.argv[1:])"
    )
    for arguments in (["--help"], ["data", "demo", "--out", "demo.arrow"], ["studies"]):
        done = subprocess.run(
            [sys.executable, "-c", code, site, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo.arrow").is_file()
