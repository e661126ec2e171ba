"""What travels is chosen by what it is: no data, no secrets, no results."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from places import ROOT

from cluster.jobs import shipping
from cluster.jobs.shipping import encoders_of, pack
from hscl.errors import InputError
from tune.study.spec import StudySpec
from tune.study.toml import STUDY_FILE, load_spec, parse_spec

SPACE = {"loss.temperature": {"uniform": [0.1, 0.9]}}


def _spec(**base: object) -> StudySpec:
    return parse_spec({"base": base, "space": SPACE})


def test_without_code_only_the_study_travels_and_reads_back_equal(tmp_path: Path) -> None:
    spec = _spec()
    shipment = pack(spec, with_code=False)
    assert [name for name, _ in shipment.listing] == [STUDY_FILE]
    staged = shipment.stage(tmp_path)
    assert set(staged) == {"working_dir"}
    assert load_spec(Path(str(staged["working_dir"])) / STUDY_FILE) == spec


def test_a_preset_that_is_a_file_travels_inside_the_study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[train]\nlr = 0.0123\n")
    (tmp_path / "s.toml").write_text(
        '[base]\npreset = "mine.toml"\n[space]\n"loss.alpha" = { uniform = [0.1, 0.9] }\n'
    )
    spec = load_spec(tmp_path / "s.toml")
    away = tmp_path / "away"
    away.mkdir()
    staged = pack(spec, with_code=False).stage(away)
    (tmp_path / "mine.toml").unlink()
    there = load_spec(Path(str(staged["working_dir"])) / STUDY_FILE)
    assert there.base.train.lr == 0.0123
    assert there.digest == spec.digest


def test_the_code_that_travels_is_what_the_wheel_holds(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "git",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            *("hscl", "tune", "cluster"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = {
        name
        for name in done.stdout.splitlines()
        if (ROOT / name).is_file()
        and not (ROOT / name).is_symlink()  # no link travels, wherever it leads
        and not name.endswith("ruff.toml")
    }
    sent = {name for name, _ in pack(_spec(), with_code=True).listing}
    assert {name for name in sent if ".dist-info/" not in name} - {STUDY_FILE} == tracked


def test_nothing_beside_the_packages_travels_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "hscl"
    for name in (
        "__init__.py",
        "config.py",
        "py.typed",
        ".env",
        "secrets.env",
        "mosi.arrow",
        "data.pkl",
        "notes.ipynb",
        "auth_token",
        "runs/tables/a.parquet",
        ".git/config",
        "__pycache__/x.pyc",
        "model/__init__.py",
        "model/weights.safetensors",
        ".ipynb_checkpoints/x.py",
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x")
    (package / "linked.py").symlink_to("/etc/passwd")
    monkeypatch.setattr(shipping, "_PACKAGES", ("hscl",))
    sent = _sent_from(package, monkeypatch)
    assert sent == {
        "hscl/__init__.py",
        "hscl/config.py",
        "hscl/py.typed",
        "hscl/model/__init__.py",
    }


def _sent_from(package: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found = importlib.machinery.ModuleSpec(package.name, None, is_package=True)
    found.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    return {
        name
        for name, _ in pack(_spec(), with_code=True).listing
        if ".dist-info/" not in name and name != STUDY_FILE
    }


def test_shipped_code_runs_where_nothing_of_it_is_installed(tmp_path: Path) -> None:
    """Unpacked as Ray does it, the command and its version are found on the path alone."""
    staged = pack(_spec(), with_code=True).stage(tmp_path)
    modules = staged["py_modules"]
    assert isinstance(modules, list)
    folders = []
    for module in map(Path, modules):  # Ray unpacks each into a folder of its own
        target = tmp_path / "unpacked" / module.name
        target.mkdir(parents=True)
        module.rename(target / module.name)
        folders.append(str(target))
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p != ''];"
        f"sys.path[:0] = {folders!r};"
        "import hscl, tune, cluster;"
        f"assert all({str(tmp_path)!r} in m.__file__ for m in (hscl, tune, cluster));"
        "from importlib.metadata import distribution;"
        f"d = distribution('hscl-search'); assert {str(tmp_path)!r} in str(d.locate_file(''));"
        f"assert d.version == {version('hscl-search')!r};"
        "from hscl.cli.main import main; main(['cluster', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout


def test_the_metadata_that_travel_hold_no_path_of_this_machine() -> None:
    files = {str(f.name): f.content for f in pack(_spec(), with_code=True).code}
    meta = [name for name in files if ".dist-info/" in name]
    assert {Path(name).name for name in meta} == {"METADATA", "entry_points.txt"}
    assert all(files[name] for name in meta)
    assert not any(str(ROOT).encode() in files[name] for name in meta)


def test_every_encoder_that_the_study_may_use_is_looked_for() -> None:
    spec = parse_spec(
        {
            "space": SPACE | {"model.text.encoder": {"choice": ["minilm", "/models/bert"]}},
            "known": [{"name": "other", "model.text.encoder": "/models/roberta"}],
        }
    )
    assert encoders_of(spec) == ["/models/bert", "/models/roberta", "minilm"]


@pytest.mark.parametrize("encoder", ["./mine", "../mine", "~/mine"])
def test_an_encoder_beside_the_study_is_refused_as_it_would_be_missing_there(encoder: str) -> None:
    known = {"name": "mine", "model.text.encoder": encoder}
    searched = {"model.text.encoder": {"choice": ["minilm", encoder]}}
    for spec in (
        _spec(**{"model.text.encoder": encoder}),
        parse_spec({"space": SPACE, "known": [known]}),
        parse_spec({"space": SPACE | searched}),
    ):
        with pytest.raises(InputError, match="absolute folder that every node has"):
            pack(spec, with_code=False)


def test_more_than_ray_takes_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "_LIMIT", 1000)
    with pytest.raises(InputError, match="install them on the nodes"):
        pack(_spec(), with_code=True)
