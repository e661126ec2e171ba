"""Judges looks at confirm for the engine, from whatever holds the table of predictions."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from tune.engine.engine import LookJudge
from tune.evidence.ending import end_early
from tune.planner.decisions import plan_row
from tune.states import Kind, Phase
from tune.tables.history import History

__all__ = ["judging"]


def judging(predictions: Callable[[], pa.Table]) -> LookJudge:
    """The judge of a study.

    Args:
        predictions: Reads its table of predictions as it is now.
    """

    def judge(history: History) -> Mapping[str, Any] | None:
        end = end_early(history, predictions())
        if end is None:
            return None
        return plan_row(Kind.CONFIRM_ENDED, phase=Phase.CONFIRM, value=end.saved, note=end.note)

    return judge
