"""A padded file's own text vectors: GloVe in MulT's files, BERT's output in MMSA's.

They are an extra: where they can't be read with certainty they are left out with a remark, and
the file is read without them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.data.readers.padding import bounds, padding_side, zero_runs
from hscl.data.readers.sources import FieldError, Frames, Padded, Side

__all__ = ["TEXT_FIELD", "text_vectors"]

TEXT_FIELD = "text"


def text_vectors(
    path: Path, splits: dict[str, dict[str, Any]], others: set[Side]
) -> tuple[dict[str, Padded], list[str]]:
    """Find the vectors of real tokens.

    BERT's output is nowhere zero, so where the file has the tokenizer's mask that tells which
    tokens are real; else the zero rows at the ends do, as for audio and vision.

    Args:
        path: The file, for remarks.
        splits: Its content: for each split the fields by name.
        others: Sides of the padding of audio and vision; believed where vectors that are zero
            (words that GloVe lacks) lie at both ends.

    Returns:
        The vectors by split, none if they are not read; and what there is to say about that.
    """
    found = {split: fields.get(TEXT_FIELD) for split, fields in splits.items()}
    if all(values is None for values in found.values()):
        return {}, []
    arrays: dict[str, Frames] = {
        split: values
        for split, values in found.items()
        if isinstance(values, np.ndarray) and _are_vectors(values)
    }
    if len(arrays) < len(splits) or len({values.shape[2] for values in arrays.values()}) > 1:
        return {}, [_left_out(path, "must be (utterances, tokens, width) in every split")]
    if any(len(values) != len(splits[split]["id"]) for split, values in arrays.items()):
        return {}, [_left_out(path, "must speak of as many utterances as the ids do")]
    masks = {split: _mask(splits[split], values) for split, values in arrays.items()}
    if all(mask is not None for mask in masks.values()):
        return {
            split: Padded(values, *_ends(masks[split]))  # type: ignore[arg-type]
            for split, values in arrays.items()
        }, []
    runs = {split: zero_runs(values) for split, values in arrays.items()}
    try:
        side = padding_side(str(path), TEXT_FIELD, list(runs.values()))
    except FieldError:
        if len(others) != 1:
            return {}, [_left_out(path, "must be padded on one side")]
        (side,) = others
    return {split: Padded(arrays[split], *bounds(part, side)) for split, part in runs.items()}, []


def _left_out(path: Path, reason: str) -> str:
    return f"{path.name}: the vectors in the field {TEXT_FIELD!r} are left out, as they {reason}."


def _are_vectors(values: Frames) -> bool:
    return values.ndim == 3 and values.dtype.kind == "f" and 0 not in values.shape[1:]


def _mask(fields: dict[str, Any], values: Frames) -> npt.NDArray[np.bool_] | None:
    # (N, tokens) from MMSA's `text_bert`: ids, mask, segments.
    tokens = fields.get("text_bert")
    if not isinstance(tokens, np.ndarray) or tokens.dtype.kind not in "fiu":
        return None
    if tokens.shape != (len(values), 3, values.shape[1]):
        return None
    mask: npt.NDArray[np.bool_] = tokens[:, 1] != 0
    return mask


def _ends(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    # First real token and one past the last; equal where there is none.
    some = mask.any(axis=1)
    begin = np.where(some, mask.argmax(axis=1), 0)
    end = np.where(some, mask.shape[1] - mask[:, ::-1].argmax(axis=1), 0)
    return begin, end
