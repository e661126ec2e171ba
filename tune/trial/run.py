"""One trial on a worker: configuration and seed in, one message an epoch out.

Whatever goes wrong with the trial itself is said as data, so that the warm process can go on to
the next one; only what spoils the process is raised.
"""

import math
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hscl.config import Config
from hscl.errors import DataChangedError, HsclError, InputError, RunError
from tune.states import Phase
from tune.trial.code import code_here, differences
from tune.trial.data import on_its_device, open_verified, verified_digest
from tune.trial.files import TrialFiles
from tune.trial.messages import BreakdownKind, Message, MessageKind, TrialBrokeError, TrialOrder
from tune.trial.rows import prediction_stream, prediction_table, report_row
from tune.trial.watchdog import Watchdog
from tune.trial.workload import EpochLike, TrialTraining, Workload

if TYPE_CHECKING:
    from hscl.training.loop import Training
    from hscl.training.prepared import PreparedSplit, TrainingData

__all__ = ["HSCL", "HsclWorkload", "Worker", "check_code", "run_trial"]

_CHECKPOINT_SHARE = 0.05  # of the training time may go into checkpoints
_ASK_S = 0.2  # between two looks whether the study is stopping


@dataclass(frozen=True)
class Worker:
    """A worker's two ways to the driver.

    Attributes:
        send: Hands over a message; returns when the driver wants more.
        stopping: Whether the study is stopping.
    """

    send: Callable[[Message], None]
    stopping: Callable[[], bool]


class HsclWorkload:
    """The trainings that a study is about."""

    def begin(self, order: TrialOrder, config: Config, data: "TrainingData") -> "Training":
        """A fresh HSCL training that uses the CPUs and GPUs which the trial has.

        Raises:
            TrialBrokeError: This node's data are not those of the study.
        """  # noqa: DOC502 - from the check
        import torch  # noqa: PLC0415 - only the real workload needs it

        from hscl.training.execution import (  # noqa: PLC0415
            release_memory,
            resolve_device,
            share_memory,
        )
        from hscl.training.loop import Training  # noqa: PLC0415

        _check_data(order)
        threads = config.run.threads or max(1, int(order.cpus))
        config = on_its_device(config, order.gpus)
        config = config.with_overrides({"run.threads": threads})
        device = resolve_device(config.run.device)
        if device.type == "cpu" and config.run.precision == "auto":
            config = config.with_overrides({"run.precision": order.cpu_precision})
        torch.set_num_threads(threads)  # for what else is computed here
        release_memory()  # of the trial before, so that a warm process does not grow
        share_memory(device, order.gpus)
        return Training(config, data, seed=order.seed, metric=order.metric)

    def split(
        self, name: str, order: TrialOrder, config: Config, data: "TrainingData"
    ) -> "PreparedSplit":
        """Valid as it was prepared; test is opened here, and only for a confirm trial.

        Raises:
            RunError: Test is asked for in another phase.
            TrialBrokeError: This node's data are not those of the study.
        """  # noqa: DOC502 - TrialBrokeError from the check
        if name == "valid" and data.valid is not None:
            return data.valid
        if name != "test" or order.phase is not Phase.CONFIRM:
            raise RunError(f"only a confirm trial opens test, not {order.trial_id}'s {name}")
        from hscl.data.splits import open_test  # noqa: PLC0415
        from hscl.training.prepared import prepare_split  # noqa: PLC0415

        _check_data(order)
        executed = on_its_device(config, order.gpus)
        dataset = open_verified(order.data)
        return prepare_split(open_test(dataset), executed, dataset.digest)


HSCL = HsclWorkload()


def _check_data(order: TrialOrder) -> None:
    """Compare this node's copy of the data, row by row, once a process and file.

    Train and valid come from the driver, test is read here: a copy that differs is refused before
    anything is trained. One that can't be read is left to those who read it.

    Raises:
        TrialBrokeError: It holds other rows than the study began with.
    """
    try:
        found = verified_digest(order.data)
    except DataChangedError as error:
        raise TrialBrokeError("differs", f"{platform.node()}: {error}") from error
    except InputError:
        return
    if found != order.digest:
        raise TrialBrokeError(
            "differs",
            f"{platform.node()}: {order.data} must be the data set {order.digest[:12]} that the "
            f"study began with, but is {found[:12]}; put the same file on every node",
        )


def check_code(order: TrialOrder) -> None:
    """Compare what this process computes with to what the driver does.

    Before anything of the driver's is unpacked, which other code may be unable to.

    Args:
        order: The driver's.

    Raises:
        TrialBrokeError: It is other code.
    """
    if order.code and (differing := differences(code_here(), order.code)):
        raise TrialBrokeError("differs", f"{platform.node()} runs other code: {differing}")


def run_trial(order: TrialOrder, data: Any, workload: Workload, worker: Worker) -> None:
    """Run one trial to its end, or until the driver wants no more (then `send` raises SystemExit).

    Args:
        order: What to run.
        data: As prepared by the driver.
        workload: What to train.
        worker: The way to the driver.

    Raises:
        TrialBrokeError: Something that another process may get past, such as memory; or this
            node's data are not those of the study.
    """
    try:
        with ExitStack() as stack:
            files = stack.enter_context(TrialFiles.opened(order.study, order.trial_id))
            log = stack.enter_context(files.logging())
            where = f"{platform.node()}, process {os.getpid()}"
            files.note(f"--- attempt {order.attempt} on {where}, {_now()}")
            files.note(order.config)
            watchdog = stack.enter_context(Watchdog(order.epoch_timeout_s, log))
            try:
                _Trial(order, data, workload, worker, files, watchdog).run()
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this trial alone
                files.note(_explained(error))
                _raise_if_broken(error)
                with watchdog.resting():
                    worker.send(
                        Message(MessageKind.FAILED, platform.node(), error=_one_line(error))
                    )
    except OSError as error:  # its files' folder or storage
        raise TrialBrokeError("system", _one_line(error)) from error


