"""Tune's errors in our words, and no exception that Tune would swallow."""

from pathlib import Path
from typing import Any

import pytest
from engine_steps import report
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from synthetic import study

from hscl.errors import RunError
from tune.engine.engine import Engine
from tune.engine.nodes import Nodes
from tune.engine.ray_adapters import EngineCallback, EngineScheduler, EngineSearcher, _breakdown
from tune.engine.recorder import Recorder
from tune.tables.store import TableStore
from tune.trial.code import CODE_KEY, code_digest, code_here
from tune.trial.messages import MESSAGE, NODE_LOST, Breakdown, TrialBrokeError


class Trial:
    """What the scheduler looks at of Tune's trial."""

    def __init__(self, name: str) -> None:
        self.trial_id = name
        self.status = "RUNNING"
        self.placement_group_factory = None

    def handle_error(self, error: Any = None) -> None:
        """Tune writes it into a file."""


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("train", "Traceback …", cause)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (task_error(TrialBrokeError("memory", "full")), "memory"),
        (task_error(TrialBrokeError("device", "CUDA")), "device"),
        (task_error(ValueError("from Tune itself")), "worker"),
        (ActorUnavailableError("The actor is temporarily unavailable", b"1" * 16), NODE_LOST),
        (NodeDiedError("gone"), NODE_LOST),  # type: ignore[no-untyped-call]
        (RayActorError("01", "The actor died because its node has died. Node Id: 7"), NODE_LOST),
        (RayActorError("01", "pre-empted", preempted=True), NODE_LOST),
        (RayActorError("01", "Worker was killed: the node ran low on memory (OOM)"), "memory"),
        (
            RayActorError(
                "01",
                "Worker exits with a connection error code 2. Some causes: the process was "
                "killed by the OOM killer due to high memory usage",
            ),
            "worker",
        ),
        (ActorDiedError(), "worker"),
        (OutOfMemoryError("Task was killed: the node ran low on memory."), "memory"),  # type: ignore[no-untyped-call]
        (None, "worker"),
    ],
)
def test_each_of_rays_errors_is_one_of_our_kinds(error: Any, kind: str) -> None:
    assert _breakdown(error).kind == kind


def test_a_chain_of_causes_is_followed_to_what_the_worker_said() -> None:
    inner = TrialBrokeError("system", "disk")
    outer = RuntimeError("StartTraceback")
    outer.__cause__ = inner
    assert _breakdown(task_error(outer)) == Breakdown("system", "disk")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Recorder(study(), TableStore(tmp_path)), lambda: 1)


def test_an_order_becomes_a_configuration_and_the_end_is_said_once(engine: Engine) -> None:
    searcher = EngineSearcher(engine, lambda what: {"order": what.trial_id})
    suggested: Any = searcher.suggest("t1")
    assert suggested == {"order": engine.live["t1"].trial_id}
    assert searcher.suggest("t2") is None
    engine.stopping = True
    assert searcher.suggest("t2") == Searcher.FINISHED


def test_what_fails_inside_is_raised_where_tune_lets_it_pass(engine: Engine) -> None:
    def fail(what: Any) -> dict[str, Any]:
        message = "no space left"
        raise RunError(message)

    assert EngineSearcher(engine, fail).suggest("t1") == Searcher.FINISHED
    callback = EngineCallback(engine, EngineScheduler(engine), lambda: None)
    with pytest.raises(RunError, match="no space left"):
        callback.on_step_end(1, [])


def test_a_tick_that_fails_ends_the_run_too(engine: Engine) -> None:
    def fail() -> None:
        message = "the storage is gone"
        raise RunError(message)

    with pytest.raises(RunError, match="storage is gone"):
        EngineCallback(engine, EngineScheduler(engine), fail).on_step_end(1, [])


def test_messages_reach_the_engine_and_its_answer_reaches_tune(engine: Engine) -> None:
    scheduler, trial = EngineScheduler(engine), Trial("t1")
    engine.next_run("t1")
    heard = {MESSAGE: report(1, 0.5), CODE_KEY: code_digest(code_here())}
    assert scheduler.on_trial_result(None, trial, heard) == TrialScheduler.CONTINUE  # type: ignore[arg-type]
    result: dict[str, Any] = dict(heard)
    EngineCallback(engine, scheduler, lambda: None).on_trial_result(1, [], trial, result)  # type: ignore[arg-type]
    assert MESSAGE not in result
    assert scheduler.on_trial_result(None, Trial("other"), heard) == TrialScheduler.STOP  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [{}, {CODE_KEY: "another"}])
def test_a_worker_with_other_code_ends_the_run_whatever_it_says(
    engine: Engine, said: dict[str, str]
) -> None:
    scheduler = EngineScheduler(engine, Nodes(dict))
    engine.next_run("t1")
    heard = {MESSAGE: report(1, 0.5)} | said
    assert scheduler.on_trial_result(None, Trial("t1"), heard) == TrialScheduler.STOP  # type: ignore[arg-type]
    assert "runs another version of hscl; make the nodes equal" in str(engine.failure)
    assert engine.history.epochs == 0


def test_with_another_node_left_a_worker_with_other_code_is_put_aside(engine: Engine) -> None:
    living = {
        f"10.0.0.{n}": [{"NodeID": f"id{n}", "NodeManagerHostname": f"h{n}", "Resources": {}}]
        for n in (1, 2)
    }
    scheduler, trial = EngineScheduler(engine, Nodes(lambda: living)), Trial("t1")
    engine.next_run("t1")
    heard = {MESSAGE: report(1, 0.5), "node_ip": "10.0.0.2"}
    assert scheduler.on_trial_result(None, trial, heard) == TrialScheduler.STOP  # type: ignore[arg-type]
    assert engine.failure is None
    assert engine.live == {}
    again = engine.next_run("t2")
    assert again is not None
    assert engine.recorder.setbacks[again.trial_id] == 0
    assert scheduler.nodes.aside(living["10.0.0.2"][0])
    (said,) = engine.history.broken_nodes.lines()
    assert said.startswith("10.0.0.2 broke 1 start: ")
    assert said.endswith("runs another version of hscl")


def test_a_trial_that_tune_lost_without_a_word_is_taken_back(engine: Engine) -> None:
    scheduler, trial = EngineScheduler(engine), Trial("t1")
    engine.next_run("t1")
    scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
    scheduler.find_lost()
    assert "t1" in engine.live
    trial.status = "ERROR"
    scheduler.find_lost()
    assert engine.live == {}
    scheduler.find_lost()
    assert scheduler.trials == {}
    again = engine.next_run("t2")
    assert again is not None
    assert again.attempt == 2


def test_nothing_of_the_driver_is_pickled_with_them(engine: Engine) -> None:
    scheduler = EngineScheduler(engine)
    for part in (
        EngineSearcher(engine, lambda what: {}),
        scheduler,
        EngineCallback(engine, scheduler, lambda: None),
    ):
        assert part.__getstate__() == {}
