"""A new study that knows an old search: nothing else of it, and none of its seeds."""

from datetime import UTC, datetime

import pytest
from small_study import noisy, study

from hscl.errors import InputError
from tune.planner.run_model_sampler import ELSEWHERE
from tune.planner.told_trials import MOST_TOLD, told_trials
from tune.planner.warm_start import OPENED_BEFORE, warm_start_rows
from tune.simulate.study import SimulatedRun, simulate
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.tables.history import History


def warm(spec: StudySpec, earlier: History) -> SimulatedRun:
    rows = warm_start_rows(spec, earlier, "old")
    plan = [{"seq": seq} | row for seq, row in enumerate(rows)]
    return SimulatedRun(spec, noisy(failing=0.1), tables={"plan": plan})


def old(text: str = "") -> History:
    return simulate(study(text, sampler="tpe"), noisy(failing=0.1)).history


def test_its_sampler_knows_every_trial_of_the_old_search() -> None:
    earlier = old()
    run = warm(study(sampler="tpe"), earlier)
    told = [t for t in told_trials("gp", run.spec, run.history) if t.number % 2 == 0]
    assert all(trial.user_attrs == {ELSEWHERE: True} for trial in told)
    assert [trial.params for trial in told] == [r.params for r in earlier.configs.values()]
    values = {trial.value for trial in earlier.search_trials.values() if trial.state != "failed"}
    assert {trial.value for trial in told if trial.value is not None} == values


def test_beyond_what_the_model_learns_from_none_of_the_old_takes_a_place_of_the_best() -> None:
    spec = study("sampler.trials = 500\nscheduler.kind = 'none'\nconfirm.seeds = 0", epochs=1)
    # On other data: all values are smaller there.
    earlier = simulate(spec, lambda *run: noisy()(*run) - 0.5).history
    rows = warm_start_rows(spec, earlier, "old")[-100:]
    plan = [{"seq": seq} | row for seq, row in enumerate(rows)]
    run = SimulatedRun(spec, noisy(), tables={"plan": plan})
    while len(run.history.search_trials) < 300:
        run.run(1)
    most = MOST_TOLD["refine"]
    told = told_trials("refine", spec, run.history)
    values = sorted(t.value or 0.0 for t in run.history.search_trials.values() if t.ended)
    assert {*values[: most // 4 - 1]} <= {trial.value for trial in told}


def test_it_never_uses_a_seed_that_the_old_study_used() -> None:
    earlier = old()
    run = warm(study(sampler="tpe"), earlier).run()
    before = {trial.seed for trial in earlier.trials.values()}
    after = {trial.seed for trial in run.history.trials.values()}
    assert not before & after
    third = warm(study(sampler="tpe"), run.history).run()
    assert not (before | after) & {trial.seed for trial in third.history.trials.values()}
    # And it knows both searches.
    both = len(earlier.search_trials) + len(run.history.search_trials)
    assert len(third.history.warm) == both


def test_points_outside_the_new_space_are_left_out() -> None:
    earlier = old()
    narrow = '[space]\n"loss.temperature" = { log_uniform = [0.03, 0.1] }'
    run = warm(study("sampler.trials = 3", space=narrow, sampler="tpe"), earlier)
    told = [t for t in told_trials("gp", run.spec, run.history) if t.number % 2 == 0]
    inside = [r for r in earlier.configs.values() if float(r.params["loss.temperature"]) <= 0.1]
    assert len(told) == len(inside) > 0
    assert all(set(trial.params) == {"loss.temperature"} for trial in told)


def test_a_parameter_that_was_not_searched_before_has_its_old_value() -> None:
    earlier = old()
    wide = '[space]\n"loss.omega1" = { uniform = [0, 1] }\n"loss.alpha" = { uniform = [0, 1] }'
    run = warm(study(space=wide, sampler="tpe"), earlier)
    told = told_trials("gp", run.spec, run.history)
    assert {trial.params["loss.alpha"] for trial in told} == {0.1}


def test_old_values_choose_nothing() -> None:
    run = warm(study(sampler="tpe"), old()).run()
    entered = {row["config_id"] for row in run.history.plan_rows(Kind.FINALIST)}
    assert entered <= set(run.history.configs)
    assert len(run.history.configs) == len(run.history.search_trials) == 12 + 4


def test_that_test_was_opened_before_is_passed_on() -> None:
    closed = old("confirm.seeds = 0")
    assert "test_opened" not in {r["kind"] for r in warm_start_rows(study(), closed, "old")}
    rows = warm_start_rows(study(), old(), "old")
    assert rows[-1]["kind"] == "test_opened"
    assert rows[-1]["note"] == f"{OPENED_BEFORE}, by old"  # in memory rows have no times


def test_the_moment_of_an_opening_is_passed_on_from_study_to_study() -> None:
    earlier = old()
    (opened,) = earlier.plan_rows(Kind.TEST_OPENED)
    opened["time"] = datetime(2026, 3, 2, 9, 41, tzinfo=UTC)
    told = warm_start_rows(study(), earlier, "old")[-1]["note"]
    assert told == f"{OPENED_BEFORE}, on 2026-03-02 09:41 UTC by old"
    # A study whose own row says that it was opened before it passes that moment on.
    opened["note"], opened["time"] = told, datetime(2026, 5, 5, tzinfo=UTC)
    told = warm_start_rows(study(), earlier, "next")[-1]["note"]
    assert told == f"{OPENED_BEFORE}, on 2026-03-02 09:41 UTC by next"
    opened["note"] = f"{OPENED_BEFORE}, by someone"  # as versions before this wrote it
    assert warm_start_rows(study(), earlier, "next")[-1]["note"] == f"{OPENED_BEFORE}, by next"


def test_what_can_not_be_learned_from_is_refused() -> None:
    earlier = old()
    with pytest.raises(InputError, match="metric must be 'mae' as in old"):
        warm_start_rows(study('study.metric = "corr"'), earlier, "old")
    used = earlier.spec.seed_plan().screen
    with pytest.raises(InputError, match=r"confirm\.seeds must be fresh"):
        warm_start_rows(study(f"confirm.seeds = [{used}]"), earlier, "old")
    listed = simulate(study('[[known]]\n"loss.high" = false', sampler="list"), noisy())
    with pytest.raises(InputError, match="must have ended trials of a search"):
        warm_start_rows(study(), listed.history, "old")
