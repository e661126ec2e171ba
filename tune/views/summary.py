"""How a study stands, from its tables alone: what progress and `hscl status` show."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hscl.metrics import DIGITS
from tune.display import count
from tune.states import Kind, Phase, TrialState
from tune.tables.history import History
from tune.tables.identity import repairs_of
from tune.tables.lock import STOPPED, Holder
from tune.tables.records import ConfigRecord, TrialRecord, config_label
from tune.tables.salvage import UNKNOWN

__all__ = [
    "RunningTrial",
    "Standing",
    "StudyStatus",
    "Summary",
    "events_rate",
    "summarise",
]


@dataclass(frozen=True)
class Standing:
    """How good a configuration looks on valid.

    Attributes:
        config_id: Which.
        name: What output calls it.
        number: Its place in the order of proposal.
        phase: Whose trials the value comes from.
        value: Mean best valid metric over its complete trials.
        spread: Their standard deviation; None with fewer than two.
        seeds: How many they are.
    """

    config_id: str
    name: str
    number: int
    phase: Phase
    value: float
    spread: float | None
    seeds: int

    def value_text(self) -> str:
        """Such as `0.7421 ± 0.0080 (4 seeds)`."""
        if self.spread is None:
            return f"{self.value:.{DIGITS}f} (one seed)"
        return f"{self.value:.{DIGITS}f} ± {self.spread:.{DIGITS}f} ({self.seeds} seeds)"


@dataclass(frozen=True)
class RunningTrial:
    """A trial without an end.

    Attributes:
        trial_id: Which.
        name: What output calls its configuration.
        phase: What it is for.
        seed: Its seed.
        epoch: The last recorded.
        epochs: Its last.
        value: Best valid metric so far; None before the first.
        rung: The epoch at which it is compared next; None: at none.
    """

    trial_id: str
    name: str
    phase: Phase
    seed: int
    epoch: int
    epochs: int
    value: float | None
    rung: int | None


@dataclass(frozen=True)
class Summary:
    """How a study stands.

    Attributes:
        study: Its name.
        metric: What is compared.
        phase: The phase that was begun last; None before the first.
        state: "not begun", "unfinished", "done" or "gave up".
        note: Why it is over, where that isn't plain.
        trials: Number of trials by state; "started" are those without an end.
        phases: The same for each phase.
        planned: Trainings that each phase has at most; of a study that is over, those it had.
        epochs: Epochs so far.
        configurations: Proposed so far.
        running: Trials without an end, in order of their start.
        best: The best so far; it may be the default.
        default: The default on the same trials.
        winner: Once it is chosen.
        last_error: Of the trial that failed last.
        broken_nodes: Such as "10.77.0.2 broke 7 starts: ImportError: …", for each such node.
        epochs_per_minute: As measured lately.
        eta_s: Seconds until the study is over, if all goes on like this.
        repairs: What was lost of the tables and given up, a sentence a repair.
        unsaved: How many trials could not write a checkpoint, and why; empty: none.
    """

    study: str
    metric: str
    phase: Phase | None
    state: str
    note: str
    trials: dict[str, int]
    phases: dict[str, dict[str, int]]
    planned: dict[str, int]
    epochs: int
    configurations: int
    running: tuple[RunningTrial, ...]
    best: Standing | None
    default: Standing | None
    winner: str | None
    last_error: str | None
    epochs_per_minute: float | None
    eta_s: float | None
    broken_nodes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    unsaved: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = asdict(self)
        return told | {name: list(told[name]) for name in ("running", "broken_nodes", "repairs")}


@dataclass(frozen=True)
class StudyStatus:
    """How a study stands, and whether anybody is at it.

    Attributes:
        summary: How it stands; without a speed and a time left where nothing runs.
        last_event: When anything was last written; None before that.
        holder: Who has its lock, or had it last; None: nobody that is known of.
        now: When this was asked.
        notes: What people noted, oldest first.
    """

    summary: Summary
    last_event: datetime | None
    holder: Holder | None
    now: datetime
    notes: tuple[str, ...] = ()

    @property
    def alive(self) -> str:
        """Whether it runs, and if not, why.

        "running", "silent" (its driver has the lock, but gave no sign of life for minutes),
        "stopped" (by a person), "failed" (an error ended its driver), "died" (killed, or its host
        is gone); else the summary's state.
        """
        holder, state = self.holder, self.summary.state
        if holder is not None and holder.running:
            return "running" if holder.silent_s is None else "silent"
        if holder is None or state in {"done", "gave up"}:
            return state
        if holder.at is None:
            return "died"
        if holder.why == STOPPED:
            return "stopped"
        return state if holder.why == "done" else "failed"

    @property
    def age_s(self) -> float | None:
        """Seconds since anything was written."""
        if self.last_event is None:
            return None
        return max(0.0, (self.now - self.last_event).total_seconds())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the summary's beside the others."""
        last, holder = self.last_event, self.holder
        at_it = holder is not None and holder.at is None
        told = {
            "alive": self.alive,
            "last_event": None if last is None else last.isoformat(),
            "driver": asdict(holder) if holder is not None and at_it else None,
            "go_on": list(holder.go_on) if holder is not None else [],
            "notes": list(self.notes),
        }
        return self.summary.to_dict() | told


