"""Opening a data set: rows as written, and a clear word where the file is something else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hscl.data.dataset import Dataset
from hscl.data.demo import demo_utterances, write_demo
from hscl.data.schema import (
    METADATA_KEY,
    SCHEMA_VERSION,
    arrow_schema,
    digest_of,
    file_metadata,
    write_utterances,
)
from hscl.errors import InputError


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo(tmp_path / "demo.arrow")
    return tmp_path / "demo.arrow"


def test_rows_come_back_as_they_were_written(demo: Path) -> None:
    opened = Dataset.open(demo)

    assert (opened.audio_width, opened.vision_width) == (5, 20)
    assert opened.split_sizes() == {"train": 128, "valid": 48, "test": 64}
    for written, read in zip(demo_utterances(), opened.all_rows(), strict=True):
        assert (written.video, written.utterance, written.split) == (
            read.video, read.utterance, read.split,
        )  # fmt: skip
        assert (written.label, written.text) == (read.label, read.text)
        assert np.array_equal(written.audio, read.audio)  # type: ignore[arg-type]
        assert np.array_equal(written.vision, read.vision)  # type: ignore[arg-type]


def test_frames_are_views_of_the_mapped_file(demo: Path) -> None:
    before = pa.total_allocated_bytes()
    frames = Dataset.open(demo).frames("audio")

    assert frames is not None
    assert not frames.values.flags.writeable
    assert not frames.values.flags.owndata
    assert pa.total_allocated_bytes() - before < frames.values.nbytes / 10


@pytest.mark.parametrize("every", [1, 3])
def test_frames_stay_views_in_many_batches_and_where_some_are_missing(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hscl.data.schema._BATCH_BYTES", 1 << 16)
    rows = [
        row if k % every == 0 else replace(row, audio=None)
        for k, row in enumerate(demo_utterances())
    ]
    path = tmp_path / "many.arrow"
    metadata = file_metadata(digest=digest_of(rows), source="x", audio_width=5, vision_width=20)
    write_utterances(path, rows, arrow_schema(5, 20, metadata))
    mapped = pa.total_allocated_bytes()

    dataset = Dataset.open(path)
    frames = dataset.frames("audio", dataset.table.slice(5, 200))

    assert frames is not None
    assert len(frames.blocks) > 3
    assert not any(block.flags.owndata or block.flags.writeable for block in frames.blocks)
    assert pa.total_allocated_bytes() - mapped < frames.values.nbytes / 2
    for row, expected in zip(range(200), rows[5:], strict=False):
        nothing = np.empty((0, 5), np.float32)
        written = nothing if expected.audio is None else expected.audio
        assert np.array_equal(frames.row(row), written)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.arrow must be .* there is no such file"):
        Dataset.open(tmp_path / "nothing.arrow")


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -200])
def test_an_empty_or_truncated_file_is_refused(demo: Path, keep: int) -> None:
    whole = demo.read_bytes()
    demo.write_bytes(whole[:keep])

    with pytest.raises(InputError, match="foreign or damaged"):
        Dataset.open(demo)


def test_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_text("<html>not found</html>")
    with pytest.raises(InputError, match="foreign or damaged"):
        Dataset.open(tmp_path / "x.arrow")


def test_another_arrow_file_is_told_apart(tmp_path: Path) -> None:
    table = pa.table({"video": ["a"]})
    with pa.ipc.new_file(tmp_path / "other.arrow", table.schema) as writer:
        writer.write_table(table)

    with pytest.raises(InputError, match="another Arrow file"):
        Dataset.open(tmp_path / "other.arrow")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "update hscl"),
        ({"schema_version": "new"}, "damaged metadata"),
        ({"audio_width": "5"}, "damaged metadata"),
        ({"vision_width": 21}, "must have the columns"),
        ({"audio_width": None}, "must have the columns"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    demo: Path, change: dict[str, object], message: str
) -> None:
    table = pa.ipc.open_file(demo).read_all()
    metadata = json.loads(table.schema.metadata[METADATA_KEY]) | change
    schema = table.schema.with_metadata({METADATA_KEY: json.dumps(metadata)})
    with pa.ipc.new_file(demo.with_name("changed.arrow"), schema) as writer:
        writer.write_table(table.cast(schema))

    with pytest.raises(InputError, match=message):
        Dataset.open(demo.with_name("changed.arrow"))


@pytest.mark.parametrize("column", ["video", "audio"])
def test_a_file_with_holes_in_it_is_refused(demo: Path, column: str) -> None:
    table = pa.ipc.open_file(demo).read_all()
    schema, index = table.schema, table.column_names.index(column)
    values = table[column].to_pylist()
    values[3] = [[None] * 5] if column == "audio" else None
    if column == "video":
        # The field itself promises that there is none: keep the promise, break the column.
        column_array = pa.array(values, pa.string())
        batch = pa.RecordBatch.from_arrays(
            [column_array, *(table[n].combine_chunks() for n in table.column_names[1:])],
            schema=schema,
        )
        table = pa.Table.from_batches([batch])
    else:
        table = table.set_column(index, schema.field(index), pa.array(values, schema.types[index]))
    with pa.ipc.new_file(demo.with_name("holes.arrow"), schema) as writer:
        writer.write_table(table)

    with pytest.raises(InputError, match="names and numbers are missing"):
        Dataset.open(demo.with_name("holes.arrow"))
