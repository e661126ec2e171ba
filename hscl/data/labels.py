"""Which range the labels of a set lie in, and whether they are sentiment at all.

CMU-MOSI and CMU-MOSEI have labels from −3 to 3, CH-SIMS from −1 to 1 in steps of 0.2.
"""

from collections.abc import Collection, Iterable

from hscl.data.readers.sources import Source
from hscl.data.schema import LABEL_RANGE
from hscl.errors import InputError

__all__ = ["range_of", "refuse_binary", "told_label_range"]

_SIMS = 1.0
_STEP = 0.2
_CLOSE = 1e-3
_ENOUGH = 20  # labels from which on their pattern is no accident
_TOLD = (
    "Labels lie between -1 and 1 in steps of 0.2, as CH-SIMS's: their range is 1, which clipping, "
    "classes and metrics follow (--label-range 3 for the other one)."
)
_DOUBT = (
    "All labels lie between -1 and 1 and were taken for such of a range of 3; if they are "
    "CH-SIMS's, convert with --label-range 1."
)
_BINARY = ({0.0, 1.0}, {-1.0, 1.0})


def refuse_binary(sources: Iterable[Source]) -> None:
    """Refuse labels of two classes, which no regression of sentiment learns from.

    Raises:
        InputError: There are two labels only, 0 and 1 or −1 and 1.
    """
    labels = _labels(sources)
    if len(labels) >= _ENOUGH and set(labels) in _BINARY:
        low, high = sorted(set(labels))
        raise InputError(
            f"labels must be sentiment from -3 to 3 (CH-SIMS: -1 to 1), but all {len(labels)} are "
            f"{low:g} or {high:g}: a set of two classes such as UR-FUNNY (humor) or MUStARD "
            "(sarcasm), which HSCL does not learn."
        )


def told_label_range(sources: list[Source], chosen: float | None) -> tuple[float, list[str]]:
    """The range of a set's labels.

    What a data set of our own says stands where all labels lie within. Else it is CH-SIMS's where
    the file has labels of single modalities, too, or most words are Chinese, and all labels are
    multiples of 0.2 between −1 and 1.

    Args:
        sources: Joined with what a label file knows.
        chosen: What the user says; None: told from the content.

    Returns:
        3 or 1, and what there is to say about it.

    Raises:
        InputError: A label lies outside of the chosen range, or data sets of our own differ.
    """
    labels = _labels(sources)
    largest = max((abs(label) for label in labels), default=0.0)
    if chosen is not None:
        if largest > chosen:
            raise InputError(
                f"all labels must lie between -{chosen:g} and {chosen:g} as --label-range says, "
                f"but one is as far from 0 as {largest:g}; leave --label-range out."
            )
        return chosen, []
    said = _said(sources)
    if said is not None and largest <= said:
        return said, []
    if not labels or largest > _SIMS:
        return LABEL_RANGE, []
    unimodal = any(source.notes.unimodal for source in sources)
    if _on_grid(labels) and (unimodal or _are_chinese(sources)):
        return _SIMS, [_TOLD]
    return LABEL_RANGE, [_DOUBT] if len(labels) >= _ENOUGH else []


def range_of(labels: Collection[float]) -> float:
    """The range of labels of which nothing else is known: CH-SIMS's where all are of its grid.

    Args:
        labels: Of a whole test set.
    """
    within = max((abs(label) for label in labels), default=0.0) <= _SIMS
    return _SIMS if within and len(labels) >= _ENOUGH and _on_grid(labels) else LABEL_RANGE


def _said(sources: list[Source]) -> float | None:
    """The range that data sets of our own say; one without labels was never asked.

    Raises:
        InputError: They differ.
    """
    said = {source.notes.label_range for source in sources if _labels([source])} - {None}
    if len(said) > 1:
        ranges = " and ".join(f"{one:g}" for one in sorted(filter(None, said)))
        raise InputError(
            f"all labels must be of one range, but the data sets say {ranges}; convert them from "
            "their sources together, or say --label-range."
        )
    return said.pop() if said else None


def _on_grid(labels: Iterable[float]) -> bool:
    return all(abs(label / _STEP - round(label / _STEP)) < _CLOSE for label in labels)


def _labels(sources: Iterable[Source]) -> list[float]:
    return [label for source in sources for label in source.labels if label is not None]


def _are_chinese(sources: Iterable[Source]) -> bool:
    texts = [words for source in sources for words in source.words if words]
    chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in words) for words in texts)
    return bool(texts) and 2 * chinese > len(texts)
