"""Checking a data set: what is counted is what a plain loop counts, and faults are found."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_files import AUDIO, VISION, known_rows

from hscl.data.check.checks import check
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo
from hscl.data.schema import (
    Utterance,
    arrow_schema,
    digest_of,
    file_metadata,
    write_utterances,
)

ROWS = known_rows()


def _dataset(path: Path, rows: list[Utterance], digest: str | None = None) -> Dataset:
    metadata = file_metadata(
        digest=digest or digest_of(rows), source="test", audio_width=AUDIO, vision_width=VISION
    )
    write_utterances(path, rows, arrow_schema(AUDIO, VISION, metadata))
    return Dataset.open(path)


def test_a_sound_set_has_nothing_to_complain_of(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo.arrow")
    report = check(Dataset.open(tmp_path / "demo.arrow"))
    assert report.problems == []
    assert report.warnings == []
    assert report.utterances == 240


def test_facts_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    rows = [replace(row, audio=None if k % 9 == 0 else row.audio) for k, row in enumerate(ROWS)]
    report = check(_dataset(tmp_path / "x.arrow", rows))

    for name, facts in report.splits.items():
        part = [row for row in rows if row.split == name]
        assert facts.utterances == facts.labelled == len(part)
        assert facts.videos == len({row.video for row in part})
        rounded = [round(row.label) for row in part if row.label is not None]  # halves to even
        assert facts.labels == {f"{k:+d}" if k else "0": rounded.count(k) for k in range(-3, 4)}
        for modality in ("audio", "vision"):
            found = facts.modalities[modality]
            frames = [f for f in (getattr(row, modality) for row in part) if f is not None]
            lengths = sorted(len(f) for f in frames)
            assert (found.present, found.missing) == (len(frames), len(part) - len(frames))
            assert found.longest == lengths[-1]
            assert found.median == np.median(lengths)
            assert found.zero_frames == sum(not any(frame) for f in frames for frame in f)
        assert facts.modalities["text"].longest == max(len(str(r.text).split()) for r in part)


def test_constant_features_are_those_of_train(tmp_path: Path) -> None:
    rows = []
    for row in ROWS:
        assert row.audio is not None
        audio = row.audio.copy()
        audio[:, 1] = 5.0 if row.split == "train" else audio[:, 1]
        audio[:, 2] = audio[:, 2] if row.split == "train" else 5.0
        rows.append(replace(row, audio=audio))

    report = check(_dataset(tmp_path / "x.arrow", rows))

    assert report.constant == {"audio": [1], "vision": []}
    assert "audio features that never change: 1." in report.warnings


def test_videos_that_cross_splits_are_a_problem(tmp_path: Path) -> None:
    rows = [replace(ROWS[0], split="test"), *ROWS[1:]]
    report = check(_dataset(tmp_path / "x.arrow", rows))
    assert report.crossing_videos == {"demo_00": ["test", "train"]}
    assert "1 videos are in several splits, which leaks: demo_00 (test, train)." in report.problems


def test_equal_contents_under_two_names_are_found(tmp_path: Path) -> None:
    copy = replace(ROWS[0], video=ROWS[-1].video, utterance="copy", split="test")
    yes = [replace(r, utterance=f"yes{k}", text="yes", audio=None, vision=None)
           for k, r in enumerate(ROWS[:2])]  # fmt: skip
    report = check(_dataset(tmp_path / "x.arrow", [*ROWS, copy, *yes]))
    assert report.duplicates == [["demo_00/1 (train)", "demo_29/copy (test)"]]


def test_content_that_was_changed_afterwards_is_a_problem(tmp_path: Path) -> None:
    report = check(_dataset(tmp_path / "x.arrow", ROWS, hashlib.sha256(b"other").hexdigest()))
    assert report.content_digest == digest_of(ROWS)
    assert any("the content is not what was converted" in problem for problem in report.problems)


def test_a_name_that_is_there_twice_is_a_problem(tmp_path: Path) -> None:
    report = check(_dataset(tmp_path / "x.arrow", [*ROWS, replace(ROWS[3], text="other")]))
    assert report.names_twice == ["demo_01/2"]
    assert "utterances are there twice: demo_01/2." in report.problems


def test_an_unlabelled_set_without_splits_is_counted(tmp_path: Path) -> None:
    rows = [replace(row, split=None, label=None, text=None) for row in ROWS]
    report = check(_dataset(tmp_path / "x.arrow", rows))
    assert report.splits["none"].utterances == 60
    assert report.splits["none"].labelled == 0
    assert len(report.without_words) == 60
    assert len(report.problems) == 3


def test_the_real_file_has_its_known_facts(tmp_path: Path, shared: Path) -> None:
    from hscl.data.convert import convert

    folder = shared / "data" / "mosi"
    convert(
        [str(folder / "mosi_data_noalign_10videos.pkl")],
        tmp_path / "mosi.arrow",
        text=folder / "MOSI-label.csv",
    )
    report = check(Dataset.open(tmp_path / "mosi.arrow"))

    assert report.problems == []
    splits = report.splits.values()
    assert [facts.videos for facts in splits] == [5, 2, 3]
    assert sum(facts.modalities["vision"].zero_frames for facts in splits) == 18
    assert sum(facts.modalities["audio"].zero_frames for facts in splits) == 5
    assert report.warnings[-2].startswith("180 have another split in the label file")
    assert report.warnings[-1] == "1970 lines of the label file name no utterance."


@pytest.mark.parametrize("rows", [[], ROWS[:1]])
def test_tiny_sets_are_checked_without_an_error(tmp_path: Path, rows: list[Utterance]) -> None:
    report = check(_dataset(tmp_path / "x.arrow", rows))
    assert any("no utterance in valid" in problem for problem in report.problems)


def test_utterances_in_no_split_are_no_leak(tmp_path: Path) -> None:
    rows = [replace(row, split=None) if k % 7 == 0 else row for k, row in enumerate(ROWS)]
    assert check(_dataset(tmp_path / "x.arrow", rows)).problems == []


def test_values_that_are_no_measurement_are_named_with_their_utterance(tmp_path: Path) -> None:
    audio = np.array([[1.0, -1.7e38, 2.0], [1e10, 0.0, 9.9e9]], np.float32)
    report = check(_dataset(tmp_path / "x.arrow", [replace(ROWS[0], audio=audio), *ROWS[1:]]))
    named = ["demo_00/1, feature 1: -1.7e+38", "demo_00/1, feature 0: 1e+10"]
    assert report.too_large == {"audio": (2, named)}
    assert "2 values of audio are 1e+10 or more" in report.problems[0]


def test_labels_of_the_narrow_range_are_counted_by_fifths(tmp_path: Path) -> None:
    rows = [replace(row, label=(k % 11 - 5) / 5) for k, row in enumerate(ROWS)]
    metadata = file_metadata(
        digest=digest_of(rows), source="t", audio_width=AUDIO, vision_width=VISION, label_range=1.0
    )
    write_utterances(tmp_path / "x.arrow", rows, arrow_schema(AUDIO, VISION, metadata))
    (train, *_) = check(Dataset.open(tmp_path / "x.arrow")).splits.values()
    assert list(train.labels) == [
        "-1.0", "-0.8", "-0.6", "-0.4", "-0.2", "0", "+0.2", "+0.4", "+0.6", "+0.8", "+1.0",
    ]  # fmt: skip
    assert sum(train.labels.values()) == train.utterances
    assert min(train.labels.values()) >= train.utterances // 11


def test_a_modality_that_no_utterance_has_is_said(tmp_path: Path) -> None:
    """As where all its frames were zero."""
    rows = [replace(row, audio=None) for row in ROWS]
    report = check(_dataset(tmp_path / "x.arrow", rows))
    assert f"{len(ROWS)} of {len(ROWS)} have no audio." in report.warnings
    assert report.splits["train"].modalities["audio"].present == 0
    assert report.constant == {"vision": []}
