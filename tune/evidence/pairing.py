"""Tables → a matrix of configurations × seeds × utterances, with every gap accounted for.

Rows of the tables are matched by what they are (trial, split, video, utterance), never by their
order. What is missing stays missing: a failed trial, a trial that still runs, and a finished one
whose predictions are lost are told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hscl.metrics import clipped
from tune.states import TrialState
from tune.tables.records import TrialRecord, trial_id_of

__all__ = ["Runs", "Seed", "pair_runs", "units_of", "video_codes"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Seed = int | str
"""A study's seeds are numbers; results made elsewhere may name theirs as they like."""


@dataclass(frozen=True)
class Runs:
    """Predictions of some configurations on the same seeds and utterances.

    Attributes:
        split: "valid" or "test".
        config_ids: (C,) the configurations.
        seeds: (S,) the seeds, the same for all.
        utterances: (U,) "video/utterance".
        videos: (U,) number of each utterance's video, 0 … K − 1; of its speaker where the data
            name them: what is drawn anew with another test set.
        labels: (U,) true labels.
        predictions: (C, S, U); NaN for the whole of a run that has none.
        states: (C, S) each run's last state; None where it never began.
        videos_named: False where the ids name no videos: each utterance is then its own.
        unit: What `videos` numbers: "video" or "speaker".
        problems: What was found wrong in the tables, in words.
    """

    split: str
    config_ids: tuple[str, ...]
    seeds: tuple[Seed, ...]
    utterances: tuple[str, ...]
    videos: IntArray
    labels: FloatArray
    predictions: FloatArray
    states: tuple[tuple[TrialState | None, ...], ...]
    videos_named: bool = True
    unit: str = "video"
    problems: tuple[str, ...] = ()

    @property
    def video_count(self) -> int:
        """K, the number of videos."""
        return int(self.videos.max()) + 1 if self.videos.size else 0

    def first(self, seeds: int) -> "Runs":
        """The same with so many of the first seeds only."""
        return replace(
            self,
            seeds=self.seeds[:seeds],
            predictions=self.predictions[:, :seeds],
            states=tuple(row[:seeds] for row in self.states),
        )

    def clipped(self, label_range: float) -> "Runs":
        """The same with predictions as the metrics of these labels count them.

        What is no finite number stays missing: clipped, an infinite one would be a result.
        """
        known = np.where(np.isfinite(self.predictions), self.predictions, np.nan)
        return replace(self, predictions=clipped(known, label_range))

    def index(self, config_id: str) -> int:
        """Row of a configuration."""
        return self.config_ids.index(config_id)

    def failures(self, config_id: str) -> int:
        """How many of a configuration's runs failed."""
        return self.states[self.index(config_id)].count(TrialState.FAILED)

    def finished(self, config_id: str) -> npt.NDArray[np.bool_]:
        """(S,) which of a configuration's runs have predictions."""
        have: npt.NDArray[np.bool_] = np.isfinite(self.predictions[self.index(config_id)]).all(1)
        return have


def pair_runs(
    trials: Mapping[str, TrialRecord],
    predictions: pa.Table,
    config_ids: Sequence[str],
    seeds: Sequence[int],
    split: str,
) -> Runs:
    """The matrix configurations × seeds × utterances of one split.

    Only finished trials count: rows of a trial that was begun again, or that failed after all,
    are left out. The utterances are those of the runs that have the most; a run that lacks some of
    them is left out and named, because a mean over fewer utterances is another metric.

    Args:
        trials: The study's, by trial_id.
        predictions: The predictions table.
        config_ids: Which configurations, in the order of the result.
        seeds: Which seeds, in the order of the result.
        split: "valid" or "test".
    """
    names = [[trial_id_of(c, s) for s in seeds] for c in config_ids]
    states = tuple(tuple(_state(trials, name) for name in row) for row in names)
    finished = [name for row in names for name in row if _state(trials, name) is TrialState.DONE]
    rows = _rows_of(predictions, finished, split)
    runs = _encode(rows["trial_id"])
    # Names may hold any sign that can be typed, so "/" would not keep all pairs of them apart.
    items = _encode(pc.binary_join_element_wise(_text(rows["video"]), rows["utterance"], "\0"))
    position = {name: i for i, name in enumerate(finished)}
    matrix = np.full((len(finished), len(items.names)), np.nan)
    numbers = np.array([position[name] for name in runs.names], dtype=np.int64)
    matrix[numbers[runs.codes], items.codes] = _numbers(rows["prediction"])
    problems = _blank_incomplete(matrix, finished, split)
    by_name = {name: matrix[i] for name, i in position.items()}
    empty = np.full(len(items.names), np.nan)
    whole = np.array([[by_name.get(name, empty) for name in row] for row in names])
    first = np.unique(items.codes, return_index=True)[1]
    codes, named = video_codes(_text(rows["video"]).take(pa.array(first)).to_pylist())
    codes, unit = units_of(codes, _speakers(rows, first))
    return Runs(
        split=split,
        config_ids=tuple(config_ids),
        seeds=tuple(int(s) for s in seeds),
        utterances=tuple(name.replace("\0", "/") for name in items.names),
        videos=codes,
        labels=_numbers(rows["label"])[first],
        predictions=whole.reshape(len(config_ids), len(seeds), len(items.names)),
        states=states,
        videos_named=named,
        problems=tuple(problems),
        unit=unit,
    )


