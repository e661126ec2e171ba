"""Tune's three interfaces, each a thin way to the engine.

None of them may raise where Tune would swallow it: an error ends the run through `on_step_end`,
which Tune lets pass. Argument names are Tune's: it calls by keyword.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import ray
import ray.tune as ray_tune
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.tune.experiment import Trial
from ray.tune.result import NODE_IP
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune.engine.engine import Engine
from tune.engine.nodes import Nodes, Wanted, address_of
from tune.planner.phases import Run
from tune.trial.code import CODE_KEY, code_digest, code_here
from tune.trial.messages import MESSAGE, NODE_LOST, Breakdown, Message, TrialBrokeError

__all__ = ["EngineCallback", "EngineScheduler", "EngineSearcher"]

_GRACE_S = 10.0
"""Seconds past `study.epoch_timeout_s` that a worker's own watchdog has to end it."""
_P = ParamSpec("_P")
_R = TypeVar("_R")
_D = TypeVar("_D")


def _safely(otherwise: _D) -> Callable[[Callable[_P, _R]], Callable[_P, _R | _D]]:
    """What a method raises becomes the engine's failure; this answer is given then and after."""

    def wrap(method: Callable[_P, _R]) -> Callable[_P, _R | _D]:
        @functools.wraps(method)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | _D:
            engine: Engine = args[0].engine  # type: ignore[attr-defined]
            with engine.busy:
                if engine.failure is not None:
                    return otherwise
                try:
                    return method(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - on_step_end raises it
                    engine.fail(error)
                    return otherwise

        return guarded

    return wrap


class _InDriverOnly:
    """Nothing of it is pickled: Tune writes its parts into files for a restoring that never is."""

    engine: Engine

    def __getstate__(self) -> dict[str, Any]:
        return {}  # the engine holds a lock


class EngineSearcher(_InDriverOnly, Searcher):
    """What runs next."""

    def __init__(self, engine: Engine, config: Callable[[Run], dict[str, Any]]) -> None:
        """Take the engine, and what makes a run a trial's configuration for Tune."""
        super().__init__()
        self.engine = engine
        self._config = config

    @_safely(Searcher.FINISHED)
    def suggest(self, trial_id: str) -> Any:  # type: ignore[override]  # forgets FINISHED
        """A trial's configuration; None: ask me later; FINISHED: that was all."""
        run = self.engine.next_run(trial_id)
        if run is not None:
            return self._config(run)
        return self.FINISHED if self.engine.over else None

    @_safely(None)
    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Tune's interface
    ) -> None:
        """Nothing to do: the scheduler has heard it first."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the tables are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class EngineScheduler(_InDriverOnly, FIFOScheduler):
    """Whether a trial goes on, and what follows where it broke.

    Args:
        engine: Decides.
        nodes: What is known of the nodes; a fresh one asks Ray.
    """

    def __init__(self, engine: Engine, nodes: Nodes | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine = engine
        self.trials: dict[str, Trial] = {}
        self.nodes = nodes or Nodes()
        self._errors: dict[str, BaseException | None] = {}
        self._killed: set[str] = set()
        self._controller: Any = None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Remember Tune's trial, whose status tells of the silent losses."""
        self.trials[trial.trial_id] = trial
        self._controller = tune_controller
        # Tune writes every trial's state into a file for its own restoring, which is not used.
        trial.get_json_state = _no_state  # type: ignore[method-assign]
        # Tune keeps an error in a file, and some kinds nowhere: memory that ran out in a start.
        handle = trial.handle_error

        def remember(exc: Any = None) -> None:
            self._errors[trial.trial_id] = exc
            handle(exc)

        trial.handle_error = remember  # type: ignore[method-assign]
        if trial.placement_group_factory is not None:
            trial.placement_group_factory = self.nodes.elsewhere(trial.placement_group_factory)

    @_safely(None)
    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The oldest trial that waits, unless its own worker is starting.

        FIFO's own choice would give such a trial a warm worker and end the start of its own: while
        trials are quicker than a worker's start, one worker then runs them all.
        """
        started = tune_controller._actor_manager.is_actor_started  # noqa: SLF001
        workers = tune_controller._trial_to_actor  # noqa: SLF001
        for tune_id in self.engine.live:
            trial = self.trials.get(tune_id)
            waits = trial is not None and trial.status == Trial.PENDING
            if waits and not (trial in workers and started(workers[trial])):
                return trial
        return None

    @_safely(TrialScheduler.STOP)
    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Hand over the worker's message."""
        message = result.get(MESSAGE)
        heard = message if isinstance(message, Message) else None
        if heard is not None and result.get(CODE_KEY) != code_digest(code_here()):
            # A worker whose code is too old to compare for itself.
            differs = Breakdown("differs", f"{heard.host} runs another version of hscl")
            self._put_aside(trial, str(result.get(NODE_IP, "")), differs)
            return TrialScheduler.STOP
        if heard is not None:
            self.nodes.works(heard.host)
        goes_on = self.engine.on_message(trial.trial_id, heard)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    @_safely(None)
    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Say what broke."""
        error = self._errors.pop(trial.trial_id, None)
        breakdown, one = _breakdown(error), self.engine.live.get(trial.trial_id)
        if breakdown.kind == "differs":
            self._put_aside(trial, address_of(error), breakdown)
            return
        if breakdown.kind == "worker" and one is not None and not one.running:
            breakdown = self.nodes.broke(error, _wanted(trial)) or breakdown
        self.engine.on_breakdown(trial.trial_id, breakdown)

    def _put_aside(self, trial: Trial, address: str, differs: Breakdown) -> None:
        breakdown = self.nodes.differs(address, differs, _wanted(trial))
        self.engine.on_breakdown(trial.trial_id, breakdown)

    @_safely(None)
    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Tune gave a trial up before it ran."""
        self.engine.on_breakdown(trial.trial_id, Breakdown(NODE_LOST, "Tune removed the trial"))

    @_safely(None)
    def let_go(self) -> None:
        """Take back trials that wait for a worker, which might never come; they resume later."""
        for tune_id, one in list(self.engine.live.items()):
            trial = self.trials.get(tune_id)
            if trial is not None and not one.running and trial.status == Trial.PENDING:
                self._controller.stop_trial(trial)

    @_safely(None)
    def end_hung(self) -> None:
        """Kill workers that are silent although their own watchdog should have ended them.

        A process that was stopped has none, and hears nothing that is asked politely.
        """
        for tune_id in self.engine.overdue(_GRACE_S):
            trial = self.trials.get(tune_id)
            actor = None if trial is None else trial.temporary_state.ray_actor
            if actor is not None and tune_id not in self._killed:
                self._killed.add(tune_id)
                ray.kill(actor)

    @_safely(None)
    def find_lost(self) -> None:
        """Take back trials in error that nobody was told of.

        Tune does that where a warm actor could not be reset (tune_controller.py, _on_trial_reset).
        """
        for tune_id in list(self.trials):
            if tune_id not in self.engine.live:
                del self.trials[tune_id]
            elif self.trials[tune_id].status in {Trial.ERROR, Trial.TERMINATED}:
                lost = Breakdown(NODE_LOST, "a warm worker did not let go of its last trial")
                self.engine.on_breakdown(tune_id, lost)


