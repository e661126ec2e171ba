"""Predictions as JSON lines or CSV."""

import csv
import io
import json
import math
from typing import Any

from hscl.prediction import Predictions

__all__ = ["formatted"]


def formatted(predictions: Predictions, form: str, *, text: bool = False) -> str:
    """One line an utterance.

    Args:
        predictions: What to write.
        form: "jsonl" or "csv" (with a line of names).
        text: The utterances are bare texts: one column `text` instead of video and utterance.

    Returns:
        Lines, each ended. `spread` is null or empty for a single seed.
    """
    rows = _rows(predictions, text=text)
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _rows(predictions: Predictions, *, text: bool) -> list[dict[str, Any]]:
    numbers = zip(predictions.mean.tolist(), predictions.spread.tolist(), strict=True)
    names = zip(predictions.videos, predictions.utterances, strict=True)
    rows = []
    for (video, utterance), (mean, spread) in zip(names, numbers, strict=True):
        who = {"text": utterance} if text else {"video": video, "utterance": utterance}
        known = None if math.isnan(spread) else spread
        rows.append({**who, "prediction": mean, "spread": known, "seeds": len(predictions.seeds)})
    return rows
