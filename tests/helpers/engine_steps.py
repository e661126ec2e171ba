"""An engine without Ray, what workers say to it, and what it has written down."""

from pathlib import Path
from typing import Any

from synthetic import study

from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.planner.phases import Run
from tune.study.spec import StudySpec
from tune.tables.store import TableStore
from tune.trial.messages import Message, Say, TrialOrder


def order(run: Run, recorded: int) -> TrialOrder:
    where: dict[str, Any] = {"study": "", "data": "", "digest": "", "config": ""}
    limits: dict[str, Any] = {"cpus": 1.0, "epoch_timeout_s": 60.0, "checkpoint_s": 5.0}
    return TrialOrder(
        trial_id=run.trial_id,
        seed=run.seed,
        phase=run.phase,
        attempt=run.attempt,
        metric="mae",
        recorded=recorded,
        splits=(),
        stop_key=b"",
        **where,
        **limits,
    )


def engine(folder: Path, spec: StudySpec | None = None, slots: int = 1) -> Engine:
    recorder = Recorder(spec or study(), TableStore(folder))
    return Engine(recorder, order, lambda: slots)


def report(epoch: int, value: float, *, finished: bool = False) -> Message:
    flags = {"finished": finished, "collapsed": False, "seconds": 0.1}
    return Message(Say.REPORT, "node", "fp32", row={"epoch": epoch, "valid_mae": value} | flags)


def started(new: Engine, name: str = "t1") -> str:
    found = new.next_order(name)
    assert found is not None
    return found.trial_id


def last_event(new: Engine) -> dict[str, Any]:
    new.recorder.flush()
    rows: list[dict[str, Any]] = new.recorder._store.read("trials").to_pylist()
    return rows[-1]
