"""What each screen of a study with `sampler.per` has cost, whom it chose, how large that is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import pyarrow as pa

from tune.display import MISSING, count, duration_text
from tune.states import Kind, Phase, TrialState
from tune.study.space import Value
from tune.tables.history import History

__all__ = ["BRANCH_HEADS", "BranchCost", "branch_cells", "branch_costs"]

BRANCH_HEADS = ("Its screen", "A training", "Parameters")


@dataclass(frozen=True)
class BranchCost:
    """One screen, and its winner.

    Attributes:
        value: Of `sampler.per`, such as "mult".
        config_id: Its winner; None before it is chosen, and where none could be.
        tuned: The winner is another configuration than the one that the screen began with.
        trainings: Of its screen.
        epochs: Of these.
        seconds: Of these.
        training_s: Mean training time of the winner's complete runs in confirm; None without any.
        parameters: Numbers that the winner trains outside the text encoder; None: not recorded.
    """

    value: Value
    config_id: str | None
    tuned: bool
    trainings: int
    epochs: int
    seconds: float
    training_s: float | None
    parameters: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def branch_costs(history: History, trials: pa.Table) -> tuple[BranchCost, ...]:
    """All screens, the reference's first; none in a study that has no branches.

    Args:
        history: The study's rows.
        trials: Its table of events.
    """
    chosen = {row["other_config_id"]: row["config_id"] for row in history.plan_rows(Kind.WINNER)}
    known = zip(trials["config_id"].to_pylist(), trials["parameters"].to_pylist(), strict=True)
    parameters = {config_id: many for config_id, many in known if many is not None}
    found = []
    for value in history.branches:
        branch = history.branch(value)
        default = None if branch.default is None else branch.default.config_id
        winner = chosen.get(default)
        runs = [
            trial.seconds
            for trial in history.trials.values()
            if (trial.config_id, trial.phase) == (winner, Phase.CONFIRM)
            and trial.state is TrialState.DONE
        ]
        found.append(
            BranchCost(
                value=value,
                config_id=winner,
                tuned=winner not in {None, default},
                trainings=len(branch.trials),
                epochs=branch.epochs,
                seconds=branch.seconds,
                training_s=fmean(runs) if runs else None,
                parameters=None if winner is None else parameters.get(winner),
            )
        )
    return tuple(found)


def branch_cells(costs: Mapping[str | None, BranchCost], config_id: str) -> tuple[str, str, str]:
    """Cells below `BRANCH_HEADS` for a configuration.

    Args:
        costs: By winner.
        config_id: Of a winner.
    """
    one = costs.get(config_id)
    if one is None:
        return MISSING, MISSING, MISSING
    return (
        f"{count(one.trainings, 'training')}, {duration_text(one.seconds)}",
        MISSING if one.training_s is None else duration_text(one.training_s),
        MISSING if one.parameters is None else f"{one.parameters:,}",
    )
