"""A whole study in memory, with a function in place of training.

The engine that drives Ray runs it (`tune.engine.engine`), over tables in memory and a pretend
worker: it makes the same rows, but has neither Ray nor data nor clock. The simulator of whole
studies and the tests of the planner use it; a study of a hundred trials takes well below a second
with sampler "random".
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hscl.config import Config
from hscl.errors import HsclError
from tune.engine.engine import Engine, LookJudge, Proposer
from tune.engine.recorder import Recorder
from tune.planner.proposals import propose
from tune.study.spec import StudySpec
from tune.tables.memory import MemoryStore
from tune.tables.records import Ending, TrialRecord
from tune.trial.messages import Message, MessageKind

__all__ = ["Objective", "SimulatedRun", "SimulatedTrialError", "Tables", "simulate"]

Objective = Callable[[Config, int, int], float]
"""(configuration, seed, epoch from 1) → valid metric; may raise `SimulatedTrialError`."""

Pick = Callable[[Sequence[str]], int]
"""Which of the running trials reports next: an index; the one whose last report is oldest is 0."""

Tables = dict[str, list[dict[str, Any]]]
"""Rows by table name: configs, trials, reports, plan."""

_HOST = "simulated"
_TABLES = ("configs", "trials", "reports", "plan")


class SimulatedTrialError(HsclError):
    """The trial fails at this epoch."""


class SimulatedRun:
    """One process that works on a study; a second one on the same tables is a resume.

    Attributes:
        spec: The study.
        history: The fold of all rows.
    """

    def __init__(  # noqa: PLR0913 - what a study runs on
        self,
        spec: StudySpec,
        objective: Objective,
        *,
        slots: int = 1,
        pick: Pick | None = None,
        tables: Mapping[str, list[dict[str, Any]]] | None = None,
        judge: LookJudge | None = None,
        proposer: Proposer = propose,
    ) -> None:
        """Begin, or go on with given tables.

        Args:
            spec: The study.
            objective: What stands for training; must depend on its arguments only.
            slots: Trials at once.
            pick: Which running trial reports next; by default each in its turn, as trials do that
                train side by side.
            tables: Rows of an earlier process.
            judge: Says after a look at confirm whether it ends early; None: never.
            proposer: Makes the configurations that the planner asks for.
        """
        self.spec = spec
        self._objective = objective
        self._pick: Pick = pick or (lambda _: 0)
        self._store = MemoryStore(tables)
        self._recorder = Recorder(spec, self._store, host=_HOST, clock=lambda: None)
        self._slots = slots
        self._engine = Engine(self._recorder, lambda: slots, judge, proposer)
        self.history = self._engine.history
        self._begun = 0  # trials so far: their numbers are their names for the engine
        self._running: dict[str, tuple[str, Iterator[Message]]] = {}
        self._configs: dict[str, Config] = {}

    @property
    def tables(self) -> Tables:
        """All rows so far."""
        self._recorder.flush()
        return {name: self._store.tables[name] for name in _TABLES}

    @property
    def done(self) -> Ending | None:
        """How the study ended; None as long as it goes on."""
        return self._engine.ended

    def run(self, most_reports: int | None = None) -> "SimulatedRun":
        """Go on until the study is over.

        Args:
            most_reports: Stop after so many epochs, as if killed.

        Returns:
            This object.

        Raises:
            RuntimeError: The planner waits although nothing runs.
        """
        while most_reports is None or most_reports > 0:
            self.start_trials()
            if not self._running:
                if self.done is None:
                    raise RuntimeError("the planner waits although nothing runs")
                return self
            running = list(self._running)
            self.report(running[self._pick(running)])
            if most_reports is not None:
                most_reports -= 1
        return self

    def start_trials(self) -> None:
        """Start what the engine gives until every slot is taken, or it waits or is done."""
        while len(self._running) < self._slots:
            run = self._engine.next_run(str(self._begun))
            if run is None:
                return
            config = self.config_of(run.config_id)
            messages = self._train(self.history.trials[run.trial_id], config)
            self._running[run.trial_id] = (str(self._begun), messages)
            self._begun += 1

    def report(self, trial_id: str) -> None:
        """One more epoch of a running trial, and its end where that was the last."""
        name, messages = self._running.pop(trial_id)
        for message in messages:
            if not self._engine.on_message(name, message):
                return
            if not self.history.trials[trial_id].finished:
                self._running[trial_id] = name, messages
                return

    def config_of(self, config_id: str) -> Config:
        """A configuration of the study, read from its row once."""
        if config_id not in self._configs:
            row = self.history.configs[config_id]
            self._configs[config_id] = Config.from_json(row.config)
        return self._configs[config_id]

    def _train(self, trial: TrialRecord, config: Config) -> Iterator[Message]:
        """What a worker sends of one trial, from the first epoch that the tables lack."""
        report, metric = MessageKind.REPORT, f"valid_{self.spec.study.metric}"
        epoch, best_epoch, best, better = trial.epoch, 0, math.nan, self.history.better
        for earlier, value in trial.curve.items():
            if better(best, value) != best:
                best_epoch, best = earlier, value
        while not trial.finished:
            epoch += 1
            try:
                value = self._objective(config, trial.seed, epoch)
            except SimulatedTrialError as failure:
                yield Message(MessageKind.FAILED, _HOST, error=str(failure))
                return
            if not math.isfinite(value):
                error = f"non-finite metric at epoch {epoch}"
                yield Message(MessageKind.FAILED, _HOST, error=error)
                return
            if better(best, value) != best:
                best_epoch, best = epoch, value
            # Training ends by itself: all epochs, or patience without a new best.
            over = epoch >= config.train.epochs or epoch - best_epoch >= config.train.patience
            row = {
                "epoch": epoch,
                "finished": over,
                "collapsed": False,
                metric: value,
                "seconds": 1.0,
                "steps": 1,
                "peak_memory": 0,
            }
            yield Message(report, _HOST, None, row)
        yield Message(MessageKind.DONE, _HOST)


def simulate(
    spec: StudySpec,
    objective: Objective,
    *,
    slots: int = 1,
    pick: Pick | None = None,
    proposer: Proposer = propose,
) -> SimulatedRun:
    """Run a whole study in memory.

    Args:
        spec: The study.
        objective: What stands for training.
        slots: Trials at once.
        pick: Which running trial reports next.
        proposer: Makes the configurations that the planner asks for.

    Returns:
        The finished run: its tables and its history.
    """
    return SimulatedRun(spec, objective, slots=slots, pick=pick, proposer=proposer).run()
