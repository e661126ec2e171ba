"""A table of predictions that no study made, read and checked: models, their runs, their units."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from hscl.data.labels import range_of
from hscl.data.schema import LABEL_RANGE
from hscl.errors import InputError, did_you_mean
from hscl.metrics import clipped
from tune.evidence.pairing import units_of, video_codes

__all__ = ["NEEDED", "Model", "Results", "read_results"]

NEEDED = ("model", "seed", "utterance", "video", "prediction", "label")
_SPEAKER = "speaker"
_SAME_LABEL = 1e-4  # float32's and float64's are one

FloatArray = npt.NDArray[np.float64]
_Item = tuple[str, str]  # an utterance: its video and its own name, alone not unique


@dataclass(frozen=True)
class Model:
    """One model's runs.

    Attributes:
        name: As the table calls it.
        seeds: (n,) in the order of the table.
        predictions: (n, U); NaN where the table has no finite number.
    """

    name: str
    seeds: tuple[str, ...]
    predictions: FloatArray

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """(n,) which runs have a number for every utterance."""
        finite: npt.NDArray[np.bool_] = np.isfinite(self.predictions)
        return np.logical_and.reduce(finite, axis=1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Results:
    """All models on the same utterances."""

    models: tuple[Model, ...]
    utterances: tuple[str, ...]
    videos: npt.NDArray[np.int64]
    labels: FloatArray
    unit: str = "video"
    label_range: float = LABEL_RANGE
    videos_named: bool = True


def read_results(path: Path) -> Results:
    """Read and check a whole table.

    Args:
        path: A CSV, Parquet or Arrow file with the columns of `NEEDED`, and `speaker` where known.

    Returns:
        All models on the same utterances. An `InputError` says what is wrong with the table.
    """
    return _results(path, _read(path))


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open("rb") as file:
            head = file.read(6)
        if head[:4] == b"PAR1":
            table = pq.read_table(path)
        elif head == b"ARROW1":
            table = pa.ipc.open_file(path.read_bytes()).read_all()
        elif head[:4] == b"\xff\xff\xff\xff":
            table = pa.ipc.open_stream(path.read_bytes()).read_all()
        else:
            text = dict.fromkeys((*NEEDED[:4], _SPEAKER), pa.string())
            # Names are text: "NA" may be a video, "01" is another seed than "1".
            options = pa_csv.ConvertOptions(
                column_types=text | dict.fromkeys(NEEDED[4:], pa.float64()),
                strings_can_be_null=False,
            )
            table = pa_csv.read_csv(path, convert_options=options)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.") from None
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} must be a CSV, Parquet or Arrow table of predictions; it is not ({reason})."
        ) from None
    _check_columns(path, table.column_names)
    if not len(table):
        raise InputError(f"{path} must hold predictions; it holds none.")
    found = {name: table[name].to_pylist() for name in NEEDED}
    known = _SPEAKER in table.column_names
    return found | {_SPEAKER: table[_SPEAKER].to_pylist() if known else [None] * len(table)}


def _check_columns(path: Path, names: Sequence[str]) -> None:
    for name in NEEDED:
        if name not in names:
            raise InputError(
                f"{path} must have the columns {', '.join(NEEDED)}; {name!r} is missing "
                f"({did_you_mean(name, names)})."
            )
    for name in (*NEEDED, _SPEAKER):
        if (times := names.count(name)) > 1:
            raise InputError(
                f"{path} must have each column once, but {name!r} comes {times} times; leave one."
            )


def _results(path: Path, columns: dict[str, list[Any]]) -> Results:
    runs: dict[str, dict[str, dict[_Item, float]]] = {}
    labels: dict[_Item, float] = {}
    speakers: dict[_Item, str | None] = {}
    for line, row in enumerate(zip(*columns.values(), strict=True), start=1):
        if any(value is None for value in (*row[:4], row[5])):
            raise InputError(f"{path}, row {line}: only a prediction may be missing.")
        model, seed, utterance, video = (str(value) for value in row[:4])
        item = video, utterance
        prediction, label = (_number(path, line, value) for value in row[4:6])
        run = runs.setdefault(model, {}).setdefault(seed, {})
        if item in run:
            raise InputError(
                f"{path}, row {line}: model {model}, seed {seed} has utterance {_name(item)} "
                "twice."
            )
        known = labels.setdefault(item, label)
        if not np.isfinite(label) or abs(known - label) > _SAME_LABEL:
            raise InputError(
                f"{path}, row {line}: every row of utterance {_name(item)} must have one finite "
                f"label, but it is {known:g} and {label:g}."
            )
        run[item] = prediction if np.isfinite(prediction) else float("nan")
        speakers[item] = None if row[6] in {None, ""} else str(row[6])
    items = list(labels)
    for model, by_seed in runs.items():
        for seed, run in by_seed.items():
            if len(run) < len(items):
                lacking = next(item for item in items if item not in run)
                raise InputError(
                    f"{path}: all runs must predict the same utterances, but model {model}, seed "
                    f"{seed} has {len(run)} of {len(items)}; it lacks {_name(lacking)}."
                )
    label_range = range_of(labels.values())
    codes, named = video_codes([video for video, _ in items])
    units, unit = units_of(codes, [speakers[item] for item in items])
    return Results(
        models=tuple(
            Model(
                model,
                tuple(by_seed),
                clipped(
                    np.array([[run[item] for item in items] for run in by_seed.values()]),
                    label_range,
                ),
            )
            for model, by_seed in runs.items()
        ),
        utterances=tuple(map(_name, items)),
        videos=units,
        labels=np.array([labels[item] for item in items]),
        unit=unit,
        label_range=label_range,
        videos_named=named,
    )


def _name(item: _Item) -> str:
    return "/".join(item)


def _number(path: Path, line: int, value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{path}, row {line}: {value!r} must be a number.")
    return float(value)
