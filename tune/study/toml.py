"""Study files: TOML (also JSON and YAML) in, with every mistake in one message; TOML out."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

from hscl.config import PRESETS, Config, dotted_values, preset
from hscl.config_toml import load_config
from hscl.documents import read_document
from hscl.errors import InputError, did_you_mean
from hscl.files import expanded
from tune.study.allocation import with_counts
from tune.study.checks import find_mistakes
from tune.study.sections import (
    BudgetSection,
    ConfirmSection,
    RefineSection,
    ResourcesSection,
    SamplerSection,
    SchedulerSection,
    StudySection,
)
from tune.study.spec import KnownPoint, StudySpec
from tune.study.toml_space import read_rules, read_space

__all__ = [
    "STUDY_FILE",
    "changed_keys",
    "dump_spec",
    "load_spec",
    "parse_spec",
    "with_settings",
]

STUDY_FILE = "study.toml"
"""What a study's folder, and a submitted job's, calls its specification."""

_SECTIONS: dict[str, type[BaseModel]] = {
    "study": StudySection,
    "sampler": SamplerSection,
    "scheduler": SchedulerSection,
    "refine": RefineSection,
    "confirm": ConfirmSection,
    "budget": BudgetSection,
    "resources": ResourcesSection,
}
_TABLES = ("study", "base", "space", "constraints", "known", *list(_SECTIONS)[1:])
_OF_TABLES: dict[str, dict[str, Any]] = {
    "scheduler": {"kind": "none"},
    "refine": {"trials": 0},
    "confirm": {"keep": "all"},
}
"""What follows from sampler list or grid."""
_OF_BRANCHES: dict[str, dict[str, Any]] = {"refine": {"trials": 0}}
"""What follows from `sampler.per`: each branch has a screen alone."""
_NO_RACE = (
    "[race] must not stand in a study since version 0.2, which has [refine] in its place (full "
    "trainings of what a model proposes); remove it, or write [refine] with trials = N"
)
_MOST_KNOWN = 1000
_M = TypeVar("_M", bound=BaseModel)


def load_spec(
    path: Path | str, *, frozen: bool = False, settings: Mapping[str, Any] | None = None
) -> StudySpec:
    """Read a study file.

    Args:
        path: A `.toml`, `.json`, `.yaml` or `.yml` file. A path in it is relative to its folder.
        frozen: As in `parse_spec`.
        settings: As in `with_settings`.

    Returns:
        The specification, every default filled in.

    Raises:
        InputError: The file can't be read or holds mistakes; all of them in one message.
    """  # noqa: DOC502 - raised by the two steps
    path = Path(path)
    tree = with_settings(read_document(path), settings or {})
    named = {"source": str(path), "name": path.stem}
    return parse_spec(tree, folder=path.parent, frozen=frozen, **named)


def parse_spec(
    tree: Mapping[str, Any],
    *,
    source: str = "study",
    folder: Path | None = None,
    name: str = "study",
    frozen: bool = False,
) -> StudySpec:
    """As `load_spec`, from nested sections.

    Args:
        tree: The file's sections.
        source: How messages call it.
        folder: Where a preset that is a relative path is looked for.
        name: The study's name if the sections give none.
        frozen: They are those of a study that has begun: [race] of versions before 0.2 is read,
            and one without `confirm.claims` is older than that key and keeps its rules.

    Returns:
        The specification, every default filled in.

    Raises:
        InputError: All mistakes in one message.
    """
    reader = _Reader(folder or Path(), name)
    reader.mistakes += _beyond_64_bits(tree)
    known = {key: value for key, value in tree.items() if key != "race"}
    race = tree.get("race") if frozen else None
    if race is not None:
        known["refine"] = {"trials": 0}
    spec = None if reader.mistakes else reader.read(known)
    if "race" in tree and not isinstance(race, Mapping):
        reader.mistakes.append(_NO_RACE)
    elif spec is not None and race is not None:
        spec = spec.model_copy(update={"race": dict(race)})
    confirm = tree.get("confirm", {})
    if spec is not None and frozen and "claims" not in confirm:
        of_old = spec.confirm.model_copy(update={"claims": None})
        spec = spec.model_copy(update={"confirm": of_old})
    if spec is None or reader.mistakes:
        lines = "\n".join(dict.fromkeys(reader.mistakes)).splitlines()
        raise InputError("\n".join(f"{source}: {line}" for line in lines))
    return spec


def with_settings(tree: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A study file's sections with some keys changed.

    Args:
        tree: The sections.
        settings: By name: `confirm.seeds` is a key of that section, `space.train.lr` one of
            [space], and any other, such as `train.epochs`, one of [base].

    Returns:
        The changed sections; those given stay as they are.

    Raises:
        InputError: A name is one of [[known]], whose points have no names of their own.
    """
    changed = dict(tree)
    for name, value in settings.items():
        section, _, key = name.partition(".")
        if section not in _TABLES or not key:
            section, key = "base", name
        if section == "known":
            raise InputError(
                f"a changed key must be one of a table, but {name} is of [[known]], a list of "
                "points; change the point in the study file"
            )
        table = changed.get(section, {})
        if not isinstance(table, Mapping):  # the reader says so
            continue
        known = dotted_values(table) if section == "base" else dict(table)
        changed[section] = known | {key: value}
    return changed


