"""The frozen specification of a study: everything that decides what it will do.

A specification is read from a study file by `tune.study.toml`, which fills in every default, so
that two equal specifications give equal studies whatever a later version holds for a good default.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from hscl.config import PRESETS, Config
from hscl.digest import digest_json
from hscl.metrics import METRIC
from tune.display import listing, setting
from tune.states import Origin
from tune.study.rules import parse_rule
from tune.study.sections import (
    BudgetSection,
    ConfirmSection,
    RefineSection,
    ResourcesSection,
    SamplerSection,
    SchedulerSection,
    Section,
    StudySection,
)
from tune.study.seeds import SeedPlan, plan_seeds
from tune.study.space import Distribution, Space, Value

__all__ = ["KnownPoint", "StartPoint", "StudySpec"]


class KnownPoint(Section):
    """[[known]]: a configuration to try before the sampler's own.

    Attributes:
        name: How people call it.
        overrides: Dotted names and values in which it differs from the default.
    """

    name: Annotated[str, Field(min_length=1)]
    overrides: dict[str, Value]


_FIRST_KEYS = {
    "study": "name metric seed epoch_timeout_s retries",
    "sampler": "kind trials",
    "scheduler": "kind grace_epochs reduction_factor",
    "refine": "trials share",
    "confirm": "keep seeds margin looks",
    "budget": "epochs hours",
}
"""Keys that every digest counts. One that a later version adds is not added here."""


@dataclass(frozen=True)
class StartPoint:
    """A configuration that is known before the sampler proposes anything."""

    name: str
    origin: Origin
    config: Config


class StudySpec(Section):
    """A whole study. Equal specifications and equal results give equal studies.

    Attributes:
        preset: The published setting that the default configuration started from.
        base: The default configuration: the preset with `[base]` applied. Configuration 0.
        space: Distributions by dotted name.
        rules: Constraints as written.
        known: Points to try first; the rows of sampler "list".
        race: What a study begun before 0.2 has in place of `refine`; None in all others.
    """

    study: StudySection
    preset: str
    base: Config
    space: dict[str, Distribution]
    rules: tuple[str, ...]
    known: tuple[KnownPoint, ...]
    sampler: SamplerSection
    scheduler: SchedulerSection
    refine: RefineSection
    race: dict[str, Any] | None = None
    confirm: ConfirmSection
    budget: BudgetSection
    resources: ResourcesSection

    def tree(self) -> dict[str, Any]:
        """The nested sections of a study file that says the same, nothing left to defaults."""
        tree: dict[str, Any] = {
            "study": self.study.model_dump(),
            "base": {"preset": self.preset} | self.base.dotted(),
            "space": {name: some.to_toml() for name, some in self.space.items()},
            "constraints": {"rules": list(self.rules)},
        }
        if self.known:
            tree["known"] = [{"name": point.name} | point.overrides for point in self.known]
        for name in ("sampler", "scheduler", "refine", "confirm", "budget", "resources"):
            if name == "refine" and self.race is not None:
                tree["race"] = dict(self.race)
                continue
            section = getattr(self, name).model_dump(exclude_none=True)
            tree[name] = {k: list(v) if isinstance(v, tuple) else v for k, v in section.items()}
        return tree

    @property
    def is_of_old_phases(self) -> bool:
        """Whether a version before 0.2 began this search, which later ones only read."""
        return self.race is not None and not self.compares_all

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the study's metric is better."""
        return METRIC[self.study.metric].mode

    @property
    def compares_all(self) -> bool:
        """Whether every configuration simply runs on all confirm seeds (`list` and `grid`)."""
        return self.sampler.kind in {"list", "grid"}

    @property
    def is_table(self) -> bool:
        """Whether confirm compares several with one, and no winner with the default."""
        return self.compares_all or self.sampler.per is not None

    @property
    def opens_test(self) -> bool:
        """Whether confirm evaluates test; a grid stays on valid."""
        return self.confirm.takes_place and self.sampler.kind != "grid"

    @property
    def digest(self) -> str:
        """SHA-256 over all that may not change on resume: everything but `[resources]`.

        A key that came later counts only where it is not at its default.
        """
        counted = {"base": {"preset": self.preset} | self.base.counted()}
        tree = {k: counted.get(k, v) for k, v in self.tree().items() if k != "resources"}
        for name in _FIRST_KEYS.keys() & tree.keys():
            later = getattr(self, name).keys_at_default() - set(_FIRST_KEYS[name].split())
            tree[name] = {key: value for key, value in tree[name].items() if key not in later}
        return digest_json(tree)

    @property
    def base_changes(self) -> dict[str, Any]:
        """What `[base]` sets: keys whose value in the default is not the preset's.

        Without `run.` and the text encoder, which is MiniLM unless `[base]` names another.
        """
        published = PRESETS[self.preset].dotted()
        return {
            name: value
            for name, value in self.base.dotted().items()
            if value != published.get(name)
            and not name.startswith("run.")
            and name != "model.text.encoder"
        }

    @property
    def default_text(self) -> str:
        """What configuration 0 is, such as "preset mosi with MiniLM; [base] sets train.lr = 0.01".

        The one place where the changed keys are listed; all other output says "default".
        """
        encoder = self.base.model.text.encoder
        changed = [f"{name} = {setting(value)}" for name, value in self.base_changes.items()]
        named = f"preset {self.preset} with {'MiniLM' if encoder == 'minilm' else encoder}"
        return f"{named}; [base] sets {listing(changed, most=30)}" if changed else named

    @property
    def default_name(self) -> str:
        """What output calls configuration 0: "default"; of several screens which one's it is."""
        if self.sampler.per is None:
            return "default"
        return f"{self.base.dotted()[self.sampler.per]} (default)"

    @cached_property
    def searched(self) -> Space:
        """The space with its conditions and constraints."""
        return Space(self.base, self.space, [parse_rule(text) for text in self.rules])

    @cached_property
    def start_points(self) -> tuple[StartPoint, ...]:
        """The default and the known points, in order of proposal."""
        known = (
            StartPoint(point.name, Origin.KNOWN, self.base.with_overrides(point.overrides))
            for point in self.known
        )
        return (StartPoint("default", Origin.DEFAULT, self.base), *known)

    @cached_property
    def compared_points(self) -> tuple[StartPoint, ...]:
        """All configurations of a `list` or `grid`, in order: each runs on every confirm seed."""
        if self.sampler.kind != "grid":
            return self.start_points
        known = {repr(start.config.values()) for start in self.start_points}
        points = list(self.start_points)
        for point in self.searched.grid():
            config = self.searched.to_config(point)
            if repr(config.values()) not in known:
                name = ", ".join(f"{key} = {value}" for key, value in point.items())
                points.append(StartPoint(name, Origin.SAMPLER, config))
        return tuple(points)

    @property
    def longest_trial(self) -> int:
        """Epochs of the longest trial that the study can hold."""
        searched = self.space.get("train.epochs")
        options = searched.options() if searched is not None else None
        lengths = [point.config.train.epochs for point in self.start_points]
        if options is not None:
            lengths.append(int(options[-1] if isinstance(options, range) else max(options)))
        return max(lengths)

    def seed_plan(self, avoid: Collection[int] = ()) -> SeedPlan:
        """Every seed of the study.

        Args:
            avoid: Seeds of the study that this one was warm-started from.

        Returns:
            Disjoint seeds for the search and each look.
        """
        return plan_seeds(
            self.study.seed, self.confirm.seeds, looks=self.confirm.looks, avoid=avoid
        )

    def with_resources(self, resources: Mapping[str, Any]) -> "StudySpec":
        """The same study with some of `[resources]` changed, as allowed on resume."""
        section = ResourcesSection(**(self.resources.model_dump() | dict(resources)))
        return self.model_copy(update={"resources": section})
