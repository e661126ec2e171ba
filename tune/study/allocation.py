"""How a study's epochs are shared out: what confirm needs, what the screen and refine get."""

from collections import Counter
from dataclasses import dataclass

from tune.study.spec import StudySpec

__all__ = [
    "Allocation",
    "allocation_of",
    "branches_need",
    "confirm_epochs",
    "default_total",
    "rungs_of",
    "usual_length",
    "with_counts",
]

_FULL_TRAININGS = 50
"""So many trainings of full length a study takes that says nothing about its size."""
_REFINED = 2 / 3
"""Refine's share of the epochs that select where the study file gives it none …"""
_SCREENED = 12.0
"""… but the screen has at least the epochs of so many trainings of full length …"""
_LEAST_REFINED = 0.2
"""… and refine at least that share …"""
_FEWEST_REFINED = 2.0
"""… and the epochs of two full trainings, where the screen has as many.

Chosen with `tests/bench/bench_regret.py` on the worlds for tuning, six seeds of confirm included:
at totals of 50 trainings, of which 38 select, .65 (against .5 and .8; on fresh worlds it gains
with trainings of 20 epochs and is the same with 9); at 25, of which 13 select, .2 to .35 (against
.5); at 100, of which 88 select, .65 (against .86). The two trainings were not swept: they see to
it that a small study refines at all."""
_MOST = 2**62
"""A study file holds no whole number beyond 64 bits."""


@dataclass(frozen=True)
class Allocation:
    """Where the screen and refine end. What is None limits nothing.

    Attributes:
        total: Epochs of the whole study.
        share: What refine takes of the epochs that select, which are all but confirm's; None: two
            thirds, less where the screen would have under 12 full trainings, and at least a fifth
            or two full trainings.
        screen_trials: Configurations of the screen.
        refine_trials: Trainings of refine.
        longest: Epochs of the longest trial.
        usual: Mean epochs of a trial of the screen of which one in `factor` passes each rung.
    """

    total: int | None
    share: float | None
    screen_trials: int | None
    refine_trials: int | None
    longest: int
    usual: float

    @property
    def refines(self) -> bool:
        """Whether refine takes place."""
        return self.refine_trials != 0

    def screen_part(self, selecting: float, each: float = 1.0) -> float:
        """What the screen gets of a budget, in its unit.

        Args:
            selecting: All but what confirm needs.
            each: What an epoch costs.

        Returns:
            What refine leaves, which takes its share, and no more than its trainings need.
        """
        if self.share is not None:
            refine = self.share * selecting
        else:
            left = selecting - _SCREENED * self.longest * each
            few = min(_FEWEST_REFINED * self.longest * each, selecting / 2)
            refine = max(_LEAST_REFINED * selecting, few, min(left, _REFINED * selecting))
        if self.refine_trials is not None:
            refine = min(refine, each * self.refine_trials * self.longest)
        return selecting - refine


def allocation_of(spec: StudySpec) -> Allocation:
    """What a study file's counts and limits say.

    Args:
        spec: A study with a screen.
    """
    trials, refine = spec.sampler.trials, spec.refine
    return Allocation(
        total=spec.budget.epochs or None,
        share=None if refine.share == "auto" else refine.share,
        screen_trials=trials if isinstance(trials, int) else None,
        refine_trials=refine.trials if isinstance(refine.trials, int) else None,
        longest=spec.longest_trial,
        usual=usual_length(spec),
    )


def with_counts(spec: StudySpec) -> StudySpec:
    """The study with its size written out where the file leaves it open and nothing limits it.

    With one of the two counts the other follows from refine's share, two thirds where the file
    gives it none. With neither, a budget does:
    50 trainings of full length, or twice what confirm takes if that is more.

    Args:
        spec: A study with a screen; `budget`, `sampler` and `refine` as given.
    """
    if not spec.space:  # nothing new to propose
        spec = _with_refine_trials(spec, 0)
    if spec.budget.epochs or spec.budget.hours:
        return spec
    found = allocation_of(spec)
    screened, refined = found.screen_trials, found.refine_trials
    share = _REFINED if found.share is None else found.share
    if screened is not None and refined is None:
        epochs = screened * found.usual * share / (1 - share)
        return _with_refine_trials(spec, max(1, _whole(epochs / found.longest)))
    if screened is None and refined:
        epochs = refined * found.longest * (1 - share) / share
        trials = max(len(spec.start_points), 2, _whole(epochs / found.usual))
        return spec.model_copy(
            update={"sampler": spec.sampler.model_copy(update={"trials": trials})}
        )
    if screened is None:
        budget = spec.budget.model_copy(update={"epochs": default_total(spec)})
        return spec.model_copy(update={"budget": budget})
    return spec


def default_total(spec: StudySpec) -> int:
    """Epochs of a study that says nothing about its size, confirm's included."""
    kept = 1 if spec.confirm.keep == "all" else spec.confirm.keep
    total = max(_FULL_TRAININGS * spec.longest_trial, 2 * confirm_epochs(spec, candidates=kept))
    if spec.sampler.per is not None:
        total = max(total, branches_need(spec))
    return min(total, _MOST)


def branches_need(spec: StudySpec) -> int:
    """Epochs that a study with `sampler.per` must have: confirm's, and all that is known.

    Args:
        spec: The study. All its screens have as many epochs as the one with the most start points
            needs.
    """
    values = (start.config.dotted()[str(spec.sampler.per)] for start in spec.start_points)
    starts = Counter(values)
    known = len(starts) * max(starts.values()) * spec.longest_trial
    return confirm_epochs(spec, candidates=1) + known


def _whole(value: float) -> int:
    return round(min(value, _MOST))


def _with_refine_trials(spec: StudySpec, trials: int) -> StudySpec:
    return spec.model_copy(update={"refine": spec.refine.model_copy(update={"trials": trials})})


def confirm_epochs(spec: StudySpec, candidates: int) -> int:
    """Epochs that the first look at confirm takes at most.

    Args:
        spec: The study.
        candidates: Configurations other than the default that there can be.
    """
    if not spec.confirm.takes_place:
        return 0
    members = spec.confirm.kept_of(candidates) + 1
    if spec.sampler.per in spec.space:  # the winner of each
        members = len(spec.space[spec.sampler.per].values)
    return members * spec.confirm.seeds_a_look * spec.longest_trial


def rungs_of(spec: StudySpec) -> tuple[int, ...]:
    """The epochs at which the screen compares trials: grace · factor^k below the last epoch."""
    rungs = []
    rung = spec.scheduler.grace_epochs
    while spec.scheduler.kind == "asha" and rung < spec.base.train.epochs:
        rungs.append(rung)
        rung *= spec.scheduler.reduction_factor
    return tuple(rungs)


def usual_length(spec: StudySpec, after: int = 0) -> float:
    """Mean epochs that a trial of the screen takes if one in `factor` passes each rung.

    Args:
        spec: The study.
        after: Only those beyond this epoch, which it has reached.
    """
    length, share, before = 0.0, 1.0, after
    for rung in (*rungs_of(spec), spec.longest_trial):
        if rung <= after:
            continue
        length += share * (rung - before)
        share /= spec.scheduler.reduction_factor
        before = rung
    return length