def dump_spec(spec: StudySpec) -> str:
    """A specification as TOML text that `load_spec` reads back to an equal one."""
    return tomli_w.dumps(spec.tree())


def changed_keys(old: StudySpec, new: StudySpec) -> list[str]:
    """What differs between two specifications other than `[resources]`.

    Args:
        old: What a study began with.
        new: What it is asked to go on with.

    Returns:
        `"confirm.keep: was 4, is 5"` for each key; empty where the study may be resumed.
    """
    before, after = dotted_values(old.tree()), dotted_values(new.tree())
    free: tuple[str, ...] = ("resources.",)
    if old.compares_all and new.compares_all:  # which has neither, whatever its version wrote
        free += ("race.", "refine.")
    return [
        f"{key}: was {before.get(key, 'not there')!r}, is {after.get(key, 'not there')!r}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and not key.startswith(free)
    ]


class _Reader:
    """Reads one study file, gathering mistakes instead of stopping at the first."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.mistakes: list[str] = []

    def read(self, tree: Mapping[str, Any]) -> StudySpec | None:
        for key in tree:
            if key not in _TABLES:
                self.mistakes.append(
                    f"[{key}] is no table of a study; {did_you_mean(key, _TABLES)}"
                )
        sections: dict[str, Any] = {
            name: self._section(name, model, tree) for name, model in _SECTIONS.items()
        }
        preset_name, base = self._base(self._table(tree, "base"))
        if base is not None:
            base = base.knowing(dotted_values(self._table(tree, "space")))
        found = len(self.mistakes)
        space = read_space(self._table(tree, "space"), base or Config(), self.mistakes)
        rules = read_rules(self._table(tree, "constraints"), base or Config(), self.mistakes)
        known = self._known(
            tree.get("known", []),
            self._table(tree, "base"),
            base,
            # An equal budget is one of trainings that are equally long.
            same=("train.epochs",) if "per" in self._table(tree, "sampler") else (),
        )
        sections["space"] = space if len(self.mistakes) == found else None
        sections["base"] = base
        _fill_in(sections)
        complete = {name: value for name, value in sections.items() if value is not None}
        draft = StudySpec.model_construct(
            **complete, preset=preset_name, rules=tuple(rules), known=tuple(known)
        )
        self.mistakes += find_mistakes(draft, set(complete))
        if self.mistakes:
            return None
        spec = _counted(draft)
        # The file that is frozen says these counts, and must hold by itself.
        self.mistakes += find_mistakes(spec, set(complete))
        return spec

    def _table(self, tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        table = tree.get(name, {})
        if isinstance(table, Mapping):
            return table
        self.mistakes.append(f"[{name}] must be a table of keys, but got {table!r}")
        return {}

    def _section(self, name: str, model: type[_M], tree: Mapping[str, Any]) -> _M | None:
        table = dict(self._table(tree, name))
        if name == "study":
            table.setdefault("name", self.name)
        try:
            return model.model_validate(table)
        except ValidationError as error:
            self.mistakes += [_say(name, model, dict(item)) for item in error.errors()]
            return None

    def _base(self, table: Mapping[str, Any]) -> tuple[str, Config | None]:
        try:
            overrides = dotted_values({k: v for k, v in table.items() if k != "preset"})
            name, config = self._preset(table.get("preset", "mosi"), "base")
            return name, _without_idle(config.with_settings(overrides), name)
        except InputError as error:
            self.mistakes += [f"[base] {line}" for line in str(error).splitlines()]
            return "mosi", None

    def _preset(self, name: Any, table: str) -> tuple[str, Config]:
        if not isinstance(name, str):
            raise InputError(f"preset must be a name or a path, but got {name!r}")
        if name in PRESETS:
            return name, preset(name)
        path = self.folder / expanded(name)
        if path.suffix or path.exists():
            return "mosi", load_config(path)
        nearest = did_you_mean(name, PRESETS)
        raise InputError(f"preset {name!r} is neither a published setting nor a file; {nearest}")

    def _known(
        self,
        points: Any,
        base_table: Mapping[str, Any],
        base: Config | None,
        same: Collection[str] = (),
    ) -> list[KnownPoint]:
        """`same`: keys that are as in `base`, whatever a point's preset has for them."""
        if not isinstance(points, list) or not all(isinstance(p, Mapping) for p in points):
            self.mistakes.append("[[known]] must be an array of tables")
            return []
        if len(points) > _MOST_KNOWN:
            self.mistakes.append(
                f"[[known]] must be at most {_MOST_KNOWN:,} points, but there are {len(points):,}"
            )
            return []
        if base is None:
            return []
        shared = dotted_values({k: v for k, v in base_table.items() if k != "preset"})
        defaults = base.dotted()
        known = []
        for number, point in enumerate(points, 1):
            name = point.get("name", point.get("preset", f"known {number}"))
            own = {k: v for k, v in point.items() if k not in {"name", "preset"}}
            if not isinstance(name, str) or not name:
                self.mistakes.append(f"[[known]] {number}: name must be a text, but got {name!r}")
                continue
            try:
                origin = base
                if "preset" in point:
                    origin = _under(self._preset(point["preset"], "known")[1], shared)
                    origin = origin.with_overrides({name: defaults[name] for name in same})
                config = origin.with_settings(dotted_values(own))
            except InputError as error:
                self.mistakes += [
                    f"[[known]] {number} ({name}): {line}" for line in str(error).splitlines()
                ]
                continue
            different = {
                key: value
                for key, value in config.dotted().items()
                if value != defaults.get(key) and config.uses(key)
            }
            known.append(KnownPoint(name=name, overrides=different))
        return known


