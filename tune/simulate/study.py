"""A whole study in memory, with a function in place of training.

It drives the same planner, samplers and scheduler as the real driver and makes the same rows, but
has neither Ray nor data nor clock. The simulator of whole studies and the tests of the engine use
it; a study of a hundred trials takes well below a second with sampler "random".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hscl.config import Config
from hscl.errors import HsclError
from tune.planner.asha import should_stop
from tune.planner.phases import Close, Decide, Done, Propose, Run, Wait, next_step
from tune.planner.proposals import propose
from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import TrialRecord

__all__ = ["Objective", "SimulatedRun", "SimulatedTrialError", "Tables", "simulate"]

Objective = Callable[[Config, int, int], float]
"""(configuration, seed, epoch from 1) → valid metric; may raise `SimulatedTrialError`."""

Pick = Callable[[Sequence[str]], int]
"""Which of the running trials, in order of start, reports next: an index."""

Tables = dict[str, list[dict[str, Any]]]
"""Rows by table name: configs, trials, reports, plan."""


class SimulatedTrialError(HsclError):
    """The trial fails at this epoch."""


class SimulatedRun:
    """One process that works on a study; a second one on the same tables is a resume.

    Attributes:
        spec: The study.
        history: The fold of all rows.
        tables: All rows so far.
        done: How the study ended; None as long as it goes on.
    """

    def __init__(
        self,
        spec: StudySpec,
        objective: Objective,
        *,
        slots: int = 1,
        pick: Pick | None = None,
        tables: Mapping[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        """Begin, or go on with given tables.

        Args:
            spec: The study.
            objective: What stands for training; must depend on its arguments only.
            slots: Trials at once.
            pick: Which running trial reports next; the one that started first by default.
            tables: Rows of an earlier process.
        """
        self.spec = spec
        self.objective = objective
        self.slots = slots
        self.pick: Pick = pick or (lambda _: 0)
        names = ("configs", "trials", "reports", "plan")
        self.tables: Tables = {name: list((tables or {}).get(name, [])) for name in names}
        self.history = History.from_rows(spec, **self.tables)
        self.done: Done | None = None
        self._running: dict[str, tuple[TrialRecord, Config]] = {}
        self._configs: dict[str, Config] = {}
        seqs = (row["seq"] for name in names[1:] for row in self.tables[name])
        self._seq = max(seqs, default=-1) + 1

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
            self.report(list(self._running)[self.pick(list(self._running))])
            if most_reports is not None:
                most_reports -= 1
        return self

    def start_trials(self) -> None:
        """Do what the planner says until every slot is taken, or it waits or is done."""
        while len(self._running) < self.slots:
            step = next_step(self.spec, self.history, self._running.keys())
            match step:
                case Propose(number):
                    proposal = propose(self.spec, self.history, number)
                    if proposal.config is not None:
                        self.tables["configs"].append(proposal.config)
                        self.history.apply_config(proposal.config)
                    self._plan(proposal.plan)
                case Run():
                    self._start(step)
                case Close(trial_id, state):
                    self._event(self.history.trials[trial_id], state)
                case Decide(rows):
                    self._plan(rows)
                case Wait():
                    return
                case Done():
                    self.done = step
                    return

    def report(self, trial_id: str) -> None:
        """One more epoch of a running trial."""
        trial, config = self._running[trial_id]
        epoch = trial.epoch + 1
        try:
            value = self.objective(config, trial.seed, epoch)
        except SimulatedTrialError as failure:
            self._end(trial, TrialState.FAILED, str(failure))
            return
        if not math.isfinite(value):
            self._end(trial, TrialState.FAILED, f"non-finite metric at epoch {epoch}")
            return
        finished = self._finishes(trial, config, epoch, value)
        stop = should_stop(self.spec, self.history, trial_id, epoch, value, finished=finished)
        row = {
            "seq": self._next(),
            "trial_id": trial_id,
            "epoch": epoch,
            "attempt": trial.attempt,
            "stop": stop,
            "collapsed": False,
            "finished": finished,
            f"valid_{self.spec.study.metric}": value,
            "seconds": 1.0,
            "steps": 1,
            "peak_memory": 0,
        }
        self.tables["reports"].append(row)
        self.history.apply_report(row)
        if stop or finished:
            self._end(trial, TrialState.PRUNED if stop else TrialState.DONE)

    def config_of(self, config_id: str) -> Config:
        """A configuration of the study, read from its row once."""
        if config_id not in self._configs:
            row = self.history.configs[config_id]
            self._configs[config_id] = Config.from_json(row.config)
        return self._configs[config_id]

    def _finishes(self, trial: TrialRecord, config: Config, epoch: int, value: float) -> bool:
        """Whether training ends by itself: all epochs, or patience without a new best."""
        best_epoch, best = epoch, value
        for earlier, seen in reversed(trial.curve.items()):
            if self.history.better(seen, best) == seen:
                best_epoch, best = earlier, seen
        return epoch >= config.train.epochs or epoch - best_epoch >= config.train.patience

    def _start(self, step: Run) -> None:
        row = {
            "trial_id": step.trial_id,
            "config_id": step.config_id,
            "phase": step.phase.value,
            "seed": step.seed,
            "attempt": step.attempt,
        }
        self._append_event(row, TrialState.STARTED, None)
        config = self.config_of(step.config_id)
        self._running[step.trial_id] = (self.history.trials[step.trial_id], config)

    def _end(self, trial: TrialRecord, state: TrialState, error: str | None = None) -> None:
        del self._running[trial.trial_id]
        self._event(trial, state, error)

    def _event(self, trial: TrialRecord, state: TrialState, error: str | None = None) -> None:
        row = {
            "trial_id": trial.trial_id,
            "config_id": trial.config_id,
            "phase": trial.phase.value,
            "seed": trial.seed,
            "attempt": trial.attempt,
        }
        self._append_event(row, state, error)

    def _append_event(self, row: dict[str, Any], state: TrialState, error: str | None) -> None:
        whole = {
            "seq": self._next(),
            **row,
            "state": state.value,
            "error": error,
            "host": "simulated",
            "precision": None,
            "time": None,
        }
        self.tables["trials"].append(whole)
        self.history.apply_event(whole)

    def _plan(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            whole = {"seq": self._next(), **row, "time": None}
            self.tables["plan"].append(whole)
            self.history.apply_plan(whole)

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1


def simulate(
    spec: StudySpec, objective: Objective, *, slots: int = 1, pick: Pick | None = None
) -> SimulatedRun:
    """Run a whole study in memory.

    Args:
        spec: The study.
        objective: What stands for training.
        slots: Trials at once.
        pick: Which running trial reports next.

    Returns:
        The finished run: its tables and its history.
    """
    return SimulatedRun(spec, objective, slots=slots, pick=pick).run()
