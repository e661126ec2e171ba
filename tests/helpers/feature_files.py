"""Feature files in every format that people have, made from known rows."""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hscl.data.dataset import Dataset
from hscl.data.demo import demo_utterances
from hscl.data.schema import SPLITS, Utterance

AUDIO, VISION = 3, 4  # widths
ROOM = 64  # padded frames; the longest has 60


def known_rows(count: int = 60) -> list[Utterance]:
    """Rows with frames of zeros inside, in the order train, valid, test."""
    return demo_utterances(seed=1, utterances=count, audio_width=AUDIO, vision_width=VISION)


def by_split(rows: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    rows = list(rows)
    return {name: [row for row in rows if row.split == name] for name in SPLITS}


def _padded(
    rows: list[Utterance], modality: str, side: str, dtype: str
) -> npt.NDArray[np.floating[Any]]:
    width = AUDIO if modality == "audio" else VISION
    values = np.zeros((len(rows), ROOM, width), dtype)
    for target, row in zip(values, rows, strict=True):
        frames = getattr(row, modality)
        if frames is not None:
            target[slice(-len(frames), None) if side == "front" else slice(len(frames))] = frames
    return values


def mult(rows: list[Utterance], *, side: str = "front", dtype: str = "float32") -> dict[str, Any]:
    """MulT's layout of MOSI: labels (N, 1, 1), ids (N, 3) bytes with VIDEO_CLIP first."""
    return {
        split: {
            "vision": _padded(part, "vision", side, dtype),
            "audio": _padded(part, "audio", side, dtype),
            "text": np.ones((len(part), 50, 8), np.float32),
            "labels": np.array([row.label for row in part], dtype).reshape(-1, 1, 1),
            "id": np.array(
                [[f"{row.video}_{row.utterance}".encode(), b"0.0", b"1.0"] for row in part]
            ),
        }
        for split, part in by_split(rows).items()
    }


def mult_mosei(rows: list[Utterance]) -> dict[str, Any]:
    """MulT's layout of MOSEI: ids are video, start and end; labels (N, 1, 7)."""
    content = mult(rows)
    for split, part in by_split(rows).items():
        starts = [7.25 * int(row.utterance) for row in part]
        content[split]["id"] = np.array(
            [[row.video, str(s), str(s + 7)] for row, s in zip(part, starts, strict=True)]
        )
        emotions = np.full((len(part), 1, 7), 9.0)
        emotions[:, 0, 0] = [row.label for row in part]
        content[split]["labels"] = emotions
    return content


def mmsa(
    rows: list[Utterance], *, aligned: bool = False, side: str = "back", dtype: str = "float64"
) -> dict[str, Any]:
    """MMSA's layout: padded behind; unaligned with lengths, aligned with the text's mask."""
    content: dict[str, Any] = {}
    for split, part in by_split(rows).items():
        lengths = [len(row.audio) for row in part if row.audio is not None]
        mask = np.zeros((len(part), 3, ROOM), np.int64)
        for target, length in zip(mask, lengths, strict=True):
            target[1, :length] = 1
        content[split] = {
            "raw_text": [row.text for row in part],
            "audio": _padded(part, "audio", side, dtype),
            "vision": _padded(part, "vision", side, dtype),
            "id": [f"{row.video}$_${row.utterance}" for row in part],
            "text": np.ones((len(part), 50, 8), np.float32),
            "text_bert": mask,
            "annotations": ["Neutral"] * len(part),
            "classification_labels": np.ones(len(part)),
            "regression_labels": np.array([row.label for row in part], np.float32),
        }
        if not aligned:
            content[split]["audio_lengths"] = lengths
            content[split]["vision_lengths"] = [
                len(row.vision) for row in part if row.vision is not None
            ]
    return content


def tuples(rows: list[Utterance]) -> list[Any]:
    """MMIM's and HSCL's layout of one fold."""
    return [
        (
            (
                [],
                np.array(row.vision, np.float64),
                np.array(row.audio, np.float64),
                str(row.text).split(),
                len(row.vision) if row.vision is not None else 0,
                len(row.audio) if row.audio is not None else 0,
            ),
            np.array([[row.label]], np.float32),
            f"{row.video}_{row.utterance}",
        )
        for row in rows
    ]


def table(rows: list[Utterance]) -> pa.Table:
    """One's own data as Arrow columns, frames as plain nested lists."""
    frames = pa.list_(pa.list_(pa.float64()))
    return pa.table(
        {
            "video": [row.video for row in rows],
            "utterance": [row.utterance for row in rows],
            "split": [row.split for row in rows],
            "label": [row.label for row in rows],
            "text": [row.text for row in rows],
            "audio": pa.array(_lists(row.audio for row in rows), frames),
            "vision": pa.array(_lists(row.vision for row in rows), frames),
        }
    )


def _lists(frames: Iterable[npt.NDArray[np.float32] | None]) -> list[Any]:
    return [None if row is None else row.astype(float).tolist() for row in frames]


def label_file(path: Path, rows: list[Utterance]) -> Path:
    """A label file (CSV) with the columns of MMSA's and of MOSI-label.csv."""
    lines = ["video_id,clip_id,text,label,annotation,mode"]
    lines += [
        f'{row.video},{row.utterance},"{row.text}",{row.label},Neutral,{row.split}' for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pickled(path: Path, value: object) -> str:
    path.write_bytes(pickle.dumps(value, protocol=4))
    return str(path)


def parquet(path: Path, value: pa.Table) -> str:
    pq.write_table(value, path)
    return str(path)


def arrow(path: Path, value: pa.Table) -> str:
    with pa.ipc.new_file(path, value.schema) as writer:
        writer.write_table(value, max_chunksize=7)
    return str(path)


def assert_holds(path: Path, rows: list[Utterance], *, words: bool = True) -> None:
    """The data set at `path` has exactly these rows."""
    found = list(Dataset.open(path).all_rows())
    assert len(found) == len(rows)
    for got, row in zip(found, rows, strict=True):
        assert (got.video, got.utterance, got.split) == (row.video, row.utterance, row.split)
        assert got.label == row.label
        assert got.text == (row.text if words else None)
        for ours, theirs in ((got.audio, row.audio), (got.vision, row.vision)):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                assert np.array_equal(ours, theirs)
