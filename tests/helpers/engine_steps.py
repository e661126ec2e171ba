"""An engine without Ray, what workers send it, and what it has written down."""

from pathlib import Path
from typing import Any

from synthetic import study

from tune.engine.engine import Engine
from tune.engine.recorder import Recorder
from tune.study.spec import StudySpec
from tune.tables.store import TableStore
from tune.trial.messages import Message, MessageKind


def engine(folder: Path, spec: StudySpec | None = None, slots: int = 1) -> Engine:
    return Engine(Recorder(spec or study(), TableStore(folder)), lambda: slots)


def report(epoch: int, value: float, *, finished: bool = False) -> Message:
    flags = {"finished": finished, "collapsed": False, "seconds": 0.1}
    row = {"epoch": epoch, "valid_mae": value} | flags
    return Message(MessageKind.REPORT, "node", "fp32", row=row, parameters=1_234)


def started(new: Engine, name: str = "t1") -> str:
    found = new.next_run(name)
    assert found is not None
    return found.trial_id


def last_event(new: Engine) -> dict[str, Any]:
    new.recorder.flush()
    rows: list[dict[str, Any]] = new.recorder._store.read("trials").to_pylist()
    return rows[-1]
