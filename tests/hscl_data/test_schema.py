"""The Arrow layout: what is written is read by others, and the digest is about content alone."""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hscl.data import schema
from hscl.data.dataset import Dataset
from hscl.data.schema import (
    Utterance,
    arrow_schema,
    digest_of,
    file_metadata,
    free_target,
    write_utterances,
)
from hscl.errors import InputError

ROWS = [
    Utterance("v_1", "1", "train", 0.4, "good", np.ones((2, 3), "f4"), None),
    Utterance("v_1", "2", None, None, None, None, np.full((1, 2), 2.0, "f4")),
    Utterance("v2", "1", "test", -3.0, "", np.zeros((1, 3), "f4"), np.ones((3, 2), "f4")),
]


def _write(path: Path, rows: list[Utterance]) -> None:
    metadata = file_metadata(digest=digest_of(rows), source="test", audio_width=3, vision_width=2)
    write_utterances(path, rows, arrow_schema(3, 2, metadata))


def test_any_arrow_reader_sees_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "set.arrow"
    _write(path, ROWS)

    table = pa.ipc.open_file(path).read_all()

    assert table.column_names == [
        "video", "utterance", "split", "label", "text", "audio", "vision",
    ]  # fmt: skip
    assert table.to_pylist()[0] == {
        "video": "v_1",
        "utterance": "1",
        "split": "train",
        "label": 0.4,
        "text": "good",
        "audio": [[1.0] * 3] * 2,
        "vision": None,
    }
    assert table["audio"].to_pylist()[1] is None


def test_the_digest_is_the_documented_hash_of_the_content() -> None:
    expected = b""
    expected += b"s3:v_1" + b"s1:1" + b"s5:train" + b"s4:good" + b"f" + struct.pack("<d", 0.4)
    expected += b"a2,3:" + struct.pack("<6f", *[1.0] * 6) + b"-"

    assert digest_of(ROWS[:1]) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        Utterance("v_1", "1", "train", 0.4, "good!", np.ones((2, 3), "f4"), None),
        Utterance("v_1", "1", "valid", 0.4, "good", np.ones((2, 3), "f4"), None),
        Utterance("v_1", "1", "train", None, "good", np.ones((2, 3), "f4"), None),
        Utterance("v_1", "1", "train", 0.4, "good", np.ones((3, 2), "f4"), None),
        Utterance("v_1", "1", "train", 0.4, "good", None, np.ones((2, 3), "f4")),
        Utterance("v_", "11", "train", 0.4, "good", np.ones((2, 3), "f4"), None),
    ],
)
def test_every_change_of_a_row_changes_the_digest(changed: Utterance) -> None:
    assert digest_of([changed]) != digest_of(ROWS[:1])


def test_cutting_a_file_into_other_batches_changes_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "one.arrow", ROWS)
    monkeypatch.setattr(schema, "_BATCH_BYTES", 1)
    _write(tmp_path / "many.arrow", ROWS)

    one, many = (Dataset.open(tmp_path / f"{name}.arrow") for name in ("one", "many"))

    assert one.table["video"].num_chunks == 1
    assert many.table["video"].num_chunks == 3
    assert one.digest == digest_of(one.all_rows()) == digest_of(many.all_rows())


def test_a_failing_source_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "set.arrow"
    path.write_text("old")

    def rows() -> Iterator[Utterance]:
        yield ROWS[0]
        raise InputError("the second row is bad")

    with pytest.raises(InputError, match="second row"):
        write_utterances(path, rows(), arrow_schema(3, 2, {}))

    assert [file.name for file in tmp_path.iterdir()] == ["set.arrow"]
    assert path.read_text() == "old"


def test_the_folder_is_made(tmp_path: Path) -> None:
    _write(tmp_path / "new" / "folder" / "set.arrow", ROWS)
    assert len(Dataset.open(tmp_path / "new" / "folder" / "set.arrow")) == 3


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        _write(tmp_path / "file" / "set.arrow", ROWS)


def test_only_a_free_path_is_written_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "set.arrow"
    assert free_target(path, overwrite=False) == path
    path.write_text("")
    assert free_target(path, overwrite=True) == path
    with pytest.raises(InputError, match="must not exist yet"):
        free_target(path, overwrite=False)
    with pytest.raises(InputError, match="must not exist yet"):
        free_target(tmp_path, overwrite=True)
