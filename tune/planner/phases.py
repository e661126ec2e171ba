"""What runs next: a pure function of the specification and the tables.

Resuming is calling it again. It never looks at a clock, and of the running process it is told one
thing only: which trials this process has in its hands.

    screen    the default, the known points, then the sampler's proposals, stopped early
    refine    new configurations that the model proposes, to their end, on the same seed
    confirm   the winner and the default on seeds never used; test is opened here
    list and grid skip to confirm: every configuration on all confirm seeds
    with `sampler.per` a screen a branch, then the winner of each on all confirm seeds

Whoever calls it does what the answer says, appends the rows, and calls again. The rows of one
`Decide` belong together: they are appended in one file.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from hscl.errors import InputError
from tune.planner.budget import Answer, is_last, room_for_another, screen_is_over
from tune.planner.decisions import (
    begin_confirm,
    begin_refine,
    begin_study,
    look_row,
    look_seeds,
    plan_row,
)
from tune.states import Kind, Phase, TrialState
from tune.study.allocation import allocation_of
from tune.study.seeds import SeedPlan
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import FEW_FAILURES, Ending, TrialRecord, trial_id_of

__all__ = [
    "Close",
    "Decide",
    "Judge",
    "Propose",
    "Run",
    "Step",
    "Wait",
    "next_look",
    "next_step",
]


@dataclass(frozen=True)
class Propose:
    """Ask `proposals.propose` for configuration `number` and append what it returns.

    `branch` says whose turn it is in a study with `sampler.per`.
    """

    number: int
    phase: Phase
    branch: Value | None = None


@dataclass(frozen=True)
class Run:
    """Append a `started` event, then run this trial; attempt > 1 resumes from its checkpoint."""

    config_id: str
    phase: Phase
    seed: int
    trial_id: str
    attempt: int = 1


@dataclass(frozen=True)
class Close:
    """Append this end event: the trial's last report decided it, but the end was never written."""

    trial_id: str
    state: TrialState


@dataclass(frozen=True)
class Decide:
    """Append these `plan` rows, all at once; `seq` and `time` are the caller's."""

    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Judge:
    """The runs of a look have ended: append the row that ends confirm early, else these rows."""

    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Wait:
    """Nothing to start until a running trial reports or ends."""


Step = Propose | Run | Close | Decide | Judge | Wait | Ending


def next_step(  # noqa: PLR0911 - one return a phase
    spec: StudySpec, history: History, running: AbstractSet[str]
) -> Step:
    """What to do next.

    Args:
        spec: The study.
        history: All rows so far.
        running: Trials that the caller has in its hands: started and not yet ended.

    Returns:
        One step; an `Ending` where the study is over. Calling again with nothing changed returns
        the same step.
    """
    if (ending := history.ending) is not None:
        return Wait() if running and ending.gave_up else ending
    if (rows := _everything_fails(history)) is not None:
        return Decide(rows)
    for trial in history.open.values():
        if trial.trial_id not in running:
            return _pick_up(history, trial)
    seeds = spec.seed_plan(history.earlier_seeds)
    if not history.plan_rows(Kind.PHASE_BEGUN):
        return Decide(begin_study(spec, seeds))
    if spec.compares_all:
        return _compare_all(spec, history, seeds)
    if history.plan_rows(Kind.WINNER):
        return _all_looks(history, seeds)
    return _search(spec, history, seeds)


def next_look(spec: StudySpec, history: History) -> list[dict[str, Any]]:
    """The rows by which a person orders more seeds of a study whose confirm is complete.

    Args:
        spec: The study.
        history: All its rows.

    Returns:
        Rows to append; after them `tune.planner.phases.next_step` has trials to run again.

    Raises:
        InputError: Confirm has not begun or is not complete, or all declared seeds were ordered.
    """
    taken, ending = history.plan_rows(Kind.LOOK), history.ending
    if not taken or ending is None or ending.gave_up:
        raise InputError(
            "a further look needs a study whose confirm is complete, but this one's is not; "
            "run hscl search"
        )
    each, orders = spec.confirm.seeds_a_look, spec.confirm.looks
    ordered = history.ordered_pairs if history.planned_looks else each * len(taken)
    if ordered >= each * orders:
        raise InputError(
            f"at most the declared confirm.looks = {orders} times confirm.seeds = {each} can be "
            f"ordered, and {ordered // each} times were; seeds added unplanned can claim nothing. "
            "Ask anew on unused seeds: hscl confirm DIR --data FILE --fresh --seeds N --out NEW"
        )
    opened = look_row(look_seeds(history, spec.seed_plan(history.earlier_seeds)), len(taken))
    if not history.planned_looks:
        return [opened]
    note = f"order {ordered // each + 1} of {orders}: up to {ordered + each} pairs in all"
    return [
        plan_row(Kind.LOOKS_ORDERED, phase=Phase.CONFIRM, value=ordered + each, note=note),
        opened,
    ]


def _everything_fails(history: History, few: int = FEW_FAILURES) -> list[dict[str, Any]] | None:
    if not history.failures.is_hopeless(few):
        return None
    failed = history.failures.last
    which = "the last" if history.failures.succeeded else "all of"
    note = f"{which} {len(failed)} trials failed; the last error: {failed[-1].error}"
    return [plan_row(Kind.GAVE_UP, phase=failed[-1].phase, value=len(failed), note=note)]


