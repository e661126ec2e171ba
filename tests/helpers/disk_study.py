"""A whole study on a disk in this process: the real engine, tables and trials, without Ray.

What `tune.engine.driver.run_search` does around Ray stands here in a few lines.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
from synthetic import Data, Synthetic, study

from tune.engine.engine import Engine
from tune.engine.opening import SearchOptions, finished, opening_rows
from tune.engine.recorder import Recorder
from tune.planner.phases import Run
from tune.states import Phase
from tune.study.spec import StudySpec
from tune.tables.folder import freeze, frozen_spec
from tune.tables.lock import StudyLock
from tune.tables.reading import StudyTables
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.trial.messages import Message, TrialOrder
from tune.trial.run import Worker, run_trial

DATA, WORKLOAD = Data(), Synthetic()


def small() -> StudySpec:
    """Three screened, one refined, two confirmed on two seeds: 8 trials of two epochs."""
    return study(
        base={"train.epochs": 2},
        sampler={"kind": "random", "trials": 3},
        refine={"trials": 1},
        scheduler={"kind": "none"},
    )


def go_on(where: Path, spec: StudySpec, *, epochs: int | None = None) -> bool:
    """Go on with a study, one trial at a time.

    Args:
        where: Its folder; the same again resumes it.
        spec: The study.
        epochs: Killed after so many.

    Returns:
        Whether it is over.
    """
    folder, request = open_folder(where), SearchOptions(out=str(where), checkpoint_s=0.0)
    if finished(folder, spec, DATA, request) is not None:
        return True
    with StudyLock(folder) as lock:
        store = TableStore(folder, guard=lock.check)
        StudyTables(folder, spec).refuse_damage()
        recorder = Recorder(spec, store)
        first = opening_rows(recorder, DATA, request, frozen_spec(folder))
        if not recorder.history.plan:
            freeze(folder, spec)
        store.compact()
        recorder.add_plan(first)
        freeze(folder, spec)
        engine = Engine(recorder, lambda: 1)
        left = [-1 if epochs is None else epochs]
        while (run := engine.next_run("it")) is not None:
            _train(engine, run, where, left)
            if not left[0]:
                return False
            recorder.flush_if_due()
        recorder.flush()
        store.compact(whole=True)
    assert engine.ended is not None
    return True


def _train(engine: Engine, run: Run, where: Path, left: list[int]) -> None:
    def send(message: Message) -> None:
        goes_on = engine.on_message("it", message)
        left[0] -= message.row is not None
        if not left[0] or not goes_on:
            raise SystemExit  # as Ray ends a worker that is wanted no more

    with suppress(SystemExit):
        data = {"numbers": np.arange(3)}
        run_trial(_order(engine, run, where), data, WORKLOAD, Worker(send, bool))


def _order(engine: Engine, run: Run, where: Path) -> TrialOrder:
    history = engine.history
    return TrialOrder(
        trial_id=run.trial_id,
        config=history.configs[run.config_id].config,
        seed=run.seed,
        phase=run.phase,
        attempt=run.attempt,
        metric=engine.spec.study.metric,
        recorded=history.trials[run.trial_id].epoch,
        splits=("valid", "test") if run.phase is Phase.CONFIRM else (),
        study=str(where),
        data=DATA.where,
        digest=DATA.digest,
        cpus=1.0,
        gpus=0.0,
        epoch_timeout_s=60.0,
        checkpoint_s=3600.0,  # at the end only, so that the same operations follow each other
        stop_key=b"stop",
    )
