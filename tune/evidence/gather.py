"""Everything a report is made of, gathered from a study folder, sound or not."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from hscl.errors import InputError
from hscl.metrics import METRIC
from tune.evidence.comparison import StudyComparison, compare_study
from tune.evidence.curves import Label, TrialCurve, labels_of, trial_curves
from tune.evidence.pair import PairComparison
from tune.evidence.variance import VarianceReport, analyse_variance
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.salvage import Damage, salvage
from tune.tables.storage import Folder

__all__ = ["UNKNOWN", "Evidence", "gather", "without_winner"]

UNKNOWN = "{}"
"""Stands in the table of configurations for settings whose row is lost."""

_PLACEHOLDER = 1_000_000  # numbers of configurations whose rows are lost


@dataclass(frozen=True)
class Evidence:
    """What is known about a study.

    Attributes:
        where: The folder as the user wrote it.
        spec: The specification.
        specification: The frozen study file, as text.
        tables: All tables, as far as they can be read.
        damages: What is missing from them.
        comparison: What may be said about pairs; None where nothing can.
        why_not: Why there is no comparison.
        curves: All trials.
        labels: What figures call each configuration.
        finished: The study is over; else everything holds "so far".
    """

    where: str
    spec: StudySpec
    specification: str
    tables: Mapping[str, pa.Table]
    damages: tuple[Damage, ...]
    comparison: StudyComparison | None
    why_not: str
    curves: tuple[TrialCurve, ...]
    labels: Mapping[str, Label]
    finished: bool

    @cached_property
    def variance(self) -> VarianceReport:
        """Where the variance of the valid metric is; takes a second or two, once."""
        configs = self.tables["configs"]
        known = configs.filter(pc.not_equal(configs["config"], UNKNOWN))
        return analyse_variance(self.spec, dict(self.tables) | {"configs": known})

    @property
    def metric(self) -> str:
        """The study's metric."""
        return self.spec.study.metric


def gather(folder: Folder) -> Evidence:
    """Read a study; nothing is written.

    Args:
        folder: A study folder: finished, running or damaged.

    Returns:
        What is known.

    Raises:
        InputError: The folder is no study, or nothing of it can be read.
    """
    text, spec = _specification(folder)
    saved = salvage(folder, spec.study.metric)
    trials = saved.tables["trials"]
    if saved.damages and not len(trials):
        told = "\n".join(str(damage) for damage in saved.damages)
        raise InputError(
            f"{folder.uri} must hold at least one readable file of trials, but nothing of it can "
            f"be said:\n{told}\nput the files back from a copy, or run the study again"
        )
    tables = dict(saved.tables) | {"configs": _with_placeholders(saved.tables)}
    comparison, why_not = _comparison(spec, tables, saved.damages)
    metric = spec.study.metric
    curves = trial_curves(trials, tables["reports"], metric, lower_wins=METRIC[metric].lower_wins)
    return Evidence(
        where=folder.uri,
        spec=spec,
        specification=text,
        tables=tables,
        damages=saved.damages,
        comparison=comparison,
        why_not=why_not,
        curves=tuple(curves),
        labels=labels_of(tables["configs"], tables["plan"]),
        finished=_finished(spec, tables["plan"], comparison),
    )


def without_winner(plan: pa.Table) -> str | None:
    """Why a search that is over has no winner.

    Args:
        plan: The study's table of decisions.

    Returns:
        The planner's words; None where there is a winner, or none yet.
    """
    rows = plan.select(["kind", "config_id", "note"]).to_pylist()
    notes = [r["note"] for r in rows if r["kind"] == Kind.WINNER and r["config_id"] is None]
    return str(notes[-1] or "no reason is recorded").rstrip(".") if notes else None


def _specification(folder: Folder) -> tuple[str, StudySpec]:
    try:
        text = folder.read("study.toml").decode("utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        there = "has no study.toml" if folder.exists() else "is not there"
        raise InputError(
            f"{folder.uri} must be a study folder, made by hscl search, but {there}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{folder.uri}/study.toml must be a readable study file, but: {error}; without it "
            "nothing can be said: put it back from a copy"
        ) from error
    return text, parse_spec(tree, source=f"{folder.uri}/study.toml")


def _with_placeholders(tables: Mapping[str, pa.Table]) -> pa.Table:
    """The configurations, with a nameless row for each that only other tables know."""
    configs = tables["configs"]
    known = set(configs["config_id"].to_pylist())
    named = pc.unique(tables["trials"]["config_id"]).to_pylist()
    named += [c for c in pc.unique(tables["plan"]["config_id"]).to_pylist() if c is not None]
    lost = [config_id for config_id in dict.fromkeys(named) if config_id not in known]
    if not lost:
        return configs
    rows = [
        {
            "config_id": config_id,
            "number": _PLACEHOLDER + n,
            "origin": "sampler",
            "config": UNKNOWN,
            "hscl_version": "",
            "name": f"lost {config_id[:6]}",
        }
        for n, config_id in enumerate(lost)
    ]
    return pa.Table.from_pylist([*configs.to_pylist(), *rows], schema=configs.schema)


def _comparison(
    spec: StudySpec, tables: Mapping[str, pa.Table], damages: tuple[Damage, ...]
) -> tuple[StudyComparison | None, str]:
    """The comparison as far as the damage allows one."""
    numbers = tables["configs"]["number"].to_pylist()
    if not numbers:
        return None, "Nothing has run yet."
    if 0 not in numbers:
        return None, "The row of the default is lost, so nothing can be compared with it."
    problems = [str(damage) for damage in damages]
    compared = compare_study(spec, tables, problems=problems)
    if not any(damage.table == "plan" for damage in damages):
        return compared, ""
    # Which looks were taken and what was primary may stand in what is lost.
    reason = "part of the table of decisions is lost, and a verdict depends on all of them"

    def without_verdict(pair: PairComparison) -> PairComparison:
        lost = replace(
            pair.judgement, verdict=None, below_margin=False, outlook=None, reason=reason
        )
        return replace(pair, judgement=lost)

    return (
        replace(
            compared,
            primary=without_verdict(compared.primary) if compared.primary else None,
            others=tuple(without_verdict(pair) for pair in compared.others),
        ),
        "",
    )


def _finished(spec: StudySpec, plan: pa.Table, comparison: StudyComparison | None) -> bool:
    kinds: list[str] = plan["kind"].to_pylist()
    if Kind.GAVE_UP in kinds or without_winner(plan) is not None:
        return True
    if not (spec.confirm.takes_place or spec.compares_all):
        return Kind.WINNER in kinds
    if comparison is None or not comparison.closed:
        return False
    # A complete look has its verdict, but the study goes on while a further one runs.
    return comparison.looks_taken == kinds.count(Kind.LOOK)
