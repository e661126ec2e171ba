"""A study in numbers before anything runs: phases, seeds, trainings, epochs at most."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tune.states import Phase
from tune.study.allocation import (
    Allocation,
    allocation_of,
    confirm_epochs,
    default_total,
    rungs_of,
)
from tune.study.branches import branches_of, starts_by_branch
from tune.study.sections import ResourcesSection
from tune.study.seeds import SeedPlan
from tune.study.space import Space, Value
from tune.study.spec import StartPoint, StudySpec

__all__ = [
    "GIB",
    "PhaseSize",
    "StudySize",
    "gpus_of_trial",
    "size_of",
    "trials_that_fit",
]


GIB = 1024**3
"""Bytes of the unit in which people give memory."""


@dataclass(frozen=True)
class PhaseSize:
    """One phase, at most.

    Attributes:
        phase: Which.
        configurations: Configurations in it, the default included.
        seeds: What each of them runs on.
        trainings: Trials.
        epochs: Epochs over all trials.
        estimated: Configurations and trainings are about what its epochs hold, and no limit.
        branches: For whom it is repeated, each with an equal part: the values of `sampler.per`.
    """

    phase: Phase
    configurations: int
    seeds: tuple[int, ...]
    trainings: int
    epochs: int
    estimated: bool = False
    branches: tuple[Value, ...] = ()


@dataclass(frozen=True)
class StudySize:
    """A whole study, at most.

    Attributes:
        name: The study's.
        default: What configuration 0 is, in words.
        phases: Those that will run, in order; confirm with the seeds of its first time only.
        rungs: Epochs at which the screen compares trials.
        usual_epochs: Epochs if at each rung one trial in `reduction_factor` goes on; less than
            `epochs` where trials are stopped early.
        pairs: Seeds on which confirm compares two configurations, at most, the first time.
        comparisons: Configurations that are compared with the default.
        looks: How often so many may be run.
        margin: The largest difference that counts as none.
        opens_test: Whether test will be opened.
        budget_epochs: The limit of epochs; 0 for none.
        budget_hours: The limit of hours of training; 0 for none.
        unconfirmed: Why confirm will not take place although it should, in words; empty: it will.
    """

    name: str
    default: str
    phases: tuple[PhaseSize, ...]
    rungs: tuple[int, ...]
    usual_epochs: int
    pairs: int
    comparisons: int
    looks: int
    margin: float
    opens_test: bool
    budget_epochs: int
    budget_hours: float
    unconfirmed: str = ""

    @property
    def estimated(self) -> bool:
        """Whether an epochs' or hours' limit, not a count, says how many trainings there are."""
        return any(phase.estimated for phase in self.phases)

    @property
    def trainings(self) -> int:
        """Trials over all phases, at most or about."""
        return sum(phase.trainings for phase in self.phases)

    @property
    def epochs(self) -> int:
        """Epochs over all phases, at most."""
        total = sum(phase.epochs for phase in self.phases)
        if not self.budget_epochs:
            return total
        return self.budget_epochs if self.estimated else min(total, self.budget_epochs)

    def disk_bytes(self, kept: float, running: float, at_once: int) -> float:
        """What all checkpoints take at most; tables and logs are small beside them.

        Args:
            kept: Bytes of a training that is over.
            running: Bytes of one that runs.
            at_once: Trials at once.
        """
        return self.trainings * kept + at_once * running

    def hours(self, seconds_per_epoch: float, concurrent: float = 1.0) -> tuple[float, float]:
        """Hours on the clock.

        Args:
            seconds_per_epoch: Of one trial.
            concurrent: Trials at once.

        Returns:
            Usual, and at most.
        """
        each = seconds_per_epoch / concurrent / 3600
        most = self.epochs * each
        if self.budget_hours:
            most = min(most, self.budget_hours / concurrent)
        return min(self.usual_epochs * each, most), most


def size_of(
    spec: StudySpec, avoid: Collection[int] = (), seconds_per_epoch: float | None = None
) -> StudySize:
    """Count what a study will do.

    Args:
        spec: The study.
        avoid: Seeds of the study that it is warm-started from.
        seconds_per_epoch: Of one trial, which is what a limit of hours is counted by. Where it is
            not known, a study that only hours limit is taken for one of the default size.

    Returns:
        Its size.
    """
    seeds = spec.seed_plan(avoid)
    found = allocation_of(spec)
    total = _total(spec, found, seconds_per_epoch)
    most = _Most(_distinct(spec), _confirmable(spec, found, total))
    confirm = _confirm(spec, found, most, seeds.looks[0])
    phases = [confirm] if confirm else []
    if not spec.compares_all:
        selecting = max(0.0, total - (confirm.epochs if confirm else 0))
        branches = starts_by_branch(spec) if spec.sampler.per is not None else {}
        starts = max(map(len, branches.values()), default=len(spec.start_points))
        each = [*_search(found, selecting / max(1, len(branches)), seeds, starts, most)]
        phases = [*(_repeated(one, tuple(branches)) if branches else one for one in each), *phases]
    usual = sum(
        round(phase.trainings * found.usual) if phase.phase is Phase.SCREEN else phase.epochs
        for phase in phases
    )
    return StudySize(
        name=spec.study.name,
        default=spec.default_text,
        phases=tuple(phases),
        rungs=rungs_of(spec),
        usual_epochs=min(usual, spec.budget.epochs or usual),
        pairs=len(seeds.looks[0]),
        comparisons=confirm.configurations - 1 if confirm else 0,
        looks=spec.confirm.looks,
        margin=spec.confirm.margin,
        opens_test=spec.opens_test,
        budget_epochs=spec.budget.epochs,
        budget_hours=spec.budget.hours,
        unconfirmed=_unconfirmed(spec, seconds_per_epoch) if most.confirmable < 2 else "",
    )


def _total(spec: StudySpec, found: Allocation, seconds_per_epoch: float | None) -> float:
    """Epochs that the whole study may take; infinite where counts alone limit it."""
    total = found.total or math.inf
    if spec.budget.hours and seconds_per_epoch:
        return min(total, 3600 * spec.budget.hours / seconds_per_epoch)
    if found.total is None and None in {found.screen_trials, found.refine_trials}:
        return default_total(spec)
    return total


class _Most(NamedTuple):
    """How many configurations a search can have; infinitely many where nothing limits them.

    Attributes:
        distinct: There are no more, in the largest branch of several.
        confirmable: Of about so many confirm still leaves room for the trials, where it takes a
            further one of each further configuration.
    """

    distinct: float
    confirmable: float


def _distinct(spec: StudySpec) -> float:
    if spec.compares_all:
        return math.inf
    if spec.sampler.per is None:
        return _points(spec.searched, spec.start_points)
    starts = starts_by_branch(spec)
    return max(_points(one.searched, starts[value]) for value, one in branches_of(spec).items())


def _points(space: Space, starts: Iterable[StartPoint]) -> float:
    """Those of the space, and the start points that lie outside."""
    size = space.grid_size()
    if size is None:
        return math.inf
    return size + sum(space.inside(start.config) is None for start in starts)


def _confirmable(spec: StudySpec, found: Allocation, total: float) -> float:
    """As the planner reserves it: the default trains to its end, and the others as usual."""
    if spec.is_table or not spec.confirm.takes_place or total == math.inf:
        return math.inf
    each = spec.confirm.seeds_a_look * found.longest
    others = max(0, int((total - each - found.longest) / (each + found.usual)))
    return math.inf if spec.confirm.kept_of(others + 1) <= others else 1 + others


def _unconfirmed(spec: StudySpec, seconds_per_epoch: float | None) -> str:
    """That hours hold no candidate for confirm; of epochs `tune.study.checks` says it."""
    confirm, longest = confirm_epochs(spec, candidates=1), spec.longest_trial
    least = (confirm + 2 * longest) * (seconds_per_epoch or 0.0) / 3600
    what = f"confirm's {confirm:,} epochs and two full trainings of {longest}"
    return f"budget.hours must be at least {least:.2g} ({what}), but is {spec.budget.hours:.2g}"


def _confirm(
    spec: StudySpec, found: Allocation, most: _Most, look: tuple[int, ...]
) -> PhaseSize | None:
    """The first look; None where it has no seeds or nothing to compare."""
    if not look:
        return None
    if spec.compares_all:
        members = len(spec.compared_points)
    elif spec.sampler.per is not None:
        members = len(starts_by_branch(spec))
    else:
        configs = min(most)
        if found.screen_trials is not None and found.refine_trials is not None:
            configs = min(configs, found.screen_trials + found.refine_trials)
        keep = spec.confirm.keep
        members = int(configs if keep == "all" else min(configs, keep + 1))
    trainings = members * len(look)
    if members < 2:
        return None
    return PhaseSize(
        Phase.CONFIRM,
        members,
        look,
        trainings,
        trainings * found.longest,
        estimated=members == most.confirmable,
    )


def _repeated(phase: PhaseSize, branches: tuple[Value, ...]) -> PhaseSize:
    """A phase that each branch has."""
    times = len(branches)
    return replace(
        phase,
        configurations=times * phase.configurations,
        trainings=times * phase.trainings,
        epochs=times * phase.epochs,
        branches=branches,
    )


def _search(
    found: Allocation, selecting: float, seeds: SeedPlan, starts: int, most: _Most
) -> Iterator[PhaseSize]:
    """Screen and refine, from their counts and from the epochs that confirm leaves."""
    longest = found.longest
    # The default and the known points are screened first, whatever the share.
    fixed = min(starts, 1 + (selecting - longest) / found.usual)
    part = max(found.screen_part(selecting), fixed * found.usual)
    fitting = part / found.usual
    screened = found.screen_trials if found.screen_trials is not None else math.inf
    screened = min(screened, most.distinct)
    trials = max(1, int(min(screened, fitting, most.confirmable)))
    counted = trials in {screened, most.confirmable}
    epochs = int(min(trials * longest if counted else math.inf, part))
    estimated = trials != screened
    yield PhaseSize(Phase.SCREEN, trials, (seeds.screen,), trials, epochs, estimated=estimated)
    refined = found.refine_trials if found.refine_trials is not None else math.inf
    if not estimated:
        refined = min(refined, most.distinct - trials)
    left = min(most) - trials
    trials = int(min(refined, left, (selecting - min(part, trials * found.usual)) / longest))
    if trials:
        yield PhaseSize(
            Phase.REFINE,
            trials,
            (seeds.refine,),
            trials,
            trials * longest,
            estimated=trials != refined,
        )


def gpus_of_trial(resources: ResourcesSection, there: float) -> float:
    """What `resources.gpus` means among so many GPUs: where it isn't given, 1 if there are any."""
    if resources.gpus is not None:
        return resources.gpus
    return 1.0 if there else 0.0


def trials_that_fit(
    resources: ResourcesSection, node: Mapping[str, float], gpus_there: float | None = None
) -> int:
    """How many trials a node takes at once, which is what its scarcest resource allows.

    Args:
        resources: What a trial takes.
        node: The node's resources under Ray's names: CPU, GPU, memory (bytes), custom ones.
        gpus_there: GPUs of all nodes together, on which the default share depends; None: this
            node is all there is.

    Returns:
        A number of trials, 0 where none fits.
    """
    everywhere = node.get("GPU", 0.0) if gpus_there is None else gpus_there
    needs = {
        "CPU": resources.cpus,
        "GPU": gpus_of_trial(resources, everywhere),
        "memory": resources.memory_gib * GIB,
        **resources.custom,
    }
    return int(min(node.get(name, 0.0) / n for name, n in needs.items() if n > 0) + 1e-9)
