"""`hscl report` as a user meets it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import fs
from study_factory import Simulated, write_study

from hscl.cli.main import main
from tune.report.html import GENERATOR
from tune.tables.storage import open_folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    what = Simulated(trials=8, refined=3)
    return write_study(tmp_path_factory.mktemp("cli-report") / "study", what)


@pytest.fixture
def study(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "study"))


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["report", *map(str, arguments)])
    code = left.value.code
    assert isinstance(code, int)
    return code


def _files(study: Path) -> dict[str, bytes]:
    return {
        path.relative_to(study).as_posix(): path.read_bytes()
        for path in study.rglob("*")
        if path.is_file()
    }


def test_it_writes_the_page_into_the_study_and_nothing_else(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(study)
    assert _run(study) == 0
    after = _files(study)
    assert set(after) - set(before) == {"report.html"}
    assert all(after[name] == content for name, content in before.items())
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"{study}/report.html"
    assert out[0].startswith("Use configuration ")
    assert "MAE" in out[1]
    assert _run(study) == 0  # an earlier report is replaced


def test_markdown_and_latex_go_to_standard_output_or_a_file(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(study)
    assert _run(study, "--markdown") == 0
    assert capsys.readouterr().out.startswith(f"<!-- {GENERATOR} -->\n# ")
    assert _run(study, "--latex") == 0
    assert r"\begin{tabular}" in capsys.readouterr().out
    assert _files(study) == before
    assert _run(study, "--latex", "--out", tmp_path / "table.tex") == 0
    assert (tmp_path / "table.tex").read_text().startswith(f"% {GENERATOR}")


def test_json_says_what_was_written_and_found(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(study, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == f"{study}/report.html"
    assert told["bytes"] == (study / "report.html").stat().st_size
    assert told["finished"] is True
    assert told["damages"] == []


def test_damage_is_a_warning_and_the_report_is_still_made(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = (study / "tables/reports").glob("*.parquet")
    file.write_bytes(b"PAR1")
    assert _run(study) == 0
    told = capsys.readouterr()
    assert f"hscl: warning: tables/reports/{file.name} is no whole Parquet file" in told.err
    assert (study / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{nowhere}"], "is not there"),
        (["{empty}"], "has no study.toml"),
        (["{study}", "--markdown", "--latex"], "must not be given together"),
        (["{study}", "--out", "{foreign}"], "must be free or an earlier report"),
        (["{study}", "--out", "{nowhere}/x.html"], "folder that exists"),
        (["s3://key:secret@bucket/run"], "must not carry credentials"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").write_text("mine")
    names = {
        "nowhere": tmp_path / "nowhere",
        "empty": tmp_path / "empty",
        "study": study,
        "foreign": tmp_path / "foreign",
    }
    before = _files(tmp_path)
    assert _run(*(argument.format(**names) for argument in arguments)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("hscl: error: ")
    assert words in told.err
    assert "Traceback" not in told.err
    assert "secret" not in told.err
    assert _files(tmp_path) == before


def test_a_study_on_object_storage_gets_its_report_there(
    sound: Path, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = open_folder(f"{bucket}/run")
    fs.copy_files(
        str(sound), there.path, fs.LocalFileSystem(), there.filesystem, use_threads=False
    )
    assert _run(f"{bucket}/run") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{bucket}/run/report.html"
    assert GENERATOR.encode() in there.read("report.html")[:8192]
    there.write("notes.txt", b"mine")
    assert _run(f"{bucket}/run", "--out", f"{bucket}/run/notes.txt") == 2
    assert there.read("notes.txt") == b"mine"
    assert _run(f"{bucket}/run", "--out", tmp_path / "here.html") == 0
    assert (tmp_path / "here.html").is_file()


def test_a_table_for_a_paper_before_there_is_anything_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path / "study", Simulated(until="screen", trials=6))
    assert _run(study, "--latex") == 1
    assert "needs runs to compare" in capsys.readouterr().err


def test_help_needs_none_of_the_heavy_parts() -> None:
    code = (
        "import sys\nfrom hscl.cli.main import main\n"
        "try: main(['report', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'plotly', 'pandas', 'scipy', 'torch', 'jinja2', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_plots_go_alone_and_need_a_browser(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plots = tmp_path / "plots"
    for other in (("--latex",), ("--markdown",), ("--out", tmp_path / "x.html")):
        assert _run(study, "--plots", plots, *other) == 2
        assert "--plots writes figures only" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _run(study, "--plots", plots) == 2
    assert "needs a Chromium or Chrome" in capsys.readouterr().err
    assert not plots.exists()
