"""The sections of a study file that hold plain settings, with their defaults."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hscl.config import FrozenTree
from hscl.errors import did_you_mean
from hscl.metrics import METRICS

__all__ = [
    "BudgetSection",
    "ConfirmSection",
    "RefineSection",
    "ResourcesSection",
    "SamplerSection",
    "SchedulerSection",
    "Section",
    "StudySection",
]

_MOST = 1_000
"""Seeds of a phase; derived ones have to be distinct numbers of six digits."""
_LEAST = 0.01
"""Of a phase's share."""


def _seeds(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) <= _MOST and all(type(s) is int and 0 <= s < 2**31 for s in value):
            return tuple(value)
    elif type(value) is int and 0 <= value <= _MOST:
        return value
    raise ValueError(f"must be a number of seeds (0 … {_MOST:,}) or a list of seeds below 2³¹")


def _keep(value: Any) -> Any:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise ValueError('must be a number (1 or more) or "all"')


def _trials(least: int) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value == "auto" or (type(value) is int and value >= least):
            return value
        raise ValueError(f'must be a number ({least} or more) or "auto"')

    return BeforeValidator(check)


def _share(value: Any) -> Any:
    if value == "auto" or (type(value) in {int, float} and _LEAST <= value <= 1.0 - _LEAST):
        return value
    raise ValueError(f'must be a number ({_LEAST} to {1.0 - _LEAST}) or "auto"')


def _metric(value: Any) -> Any:
    if value not in METRICS:
        raise ValueError(
            f"must be a metric, but got {value!r}; {did_you_mean(str(value), METRICS)}"
        )
    return value


Seeds = Annotated[int | tuple[int, ...], BeforeValidator(_seeds)]
Keep = Annotated[int | Literal["all"], BeforeValidator(_keep)]


class Section(FrozenTree):
    """One section of a study file."""

    def keys_at_default(self) -> set[str]:
        """Keys that say what they would say if they were not there."""
        fields = type(self).model_fields.items()
        return {
            name
            for name, field in fields
            if getattr(self, name) == field.get_default(call_default_factory=True)
        }


class StudySection(Section):
    """[study]: what is measured, and what holds for every trial."""

    name: Annotated[str, Field(min_length=1)] = "study"
    """How people call it."""
    metric: Annotated[str, BeforeValidator(_metric)] = "mae"
    """The valid metric that chooses; whether less or more is better follows from it."""
    seed: Annotated[int, Field(ge=0)] = 0
    """All derived seeds and every proposal follow from it."""
    epoch_timeout_s: Annotated[float, Field(gt=0)] = 7200.0
    """A trial whose epoch takes longer has failed."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Further attempts of a failed trial, where another attempt can help."""


class SamplerSection(Section):
    """[sampler]: who proposes configurations."""

    kind: Literal["tpe", "gp", "random", "grid", "list"] = "tpe"
    """Two models, chance, every point of a finite space, or the [[known]] points alone."""
    trials: Annotated[int | Literal["auto"], _trials(1)] = "auto"
    """Configurations of the screen, the default and known points included; or as many as fit."""
    per: str | None = None
    """A choice in [space], such as "model.kind": each value has a screen of its own, so many
    `trials` or an equal share of the epochs; confirm compares the winners, with the default's."""


class SchedulerSection(Section):
    """[scheduler]: who stops trials of the screen early."""

    kind: Literal["asha", "none"] = "asha"
    """Asynchronous successive halving, or nobody."""
    grace_epochs: Annotated[int, Field(ge=1)] = 1
    """The first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 4
    """Each rung is so many times the one before; one in so many goes on."""


class RefineSection(Section):
    """[refine]: trainings of full length of what the model proposes."""

    trials: Annotated[int | Literal["auto"], _trials(0)] = "auto"
    """How many; or as many as fit. 0: no refine."""
    share: Annotated[float | Literal["auto"], BeforeValidator(_share)] = "auto"
    """What refine takes of all epochs but confirm's; the screen has the rest. By itself two
    thirds, less where the screen would have under 12 full trainings, and at least a fifth or two
    full trainings."""


class ConfirmSection(Section):
    """[confirm]: fresh seeds for the winner and the default; here test is opened."""

    keep: Keep = 1
    """The winner, and so many less one besides."""
    seeds: Seeds = 6
    """How many seeds at most each time, or which in all. 0: no confirm; test stays closed."""
    margin: Annotated[float, Field(ge=0)] = 0.02
    """The largest difference that counts as none, in units of the metric."""
    looks: Annotated[int, Field(ge=1, le=20)] = 1
    """How often so many seeds may be run: once by the study, then by `hscl confirm`."""
    claims: Literal["all", "winner"] | None = "all"
    """Every pair, all sharing the 5 % of false claims; or winner against default alone."""

    @property
    def is_of_old_rules(self) -> bool:
        """Whether an earlier version began this study, which keeps what it declared then."""
        return self.claims is None

    @property
    def takes_place(self) -> bool:
        """Whether the phase has any seeds; without, it is left out."""
        return self.seed_count > 0

    @property
    def seed_count(self) -> int:
        """How many seeds `seeds` asks for."""
        return self.seeds if isinstance(self.seeds, int) else len(self.seeds)

    def kept_of(self, others: int) -> int:
        """How many of these configurations, the default aside, the phase takes."""
        return others if self.keep == "all" else min(self.keep, others)

    @property
    def seeds_a_look(self) -> int:
        """How many seeds are run each time, at most."""
        return self.seeds if isinstance(self.seeds, int) else len(self.seeds) // self.looks


class BudgetSection(Section):
    """[budget]: limits of the whole study; screen and refine share what confirm leaves."""

    epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over all trials. 0: no limit, but 50 full trainings where nothing else sets one."""
    hours: Annotated[float, Field(ge=0)] = 0.0
    """Hours of training summed over all trials (4 at once use 4 an hour). 0: no limit."""


def _shared_or_whole(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError("must be a share of one GPU (up to 1) or a whole number of GPUs")
    return gpus


class ResourcesSection(Section):
    """[resources]: what one trial gets, and how many run at once. May change on resume."""

    cpus: Annotated[float, Field(ge=0.01)] = 1.0
    """CPUs a trial; its threads follow, and with another number of them the last bits differ."""
    gpus: Annotated[float, Field(ge=0), AfterValidator(_shared_or_whole)] | None = None
    """GPUs a trial, fractions allowed. Not given: 1 where there are any. 0: trials see none."""
    concurrent: Annotated[int, Field(ge=0)] = 0
    """Trials at once. 0: as many as fit."""
    memory_gib: Annotated[float, Field(ge=0)] = 0.0
    """GiB of memory that Ray counts a trial with, to give no node too many. 0: not counted."""
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Other resources of a cluster's nodes that a trial takes, such as { a100 = 1 }."""
