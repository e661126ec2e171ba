"""Utterances -> batches, cut to what they hold."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hscl.data.ragged import Ragged
from hscl.training.batches import (
    Absent,
    collate,
    draw_absent,
    evaluation_batches,
    training_batches,
)
from hscl.training.prepared import PreparedSplit, TrainingData
from hscl.training.scaling import Scaler

BOTH = frozenset({"audio", "vision"})


def _literal_padding(ragged: Ragged, rows: list[int]) -> np.ndarray:
    """One row after the other, as the definition says."""
    longest = max(1, *(len(ragged.row(i)) for i in rows))
    padded = np.zeros((len(rows), longest, *ragged.values.shape[1:]), ragged.values.dtype)
    for place, i in enumerate(rows):
        padded[place, : len(ragged.row(i))] = ragged.row(i)
    return padded


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_padding_agrees_with_a_loop_over_rows(tiny_data: TrainingData, rows: list[int]) -> None:
    split = tiny_data.train
    batch = collate(split, np.array(rows), modalities=BOTH)
    assert split.audio is not None
    assert split.vision is not None
    assert split.labels is not None
    for ragged, values, lengths in (
        (split.text, batch.text, batch.text_lengths),
        (split.audio, batch.audio, batch.audio_lengths),
        (split.vision, batch.vision, batch.vision_lengths),
    ):
        assert values is not None
        assert lengths is not None
        np.testing.assert_array_equal(values.numpy(), _literal_padding(ragged, rows))
        assert lengths.tolist() == [len(ragged.row(i)) for i in rows]
    assert batch.rows.tolist() == rows
    assert batch.labels is not None
    np.testing.assert_allclose(batch.labels.numpy(), split.labels[rows], rtol=1e-6)


def test_dtypes_are_those_that_the_network_expects(tiny_data: TrainingData) -> None:
    split = tiny_data.train
    tokens = Ragged(np.arange(split.text.offsets[-1], dtype=np.int32), split.text.offsets)
    batch = collate(
        PreparedSplit(**{**vars(split), "text": tokens}), np.arange(5), modalities=BOTH
    )
    assert batch.text.dtype == torch.int64
    assert batch.text_lengths.dtype == torch.int64
    assert batch.rows.dtype == torch.int64
    assert batch.audio is not None
    assert batch.audio.dtype == torch.float32
    assert batch.labels is not None
    assert batch.labels.dtype == torch.float32


def test_a_batch_is_as_long_as_its_longest_utterance_and_no_longer(
    tiny_data: TrainingData,
) -> None:
    split = tiny_data.train
    shortest = np.flatnonzero(split.text.lengths == split.text.lengths.min())
    batch = collate(split, shortest, modalities=BOTH)
    assert batch.text.shape[1] == split.text.lengths.min()


def test_a_modality_that_is_not_used_is_left_out(tiny_data: TrainingData) -> None:
    batch = collate(tiny_data.train, np.arange(4), modalities=frozenset({"vision"}))
    assert batch.audio is None
    assert batch.audio_lengths is None
    assert batch.vision is not None


def test_where_all_are_missing_one_empty_place_remains(tiny_data: TrainingData) -> None:
    split = tiny_data.train
    assert split.audio is not None
    missing = np.flatnonzero(split.audio.lengths == 0)
    assert len(missing)
    batch = collate(split, missing, modalities=BOTH)
    assert batch.audio is not None
    assert batch.audio.shape == (len(missing), 1, 3)
    assert not batch.audio.any()


def test_shared_arrays_are_read_without_a_warning_and_never_written(
    tiny_data: TrainingData,
) -> None:
    split = tiny_data.train
    before = split.text.values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = collate(split, np.arange(8), modalities=BOTH, scalers=tiny_data.scalers)
    batch.text.zero_()
    assert np.array_equal(split.text.values, before)


def test_scaling_touches_real_frames_only(tiny_data: TrainingData) -> None:
    split = tiny_data.train
    scaler = Scaler(np.full(3, 100.0, np.float32), np.full(3, 2.0, np.float32))
    plain = collate(split, np.arange(10), modalities=BOTH)
    scaled = collate(split, np.arange(10), modalities=BOTH, scalers={"audio": scaler})
    assert plain.audio is not None
    assert scaled.audio is not None
    assert plain.audio_lengths is not None
    real = torch.arange(plain.audio.shape[1]) < plain.audio_lengths[:, None]
    torch.testing.assert_close(scaled.audio[real], (plain.audio[real] - 100) / 2)
    assert not scaled.audio[~real].any()


def test_shuffled_frames_are_those_of_another_utterance_and_always_the_same_one(
    tiny_data: TrainingData,
) -> None:
    split = tiny_data.train
    rows = np.arange(len(split))
    whole = collate(split, rows, modalities=BOTH)
    assert whole.audio is not None
    assert whole.audio_lengths is not None
    shuffled = collate(split, rows, modalities=BOTH, inputs={"audio": "shuffled"})
    assert shuffled.audio is not None
    assert shuffled.audio_lengths is not None
    lent = [
        tuple(frames[:length].flatten().tolist())
        for frames, length in zip(shuffled.audio, shuffled.audio_lengths, strict=True)
    ]
    own = [
        tuple(frames[:length].flatten().tolist())
        for frames, length in zip(whole.audio, whole.audio_lengths, strict=True)
    ]
    assert sorted(lent) == sorted(own)  # all of the split's, each once
    assert sum(a == b for a, b in zip(lent, own, strict=True)) < len(own) / 4
    assert shuffled.vision is not None
    assert whole.vision is not None
    assert torch.equal(shuffled.vision, whole.vision)
    assert torch.equal(shuffled.text, whole.text)
    few = collate(split, rows[5:9], modalities=BOTH, inputs={"audio": "shuffled"})
    assert few.audio_lengths is not None
    assert few.audio_lengths.tolist() == shuffled.audio_lengths[5:9].tolist()


def test_a_hidden_input_is_as_long_as_it_was_and_empty(tiny_data: TrainingData) -> None:
    rows, scalers = np.arange(6), tiny_data.scalers
    whole = collate(tiny_data.train, rows, modalities=BOTH, scalers=scalers)
    batch = collate(
        tiny_data.train, rows, modalities=BOTH, scalers=scalers, inputs={"audio": "hidden"}
    )
    assert batch.audio is not None
    assert batch.audio_lengths is not None
    assert whole.audio_lengths is not None
    assert whole.audio is not None
    assert whole.audio.any()
    assert not batch.audio.any()
    assert batch.audio_lengths.tolist() == whole.audio_lengths.tolist()
    assert batch.vision is not None
    assert whole.vision is not None
    assert torch.equal(batch.vision, whole.vision)


def test_hidden_modalities_look_like_missing_ones(tiny_data: TrainingData) -> None:
    split = tiny_data.train
    rows = np.arange(12)
    hidden = np.arange(12) % 2 == 0
    nothing = np.zeros(12, bool)
    batch = collate(split, rows, modalities=BOTH, absent=Absent(audio=hidden, vision=nothing))
    whole = collate(split, rows, modalities=BOTH)
    assert batch.audio is not None
    assert batch.audio_lengths is not None
    assert whole.audio is not None
    assert whole.audio_lengths is not None
    assert not batch.audio_lengths[hidden].any()
    assert not batch.audio[hidden].any()
    assert torch.equal(batch.audio_lengths[~hidden], whole.audio_lengths[~hidden])
    kept = batch.audio.shape[1]
    assert torch.equal(batch.audio[~hidden], whole.audio[~hidden][:, :kept])
    assert torch.equal(batch.text, whole.text)
    assert batch.vision is not None
    assert whole.vision is not None
    assert torch.equal(batch.vision, whole.vision)


def test_modalities_are_hidden_independently_and_as_often_as_asked() -> None:
    absent = draw_absent(20_000, 0.3, np.random.default_rng(0))
    assert absent is not None
    assert absent.audio.mean() == pytest.approx(0.3, abs=0.015)
    assert absent.vision.mean() == pytest.approx(0.3, abs=0.015)
    assert (absent.audio & absent.vision).mean() == pytest.approx(0.09, abs=0.01)


def test_without_modality_dropout_nothing_is_drawn() -> None:
    generator = np.random.default_rng(0)
    state = generator.bit_generator.state
    assert draw_absent(10, 0.0, generator) is None
    assert generator.bit_generator.state == state


@pytest.mark.parametrize("batching", ["random", "length"])
@given(count=st.integers(1, 300), size=st.integers(1, 70), seed=st.integers(0, 99))
def test_every_row_comes_exactly_once_an_epoch(
    batching: str, count: int, size: int, seed: int
) -> None:
    lengths = np.random.default_rng(seed).integers(0, 500, count)
    batches = training_batches(lengths, size, batching, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    assert sorted(map(len, batches), reverse=True)[: count // size] == [size] * (count // size)
    assert len(batches) == -(-count // size)


def test_random_batches_are_uniform() -> None:
    """Any two of 12 utterances share a batch of 4 in 3 of 11 epochs, whatever their lengths."""
    together = np.zeros((12, 12))
    for seed in range(4000):
        generator = np.random.default_rng(seed)
        for rows in training_batches(np.arange(12), 4, "random", generator):
            together[np.ix_(rows, rows)] += 1
    shares = together[~np.eye(12, dtype=bool)] / 4000
    assert np.abs(shares - 3 / 11).max() < 0.035


def test_batches_by_length_hold_far_less_padding_and_still_change() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 640)

    def padding(batches: list[np.ndarray]) -> float:
        return float(sum(lengths[b].max() * len(b) for b in batches) / lengths.sum() - 1)

    random, by_length = (
        training_batches(lengths, 32, kind, np.random.default_rng(1))
        for kind in ("random", "length")
    )
    assert padding(by_length) < padding(random) / 4
    other = training_batches(lengths, 32, "length", np.random.default_rng(2))
    assert {frozenset(b.tolist()) for b in by_length} != {frozenset(b.tolist()) for b in other}
    firsts = [lengths[b].mean() for b in by_length]
    assert firsts != sorted(firsts)  # no curriculum from short to long


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 20))
def test_evaluation_sees_every_row_once_in_an_order_of_its_own(
    lengths: list[int], size: int
) -> None:
    batches = list(evaluation_batches(np.array(lengths), size))
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths)
