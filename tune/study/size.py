"""A study in numbers before anything runs: phases, seeds, trainings, epochs at most."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tune.states import Phase
from tune.study.sections import ResourcesSection
from tune.study.seeds import SeedPlan
from tune.study.spec import StudySpec

__all__ = [
    "GIB",
    "PhaseSize",
    "StudySize",
    "gpus_of_trial",
    "reserved_epochs",
    "rungs_of",
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
    """

    phase: Phase
    configurations: int
    seeds: tuple[int, ...]
    trainings: int
    epochs: int


@dataclass(frozen=True)
class StudySize:
    """A whole study, at most.

    Attributes:
        name: The study's.
        default: What configuration 0 is, in words.
        phases: Those that will run, in order; confirm with its first look only.
        rungs: Epochs at which the screen compares trials.
        usual_epochs: Epochs if at each rung one trial in `reduction_factor` goes on; less than
            `epochs` where trials are stopped early.
        usual_screened: Epochs that one configuration of the screen then takes.
        pairs: Seeds on which confirm compares two configurations (first look).
        comparisons: Configurations that are compared with the default.
        looks: Declared looks; each claims at 0.05/looks.
        margin: The largest difference that counts as none.
        opens_test: Whether test will be opened.
        budget_epochs: The limit of epochs; 0 for none.
        budget_hours: The limit of hours of training; 0 for none.
    """

    name: str
    default: str
    phases: tuple[PhaseSize, ...]
    rungs: tuple[int, ...]
    usual_epochs: int
    usual_screened: float
    pairs: int
    comparisons: int
    looks: int
    margin: float
    opens_test: bool
    budget_epochs: int
    budget_hours: float

    @property
    def trainings(self) -> int:
        """Trials over all phases, at most."""
        return sum(phase.trainings for phase in self.phases)

    @property
    def epochs(self) -> int:
        """Epochs over all phases, at most."""
        total = sum(phase.epochs for phase in self.phases)
        return min(total, self.budget_epochs) if self.budget_epochs else total

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


def size_of(spec: StudySpec, avoid: Collection[int] = ()) -> StudySize:
    """Count what a study will do.

    Args:
        spec: The study.
        avoid: Seeds of the study that it is warm-started from.

    Returns:
        Its size.
    """
    seeds = spec.seed_plan(avoid)
    phases = _phases(spec, seeds)
    rungs = rungs_of(spec)
    screen = [phase for phase in phases if phase.phase is Phase.SCREEN]
    saved = sum(phase.epochs - phase.trainings * _usual_length(spec, rungs) for phase in screen)
    usual = sum(phase.epochs for phase in phases) - round(saved)
    confirm = [phase for phase in phases if phase.phase is Phase.CONFIRM]
    return StudySize(
        name=spec.study.name,
        default=spec.default_label,
        phases=phases,
        rungs=rungs,
        usual_epochs=min(usual, spec.budget.epochs or usual),
        usual_screened=_usual_length(spec, rungs),
        pairs=len(seeds.looks[0]),
        comparisons=confirm[0].configurations - 1 if confirm else 0,
        looks=spec.confirm.looks,
        margin=spec.confirm.margin,
        opens_test=spec.opens_test,
        budget_epochs=spec.budget.epochs,
        budget_hours=spec.budget.hours,
    )


def _phases(spec: StudySpec, seeds: SeedPlan) -> tuple[PhaseSize, ...]:
    trials, longest = spec.sampler.trials, spec.longest_trial

    def size(phase: Phase, configurations: int, on: tuple[int, ...]) -> PhaseSize:
        trainings = configurations * len(on)
        return PhaseSize(phase, configurations, on, trainings, trainings * longest)

    look = seeds.looks[0]
    if spec.compares_all:
        return (size(Phase.CONFIRM, trials, look),)
    phases = [size(Phase.SCREEN, trials, (seeds.screen,))]
    if trials > 1:
        later = _entering(spec, trials - 1).items()
        phases += [
            size(phase, n, seeds.race if phase is Phase.RACE else look) for phase, n in later
        ]
    return tuple(phases)


def _usual_length(spec: StudySpec, rungs: tuple[int, ...]) -> float:
    """Mean epochs of a screen trial of which one in `factor` passes each rung."""
    length, share, before = 0.0, 1.0, 0
    for rung in (*rungs, spec.longest_trial):
        length += share * (rung - before)
        share /= spec.scheduler.reduction_factor
        before = rung
    return length


def rungs_of(spec: StudySpec) -> tuple[int, ...]:
    """The epochs at which the screen compares trials: grace · factor^k below the last epoch."""
    rungs = []
    rung = spec.scheduler.grace_epochs
    while spec.scheduler.kind == "asha" and rung < spec.base.train.epochs:
        rungs.append(rung)
        rung *= spec.scheduler.reduction_factor
    return tuple(rungs)


def reserved_epochs(spec: StudySpec, candidates: int) -> int:
    """Epochs that race and the first look at confirm take at most.

    Args:
        spec: The study.
        candidates: Configurations other than the default that there can be.

    Returns:
        Trials of the two phases times the length of the longest.
    """
    seeds = {Phase.RACE: spec.race.seed_count, Phase.CONFIRM: spec.confirm.seeds_a_look}
    trainings = sum(many * seeds[phase] for phase, many in _entering(spec, candidates).items())
    return trainings * spec.longest_trial


def _entering(spec: StudySpec, candidates: int) -> dict[Phase, int]:
    """How many configurations race and confirm have at most, the default included.

    Args:
        spec: The study.
        candidates: Configurations other than the default that can be ranked.
    """
    entering = {}
    for phase, section in ((Phase.RACE, spec.race), (Phase.CONFIRM, spec.confirm)):
        if section.takes_place:
            candidates = section.kept_of(candidates)
            entering[phase] = candidates + 1
    return entering


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
