"""A training that is interrupted and one that is not are the same training."""

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hscl.config import Config
from hscl.errors import InputError, RunError
from hscl.training.checkpoints import read_record, read_tensors, write_checkpoint
from hscl.training.loop import Training
from hscl.training.prepared import TrainingData
from hscl.training.reports import EpochReport
from hscl.training.resuming import STATE, best_path

MEASURED = ("seconds", "peak_memory")


def _said(reports: list[EpochReport]) -> list[str]:
    return [repr({k: v for k, v in vars(r).items() if k not in MEASURED}) for r in reports]


def _assert_same(first: Training, second: Training) -> None:
    assert _said(first.reports) == _said(second.reports)
    assert first.best.epoch == second.best.epoch
    for name, weight in first.best.weights.items():
        assert torch.equal(weight, second.best.weights[name]), name
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def undisturbed(tiny_config: Config, tiny_data: TrainingData) -> Training:
    """Every source of randomness on, and a best epoch that is neither the first nor the last."""
    for rate in (0.003, 0.01, 0.03):
        config = tiny_config.with_overrides(
            {
                "train.epochs": 9,
                "train.patience": 9,
                "train.lr": rate,
                "train.schedule": "linear",
                "train.modality_dropout": 0.2,
                "train.batching": "length",
                "run.micro_batch": 6,
            }
        )
        training = Training(config, tiny_data, seed=1)
        assert len(list(training)) == 9
        if 2 < training.best.epoch < 9:
            return training
    pytest.fail("no rate has its best epoch in the middle: these tests would show less")


@pytest.fixture(scope="module")
def config(undisturbed: Training) -> Config:
    return undisturbed.config


@pytest.mark.parametrize("stops", [[1], [4], [8], list(range(1, 9))])
def test_resumed_trainings_are_bit_identical(
    config: Config,
    tiny_data: TrainingData,
    undisturbed: Training,
    tmp_path: Path,
    stops: list[int],
) -> None:
    training = Training(config, tiny_data, seed=1)
    for report in training:
        if report.epoch in stops:
            training.save(tmp_path)
            training = Training(config, tiny_data, seed=1)  # another process would begin so
            torch.rand(3)
            training.restore(tmp_path)
            break
    while training.epoch < 9:
        for report in training:
            if report.epoch in stops:
                training.save(tmp_path)
                training = Training(config, tiny_data, seed=1)
                training.restore(tmp_path)
                break
    _assert_same(training, undisturbed)


def test_a_folder_holds_one_state_and_one_best_epoch(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    training = Training(config, tiny_data, seed=1)
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / ".state.safetensors.4711.part").touch()  # its writer was killed
    sizes = {}
    for report in training:
        path = training.save(tmp_path / "trial")
        sizes[report.epoch] = path.stat().st_size
        assert {p.name for p in path.parent.iterdir()} == {
            STATE,
            f"best-{training.best.epoch:04d}.safetensors",
        }
    # Nothing goes on from a finished training: neither weights nor moments are kept.
    assert sizes[9] < sizes[8] / 5
    finished = Training(config, tiny_data, seed=1)
    finished.restore(tmp_path / "trial")
    assert finished.finished
    assert list(finished) == []
    assert _said(finished.reports) == _said(undisturbed.reports)
    assert tiny_data.valid is not None
    assert (
        finished.predict(tiny_data.valid).tolist() == undisturbed.predict(tiny_data.valid).tolist()
    )


