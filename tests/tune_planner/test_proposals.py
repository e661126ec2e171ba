"""Rows of the configs table, and a space with nothing new left."""

import itertools

from small_study import noisy, study

from hscl.config import Config
from tune.planner.proposals import propose
from tune.simulate.study import simulate
from tune.states import Kind, Phase
from tune.tables.history import History

SMALL = "[space.loss]\nlow = { choice = [true, false] }\nhigh = { choice = [true, false] }"
FIXED = {"config_id", "number", "origin", "name", "config", "hscl_version"}


def test_a_row_has_a_column_for_each_searched_parameter() -> None:
    space = (
        '[space]\n"train.optimizer" = { choice = ["adam", "adamw"] }\n'
        '"train.weight_decay" = { uniform = [0.0, 0.1], when = { "train.optimizer" = "adamw" } }'
    )
    spec = study(space=space)
    row = propose(spec, History(spec), 0, Phase.SCREEN).config
    assert row is not None
    assert set(row) == FIXED | {"train.optimizer", "train.weight_decay"}
    assert row["train.optimizer"] == "adam"
    assert row["train.weight_decay"] is None  # inactive beside adam
    assert (row["number"], row["origin"], row["name"]) == (0, "default", "default")
    assert Config.from_json(row["config"]) == spec.base


def test_a_known_point_outside_the_space_runs_with_its_own_values() -> None:
    spec = study('[[known]]\nname = "hot"\n"loss.temperature" = 3.0\n"loss.high" = false')
    row = propose(spec, History(spec), 1, Phase.SCREEN).config
    assert row is not None
    assert (row["origin"], row["name"], row["loss.temperature"]) == ("known", "hot", 3.0)
    assert Config.from_json(row["config"]).loss.high is False


def test_a_small_space_is_tried_whole_and_then_the_search_ends() -> None:
    ends = ((12, Phase.SCREEN), (3, Phase.REFINE))
    for sampler, (trials, phase) in itertools.product(("random", "tpe"), ends):
        text = f"sampler.trials = {trials}"
        run = simulate(study(text, space=SMALL, sampler=sampler), noisy())
        assert len(run.history.configs) == 4
        rows = run.history.plan_rows(Kind.SPACE_EXHAUSTED)
        assert [(row["value"], row["phase"]) for row in rows] == [(4, phase)]
        assert "none of" in rows[0]["note"]
        assert run.history.plan_rows(Kind.WINNER)


def test_constraints_that_leave_little_are_searched_for() -> None:
    rules = 'constraints.rules = ["loss.omega1 <= 0.02", "loss.omega1 >= 0.01"]'
    run = simulate(study(f"sampler.trials = 6\nrefine.trials = 2\n{rules}"), noisy())
    assert len(run.history.configs) == 8
    for record in list(run.history.configs.values())[1:]:
        assert 0.01 <= float(record.params["loss.omega1"]) <= 0.02


def test_the_rows_of_a_table_are_its_points_in_order() -> None:
    spec = study(space=SMALL, sampler="grid")
    history = History(spec)
    for number, point in enumerate(spec.compared_points):
        row = propose(spec, history, number, Phase.CONFIRM).config
        assert row is not None
        history.apply_config(row)
        assert Config.from_json(row["config"]) == point.config
    assert len(history.configs) == 4
