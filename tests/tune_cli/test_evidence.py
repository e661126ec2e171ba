"""`hscl compare` and `hscl export` as a user meets them."""

import csv
import io
import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from study_factory import Simulated, write_study

from hscl.cli.main import main
from hscl.config_toml import load_config
from tune.evidence.gather import gather
from tune.states import Kind
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study

BETTER = Simulated(gap=-0.2, trials=8, refined=3, video_sd=0.01)
UNDECIDED = Simulated(gap=0.0, trials=8, refined=3, video_sd=0.2, name="open")


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("better") / "study", BETTER)


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("undecided") / "study", UNDECIDED)


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    code = left.value.code
    assert isinstance(code, int)
    return code


def _with_data(study: Path, to: Path, digest: str) -> Path:
    folder = Path(shutil.copytree(study, to))
    row = {"seq": 10**6, "kind": Kind.DATA.value, "note": digest}
    store = TableStore(folder)
    time = store.read("plan")["time"][0].as_py()
    store.append("plan", [row | {"time": time}])
    return folder


def test_compare_says_who_wins_on_both_questions(
    better: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("compare", better) == 0
    out = capsys.readouterr().out
    assert out.startswith("Use configuration ")
    assert "is better than the default" in " ".join(out.split())
    assert "On this test set:" in out
    assert "On videos like these:" in out


def test_compare_as_json_holds_the_comparison(
    better: Path, undecided: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("compare", better, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["primary"]["verdict"] == "better"
    assert told["folder"] == str(better)
    chosen = {"config_id": told["winner"], "is_default": False, "reason": None}
    assert told["use"].items() >= chosen.items()
    assert told["use"]["default_ahead"] == []
    assert told["use"]["cost"]["trainings"] == len(open_study(better).history.trials)
    assert told["learnt"]["config_id"] == told["winner"]
    assert told["learnt"]["split"] == "valid"
    assert _run("compare", undecided, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["primary"]["verdict"] == "undecided"
    assert told["primary"]["outlook"]["power"] < 0.8
    assert "better" not in json.dumps(told)


def test_compare_as_csv_and_parquet(
    better: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert _run("compare", better, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    assert rows[0]["verdict"] == "better"
    out = tmp_path / "pairs.parquet"
    assert _run("compare", better, "--format", "parquet", "--out", out) == 0
    assert pq.read_table(out).num_rows == len(rows) == 8


def test_a_study_without_pairs_says_why_and_keeps_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "study", Simulated(until="screen", trials=8))
    assert _run("compare", folder, "--format", "csv") == 0
    said = capsys.readouterr()
    assert said.out.startswith("study,folder,")
    assert len(said.out.splitlines()) == 1
    assert f"{folder} has no pair to compare: " in said.err
    assert len(said.err.split("compare: ")[1].strip()) > 20


def test_the_printed_comparison_goes_to_a_file(better: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.txt"
    assert _run("compare", better, "--out", out) == 0
    assert "is better than" in " ".join(out.read_text().split())


def test_several_studies_stand_side_by_side(
    better: Path, undecided: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("compare", better, undecided, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["primary"]["verdict"] for one in told["studies"]] == ["better", "undecided"]
    assert _run("compare", better, undecided) == 0
    out = capsys.readouterr().out
    assert "undecided" in out
    assert "differences within each study" in out


def test_studies_on_different_data_or_metrics_are_not_mixed(
    better: Path, undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = _with_data(better, tmp_path / "one", "aa" * 32)
    other = _with_data(undecided, tmp_path / "other", "bb" * 32)
    assert _run("compare", one, other) == 2
    said = capsys.readouterr().err
    assert "one data set" in said
    assert "aaaaaaaaaaaa" in said
    assert _run("compare", one, undecided) == 0
    assert f"on which data {undecided} ran is not recorded" in capsys.readouterr().err
    by_corr = write_study(tmp_path / "corr", Simulated(trials=8, refined=3, metric="corr"))
    assert _run("compare", better, by_corr) == 2
    assert "one metric" in capsys.readouterr().err


def test_a_running_study_is_compared_on_valid_without_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for until in ("screen", "refine", "confirm"):
        folder = write_study(tmp_path / until, Simulated(until=until, trials=8, refined=3))
        assert _run("compare", folder, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["split"] == "valid"
        assert not told["primary"] or told["primary"]["verdict"] is None
        assert "better" not in json.dumps(told)


def test_a_damaged_file_is_named_and_the_rest_compared(
    better: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(better, tmp_path / "hurt"))
    (folder / "tables" / "reports" / "00000000-00000000.parquet").write_bytes(b"PAR1 no more")
    assert _run("compare", folder) == 0
    said = capsys.readouterr()
    assert "tables/reports/00000000-00000000.parquet" in said.err
    assert "better" in said.out


def test_a_lost_plan_leaves_no_verdict(
    better: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(better, tmp_path / "hurt"))
    (folder / "tables" / "plan" / "00000000-00000000.parquet").write_bytes(b"")
    assert _run("compare", folder, "--json") == 0
    said = capsys.readouterr()
    assert "tables/plan" in said.err
    assert "better" not in said.out


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_that_is_no_study_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert _run("compare", tmp_path / name) == 2
    said = capsys.readouterr().err
    assert "must be the folder of a study" in said
    assert "Traceback" not in said


def test_wrong_use_is_refused(better: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("compare", better, "--json", "--format", "csv") == 2
    assert _run("compare") == 2
    assert _run("export", better) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".toml", ".json", ".yaml"])
def test_export_writes_what_training_reads(
    better: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"best{suffix}"
    assert _run("export", better, "--out", out) == 0
    said = capsys.readouterr().out
    assert "is better than" in said
    assert f"hscl train {out}" in said
    comparison = gather(open_folder(str(better))).comparison
    assert comparison is not None
    assert load_config(out).config_id == comparison.winner


def test_export_never_overwrites_unless_told_to(
    better: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "best.toml"
    out.write_text("mine")
    assert _run("export", better, "--out", out) == 2
    assert "must not exist" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert _run("export", better, "--out", out, "--overwrite") == 0
    assert out.read_text() != "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["best.toml"]


def test_only_if_better_writes_nothing_else_and_exits_with_one(
    better: Path, undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "best.toml"
    assert _run("export", undecided, "--out", out, "--only-if-better") == 1
    assert "is undecided; nothing was written" in capsys.readouterr().err
    assert not out.exists()
    assert _run("export", better, "--out", out, "--only-if-better") == 0
    assert out.exists()


def test_only_if_better_names_the_verdict_on_a_winner_that_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_study(tmp_path / "study", replace(BETTER, gap=0.2))
    out = tmp_path / "best.toml"
    assert _run("export", folder, "--out", out, "--only-if-better") == 1
    assert "must be 'better', but is worse; nothing was written" in capsys.readouterr().err


def test_an_undecided_winner_is_exported_with_a_loud_line(
    undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "best.toml"
    assert _run("export", undecided, "--out", out) == 0
    assert capsys.readouterr().out.startswith("UNDECIDED")
    assert _run("export", undecided, "--out", tmp_path / "again.toml", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "undecided"
    assert told["exported"] == "winner"


def test_a_dash_is_standard_output_and_no_file(
    better: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("export", better, "--out", "-") == 0
    said = capsysbinary.readouterr()
    evidence = tomllib.loads(said.out.decode())["evidence"]
    assert evidence["verdict"] == "better"
    assert b"is better than the default" in said.err
    assert not list(tmp_path.iterdir())
    assert _run("export", better, "--out", "-", "--json") == 2


def test_a_place_that_cannot_be_written_is_refused(
    better: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for name in ("no/best.toml", "file/best.toml", 300 * "a", "."):
        assert _run("export", better, "--out", tmp_path / name, "--overwrite") == 2
        assert "can be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert _run("export", better, "--out", ".", "--overwrite") == 2


def test_reading_commands_leave_the_study_as_it_was(better: Path, tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in better.rglob("*") if path.is_file()}

    before = files()
    assert _run("compare", better) == 0
    assert _run("export", better, "--out", tmp_path / "best.toml") == 0
    assert files() == before


def test_simulate_answers_how_many_seeds_and_videos(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--gap", "0.05", "--seeds", "6,10", "--videos", "31", "--studies", "20")
    assert _run("simulate", *arguments) == 0
    out = capsys.readouterr().out
    assert "Share of studies that find a true difference of 0.05" in out
    assert "seeds needed, by test videos: " in out
    assert "test videos needed, by seeds: " in out
    assert _run("simulate", *arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["seeds"] for cell in told["cells"]] == [6, 10]


def test_simulate_takes_what_varies_from_a_study(
    undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("simulate", "--from", undecided, "--studies", "0", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    comparison = gather(open_folder(str(undecided))).comparison
    assert comparison is not None
    assert comparison.primary is not None
    assert comparison.primary.spread is not None
    assert told["spread"]["video"] == comparison.primary.spread.video
    assert (
        _run("simulate", "--from", undecided, "--video-sd", "0.5", "--studies", "0", "--json") == 0
    )
    assert json.loads(capsys.readouterr().out)["spread"]["video"] == 0.25
    early = write_study(tmp_path / "early", Simulated(until="screen", trials=6))
    assert _run("simulate", "--from", early) == 2
    assert "has none (yet)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--gap", "0"),
        ("--gap", "nan"),
        ("--gap", "inf"),
        ("--seed-sd", "inf"),
        ("--error-sd", "1e200"),
        ("--seeds", "4"),
        ("--seeds", "ten"),
        ("--videos", "7,31"),
        ("--videos", ""),
        ("--video-sd", "-1"),
        ("--looks", "0"),
    ],
)
def test_simulate_refuses_what_makes_no_study(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("simulate", *arguments, "--studies", "0") == 2
    said = capsys.readouterr().err
    assert arguments[0] in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of two models on eight seeds, as a script of ten lines writes them."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(-3, 3, 60)
    path = tmp_path_factory.mktemp("results") / "results.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "seed", "utterance", "video", "prediction", "label"])
        for model, error in (("their_s", 0.9), ("ours", 0.5)):
            for seed in range(8):
                for k, y in enumerate(labels):
                    p = y + rng.normal(0, error)
                    writer.writerow([model, seed, k % 5, f"v{k // 5}", p, y])
    return path


def test_predictions_made_elsewhere_get_the_same_judgement(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("compare", "--predictions", results) == 0
    out = capsys.readouterr().out
    assert "ours is better than their_s, among runs that do not collapse: test MAE" in out
    assert "MAE on test, 8 seeds" in out
    assert "None" not in out
    assert _run("compare", "--predictions", results, "--against", "ours", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["primary"]["verdict"] == "worse"
    assert told["phase"] is None
    assert _run("compare", "--predictions", results, "--metric", "corr", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[0]["metric"], rows[0]["verdict"], rows[0]["role"]) == (
        "corr",
        "better",
        "primary",
    )
    assert len(rows) == 8


def test_a_papers_table_of_them_names_the_model_that_they_are_compared_with(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("compare", "--predictions", results, "--format", "latex") == 0
    out = capsys.readouterr().out
    assert r"equivalent to their\_s on new videos" in out
    assert out.splitlines()[0].startswith("%")
    assert re.search(r"^ours\$\^\{\+\}\$ & \$0\.\d+ ", out, re.MULTILINE)


def test_all_that_is_known_of_them_is_a_page_or_markdown(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "their page.html"
    assert _run("compare", "--predictions", results, "--format", "html", "--out", page) == 0
    told = page.read_text()
    assert "<h1>Ours is better than their_s, among runs that do not collapse" in told
    assert 'id="plot-forest"' in told
    arguments = ("--predictions", results, "--against", "ours", "--format", "markdown")
    assert _run("compare", *arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("<!-- hscl compare -->\n# Their\\_s is worse than ours")
    assert f"hscl compare --predictions {results} --against ours\n" in out


def test_predictions_and_studies_do_not_mix(
    results: Path, better: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        ((), "either study folders or --predictions FILE"),
        ((better, "--predictions", results), "and not both"),
        ((better, "--margin", "0.1"), "--margin belongs to --predictions"),
        ((better, "--format", "latex"), "for a study: hscl report --latex"),
        ((better, "--format", "html"), "for a study: hscl report\n"),
    ):
        assert _run("compare", *arguments) == 2
        assert message in capsys.readouterr().err
