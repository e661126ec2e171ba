"""What a driver settles before anything runs: what is asked, what is there, what a start adds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hscl.errors import InputError
from tune.engine.recorder import Recorder
from tune.planner.decisions import plan_row
from tune.planner.phases import next_look
from tune.planner.warm_start import warm_start_rows
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import changed_keys
from tune.tables.folder import check_data, check_more, check_phases, frozen_spec
from tune.tables.history import History
from tune.tables.identity import code_note, specification_note
from tune.tables.reading import StudyTables, open_tables
from tune.tables.storage import Folder
from tune.trial.code import code_here
from tune.trial.data import StudyData

__all__ = ["SearchOptions", "device_rows", "finished", "opening_rows"]

_CHECKPOINT_S = 5.0


@dataclass(frozen=True)
class SearchOptions:
    """What a person asks for, besides the study itself.

    Attributes:
        out: The study's folder, as a path or URI.
        address: A Ray cluster to join as its driver; None starts Ray on this machine.
        warm_start: Folder of an earlier study whose search the sampler shall know.
        another_look: Take the next declared look at confirm first.
        more: The study may ask for more trainings than it began with.
        checkpoint_s: Seconds of training that may be lost before a checkpoint is worth it.
        notice: Called with what takes a while, before it begins.
    """

    out: str
    address: str | None = None
    warm_start: str | None = None
    another_look: bool = False
    more: bool = False
    checkpoint_s: float = _CHECKPOINT_S
    notice: Callable[[str], None] = field(default=lambda _: None, compare=False)


def finished(
    folder: Folder, spec: StudySpec, data: StudyData, request: SearchOptions
) -> History | None:
    """All rows of a study that is over as it is asked for, and not because everything failed.

    Raises:
        InputError: It began with other data or without the warm start that is asked for, rows are
            missing, or it can't have more trainings.
    """  # noqa: DOC502 - from the checks
    before = frozen_spec(folder)
    if before is None or request.another_look:
        return None
    tables = StudyTables(folder, before)
    tables.refuse_damage()
    history = tables.history
    check_data(history, data.digest, data.where, data.label_range)
    check_phases(history, folder.uri)
    _refuse_late_warm_start(history, request)
    if request.more and changed_keys(before, spec):
        check_more(history, spec, folder.uri)
    ending = history.ending
    if before != spec:  # [resources] changed, which is written down, or there is more to do
        return None
    return history if ending is not None and not ending.gave_up else None


def opening_rows(
    recorder: Recorder, data: StudyData, request: SearchOptions, before: StudySpec | None
) -> list[dict[str, Any]]:
    """Plan rows that this start adds, worked out before anything is written.

    `before` is what the study was until now.

    Raises:
        InputError: A warm start of a study that has begun, or from one that can't be used.
    """  # noqa: DOC502 - from _refuse_late_warm_start, and where the earlier one is read
    history, spec = recorder.history, recorder.spec
    rows = []
    if not recorder.decided(Kind.SPECIFICATION) and history.ending is None:
        rows.append(plan_row(Kind.SPECIFICATION, note=specification_note(spec)))
    if request.more and before is not None and changed_keys(before, spec):
        rows.append(plan_row(Kind.SPECIFICATION, note=specification_note(spec, before)))
    if (code := code_note(history, code_here())) is not None:
        rows.append(plan_row(Kind.CODE, note=code))
    if not recorder.decided(Kind.DATA):
        rows.append(plan_row(Kind.DATA, note=data.digest, value=data.label_range))
        if shared := data.shared_speakers(spec):
            rows.append(plan_row(Kind.SHARED_SPEAKERS, note=shared))
    # A cluster's nodes may not have what this machine has.
    if not history.plan and request.address is None and data.cpu_precision(spec) != "fp32":
        rows.append(plan_row(Kind.PRECISION, note=data.cpu_precision(spec)))
    if request.warm_start is not None and not recorder.decided(Kind.WARM_START):
        _refuse_late_warm_start(history, request)
        earlier = open_tables(request.warm_start)
        earlier.refuse_damage()
        rows += warm_start_rows(spec, earlier.history, earlier.spec.study.name)
    if history.gave_up is not None:
        rows.append(plan_row(Kind.RESUMED, note="started again by hand"))
    if request.another_look:
        rows += next_look(spec, history)
    return rows


def device_rows(history: History, gpus: float) -> list[dict[str, Any]]:
    """The plan row that says what trials have from now on; none where that stands there."""
    before = history.plan_rows(Kind.DEVICES)
    return [] if before and before[-1]["value"] == gpus else [plan_row(Kind.DEVICES, value=gpus)]


def _refuse_late_warm_start(history: History, request: SearchOptions) -> None:
    if request.warm_start is not None and history.plan and not history.plan_rows(Kind.WARM_START):
        raise InputError(
            f"--warm-start is for a new study, but {request.out} has begun without; "
            "leave it out, or choose another --out"
        )
