"""Runs a study on Ray Tune: one `Tuner.fit` for all phases, and one writer of what it reports."""

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hscl.errors import InputError, RunError
from hscl.files import expanded
from tune.engine.engine import Engine
from tune.engine.janitor import Janitor
from tune.engine.judging import judging
from tune.engine.opening import SearchOptions, device_rows, finished, opening_rows
from tune.engine.ray_session import RaySession, check_machine, ray_session
from tune.engine.ray_start import forbid_auto_start, stopping_on_signals
from tune.engine.recorder import Recorder
from tune.engine.requests import Requests, with_requests
from tune.planner.phases import Run
from tune.states import Phase
from tune.study.spec import StudySpec
from tune.tables.folder import (
    check_data,
    check_folder,
    check_phases,
    freeze,
    frozen_spec,
)
from tune.tables.history import History
from tune.tables.lock import STOPPED, StudyLock, check_free
from tune.tables.reading import StudyTables
from tune.tables.records import Ending
from tune.tables.storage import Folder, open_folder
from tune.tables.store import TableStore
from tune.trial.code import code_here
from tune.trial.data import StudyData, on_its_device
from tune.trial.messages import TrialOrder
from tune.trial.run import HSCL
from tune.trial.workload import Workload

__all__ = ["SearchOptions", "SearchOutcome", "View", "run_search"]

