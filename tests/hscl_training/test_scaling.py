"""Standardisation of features."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from hscl.data.ragged import Ragged
from hscl.training.scaling import BOUND, Scaler, fit_scaler


def _ragged(lengths: list[int], width: int, seed: int = 0) -> Ragged:
    values = np.random.default_rng(seed).normal(3.0, 50.0, (sum(lengths), width))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(values.astype(np.float32), offsets)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum), st.integers(0, 99))
def test_it_agrees_with_scikit_learn_on_all_frames(lengths: list[int], seed: int) -> None:
    frames = _ragged(lengths, 4, seed)
    if sum(lengths) == 1:
        return
    reference = StandardScaler().fit(frames.values.astype(np.float64))
    scaler = fit_scaler(frames)
    np.testing.assert_allclose(scaler.mean, reference.mean_, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(scaler.scale, reference.scale_, rtol=1e-5)


def test_standardised_training_frames_have_mean_0_and_deviation_1() -> None:
    frames = _ragged([5, 0, 700, 31], 3)
    scaled = fit_scaler(frames).apply(frames.values)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-4)


def test_a_constant_feature_becomes_0_and_divides_by_nothing() -> None:
    frames = _ragged([20, 20], 3)
    values = frames.values.copy()
    values[:, 0] = 0.0
    values[:, 1] = -800.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaler = fit_scaler(Ragged(values, frames.offsets))
        scaled = scaler.apply(values)
    assert scaler.scale[:2].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(scaled[:, :2], 0, atol=1e-3)


def test_without_any_frame_it_changes_nothing() -> None:
    scaler = fit_scaler(Ragged(np.zeros((0, 2), np.float32), np.zeros(4, np.int64)))
    assert scaler.apply(np.ones((1, 2), np.float32)).tolist() == [[1.0, 1.0]]


def test_more_frames_than_one_chunk_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = _ragged([100, 57], 2)
    whole = fit_scaler(frames)
    monkeypatch.setattr("hscl.training.scaling._CHUNK", 10)
    np.testing.assert_allclose(fit_scaler(frames).scale, whole.scale, rtol=1e-6)


def test_read_only_frames_are_neither_written_nor_copied_back() -> None:
    frames = _ragged([8], 2)
    before = frames.values.copy()
    frames.values.setflags(write=False)
    scaled = fit_scaler(frames).apply(frames.values)
    assert not np.shares_memory(scaled, frames.values)
    assert np.array_equal(frames.values, before)


def test_frames_in_several_blocks_are_all_counted() -> None:
    frames = _ragged([5, 3, 9], 3)
    cut = Ragged(np.split(frames.values, [5, 8]), frames.offsets)
    for found, expected in zip(
        vars(fit_scaler(cut)).values(), vars(fit_scaler(frames)).values(), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_lies_far_outside_of_the_training_frames_is_clipped() -> None:
    frames = _ragged([400], 2)
    scaler = fit_scaler(frames)
    assert scaler.bound == BOUND == 10.0
    far = scaler.mean + scaler.scale * np.array([[151.0, -9.0], [-1e30, 10.5]], np.float32)
    np.testing.assert_allclose(scaler.apply(far), [[10.0, -9.0], [-10.0, 10.0]], rtol=1e-5)
    averaged = np.full((1, 2), np.finfo(np.float32).min / 2)
    assert Scaler(scaler.mean, scaler.scale / 1e3, 10.0).apply(averaged).tolist() == [[-10.0] * 2]


def test_a_scaler_of_an_earlier_version_clips_nothing() -> None:
    scaler = Scaler(np.zeros(1, np.float32), np.ones(1, np.float32))
    assert scaler.apply(np.array([[151.0]], np.float32)).tolist() == [[151.0]]
