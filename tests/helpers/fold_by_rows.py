"""The oracle of the fold: a study's history made row by row, as a driver makes it."""

from collections.abc import Iterable, Mapping
from typing import Any

from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["fold_by_rows"]

Row = Mapping[str, Any]


def fold_by_rows(
    spec: StudySpec,
    configs: Iterable[Row],
    trials: Iterable[Row],
    reports: Iterable[Row],
    plan: Iterable[Row],
) -> History:
    """Apply every row, merged by `seq`; `tune.tables.fold` does the same to Arrow tables.

    Args:
        spec: The study.
        configs: Rows of the `configs` table.
        trials: Rows of the `trials` table.
        reports: Rows of the `reports` table.
        plan: Rows of the `plan` table.

    Returns:
        The same history as the driver had after its last append.
    """
    history = History(spec)
    for row in sorted(configs, key=lambda row: row["number"]):
        history.apply_config(row)
    events = [(row["seq"], 0, row) for row in trials]
    events += [(row["seq"], 1, row) for row in reports]
    events += [(row["seq"], 2, row) for row in plan]
    apply = (history.apply_event, history.apply_report, history.apply_plan)
    for _, table, row in sorted(events, key=lambda item: item[:2]):
        apply[table](row)
    return history
