"""Who is best, and by what."""

import math

import pytest
from small_study import noisy, shuffled, study

from tune.planner.ranking import rank
from tune.simulate.study import simulate


@pytest.mark.parametrize("slots", [1, 4])
def test_all_complete_trainings_of_screen_and_refine_are_ranked_by_their_value(slots: int) -> None:
    run = simulate(study(), noisy(1, failing=0.1), slots=slots, pick=shuffled(1))
    ranking = rank(run.spec, run.history)
    done = {row["trial_id"] for row in run.tables["trials"] if row["state"] == "done"}
    best: dict[str, float] = {}
    for row in run.tables["reports"]:
        trial = run.history.trials[row["trial_id"]]
        if row["trial_id"] in done and trial.phase in {"screen", "refine"}:
            best[trial.config_id] = min(best.get(trial.config_id, math.inf), row["valid_mae"])
    default = best.pop(run.spec.base.config_id, None)
    expected = sorted(best.items(), key=lambda item: item[1])
    assert [(one.config_id, one.value) for one in ranking.others] == expected
    assert (ranking.default.value if ranking.default else None) == default
    assert {run.history.search_trials[one].phase for one in best} == {"screen", "refine"}
    assert not ranking.trusted


def test_more_is_better_of_a_metric_that_grows() -> None:
    spec = study('study.metric = "corr"')
    ranking = rank(spec, simulate(spec, noisy()).history)
    values = [one.value for one in ranking.others]
    assert values == sorted(values, reverse=True)
