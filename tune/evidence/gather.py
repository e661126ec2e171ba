"""Everything a report is made of, gathered from a study folder, sound or not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from hscl.errors import InputError
from tune.display import from_here, listing
from tune.evidence.comparison import StudyComparison, compare_study
from tune.evidence.curves import Label, labels_of
from tune.evidence.pair import PairComparison
from tune.evidence.search.branches import BranchCost, branch_costs
from tune.evidence.search.choice import Choice, what_to_use
from tune.evidence.search.learnt import Learnt, what_was_learnt
from tune.evidence.search.use import Use, use_of
from tune.evidence.sentences import called, several_text
from tune.evidence.variance import SeedWeight, VarianceReport, analyse_variance, weigh_seed
from tune.states import Phase
from tune.study.spec import StudySpec
from tune.tables.folder import read_study_file
from tune.tables.history import History
from tune.tables.lock import holder_of
from tune.tables.records import TrialRecord
from tune.tables.salvage import Damage, Salvaged, salvage
from tune.tables.storage import Folder

__all__ = ["Evidence", "gather"]


@dataclass(frozen=True)
class Evidence:
    """What is known about a study.

    Attributes:
        where: The folder as the user wrote it.
        data: The file that it was trained on, as commands name it.
        specification: The frozen study file, as text.
        tables: All tables, as far as they can be read.
        history: What they say has happened.
        damages: What is missing from them.
        counted: Whether rows were counted as they were written, so that a lost end is noticed.
        comparison: What may be said about pairs; None where nothing can.
        why_not: Why there is no comparison.
        labels: What figures call each configuration.
    """

    where: str
    data: str
    specification: str
    tables: Mapping[str, pa.Table]
    history: History
    damages: tuple[Damage, ...]
    counted: bool
    comparison: StudyComparison | None
    why_not: str
    labels: Mapping[str, Label]

    @cached_property
    def variance(self) -> VarianceReport:
        """Where the variance of the valid metric is; takes a second or two, once."""
        return analyse_variance(self.history)

    @cached_property
    def learnt(self) -> Learnt | None:
        """What the model of all runs knows; None where no training of a search is complete."""
        return what_was_learnt(self.history, self.tables["predictions"])

    @cached_property
    def choice(self) -> Choice | None:
        """What to use; None where there is no winner (yet)."""
        ranking = None if self.learnt is None else self.learnt.ranking
        primary = None if self.comparison is None else self.comparison.primary
        return what_to_use(self.history, ranking, primary)

    @cached_property
    def use(self) -> Use | None:
        """The answer; None before there is one, and in lists and grids."""
        return use_of(
            self.history, self.tables, self.comparison, self.choice, self.where, self.data
        )

    @cached_property
    def several(self) -> str | None:
        """What confirm says of a list, a grid or several models; None in all other studies."""
        compared = self.comparison
        if compared is None or not self.spec.is_table or compared.phase is not Phase.CONFIRM:
            return None
        reference = "the default"
        if self.branches and compared.reference is not None:
            reference = f"{called(compared.names, compared.reference)}, the winner of its screen"
        return several_text(compared, self.labels, reference)

    @cached_property
    def seed_weight(self) -> SeedWeight | None:
        """The seed against the parameters; None where nothing is said about parameters."""
        return weigh_seed(self.variance)

    @cached_property
    def branches(self) -> tuple[BranchCost, ...]:
        """Each screen of a study with `sampler.per`; none in all others."""
        return branch_costs(self.history, self.tables["trials"])

    @property
    def spec(self) -> StudySpec:
        """The specification."""
        return self.history.spec

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials, in the order in which they began."""
        return tuple(self.history.trials.values())

    @property
    def finished(self) -> bool:
        """The study is over; else everything holds "so far"."""
        return self.history.ending is not None

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
    study = read_study_file(folder)
    saved = salvage(folder, study.spec)
    if saved.damages and not len(saved.tables["trials"]):
        told = "\n".join(str(damage) for damage in saved.damages)
        raise InputError(
            f"{folder.uri} must hold at least one readable file of trials, but nothing of it can "
            f"be said:\n{told}\nput the files back from a copy, or run the study again"
        )
    comparison, why_not = _comparison(saved)
    return Evidence(
        where=folder.uri,
        data=_data(folder),
        specification=study.text,
        tables=saved.tables,
        history=saved.history,
        damages=saved.damages,
        counted=saved.counted,
        comparison=comparison,
        why_not=why_not,
        labels=labels_of(saved.history),
    )


def _data(folder: Folder) -> str:
    """The data's file, known from the last driver; a word in its place where that left none."""
    holder = holder_of(folder)
    return from_here((holder and holder.data) or "DATA")


def _mixed_precision(saved: Salvaged) -> list[str]:
    """What to know where trainings that are compared did not compute in the same precision."""
    trials = saved.tables["trials"]
    columns = (trials[name].to_pylist() for name in ("trial_id", "precision"))
    counts = Counter(
        precision
        for trial_id, precision in {t: p for t, p in zip(*columns, strict=True) if p}.items()
        if not saved.history.trials[trial_id].phase.searches
    )
    if len(counts) < 2:
        return []
    told = listing([f"{number} in {precision}" for precision, number in sorted(counts.items())])
    note = f"The trainings compared did not all compute in one precision ({told})"
    return [f"{note}: set run.precision in a study whose workers differ."]


def _comparison(saved: Salvaged) -> tuple[StudyComparison | None, str]:
    """The comparison as far as the damage allows one."""
    if not saved.history.configs:
        return None, "Nothing has run yet."
    if saved.history.default is None:
        return None, "The row of the default is lost, so nothing can be compared with it."
    problems = [str(damage) for damage in saved.damages] + _mixed_precision(saved)
    compared = compare_study(saved.history, saved.tables["predictions"], problems=problems)
    reasons = [damage.no_verdict for damage in saved.damages if damage.no_verdict]
    # Which looks were taken and what was primary may stand in what is lost.
    if any(damage.table == "plan" for damage in saved.damages):
        reasons.append(
            "part of the table of decisions is lost, and a verdict depends on all of them"
        )
    if not reasons:
        return compared, ""
    reason = "; ".join(reasons)

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
