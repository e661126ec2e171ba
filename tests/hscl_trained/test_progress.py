"""How a final training gets on, for people."""

import io

import pytest
from rich.console import Console

from hscl.config import Config
from hscl.metrics import METRICS
from hscl.trained.progress import TrainingProgress
from hscl.trained.record import SeedRun
from hscl.trained.train import FinalTraining
from hscl.training.prepared import TrainingData
from hscl.training.reports import EpochReport


@pytest.fixture
def final(tiny_config: Config, tiny_data: TrainingData) -> FinalTraining:
    return FinalTraining(tiny_config, tiny_data, (11, 12), "mae", "train")


def _report(epoch: int, mae: float | None, *, best: bool) -> EpochReport:
    valid = {} if mae is None else {**dict.fromkeys(METRICS, 0.5), "mae": mae}
    return EpochReport(epoch, {"total": 1.25}, valid, False, best, False, 2.0, 3, 0)


def _run(final: FinalTraining, console: Console, mae: float | None) -> None:
    with TrainingProgress(final, console) as progress:
        progress.began(11, 0, "cpu, fp32, 1 CPU thread")
        progress.reported(11, _report(1, mae, best=True))
        progress.reported(11, _report(2, None if mae is None else mae + 1, best=False))
        valid = {} if mae is None else {"mae": mae}
        progress.finished(SeedRun(11, 1, valid, [], "cpu", "fp32"))
        progress.began(12, 2, "cpu, fp32, 2 CPU threads")


def test_without_a_terminal_each_epoch_is_one_line(final: FinalTraining) -> None:
    stream = io.StringIO()
    _run(final, Console(file=stream), 0.5)
    assert stream.getvalue().splitlines() == [
        "seed 11 (1 of 2): begins (cpu, fp32, 1 CPU thread)",
        "  epoch 1 of 3: loss 1.250, valid MAE 0.500 (best), 2.0 s",
        "  epoch 2 of 3: loss 1.250, valid MAE 1.500 (best 0.500), 2.0 s",
        "seed 11: epoch 1, valid MAE 0.500",
        "seed 12 (2 of 2): goes on after epoch 2 (cpu, fp32, 2 CPU threads)",
    ]


def test_without_a_valid_split_only_the_loss_is_told(final: FinalTraining) -> None:
    stream = io.StringIO()
    _run(final, Console(file=stream), None)
    assert "  epoch 2 of 3: loss 1.250, 2.0 s" in stream.getvalue().splitlines()
    assert "MAE" not in stream.getvalue()


def test_a_terminal_shows_bars(final: FinalTraining) -> None:
    stream = io.StringIO()
    _run(final, Console(file=stream, force_terminal=True, width=120), 0.5)
    shown = stream.getvalue()
    assert "seed 11: epoch 1, valid MAE 0.500" in shown
    assert "valid MAE 1.500 (best 0.500)" in shown
    assert "1/2" in shown
