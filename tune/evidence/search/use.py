"""The answer of a study, once, as data: what to use, how sure, at what cost, what now.

Every screen begins with it; each renders it in its own form.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import tomli_w

from hscl.config import PRESETS, Config
from hscl.config_toml import dump_config, parse_config
from hscl.errors import InputError
from tune.display import MISSING, duration_text, setting
from tune.evidence.comparison import StudyComparison
from tune.evidence.pair import PairComparison
from tune.evidence.search.choice import Choice, answer_lines
from tune.evidence.search.cost import StudyCost, cost_of, cost_text
from tune.evidence.search.values import trials_of, varied_names, varied_values
from tune.evidence.sentences import called, deciding_text
from tune.states import Phase
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import ConfigRecord, config_label
from tune.tables.salvage import UNKNOWN

__all__ = [
    "COST_HEADS",
    "VALUE_HEADS",
    "Use",
    "Varied",
    "cost_rows",
    "short_toml",
    "train_command",
    "use_lines",
    "use_of",
    "value_rows",
]

VALUE_HEADS = ("parameter", "use", "default")
COST_HEADS = ("phase", "trainings", "epochs", "trained")
_MANY = 20  # seeds: a rate of collapses above 14 % shows among so many


@dataclass(frozen=True)
class Varied:
    """A searched parameter in the configuration to use and in the default.

    Attributes:
        name: Its dotted name.
        used: Its value to use; None where it takes no part.
        default: The default's.
    """

    name: str
    used: Value | None
    default: Value | None


@dataclass(frozen=True)
class Use:
    """What to use of a study that is over.

    Attributes:
        config_id: The configuration to use.
        name: What output calls it.
        sentences: What to use, then the verdict with both intervals, then what would decide it.
        values: What was searched.
        default: What the default is, its changed keys listed.
        toml: The configuration as a file that `hscl train` takes; empty where it is lost.
        commands: To write that file with its evidence, and to train it.
        cost: Of the study.
    """

    config_id: str
    name: str
    sentences: tuple[str, ...]
    values: tuple[Varied, ...]
    default: str
    toml: str
    commands: tuple[str, ...]
    cost: StudyCost

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {key: value for key, value in vars(self).items() if key != "values"}
        return plain | {
            "sentences": list(self.sentences),
            "commands": list(self.commands),
            "values": {one.name: {"use": one.used, "default": one.default} for one in self.values},
            "cost": self.cost.to_dict(),
        }


def use_of(
    history: History,
    tables: Mapping[str, pa.Table],
    comparison: StudyComparison | None,
    choice: Choice | None,
    where: str,
    data: str,
) -> Use | None:
    """The answer of a study.

    Args:
        history: Its rows.
        tables: Its tables.
        comparison: What may be said about its pairs.
        choice: From `tune.evidence.search.choice.what_to_use`.
        where: Its folder, for the commands.
        data: The file that it was trained on, for the commands.

    Returns:
        None before there is one: while the search or the first look at confirm runs, where
        nothing is chosen (lists and grids), and where the default's row is lost.
    """
    if choice is None or comparison is None or history.default is None:
        return None
    primary = comparison.primary
    if not (history.ending is not None if primary is None else comparison.closed):
        return None
    names = {one.config_id: config_label(one.number, one.name) for one in history.configs.values()}
    sentences = answer_lines(choice, primary, names, comparison.rules)
    if primary is not None and (outlook := primary.judgement.outlook) is not None:
        sentences.append(f"What would decide it: {deciding_text(outlook)}.")
    if primary is not None and primary.judgement.overruled:
        sentences.append(_next_step(history, primary, names, where, data))
    record = history.configs[choice.config_id]
    return Use(
        config_id=choice.config_id,
        name=names[choice.config_id],
        sentences=tuple(text[:1].upper() + text[1:] for text in sentences),
        values=_values(history.spec, record, history.default),
        default=history.spec.default_text,
        toml=short_toml(history.spec.preset, record.config),
        commands=(
            f"hscl export {shlex.quote(where)} --out best.toml",
            train_command(Path("best.toml"), data),
        ),
        cost=cost_of(history, tables),
    )


def train_command(config: Path, data: str) -> str:
    """What trains a configuration next.

    Args:
        config: The file that it is written to.
        data: What it is trained on.
    """
    words = ["hscl", "train", str(config), "--data", data, "--seeds", "5"]
    return shlex.join([*words, "--out", f"models/{config.stem}"])


def _next_step(
    history: History, pair: PairComparison, names: Mapping[str, str], where: str, data: str
) -> str:
    """What to do where runs that were lost, collapsed or had bad luck forbid the verdict."""
    again = (
        f"hscl confirm {shlex.quote(where)} --data {shlex.quote(data)} --fresh --seeds {_MANY} "
        "--out NEW"
    )
    more = f"only more seeds tell how often that happens to either: {again}"
    side = max((0, 1), key=lambda k: (pair.spoiled[k], pair.lost[k]))
    if len(pair.fallen[side]) <= len(pair.fallen[1 - side]):
        return (
            f"What to do next: hscl trials {shlex.quote(where)} --seeds has each run's error; "
            f"once its cause is mended, ask again: {again}."
        )
    config = (pair.first, pair.second)[side]
    fallen: list[float] = []
    others: list[float] = []
    for trial in trials_of(history, config):
        if trial.phase is Phase.CONFIRM and trial.value is not None:
            (fallen if trial.seed in pair.fallen[side] else others).append(history.loss(trial))
    if fallen and others and min(fallen) > max(others):
        told = (
            f"on valid too no run of {called(names, config)} is as bad as these: one is seen "
            "before it is used, and another seed can be trained in its place"
        )
    else:
        told = (
            f"valid does not tell these runs of {called(names, config)} from its others, so "
            "nobody sees one before it is used"
        )
    return f"What to do next: {told}; {more}."


def _values(spec: StudySpec, record: ConfigRecord, default: ConfigRecord) -> tuple[Varied, ...]:
    used, published = varied_values(spec, record), varied_values(spec, default)
    return tuple(Varied(name, used.get(name), published.get(name)) for name in varied_names(spec))


def short_toml(preset: str, tree: str) -> str:
    """A configuration as TOML: a preset and what departs from it.

    Args:
        preset: Its name.
        tree: The resolved tree as JSON.

    Returns:
        Text that `hscl train` reads back to the same configuration, without `run.`; the whole
        tree where so little does not do; empty where the settings are lost.
    """
    if tree == UNKNOWN:
        return ""
    config = Config.from_json(tree)
    published = PRESETS[preset].dotted()
    changed = {
        name: value
        for name, value in config.values().items()
        if name not in published or value != published[name]
    }
    text = "".join(_assignment(*one) for one in ({"preset": preset} | changed).items())
    try:
        same = parse_config(text).values() == config.values()
    except InputError:
        same = False
    return text if same else dump_config(config)


def _assignment(name: str, value: Any) -> str:
    """A dotted key and its value, one line of TOML."""
    return f"{name} = {tomli_w.dumps({'x': value}).removeprefix('x = ')}"


def value_rows(use: Use) -> list[tuple[str, str, str]]:
    """Parameter, value to use, the default's: for a table of text."""
    return [(one.name, _short(one.used), _short(one.default)) for one in use.values]


def _short(value: Value | None) -> str:
    return MISSING if value is None else setting(value)


def cost_rows(cost: StudyCost) -> list[tuple[str, str, str, str]]:
    """Phase, trainings, epochs, training time: for a table of text; the last row is the sum."""
    rows = [
        (str(one.phase), str(one.trainings), f"{one.epochs:,}", duration_text(one.seconds))
        for one in cost.phases
    ]
    total = f"{cost.trainings:,}", f"{cost.epochs:,}", duration_text(cost.seconds)
    return [*rows, ("in all", *total)]


def use_lines(use: Use) -> list[str]:
    """The answer as plain text, for terminals and comments."""
    lines = list(use.sentences)
    if use.values:
        lines += ["", *_columns([VALUE_HEADS, *value_rows(use)])]
    lines += ["", f"The default: {use.default}."]
    if use.toml:
        lines += ["", "best.toml", *(f"  {line}" for line in use.toml.splitlines())]
    lines += ["", *(f"  {command}" for command in use.commands)]
    return [*lines, "", *_columns([COST_HEADS, *cost_rows(use.cost)]), cost_text(use.cost)]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows with their cells below one another, numbers and heads to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
