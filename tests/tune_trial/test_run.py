"""One trial, in this process: what a worker says, saves, and makes of what goes wrong."""

import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from orders import ORDER
from synthetic import Faults, Synthetic, objective, split

from hscl.config import Config
from hscl.data.dataset import Dataset
from hscl.data.demo import write_demo
from hscl.errors import RunError
from hscl.training.prepared import TrainingData
from tune.states import Phase
from tune.trial.code import code_here
from tune.trial.data import on_its_device
from tune.trial.messages import Message, MessageKind, TrialBrokeError, TrialOrder
from tune.trial.run import HSCL, Worker, _check_data, check_code, run_trial

CONFIG = Config().with_overrides({"train.epochs": 4})
DATA = {"numbers": np.arange(3.0)}


def order(folder: Path, **changes: Any) -> TrialOrder:
    base = replace(ORDER, config=CONFIG.to_json(), study=str(folder), checkpoint_s=0.0)
    return replace(base, **changes)


def run(
    what: TrialOrder,
    *,
    stopping: Callable[[], bool] = lambda: False,
    end_after: int | None = None,
    **workload: Any,
) -> list[Message]:
    """All messages of a trial; the driver wants no more after `end_after` of them."""
    heard: list[Message] = []

    def send(message: Message) -> None:
        heard.append(message)
        if len(heard) == end_after:
            raise SystemExit  # as Ray's report does in a trial that was stopped

    try:
        run_trial(what, DATA, Synthetic(**workload), Worker(send, stopping))
    except SystemExit:
        assert end_after is not None
    return heard


def epochs(heard: list[Message]) -> list[int]:
    return [message.row["epoch"] for message in heard if message.row is not None]


def log(folder: Path) -> str:
    return (folder / "logs" / "abc-1.txt").read_text()


def test_a_trial_says_each_epoch_and_then_that_it_is_done(tmp_path: Path) -> None:
    heard = run(order(tmp_path))
    assert [message.kind for message in heard] == [*[MessageKind.REPORT] * 4, MessageKind.DONE]
    row = heard[1].row
    assert row is not None
    assert row["valid_mae"] == objective(CONFIG, 1, 2)
    assert row["loss_total"] == row["valid_mae"]
    assert row["loss_high"] is None
    assert (row["finished"], row["steps"]) == (False, 3)
    assert heard[-1].predictions is None
    assert "training epoch 4" in log(tmp_path)
    assert (tmp_path / "checkpoints/abc-1/state.safetensors").exists()


def test_predictions_of_the_splits_asked_for_come_with_the_end(tmp_path: Path) -> None:
    what = order(tmp_path, phase=Phase.CONFIRM, splits=("valid", "test"))
    predictions = run(what)[-1].predictions
    assert predictions is not None
    table = pa.ipc.open_stream(predictions).read_all()
    assert table["split"].to_pylist() == ["valid"] * 12 + ["test"] * 12
    labels = split("test").labels
    assert labels is not None
    assert table["label"].to_pylist()[12:] == labels.tolist()


def test_a_checkpoint_ahead_of_the_tables_says_what_they_lack(tmp_path: Path) -> None:
    assert epochs(run(order(tmp_path), end_after=1)) == [1]  # saved, said, and never written
    assert epochs(run(order(tmp_path, recorded=0, attempt=2))) == [1, 2, 3, 4]
    assert "resumes after epoch 1" in log(tmp_path)
    assert log(tmp_path).count("training epoch 1") == 1


def test_a_checkpoint_behind_the_tables_repeats_epochs_that_are_not_said_again(
    tmp_path: Path,
) -> None:
    assert epochs(run(order(tmp_path, checkpoint_s=3600.0), end_after=3)) == [1, 2, 3]
    assert epochs(run(order(tmp_path, recorded=3, attempt=2))) == [4]
    assert log(tmp_path).count("training epoch 3") == 2


def test_a_damaged_checkpoint_costs_time_and_nothing_else(tmp_path: Path) -> None:
    run(order(tmp_path), end_after=2)
    (tmp_path / "checkpoints/abc-1/state.safetensors").write_text("dam")
    assert epochs(run(order(tmp_path, recorded=2))) == [3, 4]
    assert "begins again" in log(tmp_path)


def test_a_trial_that_was_complete_says_only_that_it_is_done(tmp_path: Path) -> None:
    run(order(tmp_path))
    heard = run(order(tmp_path, recorded=4, splits=("valid",)))
    assert [message.kind for message in heard] == [MessageKind.DONE]
    assert heard[0].predictions is not None
    assert log(tmp_path).count("training epoch") == 4


def test_a_stopping_study_gets_a_checkpoint_after_the_running_epoch(tmp_path: Path) -> None:
    answers = iter([False, True])
    what = order(tmp_path, checkpoint_s=3600.0)
    heard = run(what, stopping=lambda: next(answers), epoch_s=0.25)
    assert [message.kind for message in heard] == [
        MessageKind.REPORT,
        MessageKind.REPORT,
        MessageKind.INTERRUPTED,
    ]
    assert epochs(run(order(tmp_path, recorded=2))) == [3, 4]
    assert log(tmp_path).count("training epoch 2") == 1


def test_an_exception_is_said_in_one_line_and_told_whole_in_the_log(tmp_path: Path) -> None:
    faults = Faults(raises=(CONFIG.loss.omega1,))
    heard = run(order(tmp_path), faults=faults)
    assert heard[-1].kind is MessageKind.FAILED
    assert heard[-1].error == "ValueError: this configuration cannot be trained"
    assert "Traceback" in log(tmp_path)


