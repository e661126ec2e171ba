"""What has happened in a study: a fold of its table rows, kept in memory as a cache.

Rows are applied in order of `seq`, by the driver as it appends them and by anyone who reads a
study folder. Everything here can be thrown away and computed again from the tables.
"""

import json
import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.data.schema import LABEL_RANGE
from tune.states import Kind, Origin, Phase, TrialState
from tune.study.allocation import rungs_of
from tune.study.branches import branches_of
from tune.study.size import size_of
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.tables.records import (
    BrokenNodes,
    ConfigRecord,
    Ending,
    FailureStreak,
    Observation,
    PlannedLook,
    TrialRecord,
    TrialReports,
    trial_id_of,
)

__all__ = ["History"]

Row = Mapping[str, Any]

_SUPERSEDED = (
    Kind.BUDGET_REACHED,
    Kind.SPACE_EXHAUSTED,
    Kind.WINNER,
    Kind.PREFERRED,
    Kind.FINALIST,
    Kind.PRIMARY,
    Kind.LOOK_PLANNED,
    Kind.LOOK,
)
"""What is decided at the end of a search, and again where a person asks for more trainings."""


class History:
    """Rows in, answers out; every answer that the planner needs often costs O(log n) or less.

    Attributes:
        spec: The study.
        sign: +1 where less of the metric is better, else −1; `sign · value` is a loss.
        configs: By config_id, in order of proposal.
        trials: By trial_id, in order of first start.
        open: The trials without a recorded end, in order of first start.
        unstarted: Configurations without any trial, in order of proposal.
        plan: All plan rows in order.
        warm: Points known from an earlier study.
        rungs: For each rung of the screen, each trial's loss there.
        epochs: Recorded epochs over all trials.
        seconds: Their training time.
        search_trials: The trials of screen and refine by config_id, one of each configuration.
        failures: How trials have been ending lately.
        gave_up: Why the study stopped itself; None once a person asked again.
        unsaved: Why a trial's checkpoint could not be written, by trial, in order.
        stopped_by_hand: Trials of the search that a person stopped: they end with their next
            report.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.sign = 1.0 if spec.mode == "min" else -1.0
        self._best = np.fmin if spec.mode == "min" else np.fmax
        self.configs: dict[str, ConfigRecord] = {}
        self.trials: dict[str, TrialRecord] = {}
        self.open: dict[str, TrialRecord] = {}
        self.unstarted: dict[str, ConfigRecord] = {}
        self.plan: list[dict[str, Any]] = []
        self.warm: list[Observation] = []
        self.rungs: dict[int, dict[str, float]] = {rung: {} for rung in rungs_of(spec)}
        self.epochs = 0
        self.seconds = 0.0
        self.search_trials: dict[str, TrialRecord] = {}
        self.failures = FailureStreak()
        self.gave_up: str | None = None
        self.stopped_by_hand: set[str] = set()
        self.broken_nodes = BrokenNodes()
        self.unsaved: dict[str, str] = {}
        self._rung_values: dict[int, list[float]] = {rung: [] for rung in self.rungs}
        self._by_kind: dict[str, list[dict[str, Any]]] = {}
        self._cells: dict[tuple[str, int], TrialRecord] = {}
        self._open_in: Counter[Phase] = Counter()

    def apply_config(self, row: Row) -> None:
        """Take a row of `configs`; its keys with a dot are the searched parameters."""
        params = {name: row[name] for name in row if "." in name and row[name] is not None}
        record = ConfigRecord(
            config_id=row["config_id"],
            number=row["number"],
            origin=Origin(row["origin"]),
            name=row["name"],
            params=params,
            config=row["config"],
        )
        self.configs[record.config_id] = record
        self.unstarted[record.config_id] = record

    def begin_trial(self, row: Row) -> TrialRecord:
        """The trial of a row of `trials`, entered with its first one."""
        trial_id = row["trial_id"]
        trial = self.trials.get(trial_id)
        if trial is None:
            phase = Phase(row["phase"])
            trial = TrialRecord(trial_id, row["config_id"], phase, row["seed"])
            self.trials[trial_id] = self.open[trial_id] = trial
            self._cells[trial.config_id, trial.seed] = trial
            self._open_in[phase] += 1
            self.unstarted.pop(trial.config_id, None)
            if phase.searches:
                self.search_trials[trial.config_id] = trial
        return trial

    def apply_event(self, row: Row) -> None:
        """Take a row of `trials`; a trial's last one is its state."""
        trial, state = self.begin_trial(row), TrialState(row["state"])
        trial.attempt = row.get("attempt") or trial.attempt
        if state is TrialState.STARTED:
            self.broken_nodes.add(row.get("error"))
            if trial.ended:
                self._reopen(trial)
            return
        if not trial.ended:
            del self.open[trial.trial_id]
            self._open_in[trial.phase] -= 1
        trial.state, trial.error = state, row.get("error")
        self.failures.add(trial)
        if state is TrialState.DONE:
            self._finish(trial)

    def apply_report(self, row: Row) -> bool:
        """Take a row of `reports`.

        Args:
            row: One epoch of one trial.

        Returns:
            False where that epoch is recorded already (a resumed trial repeats epochs), or where
            no event tells of the trial (part of `trials` is lost): then nothing changes.
        """
        trial, epoch = self.trials.get(row["trial_id"]), row["epoch"]
        if trial is None or epoch <= trial.epoch:
            return False
        value = row.get(f"valid_{self.spec.study.metric}")
        value = math.nan if value is None or not math.isfinite(value) else float(value)
        before = trial.best.get(trial.epoch, math.nan)
        trial.curve[epoch] = value
        trial.best[epoch] = self.better(before, value)
        trial.stop, trial.collapsed = bool(row.get("stop")), bool(row.get("collapsed"))
        seconds = row.get("seconds") or 0.0
        trial.seconds += seconds
        self.seconds += seconds
        self.epochs += 1
        if epoch in self.rungs:
            self._enter(epoch, trial)
        if row.get("finished"):
            self._finish(trial)
        return True

    def apply_reports(self, trial_id: str, reports: TrialReports) -> None:
        """Take all reports of a trial at once, as the first that is heard of them.

        `epochs` and `seconds` of the study are not counted: a sum depends on its order.
        """
        trial = self.trials[trial_id]
        trial.curve, trial.best = dict(reports.curve), dict(reports.best)
        trial.stop, trial.collapsed = reports.stop, reports.collapsed
        trial.seconds = reports.seconds
        for rung in self.rungs:
            if rung in trial.best:
                self._enter(rung, trial)
        if reports.finished:
            self._finish(trial)

    def apply_plan(self, row: Row) -> None:
        """Take a row of `plan`."""
        kept = dict(row)
        self.plan.append(kept)
        self._by_kind.setdefault(kept["kind"], []).append(kept)
        if kept["kind"] == Kind.WARM_POINT:
            told = json.loads(kept["note"])
            curve = {int(epoch): value for epoch, value in told["curve"].items()}
            self.warm.append(Observation(told["values"], TrialState(told["state"]), curve))
        elif kept["kind"] == Kind.SPECIFICATION:
            self._decide_anew(kept)
        elif kept["kind"] == Kind.TRIAL_STOPPED:
            self.stopped_by_hand |= {trial_id_of(kept["config_id"], s) for s in kept["seeds"]}
        elif kept["kind"] == Kind.UNSAVED:
            self.unsaved |= {
                trial_id_of(kept["config_id"], s): kept["note"] for s in kept["seeds"]
            }
        elif kept["kind"] == Kind.GAVE_UP:
            self.gave_up = kept["note"]
        elif kept["kind"] == Kind.RESUMED:
            failed = self.failures.last
            self.gave_up, self.failures = None, FailureStreak()
            for trial in failed:
                if trial.phase.searches is failed[-1].phase.searches:  # else it is decided
                    self._reopen(trial)

    def _decide_anew(self, row: Row) -> None:
        """A person asked for more trainings: who is confirmed is not decided any more.

        The rows stay in `plan`; nothing of confirm had run yet.
        """
        if "before" in json.loads(row["note"] or "{}"):
            for kind in _SUPERSEDED:
                self._by_kind.pop(kind, None)
            begun = self._by_kind.get(Kind.PHASE_BEGUN, [])
            begun[:] = [one for one in begun if one["phase"] != Phase.CONFIRM]

    def better(self, one: float, other: float) -> float:
        """The better of two values of the metric; NaN loses."""
        return float(self._best(one, other))

    def best_so_far(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The best of the values (R,) up to each of them; NaN before the first number."""
        best: npt.NDArray[np.float64] = self._best.accumulate(values)
        return best

    def loss(self, trial: TrialRecord) -> float:
        """A trial's value as a loss; infinite without a finite value."""
        return math.inf if trial.value is None else self.sign * trial.value

    def rung_values(self, rung: int) -> list[float]:
        """All losses at a rung, ascending."""
        return self._rung_values[rung]

    @cached_property
    def branches(self) -> dict[Value, StudySpec]:
        """The screens of a study with `sampler.per`, the default's first; none without."""
        return branches_of(self.spec)

    def branch(self, value: Value) -> "History":
        """What has happened in one of `branches`, as if it were a study of its own.

        Its configurations are numbered from 0, its default's number. Computed anew at each call,
        so that nothing has to be kept in step; the trials' records are shared.
        """
        per, found = self.spec.sampler.per, History(self.branches[value])
        mine = [one for one in self.configs.values() if one.params.get(str(per)) == value]
        for number, one in enumerate(mine):
            params = {name: v for name, v in one.params.items() if name != per}
            found.configs[one.config_id] = replace(one, number=number, params=params)
        trials = [t for one, t in self.search_trials.items() if one in found.configs]
        found.search_trials = {trial.config_id: trial for trial in trials}
        found.trials = {trial.trial_id: trial for trial in trials}
        found.open = {one: trial for one, trial in self.open.items() if one in found.trials}
        found.unstarted = {k: v for k, v in self.unstarted.items() if k in found.configs}
        found.warm = [seen for seen in self.warm if seen.values.get(str(per)) == value]
        found.epochs = sum(len(trial.curve) for trial in trials)
        found.seconds = sum(trial.seconds for trial in trials)
        found._by_kind = {
            Kind.SPACE_EXHAUSTED: [
                row
                for row in self.plan_rows(Kind.SPACE_EXHAUSTED)
                if row["config_id"] in found.configs
            ]
        }
        for rung in found.rungs:
            for trial in trials:
                if rung in trial.best or (trial.finished and rung > trial.epoch):
                    found._enter(rung, trial)
        return found

    def plan_rows(self, kind: Kind, phase: Phase | None = None) -> list[dict[str, Any]]:
        """Plan rows of one kind, in order."""
        rows = self._by_kind.get(kind, [])
        return rows if phase is None else [row for row in rows if row["phase"] == phase]

    def trial_of(self, config_id: str, seed: int) -> TrialRecord | None:
        """The trial of a configuration on a seed, if it was ever started."""
        return self._cells.get((config_id, seed))

    def has_ended(self, config_id: str, seed: int) -> bool:
        """Whether a configuration's trial on a seed has a recorded end."""
        trial = self.trial_of(config_id, seed)
        return trial is not None and trial.ended

    def open_in(self, phase: Phase) -> int:
        """How many trials of a phase have no recorded end."""
        return self._open_in[phase]

    def finalists(self, phase: Phase) -> list[str]:
        """The configurations that entered a phase, the default first, then by rank."""
        return [row["config_id"] for row in self.plan_rows(Kind.FINALIST, phase)]

    @property
    def default(self) -> ConfigRecord | None:
        """Configuration 0, once it is recorded."""
        first = next(iter(self.configs.values()), None)
        return first if first is not None and first.number == 0 else None

    @property
    def reference(self) -> str | None:
        """Whom confirm compares all others with: the default, or the winner of its branch."""
        if self.spec.sampler.per is None:
            return None if self.default is None else self.default.config_id
        return next(iter(self.finalists(Phase.CONFIRM)), None)

    @property
    def winner(self) -> str | None:
        """The configuration that won the search; None before that, and where none did.

        None, too, where each branch has a winner: see `reference`.
        """
        if self.spec.sampler.per is not None:
            return None
        rows = self.plan_rows(Kind.WINNER)
        return rows[-1]["config_id"] if rows else None

    @property
    def prefers_default(self) -> bool:
        """Whether no less was expected of the default than of the winner when it was chosen."""
        return bool(self.plan_rows(Kind.PREFERRED))

    @property
    def without_winner(self) -> str | None:
        """Why a search that is over has no winner; None where it has one, or none yet."""
        rows = self.plan_rows(Kind.WINNER)
        if self.spec.sampler.per is not None:
            found = [row["config_id"] for row in rows]
            if not rows or (found[0] and sum(map(bool, found)) > 1):
                return None
            return "; ".join(str(row["note"]) for row in rows if row["config_id"] is None)
        if not rows or rows[-1]["config_id"] is not None:
            return None
        return str(rows[-1]["note"] or "no reason is recorded").rstrip(".")

    @property
    def primary(self) -> tuple[str, str] | None:
        """The pair of the primary comparison: the winner and the default."""
        for row in self.plan_rows(Kind.PRIMARY):
            return row["config_id"], row["other_config_id"]
        if self.spec.is_table or self.winner is None or self.default is None:
            return None
        return self.winner, self.default.config_id

    @property
    def looks(self) -> tuple[tuple[int, ...], ...]:
        """The seeds of each look at confirm that was begun."""
        return tuple(tuple(row["seeds"]) for row in self.plan_rows(Kind.LOOK))

    @property
    def label_range(self) -> float:
        """Labels lie between − and + this; where an older study does not say so, 3."""
        rows = self.plan_rows(Kind.DATA)
        return float(rows[-1]["value"] or LABEL_RANGE) if rows else LABEL_RANGE

    @property
    def planned_looks(self) -> tuple[PlannedLook, ...]:
        """All looks at confirm as fixed before the first; none in studies from before 0.2."""
        rows = self.plan_rows(Kind.LOOK_PLANNED)
        return tuple(PlannedLook(tuple(row["seeds"]), row["value"]) for row in rows)

    @property
    def ordered_pairs(self) -> int:
        """Pairs of seeds up to which confirm looks by itself, as declared or ordered since."""
        rows = self.plan_rows(Kind.LOOKS_ORDERED)
        return int(rows[-1]["value"]) if rows else self.spec.confirm.seeds_a_look

    @property
    def ended_early(self) -> str | None:
        """Why confirm ended before all seeds ordered had run; None where it did not."""
        rows = [*self.plan_rows(Kind.LOOK)[-1:], *self.plan_rows(Kind.CONFIRM_ENDED)[-1:]]
        last = max(rows, key=lambda row: int(row["seq"]), default=None)
        return None if last is None or last["kind"] == Kind.LOOK else str(last["note"])

    @property
    def confirmed(self) -> tuple[str, ...]:
        """The configurations that confirm runs, the default first."""
        known = list(self.configs) if self.spec.compares_all else self.finalists(Phase.CONFIRM)
        return self._with_pair(known)

    @property
    def refined_from(self) -> int | None:
        """The number of refine's first configuration; None before refine has begun."""
        rows = self.plan_rows(Kind.PHASE_BEGUN, Phase.REFINE)
        return int(rows[0]["value"]) if rows else None

    @property
    def proposes_no_more(self) -> bool:
        """Whether the search is decided to propose nothing further."""
        ends = [Kind.WINNER]
        if self.spec.sampler.per is None:  # else they hold for one branch
            ends += [Kind.BUDGET_REACHED, Kind.SPACE_EXHAUSTED]
        return any(self.plan_rows(kind) for kind in ends)

    @property
    def planned(self) -> dict[Phase, int]:
        """Trainings that each phase has, at most or about, as far as is decided by now."""
        seconds = self.seconds / self.epochs if self.epochs else None
        size = size_of(self.spec, self.earlier_seeds, seconds)
        planned = {part.phase: part.trainings for part in size.phases}
        if not self.spec.compares_all:
            over, proposed = self.proposes_no_more, len(self.configs)
            first = self.refined_from
            screened, refined = (proposed, 0) if first is None else (first, proposed - first)
            planned[Phase.SCREEN] = max(screened, 0 if over or first else planned[Phase.SCREEN])
            if refined or Phase.REFINE in planned:
                planned[Phase.REFINE] = max(refined, 0 if over else planned.get(Phase.REFINE, 0))
        if Phase.CONFIRM in planned:
            each = planned[Phase.CONFIRM] // self.spec.confirm.seeds_a_look
            begun = sum(map(len, self.looks))
            more = begun if self.ended_early else max(begun, self.ordered_pairs)
            planned[Phase.CONFIRM] = each * more
        return planned

    @property
    def ending(self) -> Ending | None:
        """How the study ended; None while there is something left to do."""
        if self.gave_up is not None:
            return Ending(self.gave_up, gave_up=True)
        if (why := self.without_winner) is not None:
            return Ending(why, gave_up=not self.failures.succeeded)
        if not self._is_confirmed() or self.failures.is_hopeless(few=1):
            return None
        return Ending()

    def _with_pair(self, members: Iterable[str]) -> tuple[str, ...]:
        """And the primary pair and the default, which are among them unless plan rows are lost."""
        if self.spec.sampler.per is not None:
            return tuple(members)
        default = () if self.default is None else (self.default.config_id,)
        return tuple(dict.fromkeys((*members, *(self.primary or ()), *default)))

    def _is_confirmed(self) -> bool:
        """Whether every run of every look that was begun has ended."""
        spec = self.spec
        if not spec.compares_all and not spec.confirm.takes_place:
            return bool(self.plan_rows(Kind.WINNER))
        proposed = not spec.compares_all or len(self.configs) >= len(spec.compared_points)
        looks = self.looks
        if not (looks and proposed) or self.default is None or self._open_in[Phase.CONFIRM]:
            return False
        members = self.confirmed
        begun = [seed for look in looks for seed in look]
        if self.planned_looks and len(begun) < self.ordered_pairs and self.ended_early is None:
            return False
        return all(self.has_ended(one, seed) for seed in begun for one in members)

    @property
    def cpu_precision(self) -> str:
        """What trials on CPUs compute in where the study leaves it open: "fp32" or "bf16"."""
        rows = self.plan_rows(Kind.PRECISION)
        return str(rows[0]["note"]) if rows else "fp32"

    @property
    def used_seeds(self) -> set[int]:
        """Every seed that the study or one before it used, or has put aside for a look."""
        reserved = (seed for row in self.plan_rows(Kind.SEEDS) for seed in row["seeds"] or ())
        ran = (trial.seed for trial in self.trials.values())
        return {*self.earlier_seeds, *reserved, *ran}

    @property
    def earlier_seeds(self) -> tuple[int, ...]:
        """Seeds that an earlier study used, which this one has to avoid."""
        rows = self.plan_rows(Kind.WARM_START)
        return tuple(seed for row in rows for seed in row["seeds"] or ())

    def _reopen(self, trial: TrialRecord) -> None:
        """A trial that failed is to be run again."""
        trial.state = TrialState.STARTED
        self.open[trial.trial_id] = trial
        self._open_in[trial.phase] += 1

    def _enter(self, rung: int, trial: TrialRecord) -> None:
        loss = self.sign * trial.best_at(rung)
        known = self.rungs[rung]
        if trial.phase is Phase.SCREEN and trial.trial_id not in known and math.isfinite(loss):
            known[trial.trial_id] = loss
            insort(self._rung_values[rung], loss)

    def _finish(self, trial: TrialRecord) -> None:
        """A complete trial keeps its value at every rung that it didn't live to see."""
        trial.finished = True
        for rung in self.rungs:
            if rung > trial.epoch:
                self._enter(rung, trial)
