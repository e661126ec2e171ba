"""How output writes numbers, intervals, durations and the names of hyperparameters.

Rounding is for display only and happens nowhere else.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "MISSING",
    "count",
    "duration_text",
    "from_here",
    "interval",
    "listing",
    "number",
    "parameter_name",
    "setting",
    "share",
    "signed",
]

MISSING = "–"
"""Shown where there is no value."""

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_PARAMETERS = {
    "loss.temperature": "temperature τ",
    "loss.alpha": "alpha (similarity)",
    "loss.omega1": "omega1 (low level)",
    "loss.omega2": "omega2 (high level)",
    "train.lr": "learning rate",
    "train.lr_text": "text learning rate",
    "train.batch_size": "batch size",
}


def parameter_name(name: str) -> str:
    """A hyperparameter in words; dotted names that have none stay."""
    return _PARAMETERS.get(name, name)


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits and a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def setting(value: object) -> str:
    """A hyperparameter's value: short, and never rounded to nothing."""
    if isinstance(value, float):
        text = f"{value:.3g}" if math.isfinite(value) else MISSING
        return re.sub(r"e([+-])0*", r"e\1", text).replace("e+", "e").replace("-", "−")
    if value is None:
        return MISSING
    return {"True": "on", "False": "off"}.get(str(value), str(value))


def signed(value: float | None, digits: int = 3) -> str:
    """As `number`, with a plus sign before positive values: for differences."""
    text = number(value, digits)
    if text == MISSING or text.startswith("−") or float(text) == 0.0:
        return text
    return f"+{text}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Both ends of an interval of differences, "−0.061 to −0.004"."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return MISSING
    return f"{signed(low, digits)} to {signed(high, digits)}"


def share(value: float | None) -> str:
    """A share as a percentage, "34 %"; below half a percent "< 1 %"."""
    if value is None or not math.isfinite(value):
        return MISSING
    if 0.0 < value < 0.005:
        return "< 1 %"
    return f"{100 * value:.0f} %"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 seed", "10 seeds", "1,000 seeds"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def bytes_text(size: float) -> str:
    """Bytes as "12 MB" or "3.4 GB"."""
    for unit, factor in _UNITS:
        if size >= factor:
            amount = size / factor
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{size:.0f} bytes"


def duration_text(seconds: float) -> str:
    """Seconds as "42 s", "17 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def listing(items: Sequence[str], most: int = 12) -> str:
    """Items in one line, "a, b and c"; past `most` of them the number that is left out."""
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most} more")
    if len(shown) <= 1:
        return "".join(shown)
    return ", ".join(shown[:-1]) + " and " + shown[-1]


def from_here(path: str) -> str:
    """A path as short as it is from the working directory."""
    return path.removeprefix(f"{Path.cwd()}/")
