"""Opening splits: the right rows, and test through one door only."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from hscl.data.dataset import Dataset
from hscl.data.demo import demo_utterances, write_demo
from hscl.data.schema import (
    Utterance,
    arrow_schema,
    digest_of,
    file_metadata,
    write_utterances,
)
from hscl.data.splits import Split, open_inputs, open_split, open_test
from hscl.errors import InputError


def _dataset(path: Path, rows: list[Utterance]) -> Dataset:
    metadata = file_metadata(digest=digest_of(rows), source="t", audio_width=5, vision_width=20)
    write_utterances(path, rows, arrow_schema(5, 20, metadata))
    return Dataset.open(path)


def _assert_holds(split: Split, rows: list[Utterance]) -> None:
    assert len(split) == len(rows)
    assert split.videos == [row.video for row in rows]
    assert split.utterances == [row.utterance for row in rows]
    assert split.words == [row.text for row in rows]
    for ragged, name in ((split.audio, "audio"), (split.vision, "vision")):
        assert ragged is not None
        for index, row in enumerate(rows):
            frames = getattr(row, name)
            expected = np.empty((0, ragged.values.shape[1])) if frames is None else frames
            assert np.array_equal(ragged.row(index), expected)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    write_demo(tmp_path / "demo.arrow")
    return Dataset.open(tmp_path / "demo.arrow")


def test_train_and_valid_hold_their_rows_and_labels(dataset: Dataset) -> None:
    for name in ("train", "valid"):
        rows = [row for row in demo_utterances() if row.split == name]
        split = open_split(dataset, name)

        _assert_holds(split, rows)
        assert split.labels is not None
        assert split.labels.tolist() == [row.label for row in rows]


def test_mixed_rows_and_missing_modalities_are_opened_alike(tmp_path: Path) -> None:
    rows = demo_utterances()[:60]
    order = np.random.default_rng(0).permutation(60)
    mixed = [
        replace(
            rows[k],
            split=("train", "valid")[k % 2],
            audio=None if k % 3 == 0 else rows[k].audio,
            vision=None if k % 5 == 0 else rows[k].vision,
        )
        for k in order
    ]
    dataset = _dataset(tmp_path / "mixed.arrow", mixed)

    for name in ("train", "valid"):
        split = open_split(dataset, name)
        _assert_holds(split, [row for row in mixed if row.split == name])


def test_a_modality_that_the_set_lacks_is_none(tmp_path: Path) -> None:
    rows = [replace(row, vision=None) for row in demo_utterances()[:8]]
    metadata = file_metadata(digest="", source="t", audio_width=5, vision_width=None)
    write_utterances(tmp_path / "a.arrow", rows, arrow_schema(5, None, metadata))

    split = open_split(Dataset.open(tmp_path / "a.arrow"), "train")

    assert split.vision is None
    assert split.audio is not None


def test_test_is_not_opened_like_the_others(dataset: Dataset) -> None:
    with pytest.raises(InputError, match="only train and valid"):
        open_split(dataset, "test")  # type: ignore[arg-type]

    assert len(open_test(dataset)) == 64


def test_inputs_carry_no_labels(dataset: Dataset) -> None:
    assert open_inputs(dataset, "test").labels is None
    everything = open_inputs(dataset)
    assert (everything.name, everything.labels, len(everything)) == ("all", None, 240)
    _assert_holds(everything, demo_utterances())


def test_an_unlabelled_utterance_is_named(tmp_path: Path) -> None:
    rows = demo_utterances()[:60]
    rows[3] = replace(rows[3], label=None)

    with pytest.raises(InputError, match=r"1 of 60 .* video demo_00, utterance 4"):
        open_split(_dataset(tmp_path / "x.arrow", rows), "train")


def test_a_missing_split_says_which_are_there(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path / "x.arrow", demo_utterances()[:60])

    with pytest.raises(InputError, match=r"must have a split 'test'; its splits: train \(60\)"):
        open_test(dataset)
    with pytest.raises(InputError, match="did you mean 'train'"):
        open_inputs(dataset, "trian")


def _who_names(name: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("hscl", "tune", "cluster")
        for path in (ROOT / package).rglob("*.py")
        if any(
            name in {getattr(node, "id", None), getattr(node, "attr", None), *_imported(node)}
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }


def _imported(node: ast.AST) -> set[str]:
    return {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()


def test_the_labels_of_test_are_reached_from_few_places_alone() -> None:
    # A confirmed trial, and `hscl evaluate`.
    users = {"tune/trial/run.py", "hscl/trained/evaluate.py"}
    assert _who_names("open_test") == users
    # The check of a set, and its digest, which is compared and never returned row by row.
    assert _who_names("all_rows") == {"hscl/data/check/checks.py", "hscl/data/dataset.py"}
    # The two ways that look for such names do find them.
    assert "hscl/training/prepared.py" in _who_names("open_split")
