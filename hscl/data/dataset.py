"""A data set on disk: one Arrow file, mapped into memory, told apart from foreign ones."""

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hscl.data.ragged import Ragged
from hscl.data.schema import (
    LABEL_RANGE,
    LABEL_RANGES,
    METADATA_KEY,
    SCHEMA_VERSION,
    SEQUENCES,
    SPLITS,
    Utterance,
    arrow_schema,
    digest_of,
)
from hscl.errors import DataChangedError, InputError

__all__ = ["Dataset"]

_NEVER_NULL = {"video", "utterance", *SEQUENCES}


@dataclass(frozen=True)
class Dataset:
    """An open data set.

    Attributes:
        path: The file it was opened from.
        table: Its rows, in the layout of `hscl.data.schema`; views of the mapped file.
        metadata: What the conversion wrote about itself.
    """

    path: Path
    table: pa.Table
    metadata: dict[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Map a file that `hscl data convert` or `hscl data demo` wrote.

        Raises:
            InputError: If it is missing, empty, truncated, or not such a file.
        """
        file = Path(path)
        table = _read_table(file)
        stored = (table.schema.metadata or {}).get(METADATA_KEY)
        if stored is None:
            raise InputError(
                f"{file} must be a data set of hscl; it is another Arrow file. "
                f"Convert it: hscl data convert {shlex.quote(str(file))} --out OTHER.arrow"
            )
        metadata = _checked_metadata(file, stored)
        expected = arrow_schema(
            metadata["audio_width"],
            metadata["vision_width"],
            {},
            text_width=metadata.get("text_width"),
            speakers=bool(metadata.get("speakers")),
        )
        if not table.schema.equals(expected, check_metadata=False):
            raise InputError(
                f"{file} must have the columns {', '.join(expected.names)} in the types of "
                f"layout {SCHEMA_VERSION}; it has {_summary(table.schema)}. Convert it again."
            )
        if any(_has_nulls(table[name]) for name in table.column_names if name in _NEVER_NULL):
            raise InputError(
                f"{file} is damaged: names and numbers are missing; convert it again."
            )
        return cls(file, table, metadata)

    def verify(self) -> Self:
        """The same data set, once its rows are seen to be what the conversion wrote.

        All of it is read, as it lies in the mapped file: about a second a gigabyte.

        Raises:
            DataChangedError: A number, word or name in it was changed since.
        """
        found = digest_of(self.all_rows())
        if found != self.digest:
            raise DataChangedError(
                f"{self.path} must hold the rows that hscl wrote, of digest {self.digest[:12]}, "
                f"but they were changed since and have {found[:12]}; convert the source again, or "
                "put the file back from a copy"
            )
        return self

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the rows' content, as the conversion wrote it."""
        return str(self.metadata["digest"])

    @property
    def audio_width(self) -> int | None:
        """Numbers in an audio frame; None where no utterance has audio."""
        width: int | None = self.metadata["audio_width"]
        return width

    @property
    def vision_width(self) -> int | None:
        """Numbers in a vision frame; None where no utterance has vision."""
        width: int | None = self.metadata["vision_width"]
        return width

    @property
    def text_width(self) -> int | None:
        """Numbers in one of the source's own text vectors; None where it has none."""
        width: int | None = self.metadata.get("text_width")
        return width

    @property
    def label_range(self) -> float:
        """Labels lie between − and + this: 3, or 1 (CH-SIMS)."""
        return float(self.metadata.get("label_range", LABEL_RANGE))

    @property
    def names_speakers(self) -> bool:
        """Whether it says of some utterances who speaks."""
        return "speaker" in self.table.column_names

    def split_sizes(self) -> dict[str, int]:
        """Number of utterances in train, valid and test; only splits that have some."""
        counts = Counter(self.table["split"].to_pylist())
        return {name: counts[name] for name in SPLITS if counts[name]}

    def frames(self, modality: str, rows: pa.Table | None = None) -> Ragged | None:
        """The `audio`, `vision` or `text_vectors` of all rows, or None.

        Those of `rows` (taken from `table`), where they are given. The frames are views of the
        file, a block for each of its record batches.
        """
        table = self.table if rows is None else rows
        if modality not in table.column_names:
            return None
        column = table[modality]
        lengths = pc.list_value_length(column).fill_null(0).to_numpy()
        offsets = np.zeros(len(table) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        width = table.schema.field(modality).type.value_type.list_size
        blocks = [
            _frames_of(chunk).flatten().to_numpy().reshape(-1, width) for chunk in column.chunks
        ]
        return Ragged(blocks or np.empty((0, width), np.float32), offsets)

    def all_rows(self) -> Iterator[Utterance]:
        """All rows, labels of test included, batch by batch: for conversion and check alone."""
        for batch in self.table.to_batches():
            part = pa.Table.from_batches([batch])
            columns = [part[name].to_pylist() for name in part.column_names[:5]]
            frames = [self.frames(name, part) for name in SEQUENCES]
            speakers = part["speaker"].to_pylist() if self.names_speakers else [None] * len(part)
            for index, (video, utterance, split, label, text, speaker) in enumerate(
                zip(*columns, speakers, strict=True)
            ):
                audio, vision, vectors = (
                    None if ragged is None or not ragged.lengths[index] else ragged.row(index)
                    for ragged in frames
                )
                yield Utterance(
                    video, utterance, split, label, text, audio, vision, vectors, speaker
                )


# The frames of an utterance may be missing, but no number in them.
def _has_nulls(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_list(column.type):
        return bool(column.null_count)
    frames = (_frames_of(chunk) for chunk in column.chunks)
    return any(part.null_count or part.flatten().null_count for part in frames)


def _frames_of(chunk: pa.ListArray) -> pa.FixedSizeListArray:
    # All frames of a chunk. `flatten` copies them where an utterance has none (is null), although
    # it then has no frames to leave out, unless another program wrote the file.
    offsets = chunk.offsets.to_numpy()
    lengths = pc.list_value_length(chunk).fill_null(0).to_numpy()
    if offsets[-1] - offsets[0] != lengths.sum():
        return chunk.flatten()
    return chunk.values.slice(offsets[0], offsets[-1] - offsets[0])


def _read_table(file: Path) -> pa.Table:
    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
            # Offsets that point outside of a damaged file would crash whoever follows them.
            table.validate(full=True)
            _summary(table.schema)  # names that are no text can't even be compared
    except FileNotFoundError:
        raise InputError(f"{file} must be a data set of hscl; there is no such file.") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{file} must be a data set of hscl (an Arrow file); it is foreign or damaged "
            f"({reason}). Make one: hscl data convert SOURCE --out "
            + shlex.quote(f"{file.stem}.arrow")
        ) from None
    return table


def _checked_metadata(file: Path, stored: bytes) -> dict[str, Any]:
    try:
        metadata = json.loads(stored)
        version = int(metadata["schema_version"])
        str(metadata["digest"] + metadata["source"])
        widths = [metadata["audio_width"], metadata["vision_width"], metadata.get("text_width")]
        label_range = float(metadata.get("label_range", LABEL_RANGE))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} has damaged metadata; convert it again.") from None
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{file} has layout {version}, this hscl reads up to {SCHEMA_VERSION}: update hscl, "
            "or convert the source again."
        )
    if not all(width is None or (isinstance(width, int) and width > 0) for width in widths):
        raise InputError(f"{file} has damaged metadata (widths {widths}); convert it again.")
    if label_range not in LABEL_RANGES:
        raise InputError(f"{file} has damaged metadata (labels to {label_range}); convert again.")
    return dict(metadata)


def _summary(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
