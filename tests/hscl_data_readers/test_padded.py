"""MulT's and MMSA's layouts: what they hold is read, what does not fit is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import by_split, known_rows, mmsa, mult, mult_mosei

from hscl.data.ids import Key
from hscl.data.readers.padded import read_padded
from hscl.data.readers.sources import FieldError, ReadOptions

ROWS = known_rows()
PATH = Path("x.pkl")


def _read(content: dict[str, Any], **options: Any) -> Any:
    return read_padded(PATH, content, ReadOptions(**options))


def test_keys_labels_and_frames_are_those_of_the_rows() -> None:
    for content in (mult(ROWS), mmsa(ROWS)):
        for source, part in zip(_read(content), by_split(ROWS).values(), strict=True):
            assert source.keys == [Key(row.video, row.utterance) for row in part]
            assert source.labels == [row.label for row in part]
            assert source.order is None
            for frames, row in zip(source.audio, part, strict=True):
                assert np.array_equal(frames, row.audio)  # type: ignore[arg-type]


def test_words_are_there_where_the_layout_has_them() -> None:
    assert _read(mmsa(ROWS))[1].words == [row.text for row in by_split(ROWS)["valid"]]
    assert set(_read(mult(ROWS))[1].words) == {None}


def test_mosei_ids_are_told_by_videos_that_many_utterances_share() -> None:
    source = _read(mult_mosei(ROWS))[0]
    assert source.keys[:2] == [Key("demo_00", "7.25-14.25"), Key("demo_00", "14.5-21.5")]
    assert source.order[:2] == [7.25, 14.5]


def test_one_id_twice_does_not_make_a_file_look_like_mosei() -> None:
    content = mult(ROWS)
    content["train"]["id"][1] = content["train"]["id"][0]
    assert _read(content)[0].keys[1] == Key("demo_00", "1")


def test_sdk_segments_are_running_numbers() -> None:
    content = mmsa(ROWS)
    for fields in content.values():
        fields["id"] = [name.replace("$_$", "[") + "]" for name in fields["id"]]
    source = _read(content)[0]
    assert source.keys[0] == Key("demo_00", "1")
    assert source.order[:2] == [1.0, 2.0]


def test_the_side_and_what_may_be_cut_are_noted() -> None:
    content = mult(ROWS)
    content["valid"]["audio"][0] = 1.0
    notes = _read(content)[1].notes
    assert notes.padding == {"audio": "front", "vision": "front"}
    assert notes.full == {"audio": 1, "vision": 0}


def test_a_modality_may_be_absent_from_all_splits() -> None:
    content = mult(ROWS)
    for fields in content.values():
        del fields["vision"]
    assert [source.vision for source in _read(content)] == [None] * 3


def test_aligned_files_record_the_length_of_all_three_in_the_text_mask() -> None:
    content = mmsa(ROWS, aligned=True)
    content["train"]["text_bert"][0, 1] = 0
    content["train"]["text_bert"][0, 1, :2] = 1
    source = _read(content, lengths="recorded")[0]
    first = next(iter(source.audio)), next(iter(source.vision))
    assert [len(frames) for frames in first] == [2, 2]
    assert source.notes.beyond["audio"] == 1


def test_recorded_lengths_that_are_not_there_can_not_be_believed() -> None:
    with pytest.raises(
        FieldError, match=r"field 'audio_lengths': must be there for --lengths rec"
    ):
        _read(mult(ROWS), lengths="recorded")


Change = Callable[[dict[str, Any]], None]


def _set(field: str, value: Any) -> Change:
    return lambda fields: fields.__setitem__(field, value)


def _item(field: str, index: Any, value: Any) -> Change:
    return lambda fields: fields[field].__setitem__(index, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("audio", None), "field 'audio': must be in every split or in none"),
        (_set("audio", [1, 2]), "field 'audio': must be an array of numbers"),
        (_set("audio", np.ones((12, 64))), r"must be an array .*, is an array \(12, 64\)"),
        (_set("audio", np.ones((12, 64, 3), "U1")), "must be an array of numbers"),
        (_set("audio", np.ones((12, 64, 4))), "same width, not 0, in every split"),
        (_set("vision", np.ones((12, 0, 4))), "same width, not 0, in every split"),
        (_set("vision", np.ones((11, 64, 4))), "field 'vision': must speak of 12 utterances"),
        (_set("id", None), "field 'id': must be a list or an array, is missing"),
        (_set("id", []), "must speak of 0 utterances|at least one"),
        (_item("id", 3, "nonsense"), "field 'id', utterance number 4: must be VIDEO_CLIP"),
        (_item("id", 3, 7), "field 'id', utterance number 4: must be text, is int"),
        (_set("regression_labels", np.ones((12, 2))), r"must be \(N,\), \(N, 1, 1\) or"),
        (_set("regression_labels", np.ones(11)), "'regression_labels': must speak of 12"),
        (_set("regression_labels", 3), "'regression_labels': must be a list or an array"),
        (_item("regression_labels", 5, np.nan), "video demo_18, utterance 2: a label must be fin"),
        (_item("regression_labels", 5, 4.0), "video demo_18, utterance 2: .* is 4"),
        (_set("raw_text", ["a"] * 11), "'raw_text': must speak of 12"),
        (_item("raw_text", 5, 3), "'raw_text', video demo_18, utterance 2: must be text"),
        (
            _item("audio_lengths", 5, 65),
            "utterance number 6: a length must be a whole number from",
        ),
        (_item("audio_lengths", 5, -1), "'audio_lengths', utterance number 6"),
        (_item("audio_lengths", 5, 1.5), "'audio_lengths', utterance number 6"),
        (_item("audio_lengths", 5, float("inf")), "'audio_lengths', utterance number 6"),
        (_item("audio_lengths", 5, float("nan")), "'audio_lengths', utterance number 6"),
        (_item("audio_lengths", 5, "5"), "'audio_lengths': a length must be a number"),
        (_set("vision_lengths", [1] * 13), "'vision_lengths': must speak of 12"),
        (_set("vision_lengths", 5), "'vision_lengths': must be a list or an array"),
    ],
)
def test_what_does_not_fit_is_named(change: Change, message: str) -> None:
    content = mmsa(ROWS)
    change(content["valid"])
    with pytest.raises(FieldError, match=message) as caught:
        _read(content)
    assert "x.pkl, split 'valid'" in str(caught.value)


@pytest.mark.parametrize("mask", [np.ones((16, 64)), np.ones((16, 3, 4), "U1"), 5])
def test_a_text_mask_that_is_none_is_named(mask: Any) -> None:
    content = mmsa(ROWS, aligned=True)
    content["test"]["text_bert"] = mask
    with pytest.raises(FieldError, match=r"split 'test', field 'text_bert': must be \(N, 3, tok"):
        _read(content)


@pytest.mark.parametrize("row", [["v", "soon", "9"], ["v", "nan", "9"], ["v", "1"], "v"])
def test_a_start_time_that_is_none_is_named(row: Any) -> None:
    content = mult_mosei(ROWS)
    content["train"]["id"] = [*content["train"]["id"][:-1].tolist(), row]
    with pytest.raises(FieldError, match="field 'id', utterance number 32"):
        _read(content)


def test_aligned_files_whose_cls_row_is_zero_are_read_by_the_token_mask() -> None:
    content = mmsa(ROWS, aligned=True)
    for fields in content.values():
        for name in ("audio", "vision"):
            fields[name][:] = 0
            for number, row in enumerate(fields[name]):
                length = 64 - number % 5
                fields["text_bert"][number, 1] = np.arange(64) < length
                row[1 : length - 1] = 1.0  # neither [CLS] nor [SEP]
    source = _read(content)[0]
    assert source.notes.padding == {"audio": "back", "vision": "back"}
    assert [len(frames) for frames in source.audio][:6] == [63, 62, 61, 60, 59, 63]
    for fields in content.values():
        del fields["text_bert"]
    with pytest.raises(FieldError, match="the side of the padding can't be told"):
        _read(content)


@pytest.mark.parametrize("nested", [lambda y: [y], lambda y: [[y]], lambda y: [[y] + [9.0] * 6]])
def test_labels_may_be_nested_lists(nested: Callable[[float], Any]) -> None:
    content = mult(ROWS)
    for fields in content.values():
        fields["labels"] = [nested(float(y)) for y in fields["labels"].ravel()]
    for source, part in zip(_read(content), by_split(ROWS).values(), strict=True):
        assert source.labels == pytest.approx([row.label for row in part], abs=1e-6)


def test_words_that_are_none_nan_or_blank_are_missing() -> None:
    content = mmsa(ROWS)
    content["valid"]["raw_text"][:4] = [None, float("nan"), "", " "]
    assert _read(content)[1].words[:4] == [None] * 4


def test_labels_of_single_modalities_are_noted() -> None:
    content = mmsa(ROWS)
    assert not _read(content)[0].notes.unimodal
    for fields in content.values():
        fields["regression_labels_T"] = fields["regression_labels"]
    assert _read(content)[0].notes.unimodal
    assert _read(content)[0].notes.remarks == []