def _speakers(rows: pa.Table, first: IntArray) -> list[str | None]:
    """Each utterance's speaker; None where that is not known, as in older tables."""
    if "speaker" not in rows.column_names:
        return [None] * first.size
    names: list[str | None] = rows["speaker"].take(pa.array(first)).to_pylist()
    return names


def units_of(videos: IntArray, speakers: Sequence[str | None]) -> tuple[IntArray, str]:
    """Number what is drawn anew: speakers where any is known, videos where none is.

    Args:
        videos: (U,) number of each utterance's video.
        speakers: (U,) who speaks; where that is not known, the video is a unit of its own.

    Returns:
        (U,) numbers 0 … K − 1, and what they number: "speaker" or "video".
    """
    if not any(speakers):
        return videos, "video"
    names = [
        f"video {video}" if speaker is None else f"speaker {speaker}"
        for video, speaker in zip(videos, speakers, strict=True)
    ]
    codes = np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1]
    return codes.astype(np.int64), "speaker"


def _state(trials: Mapping[str, TrialRecord], name: str) -> TrialState | None:
    return trials[name].state if name in trials else None


def _rows_of(predictions: pa.Table, trials: list[str], split: str) -> pa.Table:
    """Rows of these trials on this split."""
    wanted = pc.is_in(predictions["trial_id"], value_set=pa.array(trials, type=pa.string()))
    return predictions.filter(pc.and_(wanted, pc.equal(predictions["split"], split)))


@dataclass(frozen=True)
class _Encoded:
    """A column of texts as numbers into its sorted distinct values."""

    names: tuple[str, ...]
    codes: IntArray


def _encode(column: pa.ChunkedArray) -> _Encoded:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # no rows at all
        return _Encoded((), np.zeros(0, dtype=np.int64))
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.arange(len(values))
    codes = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    return _Encoded(tuple(values[i] for i in order), codes)


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.fill_null("")


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    values: FloatArray = column.cast(pa.float64()).to_numpy()
    return values


def _blank_incomplete(matrix: FloatArray, trials: list[str], split: str) -> list[str]:
    """Take out runs that lack predictions, in place; say which."""
    if not matrix.size:
        return [f"{len(trials)} finished runs have no {split} predictions"] if trials else []
    missing = np.isnan(matrix).sum(axis=1)
    partial = (missing > 0) & (missing < matrix.shape[1])
    problems = [
        f"{trials[i]} lacks {missing[i]} of {matrix.shape[1]} {split} predictions and is left out"
        for i in np.flatnonzero(partial)
    ]
    problems += [
        f"{trials[i]} is finished but has no {split} predictions; it is left out"
        for i in np.flatnonzero(missing == matrix.shape[1])
    ]
    matrix[partial] = np.nan
    return problems


def video_codes(videos: Sequence[str]) -> tuple[IntArray, bool]:
    """Number the videos; an utterance that names none is its own, and False says so.

    Args:
        videos: (U,) each utterance's video; empty where it names none.

    Returns:
        (U,) numbers 0 … K − 1, and whether the ids name videos.
    """
    named = [name or f"/{i}" for i, name in enumerate(videos)]
    codes = np.unique(np.array(named, dtype=np.str_), return_inverse=True)[1]
    own = bool(videos) and len(set(named)) == len(named)
    return codes.astype(np.int64), not own and "" not in videos
