"""One's own data: Parquet, Arrow and Python columns, in all types that hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_files import arrow, known_rows, parquet, table

from hscl.data.ids import Key
from hscl.data.readers.columns import read_arrays, read_arrow, read_parquet
from hscl.data.readers.sources import FieldError, Source
from hscl.errors import InputError

ROWS = known_rows()[:20]


def _both(folder: Path, columns: pa.Table, split: str | None = None) -> list[Source]:
    return [
        read_parquet(Path(parquet(folder / "x.parquet", columns)), split),
        read_arrow(Path(arrow(folder / "x.arrow", columns)), split),
    ]


def test_all_columns_are_read(tmp_path: Path) -> None:
    for source in _both(tmp_path, table(ROWS)):
        assert source.keys == [Key(row.video, row.utterance) for row in ROWS]
        assert source.splits == [row.split for row in ROWS]
        assert source.labels == [row.label for row in ROWS]
        assert source.words == [row.text for row in ROWS]
        assert source.audio is not None
        for _ in range(2):
            for row, frames in zip(ROWS, source.audio, strict=True):
                assert np.array_equal(frames, row.audio)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(pa.float32(), 2)),
        pa.large_list(pa.large_list(pa.float64())),
        pa.list_(pa.list_(pa.int16())),
        pa.list_(pa.list_(pa.float16())),
    ],
    ids=str,
)
def test_frames_may_be_any_lists_of_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    values = [[[1, 2], [3, 4]], None, [], [[5, 6]]]
    columns = pa.table(
        {
            "video": pa.array(["v"] * 4).dictionary_encode(),
            "utterance": [1, 2, 3, 4],
            "audio": pa.array(values, kind),
        }
    )
    for source in _both(tmp_path, columns):
        assert source.keys[3] == Key("v", "4")
        assert source.audio is not None
        found = [None if frames is None else frames.tolist() for frames in source.audio]
        assert found == [values[0], None, None, values[3]]


def test_a_vector_is_a_single_frame_and_null_in_it_is_nan(tmp_path: Path) -> None:
    columns = pa.table({"id": ["v_1", "v_2"], "audio": [[1.0, None], None]})
    for source in _both(tmp_path, columns):
        assert source.audio is not None
        first, second = source.audio
        assert first is not None
        assert first.shape == (1, 2)
        assert np.isnan(first[0, 1])
        assert second is None


def test_only_names_are_needed_and_any_value_may_be_null(tmp_path: Path) -> None:
    columns = pa.table({"video": ["v", "w"], "utterance": ["1", "1"], "split": [None, "dev"]})
    for source in _both(tmp_path, columns):
        assert (source.labels, source.words) == ([None] * 2, [None] * 2)
        assert source.splits == [None, "valid"]
        assert (source.audio, source.vision) == (None, None)


def test_a_column_of_nulls_alone_is_none(tmp_path: Path) -> None:
    columns = pa.table({"id": ["v_1"], "audio": pa.nulls(1), "label": pa.nulls(1)})
    for source in _both(tmp_path, columns):
        assert source.audio is None
        assert source.labels == [None]


def test_a_split_can_be_said_for_the_whole_file(tmp_path: Path) -> None:
    for source in _both(tmp_path, pa.table({"id": ["v_1", "v_2"]}), "test"):
        assert source.splits == ["test"] * 2
    with pytest.raises(FieldError, match="must be 'test' in all rows"):
        _both(tmp_path, table(ROWS), "test")


NAMES = {"video": ["v", "v"], "utterance": ["1", "2"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"video": ["v"]},
            "there must be the columns video and utterance, or id; there are video",
        ),
        (NAMES | {"lable": [1.0, 2.0]}, "field 'lable': no such column; did you mean 'label'"),
        (
            NAMES | {"utterance": ["1", None]},
            "field 'utterance', utterance number 2: must be text",
        ),
        (NAMES | {"video": ["v", " "]}, "field 'video', utterance number 2: must not be empty"),
        ({"id": ["v_1", "v"]}, "field 'id', utterance number 2: must be VIDEO_CLIP"),
        (NAMES | {"label": [0.0, float("nan")]}, "video v, utterance 2: a label must be finite"),
        (NAMES | {"label": ["a", "b"]}, "field 'label', video v, utterance 1: .* a number"),
        (
            NAMES | {"split": ["train", "tset"]},
            "video v, utterance 2: must be train, valid or test",
        ),
        (NAMES | {"text": [1, 2]}, "field 'text', video v, utterance 1: must be text"),
        (NAMES | {"audio": ["a", "b"]}, "field 'audio': must be lists of frames"),
        (NAMES | {"audio": [[["a"]], None]}, "field 'audio': must be lists of frames"),
        (NAMES | {"audio": [1.0, 2.0]}, "field 'audio': must be lists of frames"),
        ({"video": pa.array([], "string"), "utterance": pa.array([], "string")}, "at least one"),
        ([("id", ["v_1"]), ("text", ["a"]), ("text", ["b"])], "'text': there must be one such"),
        (
            [("id", ["v_1"]), ("audio", [[[1.0]]]), ("audio", [[[1.0]]])],
            "'audio': there must be one such column, there are 2",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, columns: Any, message: str) -> None:
    named = columns.items() if isinstance(columns, dict) else columns
    names, values = zip(*named, strict=True)
    for read, write in ((read_parquet, parquet), (read_arrow, arrow)):
        path = write(tmp_path / "x", pa.table(list(values), list(names)))
        with pytest.raises(FieldError, match=message):
            read(Path(path), None)


@pytest.mark.parametrize("frames", [[[1.0], [1.0, 2.0]], [[1.0], None], [[]]])
def test_frames_of_unequal_width_are_named(tmp_path: Path, frames: Any) -> None:
    columns = pa.table(
        NAMES | {"audio": pa.array([None, frames], pa.list_(pa.list_(pa.float64())))}
    )
    for source in _both(tmp_path, columns):
        with pytest.raises(FieldError, match="field 'audio', utterance number 2: all frames must"):
            list(source.audio or ())


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_file_is_damaged(tmp_path: Path, keep: float) -> None:
    for read, write in ((read_parquet, parquet), (read_arrow, arrow)):
        path = Path(write(tmp_path / "x", table(ROWS)))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(InputError, match="it is damaged"):
            read(path, None)


def test_python_sequences_of_many_kinds_are_columns() -> None:
    source = read_arrays(
        "arrays",
        {
            "video": np.array(["v", "w", "x"]),
            "utterance": [1, np.int64(2), "3"],
            "split": ("train", None, "test"),
            "label": np.array([0.5, 1.0, -1.0], np.float32),
            "text": None,
            "audio": np.ones((3, 7)),
            "vision": [np.ones((2, 4), np.int32), None, [[1, 2, 3, 4]]],
        },
    )
    assert source.keys == [Key("v", "1"), Key("w", "2"), Key("x", "3")]
    assert source.words == [None] * 3
    assert source.audio is not None
    assert [frames.shape for frames in source.audio if frames is not None] == [(1, 7)] * 3
    assert source.vision is not None
    assert [None if f is None else f.shape for f in source.vision] == [(2, 4), None, (1, 4)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"id": ["v_1", "v_2"], "audio": [np.ones((2, 3))]},
            "'audio': must speak of 2 utterances",
        ),
        (
            {"id": ["v_1"], "audio": [np.ones((2, 3, 1))]},
            "'audio', utterance number 1: must be an",
        ),
        (
            {"id": ["v_1"], "audio": [["a"]]},
            "'audio', utterance number 1: must be an array of num",
        ),
        (
            {"id": ["v_1"], "audio": [[[1, 2], [3]]]},
            "'audio', utterance number 1: all frames must",
        ),
        ({"id": ["v_1"], "label": [None, 1.0]}, "'label': must speak of 1 utterances"),
        ({"id": []}, "at least one utterance"),
    ],
)
def test_python_sequences_that_do_not_fit_are_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        read_arrays("arrays", columns)


def test_the_index_that_pandas_keeps_is_no_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": ["v_1", "v_2", "w_1"], "text": ["a", None, "b"]})
    named = frame.set_index(pandas.Index([7, 5, 9], name="row"))
    for number, kept in enumerate((frame.iloc[[2, 0]], named, frame.set_index("id"))):
        path = tmp_path / f"{number}.parquet"
        kept.to_parquet(path)
        source = read_parquet(path, None)
        assert len(source) == len(kept)
        expected = [text if isinstance(text, str) else None for text in kept["text"]]
        assert source.words == expected


def test_a_column_that_is_no_index_is_still_a_misspelt_one(tmp_path: Path) -> None:
    for name in ("__index_level_0__", "labels"):
        with pytest.raises(FieldError, match="no such column"):
            _both(tmp_path, pa.table({"id": ["v_1"], name: [1]}))


def test_words_that_are_nan_or_blank_are_missing_ones() -> None:
    texts = ["a", float("nan"), None, "", " \n"]
    source = read_arrays("x", {"id": [f"v_{k}" for k in range(5)], "text": texts})
    assert source.words == ["a", None, None, None, None]


def test_text_vectors_are_read_as_frames_are(tmp_path: Path) -> None:
    values = [[[1.0, 2.0], [3.0, 4.0]], None]
    for source in _both(tmp_path, pa.table({"id": ["v_1", "v_2"], "text_vectors": values})):
        assert source.text_vectors is not None
        found = [None if row is None else row.tolist() for row in source.text_vectors]
        assert found == values
