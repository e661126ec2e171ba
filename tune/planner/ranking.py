"""Which configuration is best: what each with a complete training is expected to reach."""

from dataclasses import dataclass

from tune.states import TrialState
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["Expected", "Ranking", "rank"]


@dataclass(frozen=True)
class Expected:
    """What a configuration is expected to reach on valid.

    Attributes:
        config_id: Which.
        value: Expected best valid metric of a further training.
        sd: Standard deviation of that expectation; None without a model.
        observed: What its own training reached; None where that isn't complete.
    """

    config_id: str
    value: float
    sd: float | None
    observed: float | None


@dataclass(frozen=True)
class Ranking:
    """All that may be chosen, best first.

    Attributes:
        others: The configurations other than the default with a complete training.
        default: The default; None where nothing is expected of it.
        trusted: A model decides; else the best observed value.
        note: In words, what decides, and why no model where there is none.
    """

    others: tuple[Expected, ...]
    default: Expected | None
    trusted: bool
    note: str


def rank(spec: StudySpec, history: History) -> Ranking:
    """Rank what screen and refine have trained to the end.

    Args:
        spec: The study.
        history: All rows so far.

    Returns:
        By the best observed value; equal ones in order of proposal.
    """
    default = None if history.default is None else history.default.config_id
    sign = 1.0 if spec.mode == "min" else -1.0
    complete = [
        Expected(config_id, value=trial.value, sd=None, observed=trial.value)
        for config_id, trial in history.search_trials.items()
        if trial.state is TrialState.DONE and trial.value is not None
        if config_id in history.configs
    ]

    def place(one: Expected) -> tuple[float, int]:
        return sign * one.value, history.configs[one.config_id].number

    return Ranking(
        others=tuple(sorted((one for one in complete if one.config_id != default), key=place)),
        default=next((one for one in complete if one.config_id == default), None),
        trusted=False,
        note="best observed value",
    )
