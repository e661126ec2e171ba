"""What one epoch says, as plain values."""

import json
from dataclasses import FrozenInstanceError, asdict

import pytest

from hscl.training.reports import EpochReport


def test_a_report_survives_json_and_cannot_be_changed() -> None:
    report = EpochReport(
        epoch=2,
        losses={"total": 0.1 + 0.2},
        valid={"mae": 1 / 3},
        collapsed=False,
        best=True,
        finished=False,
        seconds=1.5,
        steps=3,
        peak_memory=2**40,
    )
    assert EpochReport(**json.loads(json.dumps(asdict(report)))) == report
    with pytest.raises(FrozenInstanceError):
        report.epoch = 3  # type: ignore[misc]