class _Trial:
    """One attempt at a trial."""

    def __init__(
        self,
        order: TrialOrder,
        data: Any,
        workload: Workload,
        worker: Worker,
        files: TrialFiles,
        watchdog: Watchdog,
    ) -> None:
        self.order = order
        self.data = data
        self.workload = workload
        self.worker = worker
        self.files = files
        self.watchdog = watchdog
        self.config = Config.from_json(order.config)
        self.sent = order.recorded
        self.saved_at = time.monotonic()
        self.save_cost = 0.0
        self.unsaved: str | None = None
        self.asked_at = -math.inf

    def run(self) -> None:
        training = self._resumed()
        for report in [*training.reports]:  # a checkpoint may be ahead of the tables
            self._report(training, report)
        for report in training:
            self.watchdog.feed()
            self._check(report)
            if report.finished or self._checkpoint_is_due():
                self._save(training)
            self._report(training, report)
            if not report.finished and self._should_stop():
                self._save(training)
                self._send(training, MessageKind.INTERRUPTED)
                return
        predictions = self._predictions(training)
        self.files.note(f"done {_now()}")
        self._send(training, MessageKind.DONE, predictions=predictions)

    def _resumed(self) -> TrialTraining:
        training = self.workload.begin(self.order, self.config, self.data)
        if not self.files.has_checkpoint:
            return training
        try:
            training.restore(self.files.checkpoint)
        except InputError as error:
            self.files.note(f"begins again, as its checkpoint can't be used: {error}")
            return self.workload.begin(self.order, self.config, self.data)
        self.files.note(f"resumes after epoch {len(training.reports)}")
        return training

    def _check(self, report: EpochLike) -> None:
        value = report.valid.get(self.order.metric, math.nan)
        bad = [name for name, loss in report.losses.items() if not math.isfinite(loss)]
        if bad or not (math.isfinite(value) or report.collapsed):
            what = ", ".join(bad) or f"valid {self.order.metric}"
            raise RunError(f"{what} must be finite, but is not in epoch {report.epoch}")

    def _report(self, training: TrialTraining, report: EpochLike) -> None:
        if report.epoch <= self.sent:
            return
        self.sent = report.epoch
        metric = self.order.metric
        value = report.valid.get(metric, math.nan)
        self.files.note(
            f"epoch {report.epoch}: valid {metric} {value:.4f}, {report.seconds:.2f} s"
        )
        self._send(training, MessageKind.REPORT, row=report_row(report))

    def _checkpoint_is_due(self) -> bool:
        worth = max(self.order.checkpoint_s, self.save_cost / _CHECKPOINT_SHARE)
        return time.monotonic() - self.saved_at >= worth

    def _should_stop(self) -> bool:
        # A question to the cluster's head: not after every epoch of a quick trial.
        now = time.monotonic()
        if now - self.asked_at < _ASK_S:
            return False
        self.asked_at = now
        return self.worker.stopping()

    def _save(self, training: TrialTraining) -> None:
        began = time.monotonic()
        try:
            self.files.check_there()
            training.save(self.files.checkpoint)
            self.files.publish_checkpoint()
        except OSError as error:  # the trial can go on; resuming it would begin earlier
            self.files.note(f"no checkpoint after epoch {len(training.reports)}: {error}")
            self.unsaved = str(error)
        self.saved_at = time.monotonic()
        self.save_cost = self.saved_at - began
        self.files.publish_log()

    def _predictions(self, training: TrialTraining) -> bytes | None:
        if not self.order.splits:
            return None
        tables = []
        for name in self.order.splits:
            try:
                split = self.workload.split(name, self.order, self.config, self.data)
            except InputError as error:  # this node can't read it; another may
                raise TrialBrokeError("system", _one_line(error)) from error
            tables.append(prediction_table(name, split, training.predict(split)))
        return prediction_stream(tables)

    def _send(self, training: TrialTraining, kind: MessageKind, **content: Any) -> None:
        content |= {"parameters": training.parameters, "unsaved": self.unsaved}
        message = Message(kind, platform.node(), training.precision, **content)
        self.unsaved = None
        with self.watchdog.resting():
            self.worker.send(message)


def _explained(error: Exception) -> str:
    if isinstance(error, HsclError):
        return f"failed: {error}"
    return "".join(traceback.format_exception(error))


def _raise_if_broken(error: Exception) -> None:
    """Return where this process is fit for another trial.

    Raises:
        TrialBrokeError: It is not, and another attempt may end differently.
    """
    if isinstance(error, TrialBrokeError):
        raise error
    kind = _breakdown_kind(error)
    if kind is not None:
        raise TrialBrokeError(kind, _one_line(error)) from None


def _breakdown_kind(error: Exception) -> BreakdownKind | None:
    """What another attempt may get past; None for the trial's own fault."""
    name, text = type(error).__name__, str(error)
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "memory"
    if name == "AcceleratorError" or (isinstance(error, RuntimeError) and "CUDA" in text):
        return "device"
    return "system" if isinstance(error, OSError) else None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, HsclError) and text else f"{type(error).__name__}: {text}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
