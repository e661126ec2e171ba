"""Which modalities an utterance lacks: counted in training, warned of in prediction."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hscl.config import Config
from hscl.training.prepared import PreparedSplit

__all__ = ["count_missing", "unseen_warnings"]


def count_missing(split: PreparedSplit, config: Config) -> dict[str, int]:
    """How many utterances lack exactly which of the modalities that a model uses.

    Args:
        split: Prepared utterances; a modality that is None is lacked by all.
        config: Its `model.modalities` are looked at.

    Returns:
        For example `{"audio": 5, "audio+vision": 1}`; complete utterances are not in it.
    """
    ragged = {"text": split.text, "audio": split.audio, "vision": split.vision}
    names = config.model.modalities.split("+")
    lacking: list[NDArray[np.bool_]] = []
    for name in names:
        column = ragged[name]
        lacking.append(np.ones(len(split), bool) if column is None else column.lengths == 0)
    rows = np.stack(lacking, axis=1)
    cases = ("+".join(n for n, gone in zip(names, row, strict=True) if gone) for row in rows)
    counts = Counter(case for case in cases if case)
    return dict(sorted(counts.items()))


def unseen_warnings(split: PreparedSplit, config: Config, trained: dict[str, int]) -> list[str]:
    """What to say about utterances that lack something a model never had to do without.

    Args:
        split: Utterances to predict.
        config: The model's.
        trained: `count_missing` of what it was trained on.

    Returns:
        One sentence for each set of missing modalities that training never showed.
    """
    hidden = config.train.modality_dropout > 0  # then audio and vision were hidden in training
    warnings = []
    for case, count in count_missing(split, config).items():
        names = case.split("+")
        if trained.get(case, 0) or (hidden and "text" not in names):
            continue
        them = " and ".join(names)
        who = f"{count} of {len(split)} utterances lack" if len(split) > 1 else "the input lacks"
        remedy = (
            "training utterances without words would be needed"
            if "text" in names
            else "train with train.modality_dropout > 0 to prepare a model for it"
        )
        warnings.append(
            f"{who} {them}, which this model never had to do without in training: "
            f"do not rely on these predictions; {remedy}"
        )
    return warnings
