"""The one loop that carries out the planner's steps, as plain values in and out.

Three questions: what runs next, does a trial go on, what follows from a trial that broke. Each
answer comes from specification and tables (`tune.planner.phases`, `tune.planner.asha`), and each
is written down before it has any effect. Who asks is all the same: the adapters of Ray
(`tune.engine.ray_adapters`), or a pretend worker over tables in memory (`tune.simulate.study`).
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from hscl.errors import RunError
from tune.engine.recorder import Recorder, is_setback
from tune.planner.asha import should_stop
from tune.planner.decisions import plan_row
from tune.planner.phases import Close, Decide, Judge, Propose, Run, next_step
from tune.planner.proposals import Proposal, propose
from tune.states import Kind, Phase, TrialState
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import Ending
from tune.tables.schemas import SAID
from tune.trial.messages import Breakdown, Message, MessageKind

__all__ = ["Engine", "Live", "LookJudge", "Proposer"]

LookJudge = Callable[[History], Mapping[str, Any] | None]
"""The plan row that ends confirm after the look that is complete, or None where the next opens: a
pure function of the tables, such as `tune.engine.judging` makes one."""

Proposer = Callable[[StudySpec, History, int, Phase, Value | None], Proposal]
"""Specification, history, number, phase and branch to the next configuration's row."""


_STOPPING_S, _STOPPING_EPOCHS = 60.0, 10.0
"""How long a trial may be silent after a stop: so many seconds, and the mean epoch so often."""


@dataclass
class Live:
    """A trial in this driver's hands.

    Attributes:
        trial_id: Ours; Tune has its own.
        phase: What it was started for.
        attempt: From 1.
        seen: When it last said something, or began to run; seconds of the monotonic clock.
        running: An actor is working on it.
        said: What its worker has said of itself: where it runs, the precision that it computes in
            ("fp32" or "bf16"), the parameters of its model outside the text encoder.
    """

    trial_id: str
    config_id: str
    phase: Phase
    seed: int
    attempt: int
    seen: float = field(default_factory=time.monotonic)
    running: bool = False
    said: dict[str, Any] = field(default_factory=dict)


def _silent_for(one: Live, seconds: float) -> bool:
    return one.running and time.monotonic() - one.seen >= seconds