def test_the_best_epoch_stands_in_a_file_of_its_own(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    training = Training(config, tiny_data, seed=1)
    for _ in training:
        training.save(tmp_path)
    best = best_path(tmp_path, read_record(tmp_path / STATE)["best"]["epoch"])
    weights, record = read_tensors(best), read_record(best)
    assert weights.keys() == undisturbed.best.weights.keys()
    assert all(torch.equal(w, undisturbed.best.weights[n]) for n, w in weights.items())
    assert record["epoch"] == undisturbed.best.epoch
    assert Config.from_json(record["config"]) == config
    assert (record["seed"], record["metric"]) == (1, "mae")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 2}, "seed = 2"),
        ({"metric": "corr"}, "metric = 'corr'"),
        ({"overrides": {"loss.temperature": 0.1}}, "config_id"),
    ],
)
def test_another_training_is_refused(
    config: Config, tiny_data: TrainingData, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    training = Training(config, tiny_data, seed=1)
    next(iter(training))
    training.save(tmp_path)
    changed = config.with_overrides(changes.pop("overrides", {}))
    other = Training(changed, tiny_data, **{"seed": 1, **changes})
    with pytest.raises(InputError, match=what):
        other.restore(tmp_path)


def test_another_way_of_executing_is_the_same_training(
    config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    training = Training(config, tiny_data, seed=1)
    next(iter(training))
    training.save(tmp_path)
    other = Training(config.with_overrides({"run.threads": 1}), tiny_data, seed=1)
    other.restore(tmp_path)
    assert other.epoch == 1


def test_there_is_nothing_to_save_before_the_first_epoch(
    config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    with pytest.raises(RunError):
        Training(config, tiny_data, seed=1).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_missing_damaged_or_foreign_states_are_errors(
    config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    training = Training(config, tiny_data, seed=1)
    with pytest.raises(InputError, match=STATE):
        training.restore(tmp_path)
    next(iter(training))
    path = training.save(tmp_path)
    record = read_record(path)
    write_checkpoint(path, {}, {**record, "layout": 99})
    with pytest.raises(InputError, match="layout"):
        training.restore(tmp_path)
    path.write_bytes(b"half a")
    with pytest.raises(InputError, match="can't be read"):
        training.restore(tmp_path)


def test_a_state_without_its_optimizer_or_weights_is_not_taken(
    config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    """The best epoch's file is there before a state names it, never the other way round."""
    training = Training(config, tiny_data, seed=1)
    next(iter(training))
    training.save(tmp_path)
    (tmp_path / "best-0001.safetensors").unlink()
    with pytest.raises(InputError, match="best-0001"):
        Training(config, tiny_data, seed=1).restore(tmp_path)


def _began_again(config: Config, data: TrainingData, folder: Path, epoch: int) -> Training:
    """Trained to its best epoch without `restore`, and saved there."""
    training = Training(config, data, seed=1)
    for report in training:
        if report.epoch == epoch:
            break
    training.save(folder)
    return training


def _resumes_as(undisturbed: Training, config: Config, data: TrainingData, folder: Path) -> None:
    resumed = Training(config, data, seed=1)
    resumed.restore(folder)
    list(resumed)
    _assert_same(resumed, undisturbed)


def test_a_damaged_best_epoch_of_an_earlier_attempt_is_written_anew(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    _began_again(config, tiny_data, tmp_path, undisturbed.best.epoch)
    of_best = best_path(tmp_path, undisturbed.best.epoch)
    of_best.write_bytes(of_best.read_bytes()[:200])
    with pytest.raises(InputError, match="can't be read"):
        Training(config, tiny_data, seed=1).restore(tmp_path)
    # Saved once the best epoch is over, as a trial whose checkpoints are rare does.
    _began_again(config, tiny_data, tmp_path, undisturbed.best.epoch + 1)
    _resumes_as(undisturbed, config, tiny_data, tmp_path)


def test_weights_that_another_training_left_are_not_taken_for_ones_own(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    best = undisturbed.best
    of_best = best_path(tmp_path, best.epoch)
    foreign = {name: torch.zeros_like(weight) for name, weight in best.weights.items()}
    write_checkpoint(of_best, foreign, {"layout": 1, "epoch": best.epoch, "value": 0.5})
    _began_again(config, tiny_data, tmp_path, best.epoch + 1)
    _resumes_as(undisturbed, config, tiny_data, tmp_path)


def test_a_kill_between_another_best_epoch_and_its_state_leaves_nothing_mixed(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    _began_again(config, tiny_data, tmp_path, undisturbed.best.epoch + 1)
    state = (tmp_path / STATE).read_bytes()
    other = config.with_overrides({"run.precision": "bf16"})
    training = Training(other, tiny_data, seed=1)
    for _ in training:
        if training.best.epoch == undisturbed.best.epoch:
            break
    training.save(tmp_path)
    (tmp_path / STATE).write_bytes(state)
    assert training.best.value != undisturbed.best.value
    with pytest.raises(InputError, match=r"must hold the best epoch .* remove the folder"):
        Training(config, tiny_data, seed=1).restore(tmp_path)


_WORKER = """
import pickle, sys
from pathlib import Path
from hscl.config import Config
from hscl.training.resuming import STATE
from hscl.training.loop import Training

folder = Path(sys.argv[1])
config, data = pickle.loads(Path(sys.argv[2]).read_bytes())
training = Training(Config.from_json(config), data, seed=1)
if (folder / STATE).exists():
    training.restore(folder)
print("from", training.epoch, flush=True)
for report in training:
    training.save(folder)
    print("epoch", report.epoch, flush=True)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_like_one_that_was_not(
    config: Config, tiny_data: TrainingData, undisturbed: Training, tmp_path: Path
) -> None:
    """SIGKILL, at moments that fall into epochs and into saves alike."""
    data = tmp_path / "data.pickle"
    data.write_bytes(pickle.dumps((config.to_json(), tiny_data)))
    folder = tmp_path / "trial"
    starts, done = [], False
    for delay in (0.0, 0.004, 0.05, 60.0):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(folder), str(data)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        with worker.stdout:
            starts.append(int(worker.stdout.readline().split()[1]))
            worker.stdout.readline()
            if delay < 60:
                time.sleep(delay)
                worker.kill()
            done = "done" in worker.stdout.read()
        worker.wait()
    assert done
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] > 0
    resumed = Training(config, tiny_data, seed=1)
    resumed.restore(folder)
    assert _said(resumed.reports) == _said(undisturbed.reports)
    for name, weight in undisturbed.best.weights.items():
        assert torch.equal(weight, resumed.best.weights[name])


def test_the_reports_in_a_state_are_plain_json(
    config: Config, tiny_data: TrainingData, tmp_path: Path
) -> None:
    training = Training(config, tiny_data, seed=1)
    next(iter(training))
    record = read_record(training.save(tmp_path))
    assert json.loads(json.dumps(record)) == record
    assert record["reports"][0]["epoch"] == 1
