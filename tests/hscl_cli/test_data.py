"""`hscl data` as a user runs it: exit codes, messages, and files."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from feature_files import assert_holds, known_rows, label_file, mmsa, mult, pickled

from hscl.cli.main import main
from hscl.data.dataset import Dataset

ROWS = known_rows()

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hscl(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `hscl data` in this process; gives exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["data", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    return run


def test_demo_then_check_is_sound(hscl: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo.arrow"
    code, said, _ = hscl("demo", "--out", out)
    assert code == 0
    assert "240 synthetic utterances (train 128, valid 48, test 64)" in said

    code, said, _ = hscl("check", out)
    assert code == 0
    assert "sound: nothing to complain of." in said


def test_demo_keeps_or_replaces_what_is_there_on_request_alone(hscl: Run, tmp_path: Path) -> None:
    out = tmp_path / "demo.arrow"
    hscl("demo", "--out", out, "--utterances", 90, "--seed", 3)
    before = out.read_bytes()

    assert hscl("demo", "--out", out)[0] == 2
    assert hscl("demo", "--out", out, "--keep")[:2] == (0, f"{out}: kept, 90 utterances.\n")
    assert out.read_bytes() == before
    assert hscl("demo", "--out", out, "--overwrite")[0] == 0
    assert len(Dataset.open(out)) == 240


def test_widths_of_the_demo_can_be_chosen(hscl: Run, tmp_path: Path) -> None:
    hscl("demo", "--out", tmp_path / "d", "--audio-width", 74, "--vision-width", 35)
    dataset = Dataset.open(tmp_path / "d")
    assert (dataset.audio_width, dataset.vision_width) == (74, 35)


def test_convert_writes_the_rows_and_says_so(hscl: Run, tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pkl", mult(ROWS))
    labels = label_file(tmp_path / "labels.csv", ROWS)

    code, said, _ = hscl("convert", source, "--text", labels, "--out", tmp_path / "out.arrow")

    assert code == 0
    assert "60 utterances (train 32, valid 12, test 16)" in said
    assert f"Next: hscl data check {tmp_path / 'out.arrow'}" in said
    assert_holds(tmp_path / "out.arrow", ROWS)


def test_convert_and_check_give_json(hscl: Run, tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pkl", mmsa(ROWS))
    out = tmp_path / "out.arrow"

    converted = json.loads(hscl("convert", source, "--out", out, "--json")[1])
    checked = json.loads(hscl("check", out, "--json")[1])

    assert converted["digest"] == checked["digest"] == Dataset.open(out).digest
    assert converted["padding"] == {"a.pkl": {"audio": "back", "vision": "back"}}
    assert checked["splits"]["valid"]["utterances"] == 12


def test_options_of_convert_reach_the_readers(hscl: Run, tmp_path: Path) -> None:
    content = mmsa(ROWS)
    content["train"]["audio_lengths"][0] = 1
    source = pickled(tmp_path / "a.pkl", content)
    out = tmp_path / "out.arrow"

    code, _, _ = hscl(
        "convert", source, "--out", out, "--lengths", "recorded", "--padding", "back"
    )

    assert code == 0
    assert Dataset.open(out).frames("audio").lengths[0] == 1  # type: ignore[union-attr]


def test_check_leaves_with_2_where_a_study_would_be_spoilt(hscl: Run, tmp_path: Path) -> None:
    rows = [replace(ROWS[0], split="test"), *ROWS[1:]]
    source = pickled(tmp_path / "a.pkl", mmsa(rows))
    hscl("convert", source, "--out", tmp_path / "out.arrow")

    code, said, err = hscl("check", tmp_path / "out.arrow")

    assert code == 2
    assert "must not have what would spoil a study; it has 1 problem(s), the first: 1 vid" in err
    assert "problem: 1 videos are in several splits, which leaks: demo_00 (test, train)." in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "nothing.pkl", "--out", "x"], "nothing.pkl can't be read: No such file"),
        (["convert", "--out", "x"], "Missing argument"),
        (["convert", "a.pkl"], "Missing option '--out'"),
        (["convert", "a.pkl", "--out", "x", "--padding", "left"], "'left' is not one of"),
        (["check", "nothing.arrow"], "there is no such file"),
        (["check", "."], "must be a data set of hscl"),
        (["demo", "--out", "x", "--utterances", "5"], "at least 60 utterances"),
        (["demo", "--out", "x", "--seed", "-1"], "must be 0 or more"),
        (["demo", "--out", "."], "must not exist yet"),
    ],
)
def test_wrong_usage_and_bad_input_leave_with_2_and_one_message(
    hscl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = hscl(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_module_loads_nothing_heavy() -> None:
    program = (
        "import sys, hscl.cli.data; "
        "print({'torch', 'pyarrow', 'numpy', 'rich', 'pandas'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "set()"
