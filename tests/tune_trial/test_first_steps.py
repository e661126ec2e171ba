"""Timing a study's first steps touches neither the study's seeds nor its folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import branched
from synthetic import study
from tiny_kinds import KINDS

from tune.study.size import GIB
from tune.study.toml import parse_spec
from tune.trial.first_steps import (
    configs_by_kind,
    gpu_advice,
    gpu_share,
    measured_text,
    time_first_steps,
)


def _frozen(encoder: Path, *, batch_size: int) -> dict[str, Any]:
    return {
        "model.text.encoder": str(encoder),
        "model.text.finetune": False,
        "model.fusion.heads": 2,
        "train.batch_size": batch_size,
    }


def test_few_steps_are_scaled_to_the_whole_epoch(
    tiny_file: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    base = _frozen(tiny_encoder, batch_size=2)
    timed = time_first_steps(study(base=base), str(tiny_file))
    assert 0 < timed["seconds_per_epoch"] < 600
    assert timed["peak_memory"] > 2**20
    # Two moments of Adam and the current weights beside the best ones.
    assert 0 < 2 * timed["kept_bytes"] < timed["running_bytes"]
    # Six steps of two out of 32 utterances: an epoch takes longer than what was run of it.
    assert timed["took"] > 0
    assert timed["gpu_share"] == 0.0 or torch.cuda.is_available()


@pytest.mark.parametrize(
    ("peak", "whole", "expected"),
    [
        (0.2, 80.0, 0.125),
        (5.0, 80.0, 0.125),
        (10.0, 80.0, 0.25),
        (20.0, 80.0, 0.5),
        (40.0, 80.0, 1.0),
        (90.0, 80.0, 1.0),
        (0.2, 4.0, 0.25),
        (0.2, 0.0, 0.0),
    ],
)
def test_the_share_of_a_gpu_that_is_enough_leaves_room_for_longer_batches(
    peak: float, whole: float, expected: float
) -> None:
    assert gpu_share(int(peak * GIB), int(whole * GIB)) == expected
    if expected:
        assert (1.5 * peak + 0.5) / expected <= whole or expected == 1.0


@pytest.mark.parametrize(
    ("asked", "share", "said"),
    [
        (None, 0.25, "0.25 would let 4"),
        (1.0, 0.5, "0.5 would let 2"),
        (0.25, 0.25, ""),
        (0.0, 0.25, ""),
        (None, 1.0, ""),
        (None, 0.0, ""),
    ],
)
def test_a_smaller_share_is_advised_where_a_trial_gets_more(
    asked: float | None, share: float, said: str
) -> None:
    spec = study()
    resources = spec.resources.model_copy(update={"gpus": asked})
    spec = spec.model_copy(update={"resources": resources})
    advice = gpu_advice(spec, {"gpu_share": share, "peak_memory": 1.0})
    assert said in advice
    assert bool(said) == bool(advice)


def test_each_kind_of_model_is_timed_and_their_mean_is_what_a_study_of_equal_parts_takes(
    tiny_file: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    base = _frozen(tiny_encoder, batch_size=16)
    known = [{"name": "MulT", "model.kind": "mult"} | KINDS["mult"]]
    space = {"model.kind": {"choice": ["hscl", "mult"]}}
    spec = parse_spec({"base": base, "space": space, "known": known})
    timed = time_first_steps(spec, str(tiny_file))
    models = timed["models"]
    assert list(models) == ["hscl", "mult"]
    assert timed["seconds_per_epoch"] == pytest.approx((models["hscl"] + models["mult"]) / 2)
    assert measured_text(models).startswith(f"on average (hscl {models['hscl']:.2g} and mult ")
    assert measured_text({"hscl": 1.0}) == "of the default"


def test_a_kind_is_timed_as_it_is_known_and_a_list_counts_its_rows() -> None:
    found = configs_by_kind(branched())
    assert [count for _, count in found.values()] == [1, 1, 1]
    assert found["mult"][0].train.schedule == "constant"  # as published, not the default's
    rows = [{"name": str(n), "model.kind": "mult", "model.mult.layers": n} for n in (2, 3)]
    listed = parse_spec({"base": {"preset": "mosi"}, "known": rows, "sampler": {"kind": "list"}})
    assert [count for _, count in configs_by_kind(listed).values()] == [1, 2]
    searched = parse_spec({"space": {"model.kind": {"choice": ["hscl", "misa"]}}})
    assert configs_by_kind(searched)["misa"][0].model.kind == "misa"
