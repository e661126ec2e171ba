"""Joining words: by video and clip, or by start time where labels agree; never by row order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feature_files import known_rows, label_file

from hscl.data.convert import from_arrays
from hscl.data.dataset import Dataset
from hscl.data.ids import Key
from hscl.data.readers.sources import Source
from hscl.data.words import LabelRow, join_words, read_labels
from hscl.errors import InputError

HEAD = "video_id,clip_id,text,label,mode\n"


def _file(path: Path, text: str) -> Path:
    file = path / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


def _source(
    keys: list[Key], labels: list[float | None], order: list[float] | None = None
) -> Source:
    return Source(
        name="f",
        keys=keys,
        splits=["train"] * len(keys),
        labels=labels,
        words=[None] * len(keys),
        order=order,
    )


def test_everything_is_read_as_text(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "\ufefftext, label ,mode,clip_id,video_id,extra\n"
        'NA,0.5,test,01,100178,\n"a, ""b""\nc",,dev,1,-_x_1,9\n,-3,,2,-_x_1,\n',
    )
    assert read_labels(file) == [
        LabelRow(Key("100178", "01"), "NA", 0.5, "test"),
        LabelRow(Key("-_x_1", "1"), 'a, "b"\nc', None, "valid"),
        LabelRow(Key("-_x_1", "2"), None, -3.0, None),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must have the columns video_id, clip_id, text; 'video_id' is missing"),
        ("video_id,clipid,text\n", r"'clip_id' is missing \(did you mean 'clipid'"),
        (HEAD, "at least one utterance"),
        (HEAD + "v,1,a,0,train\nv,1,b,0,train\n", "video v, utterance 1 is there twice"),
        (HEAD + "v,1,a,0\n", "line 2: every line must have as many fields"),
        (HEAD + "v,1,a,0,train,x\n", "line 2: every line must have as many fields"),
        (HEAD + "v,,a,0,train\n", "field 'video_id and clip_id', line 2: must not be empty"),
        (HEAD + "v,1,a,good,train\n", "field 'label', line 2: must be a number, is 'good'"),
        (HEAD + "v,1,a,3.5,train\n", "field 'label', video v, utterance 1: .* between -3 and 3"),
        (HEAD + "v,1,a,nan,train\n", "field 'label', video v, utterance 1: .* finite"),
        (HEAD + "v,1,a,0,tests\n", "field 'mode', line 2: must be train, valid or test"),
        (HEAD + 'v,1,"a,0,train\n', "must be a CSV file in UTF-8"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(_file(tmp_path, text))


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_labels(tmp_path / "nothing.csv")
    (tmp_path / "x.csv").write_bytes(HEAD.encode() + b"v,1,\xff\xfe,0,train\n")
    with pytest.raises(InputError, match="in UTF-8"):
        read_labels(tmp_path / "x.csv")


def test_rows_are_joined_by_name_in_whatever_order(tmp_path: Path) -> None:
    rows = known_rows()
    labels = read_labels(label_file(tmp_path / "labels.csv", rows[::-1]))
    keys = [Key(row.video, row.utterance) for row in rows]

    joined = join_words([_source(keys, [row.label for row in rows])], labels)

    assert joined.sources[0].words == [row.text for row in rows]
    assert joined.filled == {"words": 60}
    assert len(joined.other_split) == sum(row.split != "train" for row in rows)
    assert joined.other_label == []


def test_what_an_utterance_has_stands() -> None:
    rows = [
        LabelRow(Key("v", "1"), "csv", 2.0, "test"),
        LabelRow(Key("v", "2"), "csv", 2.0, "test"),
    ]
    source = replace(
        _source([Key("v", "1"), Key("v", "2"), Key("v", "3")], [1.0, None, None]),
        words=["own", None, None],
        splits=["train", None, None],
    )

    joined = join_words([source], rows)

    assert joined.sources[0].words == ["own", "csv", None]
    assert joined.sources[0].labels == [1.0, 2.0, None]
    assert joined.sources[0].splits == ["train", "test", None]
    assert joined.filled == {"words": 1, "labels": 1, "splits": 1}
    assert joined.other_label == ["video v, utterance 1"]
    assert joined.other_split == ["video v, utterance 1"]


TIMED = [Key("v", "9.5-12"), Key("v", "1.5-9"), Key("w", "0-3")]


def _timed(labels: list[float | None]) -> Source:
    return _source(TIMED, labels, order=[9.5, 1.5, 0.0])


CLIPS = [
    LabelRow(Key("v", "10"), "second", 1.0, "train"),
    LabelRow(Key("v", "9"), "first", -1.0004, "train"),
    LabelRow(Key("w", "3"), "only", 0.0, "train"),
]


def test_start_times_give_the_clip_where_number_and_labels_agree() -> None:
    joined = join_words([_timed([1.0, -1.0, 0.0])], CLIPS)

    assert joined.sources[0].words == ["second", "first", "only"]
    assert joined.sources[0].keys == [Key("v", "10"), Key("v", "9"), Key("w", "3")]
    assert joined.unmatched_videos == []


@pytest.mark.parametrize(
    ("labels", "clips"),
    [
        ([1.0, -1.1, 0.0], CLIPS),  # a label differs
        ([-1.0, 1.0, 0.0], CLIPS),  # in the other order
        ([1.0, None, 0.0], CLIPS),  # one is unknown
        ([1.0, -1.0, 0.0], [*CLIPS, LabelRow(Key("v", "11"), "x", 0.0, "train")]),
        ([1.0, -1.0, 0.0], CLIPS[1:]),
    ],
)
def test_a_video_that_does_not_agree_is_left_alone_and_named(
    labels: list[float | None], clips: list[LabelRow]
) -> None:
    joined = join_words([_timed(labels)], clips)

    assert joined.sources[0].words == [None, None, "only"]
    assert joined.sources[0].keys[:2] == TIMED[:2]
    assert joined.unmatched_videos == ["v"]


def test_a_running_number_is_no_clip_number() -> None:
    source = _source([Key("v", "0"), Key("v", "1")], [1.0, 2.0], order=[0.0, 1.0])
    clips = [
        LabelRow(Key("v", "1"), "one", 1.0, None),
        LabelRow(Key("v", "2"), "two", 2.0, None),
    ]

    joined = join_words([source], clips)

    assert joined.sources[0].words == ["one", "two"]


KEYS = [Key("v_a", "1"), Key("v_a", "2"), Key("w", "1")]


def _rows(keys: list[Key], labels: list[float]) -> list[LabelRow]:
    return [
        LabelRow(key, f"words {n}", label, None)
        for n, (key, label) in enumerate(zip(keys, labels, strict=True))
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: Key(key.video, key.utterance.zfill(4)),
        lambda key: Key(key.video, key.utterance + ".0"),
        lambda key: Key(key.video + ".mp4", key.utterance),
        lambda key: Key(key.video.upper(), f" {key.utterance}"),
    ],
    ids=["zeros", "float", "ending", "case"],
)
def test_what_a_spreadsheet_did_to_names_is_undone_and_said(damage: Any) -> None:
    rows = _rows([damage(key) for key in KEYS], [1.0, 2.0, 3.0])
    joined = join_words([_source(KEYS, [1.0, None, 3.0])], rows)
    assert joined.sources[0].words == ["words 0", "words 1", "words 2"]
    assert joined.sources[0].keys == KEYS
    assert joined.respelled[0] == f"{KEYS[0]} (there {damage(KEYS[0])})"
    assert len(joined.respelled) == 3
    assert joined.unused == []


def test_names_are_not_respelled_where_labels_or_two_names_say_no() -> None:
    rows = _rows([Key("v_a", "01"), Key("v_a", "02"), Key("w", "01")], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="it has '01', the features '2'"):
        join_words([_source(KEYS, [1.0, 2.5, 3.0])], rows)
    twice = _rows([Key("v_a", "01"), Key("v_a", "001"), Key("w", "1")], [1.0, 2.0, 3.0])
    joined = join_words([_source(KEYS, [None] * 3)], twice)
    assert joined.sources[0].words == [None, None, "words 2"]
    assert joined.unused == ["video v_a, utterance 01", "video v_a, utterance 001"]


@pytest.mark.parametrize("words", [None, "own"])
def test_a_label_file_that_names_nothing_is_refused_with_an_example(words: str | None) -> None:
    source = replace(_source(KEYS, [None] * 3), words=[words] * 3)
    said = (
        r"no line of l\.csv names an utterance; it has video 'other', the features video 'v_a'\."
    )
    with pytest.raises(InputError, match=said):
        join_words([source], _rows([Key("other", "1")], [1.0]), "l.csv")
    with pytest.raises(
        InputError, match=r"no line of l\.csv names an utterance; it has '7', the features '1'\."
    ):
        join_words([source], _rows([Key("w", "7")], [1.0]), "l.csv")


def test_timed_videos_that_do_not_agree_are_no_label_file_of_another_set() -> None:
    joined = join_words([_timed([3.0, 3.0, 3.0])], CLIPS)
    assert joined.unmatched_videos == ["v", "w"]
    assert joined.unused == []


def test_blank_words_of_a_file_are_filled_from_the_label_file(tmp_path: Path) -> None:
    columns = {
        "video": ["v", "v", "v"],
        "utterance": ["1", "2", "3"],
        "text": ["", " ", "own"],
        "label": [0.5, 1.0, -1.0],
    }
    labels = _file(tmp_path, HEAD + "".join(f"v,{k},csv {k},,\n" for k in (1, 2, 3)))
    report = from_arrays(tmp_path / "x.arrow", columns, text=labels)
    assert report.filled == {"words": 2}
    assert Dataset.open(tmp_path / "x.arrow").table["text"].to_pylist() == [
        "csv 1",
        "csv 2",
        "own",
    ]
