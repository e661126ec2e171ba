"""Comparisons as flat rows, one per pair and metric: what JSON, CSV and Parquet hold."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hscl.errors import InputError
from tune.evidence.comparison import StudyComparison
from tune.evidence.pair import PairComparison
from tune.evidence.search.branches import BranchCost
from tune.evidence.search.choice import Choice
from tune.evidence.search.learnt import Learnt
from tune.evidence.search.use import Use
from tune.evidence.variance import SeedWeight
from tune.stats.intervals import Interval

__all__ = ["COLUMNS", "PAGES", "Compared", "as_csv", "as_parquet", "check_alike", "pair_rows"]

_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()
_SIDE = {"mean": _NUMBER, "sd": _NUMBER, "failures": _WHOLE, "missing": _WHOLE}
_INTERVALS = ("this_test_set", "new_videos", "new_videos_narrow", "bootstrap")

COLUMNS: dict[str, pa.DataType] = (
    dict.fromkeys(("study", "folder", "data_digest", "study_digest", "phase"), _TEXT)
    | {"margin": _NUMBER}
    | dict.fromkeys(("role", "split", "metric"), _TEXT)
    | dict.fromkeys(("first", "first_name", "second", "second_name"), _TEXT)
    | dict.fromkeys(("seeds", "planned_seeds", "videos"), _WHOLE)
    | {f"{side}_{name}": kind for side in ("first", "second") for name, kind in _SIDE.items()}
    | {"difference": _NUMBER}
    | {f"{name}_{end}": _NUMBER for name in _INTERVALS for end in ("low", "high", "level")}
    | dict.fromkeys(
        ("sign_flip_p", "sign_flip_p_holm", "new_videos_p", "new_videos_p_holm"), _NUMBER
    )
    | {"share_of_seeds_ahead": _NUMBER, "verdict": _TEXT}
    | {"below_margin": pa.bool_(), "reason": _TEXT}
)
"""The columns of CSV and Parquet: a script finds them where there is no row (yet), too."""

PAGES = ("latex", "markdown", "html")
"""What predictions that no study made may be written as beside rows; a study has its report."""


@dataclass(frozen=True)
class Compared:
    """A study folder's comparison.

    Attributes:
        where: The folder as the user wrote it.
        data_digest: Of the data set that the study ran on; None where it is not recorded.
        comparison: What is known.
        failed_trials: Failed trials over all phases.
        choice: What to use; None where nothing is chosen (yet).
        opening: The first sentences, where there is no answer (yet).
        use: The answer; None before there is one.
        learnt: What the model of all runs knows; None where it knows nothing.
        branches: The screens of a study with `sampler.per`.
        weight: The seed against the parameters; None where nothing is said about them.
    """

    where: str
    data_digest: str | None
    comparison: StudyComparison
    failed_trials: int
    choice: Choice | None = None
    learnt: Learnt | None = None
    weight: SeedWeight | None = None
    opening: tuple[str, ...] = ()
    use: Use | None = None
    branches: tuple[BranchCost, ...] = ()

    @property
    def candidate(self) -> str | None:
        """Whose chance of being worse than the default is told: the winner, used or not."""
        return self.comparison.winner

    @property
    def _answer(self) -> dict[str, Any]:
        return {} if self.use is None else self.use.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = {
            "folder": self.where,
            "data_digest": self.data_digest,
            "failed_trials": self.failed_trials,
            "use": None if self.choice is None else self.choice.to_dict() | self._answer,
            "seed_weight": None if self.weight is None else self.weight.to_dict(),
            "learnt": None if self.learnt is None else self.learnt.to_dict(self.candidate),
        }
        branches = {"branches": [one.to_dict() for one in self.branches]} if self.branches else {}
        return known | branches | self.comparison.to_dict()


def check_alike(studies: Sequence[Compared]) -> str | None:
    """Studies side by side must measure the same thing on the same data.

    Args:
        studies: One or more.

    Returns:
        A warning where nobody can say whether the data are the same; None where they are.

    Raises:
        InputError: The studies differ in metric or data.
    """
    metrics = {one.where: one.comparison.metric for one in studies}
    if len(set(metrics.values())) > 1:
        listed = ", ".join(f"{where}: {metric}" for where, metric in metrics.items())
        raise InputError(
            f"studies side by side must have one metric, but have {listed}; compare each by itself"
        )
    digests = {one.where: one.data_digest for one in studies if one.data_digest}
    if len(set(digests.values())) > 1:
        listed = ", ".join(f"{where}: {digest[:12]}" for where, digest in digests.items())
        raise InputError(
            "studies side by side must be on one data set, but their data digests are "
            f"{listed}; compare each by itself"
        )
    unknown = [where for where in metrics if where not in digests]
    if not unknown or len(metrics) == 1:
        return None
    return (
        f"on which data {', '.join(unknown)} ran is not recorded, so whether these studies are on "
        "one data set is unknown; side by side they mean nothing if they are not"
    )


def pair_rows(studies: Sequence[Compared]) -> list[dict[str, Any]]:
    """One flat row per pair and metric, primary first: what CSV and Parquet hold."""
    return [
        {
            "study": one.comparison.study,
            "folder": one.where,
            "data_digest": one.data_digest,
            "study_digest": one.comparison.study_digest,
            "phase": one.comparison.phase.value if one.comparison.phase else None,
            "margin": one.comparison.margin,
        }
        | _pair_row(pair, one.comparison.names)
        for one in studies
        for pair in _pairs(one.comparison)
    ]


def _pairs(comparison: StudyComparison) -> list[PairComparison]:
    first = [comparison.primary] if comparison.primary is not None else []
    return [*first, *comparison.others, *comparison.other_metrics]


def _pair_row(pair: PairComparison, names: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "role": pair.role.value,
        "split": pair.split,
        "metric": pair.metric,
        "first": pair.first,
        "first_name": names[pair.first],
        "second": pair.second,
        "second_name": names[pair.second],
        "seeds": len(pair.seeds),
        "planned_seeds": pair.planned,
        "videos": pair.videos,
    }
    for side, mean, sd, failed, missing in zip(
        ("first", "second"), pair.means, pair.sds, pair.failures, pair.missing, strict=True
    ):
        row |= {
            f"{side}_mean": None if math.isnan(mean) else mean,
            f"{side}_sd": None if math.isnan(sd) else sd,
            f"{side}_failures": failed,
            f"{side}_missing": missing,
        }
    row |= {"difference": pair.this_test_set.estimate if pair.this_test_set else None}
    row |= _ends("this_test_set", pair.this_test_set) | _ends("new_videos", pair.new_videos)
    row |= _ends("new_videos_narrow", pair.new_videos_narrow) | _ends("bootstrap", pair.bootstrap)
    ahead = pair.ahead.estimate if pair.ahead else None
    return row | {
        "sign_flip_p": pair.sign_flip_p,
        "sign_flip_p_holm": pair.judgement.sign_flip_p_holm,
        "new_videos_p": pair.p_value,
        "new_videos_p_holm": pair.judgement.p_holm,
        "share_of_seeds_ahead": ahead,
        "verdict": pair.verdict.value if pair.verdict else None,
        "below_margin": pair.judgement.below_margin,
        "reason": pair.judgement.reason,
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
        f"{name}_level": interval.level if interval else None,
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with a head; what does not exist is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """The same rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(COLUMNS)), sink)
    return bytes(sink.getvalue().to_pybytes())