class EngineCallback(_InDriverOnly, ray_tune.Callback):
    """Everything that happens beside the trials: flushing, views, errors, lost trials."""

    def __init__(
        self, engine: Engine, scheduler: EngineScheduler, tick: Callable[[], None]
    ) -> None:
        """Take the engine, the scheduler, and what to do at least ten times a second."""
        self.engine = engine
        self._scheduler = scheduler
        self._tick = tick

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """An actor works on the trial now."""
        self.engine.started(trial.trial_id)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """The message is handled: Tune need not keep it as the trial's last result."""
        result.pop(MESSAGE, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Find lost trials, tick, and raise what has gone wrong anywhere."""
        if self.engine.failure is None:
            self._scheduler.end_hung()
            self._scheduler.find_lost()
            self._safe_tick()
        if self.engine.failure is not None:
            raise self.engine.failure

    @_safely(None)
    def _safe_tick(self) -> None:
        self._tick()


def _wanted(trial: Trial) -> Wanted:
    """What a trial asks of a node, by Ray's names."""
    wanted: Wanted = getattr(trial.placement_group_factory, "required_resources", {})
    return wanted


def _no_state() -> tuple[str, str]:
    return "{}", "{}"


def _breakdown(error: BaseException | None) -> Breakdown:
    """What Tune says about a broken trial, as one of our kinds."""
    if isinstance(error, RayTaskError):
        cause: BaseException | None = error.cause
        while cause is not None and not isinstance(cause, TrialBrokeError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, TrialBrokeError):
            return cause.breakdown
    # Ray's own fields (class, ids, ports) begin with a tab.
    lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
    text = " ".join(" ".join(lines).split())[:400] if error is not None else "no reason given"
    if isinstance(error, OutOfMemoryError):
        return Breakdown("memory", text)
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return Breakdown(NODE_LOST, text)
    if isinstance(error, RayActorError):
        lowered = text.lower()
        if error.preempted or "node has died" in lowered or "node died" in lowered:
            return Breakdown(NODE_LOST, text)
        if "memory" in lowered and "killed" in lowered and "connection error code" not in lowered:
            return Breakdown("memory", text)
    return Breakdown("worker", text)
