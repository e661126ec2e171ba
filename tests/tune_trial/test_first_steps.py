"""Timing a study's first steps touches neither the study's seeds nor its folder."""

from pathlib import Path

import pytest
from synthetic import study

from tune.trial.first_steps import time_first_steps


def test_few_steps_are_scaled_to_the_whole_epoch(
    tiny_file: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSCL_CACHE", str(tmp_path))
    base = {
        "model.text.encoder": str(tiny_encoder),
        "model.text.finetune": False,
        "model.fusion.heads": 2,
        "train.batch_size": 2,
    }
    timed = time_first_steps(study(base=base), str(tiny_file))
    assert 0 < timed["seconds_per_epoch"] < 600
    assert timed["peak_memory"] > 2**20
    # Two moments of Adam and the current weights beside the best ones.
    assert 0 < 2 * timed["kept_bytes"] < timed["running_bytes"]
    # Six steps of two out of 32 utterances: an epoch takes longer than what was run of it.
    assert timed["took"] > 0