def _pick_up(history: History, trial: TrialRecord) -> Step:
    """What an unfinished trial of an earlier process still needs."""
    if trial.stop:
        return Close(trial.trial_id, TrialState.PRUNED)
    if trial.finished and trial.phase.searches:
        return Close(trial.trial_id, TrialState.DONE)
    if trial.epoch and trial.phase.searches and trial.trial_id in history.stopped_by_hand:
        return Close(trial.trial_id, TrialState.PRUNED)
    # After its last epoch a trial of confirm has its predictions still to write.
    return Run(trial.config_id, trial.phase, trial.seed, trial.trial_id, trial.attempt + 1)


def _search(spec: StudySpec, history: History, seeds: SeedPlan) -> Step:
    refined_from = history.refined_from
    for record in history.unstarted.values():
        if refined_from is None or record.number < refined_from:
            return _run(record.config_id, Phase.SCREEN, seeds.screen)
        return _run(record.config_id, Phase.REFINE, seeds.refine)
    if spec.sampler.per is not None and not history.proposes_no_more:
        if (step := _next_branch(spec, history)) is not None:
            return step
    elif not _has_proposed_all(spec, history):
        return _one_more(spec, history, seeds)
    if history.open_in(Phase.SCREEN) or history.open_in(Phase.REFINE):
        return Wait()
    rows = _everything_fails(history, few=1)
    return Decide(begin_confirm(spec, history, seeds) if rows is None else rows)


def _next_branch(spec: StudySpec, history: History) -> Propose | Wait | None:
    """The next configuration of the branch that has had the fewest; None where all are done.

    The default and the known points come first. A branch whose running trials may leave it room
    doesn't keep the others waiting.
    """
    number = len(history.configs)
    if number < len(spec.start_points):
        return Propose(number, Phase.SCREEN)
    branches = {value: history.branch(value) for value in history.branches}
    later = False
    for value in sorted(branches, key=lambda value: len(branches[value].configs)):
        branch = branches[value]
        if branch.proposes_no_more or screen_is_over(branch.spec, branch):
            continue
        answer = room_for_another(branch.spec, branch).answer
        if answer is Answer.YES:
            return Propose(number, Phase.SCREEN, value)
        later = later or answer is Answer.LATER
    return Wait() if later else None


def _one_more(spec: StudySpec, history: History, seeds: SeedPlan) -> Step:
    """The next configuration of screen or refine, as far as the budget holds one."""
    phase = Phase.SCREEN if history.refined_from is None else Phase.REFINE
    if phase is Phase.SCREEN and screen_is_over(spec, history):
        # What the screen still runs goes on: refine doesn't wait for it.
        return Decide([begin_refine(history, seeds)])
    room = room_for_another(spec, history)
    if room.answer is Answer.YES:
        if history.open and is_last(spec, history):
            return Wait()  # the last is what all others say is best
        return Propose(len(history.configs), phase)
    if room.answer is Answer.LATER:
        return Wait()
    return Decide([plan_row(Kind.BUDGET_REACHED, phase=phase, value=room.spent, note=room.note)])


def _has_proposed_all(spec: StudySpec, history: History) -> bool:
    """Whether screen and refine have all their configurations."""
    if history.proposes_no_more:
        return True
    found, first = allocation_of(spec), history.refined_from
    if first is None:
        return not found.refines and screen_is_over(spec, history)
    return found.refine_trials is not None and len(history.configs) - first >= found.refine_trials


def _compare_all(spec: StudySpec, history: History, seeds: SeedPlan) -> Step:
    first_seed = history.plan_rows(Kind.LOOK)[0]["seeds"][0]
    for config_id in history.unstarted:
        return _run(config_id, Phase.CONFIRM, first_seed)
    if len(history.configs) < len(spec.compared_points):
        return Propose(len(history.configs), Phase.CONFIRM)
    return _all_looks(history, seeds)


def _all_looks(history: History, seeds: SeedPlan) -> Step:
    """What confirm still lacks: the study is not over."""
    begun = [seed for look in history.looks for seed in look]
    missing = _first_missing(history, history.confirmed, begun, Phase.CONFIRM)
    if missing is not None:
        return missing
    if history.open_in(Phase.CONFIRM):
        return Wait()
    if (rows := _everything_fails(history, few=1)) is not None:
        return Decide(rows)
    # Every run has ended and the study is not over: more seeds were ordered.
    return Judge([look_row(look_seeds(history, seeds), len(history.looks))])


def _first_missing(
    history: History, members: Sequence[str], seeds: Iterable[int], phase: Phase
) -> Run | None:
    """The first trial, seed by seed, that was never started."""
    for seed in seeds:
        for config_id in members:
            if history.trial_of(config_id, seed) is None:
                return _run(config_id, phase, seed)
    return None


def _run(config_id: str, phase: Phase, seed: int) -> Run:
    return Run(config_id, phase, seed, trial_id_of(config_id, seed))