def summarise(history: History, epochs_per_minute: float | None = None) -> Summary:
    """Sum a study up.

    Args:
        history: All its rows.
        epochs_per_minute: As measured, for the time that is left.

    Returns:
        The summary.
    """
    spec = history.spec
    begun = history.plan_rows(Kind.PHASE_BEGUN)
    phase = Phase(begun[-1]["phase"]) if begun else None
    planned = {str(name): most for name, most in history.planned.items()}
    phases: dict[str, dict[str, int]] = {name: _no_trials() for name in planned}
    for trial in history.trials.values():
        counts = phases.setdefault(trial.phase, _no_trials())
        counts[trial.state] += 1
    total = {str(s): sum(counts[s] for counts in phases.values()) for s in TrialState}
    state, note = _state(history)
    if state in {"done", "gave up"}:
        planned = {name: sum(counts.values()) for name, counts in phases.items()}
        planned = {name: count for name, count in planned.items() if count}
    left = None if state in {"done", "gave up"} else _epochs_left(history, phases, planned)
    best, default = _standings(history, phase)
    failed = [t for t in history.trials.values() if t.state is TrialState.FAILED]
    return Summary(
        study=spec.study.name,
        metric=spec.study.metric,
        phase=phase,
        state=state,
        note=note,
        trials=total,
        phases=phases,
        planned=planned,
        epochs=history.epochs,
        configurations=len(history.configs),
        running=tuple(_running(history, trial) for trial in history.open.values()),
        best=best,
        default=default,
        winner=history.winner,
        last_error=failed[-1].error if failed else None,
        epochs_per_minute=epochs_per_minute,
        eta_s=60 * left / epochs_per_minute if left is not None and epochs_per_minute else None,
        broken_nodes=history.broken_nodes.lines(),
        repairs=tuple(repairs_of(history.plan)),
        unsaved=_unsaved(history),
    )


def events_rate(
    events: Sequence[Mapping[str, Any]], history: History, since: datetime
) -> float | None:
    """Epochs per minute over the trials that ended last.

    Those that were started twice don't count: which of their epochs came after is not known.

    Args:
        events: Rows of `trials`, in order.
        history: The same study.
        since: When the driver began; a pause before it is no working time.

    Returns:
        The rate; None before anything ended.
    """
    starts: dict[str, list[datetime]] = defaultdict(list)
    ends: dict[str, datetime] = {}
    for event in events:
        if event["state"] == TrialState.STARTED:
            starts[event["trial_id"]].append(event["time"])
        else:
            ends[event["trial_id"]] = event["time"]
    whole = [one for one in ends if len(starts[one]) == 1 and starts[one][0] >= since]
    lately = [one for one in whole if one in history.trials][-50:]
    if not lately:
        return None
    minutes = (ends[lately[-1]] - min(starts[one][0] for one in lately)).total_seconds() / 60
    epochs = sum(history.trials[trial_id].epoch for trial_id in lately)
    return epochs / minutes if minutes > 0 else None


