"""Comparisons as flat rows, one per pair and metric: what JSON, CSV and Parquet hold."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tune.comparison import PairComparison
from tune.intervals import Interval
from tune.study_comparison import StudyComparison

__all__ = ["Compared", "as_csv", "as_parquet", "pair_rows"]


@dataclass(frozen=True)
class Compared:
    """A study folder's comparison.

    Attributes:
        where: The folder as the user wrote it.
        data_digest: Of the data set that the study ran on; None where it is not recorded.
        comparison: What is known.
        failed_trials: Failed trials over all phases.
    """

    where: str
    data_digest: str | None
    comparison: StudyComparison
    failed_trials: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = {
            "folder": self.where,
            "data_digest": self.data_digest,
            "failed_trials": self.failed_trials,
        }
        return known | self.comparison.to_dict()


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
            f"{side}_mean": mean,
            f"{side}_sd": sd,
            f"{side}_failures": failed,
            f"{side}_missing": missing,
        }
    row |= {"difference": pair.this_test_set.estimate if pair.this_test_set else None}
    row |= _ends("this_test_set", pair.this_test_set) | _ends("new_videos", pair.new_videos)
    row |= _ends("new_videos_narrow", pair.new_videos_narrow) | _ends("bootstrap", pair.bootstrap)
    ahead = pair.ahead.estimate if pair.ahead else None
    return row | {
        "sign_flip_p": pair.sign_flip_p,
        "sign_flip_p_holm": pair.sign_flip_p_holm,
        "new_videos_p": pair.p_value,
        "new_videos_p_holm": pair.p_holm,
        "share_of_seeds_ahead": ahead,
        "verdict": pair.verdict.value if pair.verdict else None,
        "below_margin": pair.below_margin,
        "reason": pair.reason,
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
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """The same rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return bytes(sink.getvalue().to_pybytes())