def test_a_value_that_is_not_finite_fails_the_trial_before_it_is_reported(tmp_path: Path) -> None:
    heard = run(order(tmp_path), faults=Faults(nan=(CONFIG.loss.omega1,)))
    assert epochs(heard) == [1]
    assert heard[-1].error == "total, task must be finite, but is not in epoch 2"
    assert "Traceback" not in log(tmp_path)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "device"),
        (OSError(5, "Input/output error"), "system"),
        (RuntimeError("shapes do not match"), None),
        (RunError("a head count does not divide"), None),
    ],
)
def test_what_another_process_may_get_past_is_raised_the_rest_is_said(
    tmp_path: Path, error: Exception, kind: str | None
) -> None:
    class Broken(Synthetic):
        def begin(self, order: TrialOrder, config: Config, data: Any) -> Any:
            raise error

    heard: list[Message] = []
    worker = Worker(heard.append, lambda: False)
    if kind is None:
        run_trial(order(tmp_path), DATA, Broken(), worker)
        assert [message.kind for message in heard] == [MessageKind.FAILED]
    else:
        with pytest.raises(TrialBrokeError) as caught:
            run_trial(order(tmp_path), DATA, Broken(), worker)
        assert caught.value.breakdown.kind == kind
        assert heard == []


def test_a_checkpoint_that_cannot_be_written_does_not_end_a_trial(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    heard = run(order(tmp_path))
    assert heard[-1].kind is MessageKind.DONE
    assert "no checkpoint after epoch 1" in log(tmp_path)
    assert any("checkpoints" in str(message.unsaved) for message in heard)


def test_a_study_folder_that_is_deleted_while_a_trial_runs_is_not_made_again(
    tmp_path: Path,
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    heard: list[Message] = []

    def send(message: Message) -> None:
        heard.append(message)
        shutil.rmtree(study, ignore_errors=True)

    run_trial(order(study), DATA, Synthetic(), Worker(send, lambda: False))
    assert heard[-1].kind is MessageKind.DONE
    assert any("is gone" in str(message.unsaved) for message in heard)
    run_trial(order(study), DATA, Synthetic(), Worker(send, lambda: False))
    assert not study.exists()


def test_a_quick_trial_saves_only_at_its_end(tmp_path: Path) -> None:
    run(order(tmp_path, checkpoint_s=3600.0), end_after=3)
    assert not (tmp_path / "checkpoints/abc-1").exists()


def test_the_log_says_who_ran_what_and_when(tmp_path: Path) -> None:
    run(order(tmp_path, attempt=3))
    first, second, *_ = log(tmp_path).splitlines()
    assert re.fullmatch(r"--- attempt 3 on .+, process \d+, 20\d\d-.*Z", first)
    assert Config.from_json(second) == CONFIG


def test_a_trial_without_a_gpu_sees_none_and_takes_the_threads_of_its_cpus(
    tiny_config: Config, tiny_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    two = HSCL.begin(replace(ORDER, cpus=2.5), tiny_config, tiny_data)
    assert (two.device.type, two.threads) == ("cpu", 2)
    asked = tiny_config.with_overrides({"run.threads": 3})
    assert HSCL.begin(replace(ORDER, cpus=0.5), asked, tiny_data).threads == 3
    assert two.precision == "fp32"
    studys = replace(ORDER, cpu_precision="bf16")
    assert HSCL.begin(studys, tiny_config, tiny_data).precision == "bf16"
    asked = tiny_config.with_overrides({"run.precision": "fp32"})
    assert HSCL.begin(studys, asked, tiny_data).precision == "fp32"
    assert on_its_device(tiny_config, 0.5) == on_its_device(tiny_config, None) == tiny_config
    torch.set_num_threads(before)


@pytest.mark.parametrize("phase", [Phase.SCREEN, Phase.REFINE])
def test_the_real_workload_opens_test_in_no_other_phase_than_confirm(phase: Phase) -> None:
    with pytest.raises(RunError, match="only a confirm trial opens test"):
        HSCL.split("test", replace(ORDER, phase=phase), CONFIG, None)  # type: ignore[arg-type]


def test_a_worker_with_other_code_than_the_drivers_trains_nothing(tmp_path: Path) -> None:
    code = dict(code_here()) | {"torch": "1.0", "sources": "f" * 64}
    with pytest.raises(TrialBrokeError) as caught:
        check_code(order(tmp_path, code=code))
    assert caught.value.breakdown.kind == "differs"
    said = caught.value.breakdown.text
    assert said.startswith(f"{platform.node()} runs other code: sources ")
    assert f"torch {code_here()['torch']}, not 1.0" in said
    check_code(order(tmp_path, code=dict(code_here())))


def test_a_nodes_copy_of_the_data_is_compared_before_anything_is_trained(tmp_path: Path) -> None:
    path, other = tmp_path / "demo.arrow", tmp_path / "other.arrow"
    write_demo(path, utterances=60)
    write_demo(other, utterances=66)
    digest = Dataset.open(path).digest
    label = np.float64(Dataset.open(path).table["label"][3].as_py()).tobytes()
    changed = path.read_bytes().replace(label, (-np.frombuffer(label)).tobytes(), 1)
    (tmp_path / "changed.arrow").write_bytes(changed)
    _check_data(order(tmp_path, data=str(path), digest=digest))
    _check_data(order(tmp_path, data=str(tmp_path / "not there"), digest=digest))
    for name, said in (("other", f"must be the data set {digest[:12]}"), ("changed", "since")):
        with pytest.raises(TrialBrokeError, match=said) as caught:
            HSCL.begin(order(tmp_path, data=f"{tmp_path}/{name}.arrow", digest=digest), CONFIG, {})  # type: ignore[arg-type]
        assert caught.value.breakdown.kind == "differs"
        assert caught.value.breakdown.text.startswith(f"{platform.node()}: ")