_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for the driver of a job that was submitted."""
_LOOK_S = 0.5  # between two looks at whether Ray lives
_LET_GO_S = 2.0  # for what runs on Ray's thread to come to an end


class View:
    """What watches a running study; this one looks away. Views never write into tables."""

    def begin(self, engine: Engine, folder: Folder) -> None:
        """The tables are read, nothing runs yet."""

    def tick(self) -> None:
        """Called at least ten times a second, after flushing."""

    def end(self) -> None:
        """Nothing runs any more."""


@dataclass(frozen=True)
class SearchOutcome:
    """How a run of the driver ended.

    Attributes:
        history: All rows of the study.
        interrupted: A person stopped it.
        done: Why it is over; None where it was interrupted.
        ran: There was anything to do.
    """

    history: History
    interrupted: bool
    done: Ending | None
    ran: bool = True


def run_search(
    spec: StudySpec,
    data: StudyData,
    request: SearchOptions,
    *,
    workload: Workload = HSCL,
    views: tuple[View, ...] = (),
) -> SearchOutcome:
    """Run a study from wherever its tables stand until it is over or somebody stops it.

    What can be refused cheaply is refused first; a study that is over is not begun again.

    Args:
        spec: The study.
        data: What it is trained on.
        request: Where, and on what.
        workload: What a trial trains; tests and benchmarks bring their own.
        views: What watches it.

    Returns:
        How it ended.

    Raises:
        InputError: Before anything starts: another study's folder, other data, a machine that is
            too small, a second driver.
        RunError: While running: no disk space, storage gone, the lock lost.
        KeyboardInterrupt: A person stopped it before anything ran.
    """  # noqa: DOC502 - raised by the steps
    folder = open_folder(request.out)
    check_folder(folder, spec, more=request.more)
    check_free(folder)
    if (over := finished(folder, spec, data, request)) is not None:
        return SearchOutcome(
            with_requests(folder, spec, over), interrupted=False, done=over.ending, ran=False
        )
    request.notice("loading torch")
    if request.address is None:
        check_machine(spec.resources)
    data.check(spec)
    engine: Engine | None = None

    def stop() -> None:  # in a signal handler: everything else follows in the next tick
        if engine is None:
            raise KeyboardInterrupt  # nothing runs yet
        engine.stopping = True

    with stopping_on_signals(stop) as asked, ExitStack() as stack:
        lock = stack.enter_context(StudyLock(folder, go_on=_going_on(request, data)))
        check_folder(folder, spec, more=request.more)
        store = TableStore(folder, guard=lock.check)
        StudyTables(folder, spec).refuse_damage()
        recorder = Recorder(spec, store)
        check_data(recorder.history, data.digest, data.where, data.label_range)
        check_phases(recorder.history, folder.uri, another_look=request.another_look)
        first = opening_rows(recorder, data, request, frozen_spec(folder))
        request.notice("preparing the data")
        base = on_its_device(spec.base, spec.resources.gpus)
        prepared = {data.key(base): data.prepare(base)}
        request.notice("starting Ray" if request.address is None else "joining the cluster")
        session = stack.enter_context(ray_session(request.address, spec.resources))
        if asked():  # and something that was imported since then swallowed it
            raise KeyboardInterrupt
        if not recorder.history.plan:
            freeze(folder, spec)  # no row without the study that it is of
        store.compact()
        recorder.add_plan([*first, *device_rows(recorder.history, session.per_trial["gpu"])])
        freeze(folder, spec)  # a change is recorded first, and then made
        engine = Engine(recorder, session.slots, judging(lambda: store.read("predictions")))
        requests = Requests(folder, recorder)
        requests.take_if_due()
        run = _Run(engine, data, request, workload, session, prepared)
        janitor = stack.enter_context(Janitor(folder))
        janitor.sweep(recorder.history)
        recorder.listeners.append(janitor.on_rows)
        for view in views:
            view.begin(engine, folder)
            stack.callback(view.end)
        run.fit(views, requests)
        store.compact(whole=True)
        if engine.ended is None:
            lock.why = STOPPED
        elif engine.ended.gave_up:
            lock.why = engine.ended.note
    return SearchOutcome(recorder.history, engine.stopping and engine.ended is None, engine.ended)


def _going_on(request: SearchOptions, data: StudyData) -> list[str]:
    """The command that goes on with the study after this driver."""
    if _RAY_JOB in os.environ:
        return ["hscl", "cluster", "resume"]
    words = ["hscl", "search", _absolute(request.out), "--data", _absolute(data.where)]
    return words if request.address is None else [*words, "--address", request.address]


class _Run:
    """One `Tuner.fit`."""

    def __init__(
        self,
        engine: Engine,
        data: StudyData,
        request: SearchOptions,
        workload: Workload,
        session: RaySession,
        prepared: dict[str, Any],
    ) -> None:
        self.engine = engine
        self._spec = engine.spec
        self._recorder = engine.recorder
        self._data = data
        self._request = request
        self._workload = workload
        self._session = session
        self._prepared = prepared
        self._shared: dict[str, Any] = {}
        self._announced = False
        self._stop_key = b"hscl-stop-" + secrets.token_hex(8).encode()

    def fit(self, views: tuple[View, ...], requests: Requests) -> None:
        """Run until the engine has nothing more to do, or raise what ended it early."""  # noqa: DOC501 - said
        import ray.tune as ray_tune  # noqa: PLC0415 - heavy, and reads the session's environment
        from ray.exceptions import RayError  # noqa: PLC0415
        from ray.tune.error import TuneError  # noqa: PLC0415

        from tune.engine.ray_adapters import (  # noqa: PLC0415
            EngineCallback,
            EngineScheduler,
            EngineSearcher,
        )
        from tune.engine.ray_worker import trainable  # noqa: PLC0415

        scheduler = EngineScheduler(self.engine)
        self._session.aside = scheduler.nodes.aside

        def tick() -> None:
            if self.engine.stopping and not self._announced:
                self._announced = True
                self._session.announce(self._stop_key)
                scheduler.let_go()
            requests.take_if_due()
            self._recorder.flush_if_due()
            for view in views:
                view.tick()

        tuner = ray_tune.Tuner(
            ray_tune.with_resources(trainable(self._workload), self._session.per_trial),
            tune_config=ray_tune.TuneConfig(
                search_alg=EngineSearcher(self.engine, self._tune_config),
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=ray_tune.RunConfig(
                storage_path=str(self._session.scratch),
                verbose=0,
                callbacks=[EngineCallback(self.engine, scheduler, tick)],
            ),
        )
        error = self._watched(tuner.fit)
        if error is not None:
            cause = self.engine.failure or error
            if isinstance(cause, InputError | RunError):
                raise cause from None
            if isinstance(cause, RayError | TuneError):
                raise _ended_early(str(cause)) from cause
            raise cause
        self._recorder.flush()
        if not self.engine.over:
            raise _ended_early("it ended without an error")

    def _watched(self, fit: Callable[[], object]) -> BaseException | None:
        """Run `fit` and say what ended it.

        It gets a thread of its own: one that asks a Ray that is dead waits for ever.
        """
        raised: list[BaseException] = []
        dead: str | None = None

        def work() -> None:
            try:
                fit()
            except BaseException as error:  # noqa: BLE001 - the main thread raises it
                raised.append(error)

        thread = threading.Thread(target=work, name="tune", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_LOOK_S)
                if dead := self._session.why_dead():
                    self.engine.fail(_ended_early(dead))
                    break
        except BaseException as error:  # Ctrl-C again
            self.engine.fail(error)
            raise
        finally:
            thread.join(_LET_GO_S)
            if thread.is_alive():
                forbid_auto_start()
        if dead and self.engine.quiet(_LET_GO_S):
            self._recorder.flush()
        return raised[0] if raised else self.engine.failure

    def _tune_config(self, run: Run) -> dict[str, Any]:
        order = self._order(run)
        return {"order": order, "data": self._share(order)}

    def _share(self, order: TrialOrder) -> Any:
        """The prepared data in the object store: put there once, read without a copy."""
        from hscl.config import Config  # noqa: PLC0415

        config = on_its_device(Config.from_json(order.config), order.gpus)
        key = self._data.key(config)
        if key not in self._shared:
            ready = self._prepared.pop(key, None)
            self._shared[key] = self._session.put(ready or self._data.prepare(config))
        return self._shared[key]

    def _order(self, run: Run) -> TrialOrder:
        study, history = self._spec.study, self._recorder.history
        splits: tuple[str, ...] = () if run.phase.searches else ("valid",)
        if run.phase is Phase.CONFIRM and self._spec.opens_test:
            splits = ("valid", "test")
        return TrialOrder(
            trial_id=run.trial_id,
            config=history.configs[run.config_id].config,
            seed=run.seed,
            phase=run.phase,
            attempt=run.attempt,
            metric=study.metric,
            recorded=history.trials[run.trial_id].epoch,
            splits=splits,
            study=_absolute(self._request.out),
            data=_absolute(self._data.where),
            digest=self._data.digest,
            cpus=self._spec.resources.cpus,
            gpus=self._session.per_trial["gpu"],
            epoch_timeout_s=study.epoch_timeout_s,
            checkpoint_s=self._request.checkpoint_s,
            stop_key=self._stop_key,
            code=dict(code_here()),
            cpu_precision=history.cpu_precision,
        )


def _ended_early(reason: str) -> RunError:
    return RunError(
        f"Ray Tune must run until the study is over, but: {' '.join(reason.split())[:300]}; "
        "everything so far is kept: run the same command again"
    )


def _absolute(where: str) -> str:
    """Workers have another working directory."""
    return where if "://" in where else str(expanded(where).absolute())
