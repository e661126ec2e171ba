"""The one Arrow layout of utterances: its columns, its digest, and how a file of it is written.

A file is an Arrow IPC file without compression, so that reading it is mapping it into memory.
One row is one utterance; `audio`, `vision` and `text_vectors` are ragged lists of frames of a
fixed width, and the column is left out where the whole set lacks that modality.

A file of layout 1 has neither `text_vectors` nor another label range than 3; only a file that has
either is written as layout 2, and one that names speakers as layout 3, so that earlier versions go
on reading all others.
"""

import hashlib
import importlib.metadata
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.errors import InputError
from hscl.files import whole_or_nothing

__all__ = [
    "LABEL_RANGE",
    "LABEL_RANGES",
    "METADATA_KEY",
    "SCHEMA_VERSION",
    "SEQUENCES",
    "SPLITS",
    "Utterance",
    "arrow_schema",
    "digest_of",
    "file_metadata",
    "free_target",
    "write_utterances",
]

SCHEMA_VERSION = 3
METADATA_KEY = b"hscl"
LABEL_RANGE = 3.0
"""Labels lie between − and + this, unless a file's metadata say otherwise."""
LABEL_RANGES = (LABEL_RANGE, 1.0)
"""CMU-MOSI's and CMU-MOSEI's, and CH-SIMS's."""
SEQUENCES = ("audio", "vision", "text_vectors")
SPLITS = ("train", "valid", "test")

# Rows are written in batches of about this many bytes: it bounds the memory of a conversion.
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class Utterance:
    """One row of the layout; None where it is missing.

    Attributes:
        video: Name of the video; all its utterances belong in one split.
        utterance: Name of the clip within its video.
        split: "train", "valid" or "test".
        label: Sentiment in [-3, 3]; in [-1, 1] where the set's label range is 1.
        text: The words.
        audio: (L_a, d_a) float32, L_a ≥ 1, finite.
        vision: (L_v, d_v) float32, L_v ≥ 1, finite.
        text_vectors: (L_t, d_t) float32, likewise: the source's own, such as GloVe.
        speaker: Who speaks, or another group whose utterances are alike.
    """

    video: str
    utterance: str
    split: str | None = None
    label: float | None = None
    text: str | None = None
    audio: npt.NDArray[np.float32] | None = None
    vision: npt.NDArray[np.float32] | None = None
    text_vectors: npt.NDArray[np.float32] | None = None
    speaker: str | None = None


def arrow_schema(
    audio_width: int | None,
    vision_width: int | None,
    metadata: Mapping[str, Any],
    *,
    text_width: int | None = None,
    speakers: bool = False,
) -> pa.Schema:
    """The columns of a file whose frames have these widths (None: no such modality)."""
    widths = {"audio": audio_width, "vision": vision_width, "text_vectors": text_width}
    fields = [
        pa.field("video", pa.string(), nullable=False),
        pa.field("utterance", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("label", pa.float64()),
        pa.field("text", pa.string()),
    ]
    fields += [
        pa.field(name, pa.list_(pa.list_(pa.float32(), width)))
        for name, width in widths.items()
        if width is not None
    ]
    if speakers:
        fields.append(pa.field("speaker", pa.string()))
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    return pa.schema(fields, metadata={METADATA_KEY: text.encode()})


def file_metadata(
    *, digest: str, source: str, audio_width: int | None, vision_width: int | None, **more: object
) -> dict[str, Any]:
    """What a file says about itself under the key `hscl` of its schema's metadata.

    Args:
        digest: What `digest_of` returned for its rows.
        source: In words, where the rows come from.
        audio_width: Numbers in an audio frame; None: no audio.
        vision_width: Numbers in a vision frame; None: no vision.
        **more: What else is worth keeping, such as padding and replaced values; `text_width`
            and `label_range`, where the file has text vectors or another range than 3;
            `speakers`, their number, where it names any.
    """
    try:
        version = importlib.metadata.version("hscl-search")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    newer = more.get("text_width") or more.get("label_range", LABEL_RANGE) != LABEL_RANGE
    return {
        "schema_version": 3 if more.get("speakers") else 2 if newer else 1,
        "hscl_version": version,
        "digest": digest,
        "source": source,
        "audio_width": audio_width,
        "vision_width": vision_width,
        **more,
    }


def digest_of(utterances: Iterable[Utterance]) -> str:
    """SHA-256 (hex) over the rows' content in their order.

    It depends on what the rows say alone: neither on how a file cuts them into batches nor on
    its metadata, nor on the padding, number type or format of the file they came from.
    """
    total = hashlib.sha256()
    for row in utterances:
        for word in (row.video, row.utterance, row.split, row.text):
            if word is None:
                total.update(b"-")
            else:
                data = word.encode()
                total.update(b"s%d:" % len(data) + data)
        total.update(b"-" if row.label is None else b"f" + struct.pack("<d", row.label + 0.0))
        for frames in (row.audio, row.vision):
            if frames is None:
                total.update(b"-")
            else:
                total.update(b"a%d,%d:" % frames.shape)
                total.update(np.ascontiguousarray(frames, dtype="<f4").data)
        if row.text_vectors is not None:  # nothing where a set has none, as before there were any
            total.update(b"t%d,%d:" % row.text_vectors.shape)
            total.update(np.ascontiguousarray(row.text_vectors, dtype="<f4").data)
        if row.speaker is not None:  # likewise
            total.update(b"p%d:" % len(row.speaker.encode()) + row.speaker.encode())
    return total.hexdigest()


def free_target(path: Path, *, overwrite: bool) -> Path:
    """The path, if a data set may be written there.

    Args:
        path: Where to.
        overwrite: Whether a file may be replaced.

    Raises:
        InputError: If something is there.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(
            f"{path} must not exist yet; it does. Choose another --out, or --overwrite a file."
        )
    return path


def write_utterances(path: Path, utterances: Iterable[Utterance], schema: pa.Schema) -> None:
    """Write a whole file and put it in place at once; on any error nothing is left behind.

    Args:
        path: Where to; replaces what is there, and makes its folder.
        utterances: The rows, taken one by one.
        schema: What `arrow_schema` returned.

    Raises:
        InputError: If the folder can't be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_or_nothing(path) as part,
            pa.OSFile(str(part), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for rows in _batches(utterances):
                writer.write_batch(_record_batch(rows, schema))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} can't be written: {reason}; choose another --out.") from error


def _batches(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    rows: list[Utterance] = []
    size = 0
    for row in utterances:
        rows.append(row)
        sequences = (getattr(row, name) for name in SEQUENCES)
        size += sum(frames.nbytes for frames in sequences if frames is not None)
        if size >= _BATCH_BYTES or len(rows) >= 4096:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _record_batch(rows: list[Utterance], schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        values = [getattr(row, field.name) for row in rows]
        if pa.types.is_list(field.type):
            columns.append(_frames_column(values, field.type.value_type.list_size))
        else:
            columns.append(pa.array(values, field.type))
    return pa.record_batch(columns, schema=schema)


def _frames_column(rows: list[npt.NDArray[np.float32] | None], width: int) -> pa.Array:
    present = [frames for frames in rows if frames is not None]
    flat = np.concatenate(present) if present else np.empty((0, width), np.float32)
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum([0 if frames is None else len(frames) for frames in rows], out=offsets[1:])
    frames = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel(), pa.float32()), width)
    missing = np.array([frames is None for frames in rows])
    return pa.ListArray.from_arrays(pa.array(offsets), frames, mask=pa.array(missing))
