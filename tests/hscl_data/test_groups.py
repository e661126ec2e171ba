"""Speakers from a file of their own, into the data set and through to who crosses splits."""

from pathlib import Path

import pytest

from hscl.data.check.checks import check
from hscl.data.convert import convert, from_arrays
from hscl.data.dataset import Dataset
from hscl.data.groups import read_groups
from hscl.data.splits import open_split
from hscl.errors import InputError

COLUMNS = {
    "video": ["a", "a", "b", "c", "d"],
    "utterance": ["1", "2", "1", "1", "1"],
    "split": ["train", "train", "train", "valid", "test"],
    "label": [0.5, -1.0, 2.0, 1.0, 0.0],
    "text": ["one", "two", "three", "four", "five"],
}


def _file(folder: Path, text: str) -> Path:
    path = folder / "groups.csv"
    path.write_text(text)
    return path


def _digest(folder: Path, **more: list[str | None]) -> str:
    return from_arrays(folder / "x.arrow", COLUMNS | more, overwrite=True).digest


def test_speakers_come_from_a_column_or_a_file_of_groups_and_are_the_same_data(
    tmp_path: Path,
) -> None:
    speakers: list[str | None] = ["Ann", "Bob", "Ann", None, "Ann"]
    by_column = _digest(tmp_path, speaker=speakers)
    assert by_column != _digest(tmp_path)
    groups = _file(tmp_path, "video_id,clip_id,speaker\na,,Ann\na,2,Bob\nb,,Ann\nd,,Ann\n")
    told = convert([str(tmp_path / "x.arrow")], tmp_path / "y.arrow", groups=groups)
    assert told.digest == by_column
    assert told.speakers == 2
    opened = Dataset.open(tmp_path / "y.arrow")
    assert [row.speaker for row in opened.all_rows()] == speakers
    assert open_split(opened, "train").speakers == ["Ann", "Bob", "Ann"]
    again = convert([str(tmp_path / "y.arrow")], tmp_path / "z.arrow")  # kept on the way
    assert again.digest == by_column


def test_a_set_that_names_nobody_is_written_as_before_there_were_speakers(tmp_path: Path) -> None:
    assert _digest(tmp_path, speaker=[None] * 5) == _digest(tmp_path)
    opened = Dataset.open(tmp_path / "x.arrow")
    assert not opened.names_speakers
    assert opened.metadata["schema_version"] == 1
    assert "speakers" not in opened.metadata
    assert open_split(opened, "train").speakers is None


def test_the_check_names_speakers_that_cross_splits_and_too_few_of_them(tmp_path: Path) -> None:
    _digest(tmp_path, speaker=["Ann", "Bob", "Ann", None, "Ann"])
    report = check(Dataset.open(tmp_path / "x.arrow"))
    assert report.crossing_speakers == {"Ann": ["test", "train"]}
    assert report.speakers == {"train": 2, "valid": 1, "test": 1}
    assert any(
        "speakers in several splits, so that no claim is about new ones: 1; Ann (test, train)"
        in told
        for told in report.warnings
    )
    assert any("speakers in test: 1," in told for told in report.warnings)
    _digest(tmp_path)
    silent = check(Dataset.open(tmp_path / "x.arrow"))
    assert not any("speakers" in told for told in silent.warnings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,speaker\na,Ann\n", "must have the columns video_id and speaker"),
        ("video_id,speaker\n", "it names none"),
        ("video_id,speaker\na,\n", "must not be empty"),
        ("video_id,speaker\na,Ann\na,Bob\n", "a is there twice"),
    ],
)
def test_a_wrong_file_of_groups_is_refused_with_what_must_hold(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_groups(_file(tmp_path, text))


def test_groups_whose_clips_are_spelled_otherwise_are_refused(tmp_path: Path) -> None:
    _digest(tmp_path)
    groups = _file(tmp_path, "video_id,clip_id,speaker\nq,1,Ann\na,0001,Ann\na,0002,Ann\n")
    with pytest.raises(
        InputError, match=r"names an utterance of .* of video 'a' it has '0001', the features '2'"
    ):
        convert([str(tmp_path / "x.arrow")], tmp_path / "y.arrow", groups=groups)
    assert not (tmp_path / "y.arrow").exists()


def test_lines_of_groups_that_name_no_utterance_are_counted(tmp_path: Path) -> None:
    _digest(tmp_path)
    groups = _file(tmp_path, "video_id,clip_id,speaker\na,1,Ann\na,0002,Ann\nq,,Bob\nb,,Bob\n")
    told = convert([str(tmp_path / "x.arrow")], tmp_path / "y.arrow", groups=groups)
    assert told.speakers == 2
    assert told.remarks == [
        "2 lines of groups.csv name no utterance, such as video a, utterance 0002."
    ]


def test_groups_of_other_videos_are_refused(tmp_path: Path) -> None:
    _digest(tmp_path)
    groups = _file(tmp_path, "video_id,speaker\nq,Ann\n")
    with pytest.raises(InputError, match="names a video of these features; it has 'q'"):
        convert([str(tmp_path / "x.arrow")], tmp_path / "y.arrow", groups=groups)