def _without_idle(config: Config, name: str) -> Config:
    """The same configuration, with that preset's values where its kind of model uses none.

    A preset that is a file may have others there, but a frozen study names the published one.
    """
    used = {key: value for key, value in config.dotted().items() if config.uses(key)}
    return preset(name).with_overrides(used)


def _under(own: Config, shared: Mapping[str, Any]) -> Config:
    """A row's preset with what `[base]` says, but for what makes it that preset."""
    published = Config().dotted()
    mine = {key for key, value in own.dotted().items() if value != published.get(key)}
    return own.with_overrides({key: value for key, value in shared.items() if key not in mine})


def _say(table: str, model: type[BaseModel], item: dict[str, Any]) -> str:
    """One of pydantic's findings in our words."""
    key = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        return f"{table}.{key} is no key of [{table}]; {did_you_mean(key, model.model_fields)}"
    found = item["msg"].removeprefix("Value error, ")
    said = f"{table}.{key} {found.replace('Input should', 'must', 1)}"
    return said if "but got" in said else f"{said}, but got {item['input']!r}"


def _fill_in(sections: dict[str, Any]) -> None:
    """Defaults that follow from other keys."""
    sampler = sections["sampler"]
    if sampler is None:
        return
    follows = _OF_TABLES if sampler.kind in {"list", "grid"} else {}
    refine = sections["refine"]
    if sampler.per is not None and refine is not None and refine.trials == "auto":
        follows = _OF_BRANCHES
    for name, update in follows.items():
        if sections[name] is not None:
            sections[name] = sections[name].model_copy(update=update)


def _counted(spec: StudySpec) -> StudySpec:
    """The study with every count that its file leaves open."""
    if not spec.compares_all:
        return with_counts(spec)
    sampler = spec.sampler.model_copy(update={"trials": len(spec.compared_points)})
    return spec.model_copy(update={"sampler": sampler})


def _beyond_64_bits(tree: Any, where: str = "") -> list[str]:
    """Whole numbers that are no TOML and fit into no column; Python would take them."""
    if isinstance(tree, Mapping):
        return [p for k, v in tree.items() for p in _beyond_64_bits(v, f"{where}.{k}".strip("."))]
    if isinstance(tree, list):
        return [problem for value in tree for problem in _beyond_64_bits(value, where)]
    if isinstance(tree, int) and not -(2**63) <= tree < 2**63:
        return [f"{where} must hold whole numbers of at most 64 bits"]
    return []
