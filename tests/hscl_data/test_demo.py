"""The demo set: deterministic, sound, and with a signal in every modality."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hscl.data.dataset import Dataset
from hscl.data.demo import demo_utterances, write_demo
from hscl.data.schema import digest_of
from hscl.errors import InputError


def test_equal_seeds_agree_and_others_do_not() -> None:
    assert digest_of(demo_utterances(seed=3)) == digest_of(demo_utterances(seed=3))
    assert digest_of(demo_utterances(seed=3)) != digest_of(demo_utterances(seed=4))


def test_two_files_of_one_seed_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_demo(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_says_that_it_is_synthetic(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo.arrow")
    metadata = Dataset.open(tmp_path / "demo.arrow").metadata
    assert metadata["synthetic"] is True
    assert "synthetic" in metadata["source"]
    json.dumps(metadata)


def test_videos_stay_in_one_split_and_test_has_enough_of_them() -> None:
    videos: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for row in demo_utterances():
        videos[str(row.split)].add(row.video)

    assert [len(names) for names in videos.values()] == [16, 6, 8]
    assert len(set.union(*videos.values())) == 30


def test_labels_are_in_range_in_steps_of_a_fifth_and_varied() -> None:
    labels = np.array([row.label for row in demo_utterances(utterances=600)], dtype=float)

    assert np.abs(labels).max() <= 3
    assert np.allclose(labels * 5, np.rint(labels * 5))
    assert 1.0 < labels.std() < 1.7


def _held_out_correlation(
    features: npt.NDArray[np.float64], labels: npt.NDArray[np.float64], rows: slice
) -> float:
    """Ridge regression, written out: fitted on the rows before `rows`, judged on them."""
    inputs = np.column_stack([features, np.ones(len(features))])
    train = slice(0, rows.start)
    gram = inputs[train].T @ inputs[train] + np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs[train].T @ labels[train])
    return float(np.corrcoef(inputs[rows] @ weights, labels[rows])[0, 1])


def test_every_modality_carries_a_signal_that_words_alone_lack() -> None:
    rows = demo_utterances(utterances=1200)
    words = sorted({word for row in rows for word in str(row.text).split()})
    text = np.array([[str(row.text).split().count(w) for w in words] for row in rows], dtype=float)
    audio = np.array([row.audio.mean(0) for row in rows if row.audio is not None], dtype=float)
    vision = np.array([row.vision.mean(0) for row in rows if row.vision is not None], dtype=float)
    labels = np.array([row.label for row in rows], dtype=float)
    held_out = slice(900, 1200)

    alone = [
        _held_out_correlation(features, labels, held_out) for features in (text, audio, vision)
    ]
    together = _held_out_correlation(np.hstack([text, audio, vision]), labels, held_out)

    assert min(alone) > 0.4
    assert max(alone) + 0.02 < together < 0.97


def test_some_frames_inside_are_zero_and_none_at_the_ends() -> None:
    zero = [(row.vision == 0).all(axis=1) for row in demo_utterances() if row.vision is not None]

    assert sum(rows.any() for rows in zero) > 10
    assert not any(rows[0] or rows[-1] for rows in zero)


def test_a_senseless_size_is_refused() -> None:
    with pytest.raises(InputError, match="at least 60 utterances"):
        demo_utterances(utterances=10)


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="seed of a demo set must be 0 or more, but is -1"):
        demo_utterances(seed=-1)
