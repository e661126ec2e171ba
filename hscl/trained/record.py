"""What a folder with trained models says about itself: `config.toml` and `metrics.json`."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hscl.config import Config
from hscl.config_toml import dump_config, load_config
from hscl.data.schema import LABEL_RANGE
from hscl.documents import parse_json, read_text
from hscl.errors import InputError
from hscl.files import write_whole

__all__ = [
    "CONFIG",
    "METRICS_FILE",
    "ModelRecord",
    "SeedRun",
    "mean_sd",
    "read_folder",
    "read_metrics",
    "share_text",
    "write_folder",
]

CONFIG = "config.toml"
METRICS_FILE = "metrics.json"
CARD = "README.md"
_LAYOUT = 1
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class SeedRun:
    """One finished seed.

    Attributes:
        seed: Of the training.
        epoch: The epoch whose weights are kept.
        valid: All valid metrics of that epoch; empty where there was no valid split.
        reports: Every epoch's report, as plain values.
        device: "cpu" or "cuda".
        precision: "fp32" or "bf16".
    """

    seed: int
    epoch: int
    valid: dict[str, float]
    reports: list[dict[str, Any]]
    device: str
    precision: str


@dataclass(frozen=True)
class ModelRecord:
    """What `metrics.json` holds.

    Attributes:
        config_id: Of the configuration.
        digest: Of the data set.
        fit: "train", or "train+valid" for a fixed number of epochs.
        metric: The valid metric that chose each seed's epoch.
        seeds: All seeds that were asked for.
        widths: Of text, audio and vision vectors.
        splits: Number of utterances that were trained on, and of valid.
        missing: For each set of missing modalities, such as "audio" or "audio+vision", how many
            training utterances lacked exactly those.
        versions: Of hscl and of what it computes with.
        runs: Seeds that are finished.
        label_range: Labels lie between − and + this, and so do predictions where it is not 3.
    """

    config_id: str
    digest: str
    fit: str
    metric: str
    seeds: list[int]
    widths: dict[str, int | None]
    splits: dict[str, int]
    missing: dict[str, int]
    versions: dict[str, str]
    runs: list[SeedRun] = field(default_factory=list)
    label_range: float = LABEL_RANGE

    def with_run(self, run: SeedRun) -> "ModelRecord":
        """The record with one more finished seed, in the order of `seeds`."""
        runs = {r.seed: r for r in (*self.runs, run)}
        return replace(self, runs=[runs[seed] for seed in self.seeds if seed in runs])

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean and standard deviation (n − 1) over the finished seeds, for each valid metric."""
        names = self.runs[0].valid if self.runs else {}
        return {name: mean_sd([run.valid[name] for run in self.runs]) for name in names}


def mean_sd(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation (n − 1) of the values that are defined.

    Args:
        values: One a seed; NaN where a metric is not defined.

    Returns:
        `{"mean": …, "sd": …}`, NaN where there is too little to compute them.
    """
    known = np.array([value for value in values if not math.isnan(value)])
    return {
        "mean": float(known.mean()) if len(known) else math.nan,
        "sd": float(known.std(ddof=1)) if len(known) > 1 else math.nan,
    }


def share_text(values: list[float]) -> str:
    """What stands behind a mean of some seeds alone, such as `" (1 of 3)"`.

    Args:
        values: As for `mean_sd`.

    Returns:
        Nothing where all are defined, or none is.
    """
    known = sum(not math.isnan(value) for value in values)
    return f" ({known} of {len(values)})" if 0 < known < len(values) else ""


def write_folder(folder: Path, config: Config, record: ModelRecord, card: str) -> None:
    """Write everything but the seeds' own folders, each file at once.

    Args:
        folder: The model folder; is made where there is none.
        config: The configuration.
        record: What is trained and what is finished.
        card: The model card, Markdown.
    """
    content = {"layout": _LAYOUT, **asdict(record), "summary": record.summary()}
    if record.label_range == LABEL_RANGE:  # earlier versions go on reading the folder
        del content["label_range"]
    folder.mkdir(parents=True, exist_ok=True)
    # First the record: by it alone whoever goes on knows the folder for one of ours.
    write_whole(folder / METRICS_FILE, json.dumps(_defined(content), indent=2) + "\n")
    write_whole(folder / CONFIG, dump_config(config))
    write_whole(folder / CARD, card)


def read_folder(folder: Path) -> tuple[Config, ModelRecord]:
    """What a model folder says about itself.

    Args:
        folder: A folder that `hscl train` wrote, finished or not.

    Returns:
        The configuration and the record.

    Raises:
        InputError: It is no such folder, is damaged, or is of another layout.
    """  # noqa: DOC502 - raised by the two steps
    record = read_metrics(folder)
    return load_config(folder / CONFIG), record


def read_metrics(folder: Path) -> ModelRecord:
    """The record alone, which is there from the first moment on.

    Args:
        folder: As for `read_folder`.

    Returns:
        The record.

    Raises:
        InputError: As for `read_folder`.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        raise InputError(
            f"{folder} must be a folder with trained models, but has no {METRICS_FILE}; make one "
            "with: hscl train CONFIG --data FILE --out FOLDER"
        )
    try:
        content = parse_json(read_text(path, most=_MOST_BYTES))
        layout = content.pop("layout")
        if layout != _LAYOUT:
            raise InputError(
                f"{path} must have layout {_LAYOUT}, but has {layout!r}: another version of hscl "
                "wrote it"
            )
        content.pop("summary")
        runs = [SeedRun(**{**r, "valid": _numbers(r["valid"])}) for r in content.pop("runs")]
        record = ModelRecord(**content, runs=runs)
        sound = 0 < record.label_range < math.inf and isinstance(record.widths, dict)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}); train again into another folder") from None
    if not sound:
        raise InputError(f"{path} must have a label_range above 0 and widths, but has others")
    return record


def _defined(value: Any) -> Any:
    """The same tree for JSON, null where a number is not defined."""
    if isinstance(value, Mapping):
        return {name: _defined(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_defined(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}