class Engine:
    """The decisions of one driver.

    Args:
        recorder: The study's tables.
        slots: How many trials may be in hand now.
        judge: Says after a look at confirm whether it ends early; None: never.
        proposer: Who makes what the planner asks for: `tune.planner.proposals.propose`, or what
            stands before it in a simulation.

    Attributes:
        live: Trials in hand, by the name that whoever runs them has for them (`tune_id`).
        stopping: A person asked to stop: nothing new is started.
        failure: What ended the run early; nothing is written after it.
        ended: Why the study is over, once it is.
        busy: Held by whoever is asking it something, as Ray's side does on a thread of its own.
    """

    def __init__(
        self,
        recorder: Recorder,
        slots: Callable[[], int],
        judge: LookJudge | None = None,
        proposer: Proposer = propose,
    ) -> None:
        self.recorder = recorder
        self.history = recorder.history
        self.spec = recorder.spec
        self.live: dict[str, Live] = {}
        self.stopping = False
        self.failure: BaseException | None = None
        self.ended: Ending | None = None
        self.busy = threading.RLock()
        self._slots = slots
        self._judge = judge
        self._propose = proposer
        self._metric = f"valid_{self.spec.study.metric}"
        self._reasons: dict[str, str] = {}  # why a trial is started again

    def next_run(self, tune_id: str) -> Run | None:
        """The next trial to run, written down as started; None where there is none now.

        Args:
            tune_id: Tune's name for the trial that it asks for.
        """
        while len(self.live) < self._slots() and not self.over:
            step = next_step(self.spec, self.history, {one.trial_id for one in self.live.values()})
            match step:
                case Propose():
                    self._add_proposal(step)
                case Decide(rows):
                    self.recorder.add_plan(rows)
                case Judge(rows):
                    self.recorder.add_plan(self._judged() or rows)
                case Close(trial_id, state):
                    self._close(trial_id, state)
                case Run():
                    return self._begin(tune_id, step)
                case Ending():
                    self.ended = step
                case _:
                    return None
        return None

    @property
    def over(self) -> bool:
        """Whether nothing new will be started."""
        return self.stopping or self.failure is not None or self.ended is not None

    def started(self, tune_id: str) -> None:
        """An actor has begun to work on a trial."""
        if one := self.live.get(tune_id):
            one.running = True
            one.seen = time.monotonic()

    def on_message(self, tune_id: str, message: Message | None) -> bool:
        """Take what a worker says.

        Args:
            tune_id: Tune's name for the trial.
            message: None where the trial ended without a word.

        Returns:
            Whether the trial goes on.
        """
        one = self.live.get(tune_id)
        if one is None:
            return False
        if message is None:
            self.on_breakdown(tune_id, Breakdown("worker", "ended without a word"))
            return False
        one.seen = time.monotonic()
        told = {name: getattr(message, name) for name in SAID}
        one.said |= {name: value for name, value in told.items() if value is not None}
        if message.unsaved is not None and one.trial_id not in self.history.unsaved:
            note = f"{message.host}: {message.unsaved}"
            row = plan_row(Kind.UNSAVED, config_id=one.config_id, seeds=[one.seed], note=note)
            self.recorder.add_plan([row])
        if message.row is not None:
            return self._report(tune_id, one, message.row)
        if message.kind is MessageKind.INTERRUPTED:
            del self.live[tune_id]
        elif message.kind is MessageKind.FAILED:
            self._end(tune_id, TrialState.FAILED, message.error)
        else:
            if message.predictions is not None:
                table = pa.ipc.open_stream(message.predictions).read_all()
                self.recorder.add_predictions(one.trial_id, table)
            self._end(tune_id, TrialState.DONE)
        return False

    def on_breakdown(self, tune_id: str, breakdown: Breakdown) -> None:
        """Take that a trial broke: it runs again, or has failed after its retries.

        Args:
            tune_id: Tune's name for the trial; one that is not in hand is ignored.
            breakdown: What happened.
        """
        one = self.live.get(tune_id)
        if one is None:
            return
        if breakdown.kind == "worker" and self._timed_out(one):
            trial = self.history.trials[one.trial_id]
            what = "predicting" if trial.finished else f"epoch {trial.epoch + 1}"
            limit = self.spec.study.epoch_timeout_s
            text = f"{what} took longer than study.epoch_timeout_s = {limit:g}"
            breakdown = Breakdown("timeout", text)
        if breakdown.kind == "differs":
            self.fail(
                RunError(
                    f"every worker must compute what the driver does, but {breakdown.text}; make "
                    "the nodes equal (hscl cluster doctor), then run the same command again: "
                    "everything so far is kept"
                )
            )
            return
        if self.stopping and breakdown.kind == "worker":  # ended with the search, as the others
            del self.live[tune_id]
            return
        reason = str(breakdown)
        if is_setback(reason) and self.recorder.setbacks[one.trial_id] >= self.spec.study.retries:
            self._end(tune_id, TrialState.FAILED, reason)
            return
        self._reasons[one.trial_id] = reason
        del self.live[tune_id]

    def fail(self, error: BaseException) -> None:
        """End the run with this error; the first one counts."""
        self.failure = self.failure or error

    def quiet(self, patience_s: float) -> bool:
        """After a failure: wait until nothing is under way here, and say whether it is so."""
        return self.busy.acquire(timeout=patience_s)

    def overdue(self, grace_s: float) -> list[str]:
        """Trials that have been silent for longer than an epoch may take, and so long after.

        Once a person asked to stop, that is no longer than many epochs took so far: who hangs
        does not keep the search from ending.

        Args:
            grace_s: Seconds past the limit.
        """
        limit = self.spec.study.epoch_timeout_s + grace_s
        if self.stopping and self.history.epochs:
            mean = self.history.seconds / self.history.epochs
            limit = min(limit, _STOPPING_S + _STOPPING_EPOCHS * mean)
        return [tune_id for tune_id, one in self.live.items() if _silent_for(one, limit)]

    def _timed_out(self, one: Live) -> bool:
        # The worker ends itself at the limit (`tune.trial.watchdog`), just before this is asked.
        return _silent_for(one, self.spec.study.epoch_timeout_s)

    def _judged(self) -> list[dict[str, Any]]:
        """The row that ends confirm early, where it does."""
        self.recorder.flush()  # the judge reads the predictions that are durable
        row = None if self._judge is None else self._judge(self.history)
        return [] if row is None else [dict(row)]

    def _add_proposal(self, step: Propose) -> None:
        self.recorder.flush()  # a configuration is never durable without what it follows from
        proposal = self._propose(self.spec, self.history, step.number, step.phase, step.branch)
        if proposal.config is not None:
            same = self.history.configs.get(proposal.config["config_id"])
            if same is not None:  # whose trials would run once more, and the count never rise
                raise RunError(
                    f"configuration {step.number} must be a new one, but is the same as "
                    f"{same.number}, {same.config_id}; remove one of the two from the study file, "
                    "and begin again with another --out"
                )
            self.recorder.add_config(proposal.config)
        self.recorder.add_plan(proposal.plan)

    def _begin(self, tune_id: str, run: Run) -> Run:
        opens_test = run.phase is Phase.CONFIRM and self.spec.opens_test
        if opens_test and not self.recorder.decided(Kind.TEST_OPENED):
            note = "test is opened at the end of each confirm trial, on the epoch of valid"
            self.recorder.add_plan([plan_row(Kind.TEST_OPENED, phase=Phase.CONFIRM, note=note)])
        self.recorder.add_event(
            {
                "trial_id": run.trial_id,
                "config_id": run.config_id,
                "phase": run.phase,
                "seed": run.seed,
                "attempt": run.attempt,
                "state": TrialState.STARTED,
                "host": None,  # who will run it is known by its first word
                "error": self._reasons.pop(run.trial_id, None),
            }
        )
        self.live[tune_id] = Live(run.trial_id, run.config_id, run.phase, run.seed, run.attempt)
        return run

    def _report(self, tune_id: str, one: Live, row: Mapping[str, Any]) -> bool:
        trial = self.history.trials[one.trial_id]
        epoch, finished = row["epoch"], row["finished"]
        if epoch > trial.epoch:
            if epoch != trial.epoch + 1:
                raise RunError(f"{one.trial_id} must report epoch {trial.epoch + 1}, not {epoch}")
            value = row.get(self._metric)
            stop = should_stop(
                self.spec, self.history, one.trial_id, epoch, value, finished=finished
            )
            self.recorder.add_report(
                {**row, **one.said, "trial_id": one.trial_id, "attempt": one.attempt, "stop": stop}
            )
            if stop:
                self._end(tune_id, TrialState.PRUNED, self._by_hand(one.trial_id))
                return False
        if finished and one.phase.searches:
            self._end(tune_id, TrialState.DONE)
            return False
        return True

    def _end(self, tune_id: str, state: TrialState, error: str | None = None) -> None:
        one = self.live.pop(tune_id)
        self._append_end(one, state, error)

    def _close(self, trial_id: str, state: TrialState) -> None:
        trial = self.history.trials[trial_id]
        one = Live(trial_id, trial.config_id, trial.phase, trial.seed, trial.attempt)
        error = self._by_hand(trial_id) if state is TrialState.PRUNED else None
        self._append_end(one, state, error)

    def _by_hand(self, trial_id: str) -> str | None:
        """What the end of a stopped trial says where a person stopped it."""
        return "stopped by a person" if trial_id in self.history.stopped_by_hand else None

    def _append_end(self, one: Live, state: TrialState, error: str | None) -> None:
        row = {
            "trial_id": one.trial_id,
            "config_id": one.config_id,
            "phase": one.phase,
            "seed": one.seed,
            "attempt": one.attempt,
            "state": state,
            "error": error,
        }
        # Whoever ends it, another driver too: what its worker said is kept.
        self.recorder.add_event(row | self.recorder.said_of(one.trial_id, one.attempt) | one.said)
