"""Formats are told by content; what is none of them is described, with what would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from feature_files import arrow, by_split, known_rows, mmsa, mult, parquet, pickled, table, tuples

from hscl.data.readers.formats import read_sources
from hscl.data.readers.sources import ReadOptions
from hscl.errors import InputError

ROWS = known_rows()
OPTIONS = ReadOptions()


def _read(*arguments: object) -> list[tuple[str | None, int]]:
    sources = read_sources([str(argument) for argument in arguments], OPTIONS)
    return [(source.splits[0], len(source)) for source in sources]


SIZES = [("train", 32), ("valid", 12), ("test", 16)]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: pickled(path, mult(ROWS)),
        lambda path: pickled(path, mmsa(ROWS)),
        lambda path: pickled(path, {n: tuples(part) for n, part in by_split(ROWS).items()}),
    ],
)
def test_the_name_of_a_file_does_not_matter(tmp_path: Path, write: Callable[[Path], str]) -> None:
    assert _read(write(tmp_path / "features.parquet")) == SIZES


def test_columns_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    assert _read(parquet(tmp_path / "a.pkl", table(ROWS))) == [("train", 60)]
    assert _read(arrow(tmp_path / "b.pkl", table(ROWS))) == [("train", 60)]


def test_folds_come_in_the_order_of_splits(tmp_path: Path) -> None:
    parts = by_split(ROWS)
    paths = {name: pickled(tmp_path / f"{name}.pkl", tuples(parts[name])) for name in parts}

    named = _read(f"test={paths['test']}", f"dev={paths['valid']}", f"train={paths['train']}")

    assert named == _read(tmp_path) == SIZES


def test_one_split_of_the_padded_layout_is_a_fold(tmp_path: Path) -> None:
    path = pickled(tmp_path / "x.pkl", mmsa(ROWS)["valid"])
    assert _read(f"valid={path}") == [("valid", 12)]


def test_splits_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    content = mult(ROWS)
    mixed = {"test": content["test"], "dev": content["valid"], "train": content["train"]}
    assert _read(pickled(tmp_path / "x.pkl", mixed)) == SIZES


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "run git lfs pull"),
        (b"PK\x03\x04rest", "ZIP archive"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x1f\x8b\x08", "gunzip"),
        (b"\n <!DOCTYPE html>", "web page"),
        (b"video_id,clip_id\n", "give it with --text"),
        (b"name;text\n", "no known format"),
        (b"", "it is empty"),
    ],
)
def test_what_people_have_by_mistake_is_recognised(
    tmp_path: Path, head: bytes, message: str
) -> None:
    (tmp_path / "x.pkl").write_bytes(head)
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"train": {"a": 1}}, r"It holds \{train: \{a: int\}\}"),
        ({"features": [1]}, r"\{features: list \[1\] of int\}"),
        ({}, r"It holds \{\}"),
        ("text", "It holds str"),
        (
            {"train": mult(ROWS)["train"], "dev": [1], "extra": 0},
            r"audio: array \(32, 64, 3\) float32"[:6],
        ),
        ({"dev": [], "valid": []}, "must hold each split once"),
        ({"train": tuples(ROWS[:2]), "valid": mult(ROWS)["valid"]}, "no known layout"),
    ],
)
def test_an_unknown_layout_is_described(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _read(pickled(tmp_path / "x.pkl", value))


def test_a_fold_needs_its_split_and_a_whole_set_none(tmp_path: Path) -> None:
    fold = pickled(tmp_path / "fold.pkl", tuples(ROWS[:3]))
    with pytest.raises(InputError, match=r"does not say which; name it as train="):
        _read(fold)
    whole = pickled(tmp_path / "whole.pkl", mult(ROWS))
    with pytest.raises(InputError, match=r"splits of its own; name it without test="):
        _read(f"test={whole}")


def test_a_folder_must_hold_each_split_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it holds none"):
        _read(tmp_path)
    for name in ("dev.pkl", "valid.pkl"):
        pickled(tmp_path / name, tuples(ROWS[:2]))
    with pytest.raises(InputError, match=r"it holds dev\.pkl, valid\.pkl"):
        _read(tmp_path)


def test_nothing_and_what_is_missing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name at least one file"):
        _read()
    with pytest.raises(InputError, match=r"nothing\.pkl can't be read: No such file"):
        _read(tmp_path / "nothing.pkl")


def test_what_stands_beside_the_splits_is_named_and_not_read(tmp_path: Path) -> None:
    # MMSA-FET writes how the features were made.
    content: dict[Any, Any] = mmsa(ROWS) | {"config": {"audio": {"tool": "librosa"}}}
    content[("a", None)] = 1
    content["valid"]["embedding"] = np.ones(3)
    sources = read_sources([pickled(tmp_path / "x.pkl", content)], OPTIONS)
    assert [len(source) for source in sources] == [32, 12, 16]
    assert sources[0].notes.remarks == [
        "x.pkl: fields that are not read: embedding.",
        "x.pkl: what is not read beside the splits: config, ('a', None).",
    ]


@pytest.mark.parametrize("layout", ["padded", "tuples"])
def test_splits_without_utterances_are_as_if_they_were_not_there(
    tmp_path: Path, layout: str
) -> None:
    content: dict[str, Any] = mult(ROWS)
    content["valid"] = {field: values[:0] for field, values in content["valid"].items()}
    if layout == "tuples":
        content = {name: tuples(part) for name, part in by_split(ROWS).items()} | {"valid": []}
    (train, test) = read_sources([pickled(tmp_path / "x.pkl", content)], OPTIONS)
    assert (train.splits[0], test.splits[0]) == ("train", "test")
    assert train.notes.remarks == ["x.pkl: without utterances, as if they were not there: valid."]
    empty = dict.fromkeys(content, content["valid"])
    with pytest.raises(InputError, match="at least one utterance; its splits are empty"):
        _read(pickled(tmp_path / "x.pkl", empty))


def test_a_stream_of_arrow_batches_is_read_as_a_file_is(tmp_path: Path) -> None:
    with pa.ipc.new_stream(tmp_path / "x.arrow", table(ROWS).schema) as writer:
        writer.write_table(table(ROWS), max_chunksize=7)
    (source,) = read_sources([str(tmp_path / "x.arrow")], OPTIONS)
    (expected,) = read_sources([arrow(tmp_path / "y.arrow", table(ROWS))], OPTIONS)
    assert source.keys == expected.keys
    for _ in range(2):
        for ours, theirs in zip(source.audio or (), expected.audio or (), strict=True):
            assert np.array_equal(ours, theirs)  # type: ignore[arg-type]
