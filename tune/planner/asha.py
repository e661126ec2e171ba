"""Who stops early: asynchronous successive halving on rungs that are rebuilt from the tables.

Where it departs from the stock scheduler of Ray Tune, and why:

- Rungs are whole numbers, `grace · factor^k` below the last epoch; no floating-point logarithm.
- A trial is compared at a rung exactly when it reports that epoch for the first time; one that
  resumes from a checkpoint is compared only at rungs that it has not passed.
- Its own value counts, and nobody stops before `factor` values are there.
- A trial that ended by its own patience keeps its value at every later rung.
- Whom a person stopped ends with the next report, in screen and refine.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, in its
stopping form: a trial below the cut stops, none waits to be promoted.
"""

import math
from bisect import bisect_left

from tune.states import Phase
from tune.study.spec import StudySpec
from tune.tables.history import History

__all__ = ["should_stop"]


def should_stop(
    spec: StudySpec,
    history: History,
    trial_id: str,
    epoch: int,
    value: float | None,
    *,
    finished: bool = False,
) -> bool:
    """Whether a trial that reports now ends here.

    Call it before the report's row is applied: the decision is part of that row.

    Args:
        spec: The study.
        history: All rows so far.
        trial_id: Who reports.
        epoch: The epoch that it reports, from 1.
        value: Its valid metric at this epoch; None or NaN where it is missing.
        finished: The training ends by itself with this epoch; then there is nothing to stop.

    Returns:
        True where a person stopped the trial, and at a rung where at least `reduction_factor`
        values are there, the trial's own included, and its best value so far is not among the
        best ⌊n/factor⌋; ties stay. A trial without any value yet has none to count and is never
        among the best.
    """
    trial = history.trials[trial_id]
    if finished or epoch <= trial.epoch:
        return False
    by_hand = trial.phase.searches and trial_id in history.stopped_by_hand
    if by_hand or trial.phase is not Phase.SCREEN:
        return by_hand
    if spec.sampler.per is not None:  # compared within its branch
        history = history.branch(history.configs[trial.config_id].params[spec.sampler.per])
    if epoch not in history.rungs:
        return False
    current = math.nan if value is None or not math.isfinite(value) else value
    best = history.better(trial.best.get(trial.epoch, math.nan), current)
    others = history.rung_values(epoch)
    count = len(others) + (not math.isnan(best))
    factor = spec.scheduler.reduction_factor
    if count < factor:
        return False
    if math.isnan(best):
        return True
    better_than_this = bisect_left(others, history.sign * best)
    return better_than_this >= count // factor
