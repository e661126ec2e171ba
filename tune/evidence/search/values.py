"""What one configuration of a study has: its trials, its state, its value, what it varies."""

from collections.abc import Iterable

from hscl.config import Config
from tune.states import Phase, TrialState
from tune.study.space import Value
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.records import ConfigRecord, TrialRecord
from tune.tables.salvage import UNKNOWN

__all__ = [
    "best_epoch",
    "furthest_trials",
    "state_of",
    "trials_of",
    "varied_names",
    "varied_values",
]

_WAITING = "waiting"
"""State of a configuration that was proposed and never started."""


def furthest_trials(history: History, config_id: str) -> list[TrialRecord]:
    """The trials that a configuration's value is the mean of.

    Those of the furthest phase in which any is complete, the complete ones; before that, of the
    furthest phase in which any has a value. So a mean does not sink while further seeds begin.

    Args:
        history: The study's rows.
        config_id: Which configuration.

    Returns:
        In order of first start; empty before the first value.
    """
    valued = [trial for trial in trials_of(history, config_id) if trial.value is not None]
    among = [trial for trial in valued if trial.state is TrialState.DONE] or valued
    order = list(Phase)
    last = max((order.index(trial.phase) for trial in among), default=0)
    return [trial for trial in among if trial.phase is order[last]]


def trials_of(history: History, config_id: str) -> list[TrialRecord]:
    """All trials of a configuration, in order of first start."""
    return [trial for trial in history.trials.values() if trial.config_id == config_id]


def best_epoch(trial: TrialRecord) -> int | None:
    """The first epoch that reached the trial's value; None before there is one."""
    return next((epoch for epoch, value in trial.curve.items() if value == trial.value), None)


def state_of(trials: Iterable[TrialRecord]) -> str:
    """How a configuration stands: while any of its trials is open "started", else its last end."""
    states = [trial.state for trial in trials]
    if TrialState.STARTED in states:
        return TrialState.STARTED
    done = TrialState.DONE in states
    return TrialState.DONE if done else (states[-1] if states else _WAITING)


def varied_names(spec: StudySpec) -> tuple[str, ...]:
    """What configurations of a study differ in: the space, and what known points set beside it."""
    listed = (name for point in spec.known for name in point.overrides)
    return tuple(dict.fromkeys((*spec.space, *listed)))


def varied_values(spec: StudySpec, record: ConfigRecord) -> dict[str, Value]:
    """A configuration's values of `varied_names`; what takes no part in it is left out."""
    beside = [name for name in varied_names(spec) if name not in spec.space]
    if not beside or record.config == UNKNOWN:
        return dict(record.params)
    known = Config.from_json(record.config).dotted()
    return record.params | {name: known[name] for name in beside if name in known}
