"""The result of `hscl evaluate` as a table in the terminal."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from hscl.metrics import METRIC
from hscl.trained.evaluate import Evaluation
from hscl.trained.predict import Predictions
from hscl.trained.record import share_text

__all__ = ["evaluation_lines", "formatted"]

_DECIMALS = 6


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """Metrics of each seed, their mean and deviation, and what to know about them.

    Args:
        evaluation: The result.

    Returns:
        Lines of text.
    """
    names = list(evaluation.ensemble)
    head = ["test", *(METRIC[name].head for name in names)]
    rows = [
        [f"seed {seed}", *(METRIC[n].value_text(values[n]) for n in names)]
        for seed, values in evaluation.by_seed.items()
    ]
    if len(rows) > 1:
        rows.append(["mean", *(_mean_text(evaluation, name) for name in names)])
        cells = [METRIC[n].value_text(evaluation.summary[n]["sd"]) for n in names]
        rows.append(["± sd", *cells])
        cells = [METRIC[n].value_text(evaluation.ensemble[n]) for n in names]
        rows.append(["mean prediction", *cells])
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
    lines.append("")
    lines.append(
        f"{evaluation.utterances} utterances of data set {evaluation.digest[:12]}"
        + ("" if evaluation.same_data else ", which is not the one it was trained on")
        + (". Shares in percent; " + _MEANS.get("acc2_has0" in names, ""))
    )
    times = evaluation.earlier
    lines.append(
        "The first test evaluation of these models, recorded in evaluations.jsonl."
        if not times
        else f"A test set was opened {times} time{'s' if times > 1 else ''} before with these "
        "models (evaluations.jsonl): do not choose by it."
    )
    return lines


def _mean_text(evaluation: Evaluation, name: str) -> str:
    mean = evaluation.summary[name]["mean"]
    values = [values[name] for values in evaluation.by_seed.values()]
    return METRIC[name].value_text(mean) + ("" if math.isnan(mean) else share_text(values))


_MEANS = {
    True: "Has0: all utterances, Non0: without zeros.",
    False: "as MMSA's for CH-SIMS, Acc-2 is of above 0 or not.",
}


def formatted(predictions: Predictions, form: str, *, text: bool = False) -> str:
    """One line an utterance.

    Args:
        predictions: What to write.
        form: "jsonl" or "csv" (with a line of names).
        text: The utterances are bare texts: one column `text` instead of video and utterance.

    Returns:
        Lines, each ended. `spread` is null or empty for a single seed, and so are predictions
        that are not finite. Numbers have six decimals: no more is known of single precision.
        `split` and `label` stand in it where the data have any.
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
    columns: dict[str, Sequence[object]]
    columns = {"split": predictions.splits, "label": predictions.labels}
    known = {name: cells for name, cells in columns.items() if any(c is not None for c in cells)}
    rows = []
    for place, ((video, utterance), (mean, spread)) in enumerate(zip(names, numbers, strict=True)):
        who: dict[str, Any] = {"text": utterance}
        if not text:
            who = {"video": video, "utterance": utterance}
            who |= {name: cells[place] for name, cells in known.items()}
        told = {"prediction": _rounded(mean), "spread": _rounded(spread)}
        rows.append({**who, **told, "seeds": len(predictions.seeds)})
    return rows


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, _DECIMALS)