def _unsaved(history: History) -> str:
    """Such as "2 trials could not write a checkpoint, the last one on node-1: No space …"."""
    if not history.unsaved:
        return ""
    trials = count(len(history.unsaved), "trial")
    *_, last = history.unsaved.values()
    return f"{trials} could not write a checkpoint, the last one on {last}"


def _no_trials() -> dict[str, int]:
    return {str(state): 0 for state in TrialState}


def _state(history: History) -> tuple[str, str]:
    ending = history.ending
    if ending is not None:
        early = history.ended_early
        note = f"confirm ended early: {early}" if early is not None else ""
        return ("gave up" if ending.gave_up else "done"), ending.note or note
    return ("unfinished" if history.plan_rows(Kind.PHASE_BEGUN) else "not begun"), ""


def _standings(history: History, phase: Phase | None) -> tuple[Standing | None, Standing | None]:
    """The best and the default, by their complete trials of the search, or of list and grid."""
    default = history.default
    if default is None or phase is None:
        return None, None
    found = [one for config in history.configs.values() if (one := _standing(history, config))]
    if not found:
        return None, None
    most = max(one.seeds for one in found)
    equal = [one for one in found if one.seeds == most]
    best = min(equal, key=lambda one: history.sign * one.value)
    return best, next((one for one in found if one.number == 0), None)


def _running(history: History, trial: TrialRecord) -> RunningTrial:
    config = history.configs[trial.config_id]
    tree, longest = config.config, history.spec.longest_trial
    rungs = history.rungs if trial.phase is Phase.SCREEN else ()
    return RunningTrial(
        trial_id=trial.trial_id,
        name=config_label(config.number, config.name, history.spec.default_name),
        phase=trial.phase,
        seed=trial.seed,
        epoch=trial.epoch,
        epochs=longest if tree == UNKNOWN else int(json.loads(tree)["train"]["epochs"]),
        value=trial.value,
        rung=next((rung for rung in sorted(rungs) if rung > trial.epoch), None),
    )


def _standing(history: History, config: ConfigRecord) -> Standing | None:
    trials = [trial for trial in _trials(history, config) if trial.state is TrialState.DONE]
    values = [trial.value for trial in trials if trial.value is not None]
    if not values:
        return None
    phase = trials[0].phase
    spread = statistics.stdev(values) if len(values) > 1 else None
    name = config_label(config.number, config.name, history.spec.default_name)
    return Standing(
        config.config_id, name, config.number, phase, statistics.fmean(values), spread, len(values)
    )


def _trials(history: History, config: ConfigRecord) -> list[TrialRecord]:
    """The search's one trial; of list and grid, whose only phase is confirm, all there are."""
    if not history.spec.compares_all:
        trial = history.search_trials.get(config.config_id)
        return [] if trial is None else [trial]
    rows = history.plan_rows(Kind.SEEDS, Phase.CONFIRM)
    found = (history.trial_of(config.config_id, seed) for row in rows for seed in row["seeds"])
    return [trial for trial in found if trial is not None]


def _epochs_left(
    history: History, phases: Mapping[str, Mapping[str, int]], planned: Mapping[str, int]
) -> float:
    """Epochs that are still to come, if trials go on being as long as they were."""
    left = 0.0
    longest = history.spec.longest_trial
    lengths: dict[str, list[int]] = {name: [] for name in planned}
    for trial in history.trials.values():
        if trial.ended:
            lengths.setdefault(trial.phase, []).append(trial.epoch)
    complete = [n for name, some in lengths.items() if name != Phase.SCREEN for n in some]
    for name, most in planned.items():
        known = lengths[name] or ([] if name == Phase.SCREEN else complete)
        length = statistics.fmean(known) if known else longest
        ended = sum(n for state, n in phases[name].items() if state != TrialState.STARTED)
        left += max(0, most - ended) * length
    left -= sum(trial.epoch for trial in history.open.values())
    if total := history.spec.budget.epochs:
        left = min(left, total - history.epochs)
    return max(0.0, left)
