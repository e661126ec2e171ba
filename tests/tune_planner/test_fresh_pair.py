"""The winner against the default on unused seeds, as a study of its own."""

import pytest
from synthetic import objective, study

from hscl.config import Config
from hscl.errors import InputError
from tune.planner.fresh_pair import fresh_pair
from tune.planner.warm_start import warm_start_rows
from tune.simulate.study import SimulatedRun
from tune.states import Kind


def test_exactly_the_winner_and_the_default_run_on_seeds_that_were_never_used() -> None:
    earlier = SimulatedRun(study(), objective).run().history
    spec = fresh_pair(earlier, 7, "old")
    assert spec.base == earlier.spec.base
    rows = warm_start_rows(spec, earlier, "old")
    assert [row["kind"] for row in rows] == [Kind.WARM_START, Kind.TEST_OPENED]
    run = SimulatedRun(spec, objective)
    for seq, row in enumerate(rows):
        run.history.apply_plan(row | {"seq": seq, "time": None})
    history = run.run().history
    assert history.ending is not None
    default, other = history.configs.values()
    assert earlier.winner is not None
    assert Config.from_json(default.config) == earlier.spec.base
    assert other.config_id == earlier.winner
    seeds = [trial.seed for trial in history.trials.values()]
    assert len(set(seeds)) == 7
    assert len(seeds) == 14
    assert not set(seeds) & earlier.used_seeds


def test_what_has_no_winner_to_confirm_is_refused_with_what_to_do() -> None:
    halfway = SimulatedRun(study(), objective).run(5).history
    with pytest.raises(InputError, match="go on with hscl search old"):
        fresh_pair(halfway, 3, "old")
    table = study(space={}, sampler={"kind": "list"}, known=[{"name": "a", "loss.alpha": 0.3}])
    rows = SimulatedRun(table, objective).run().history
    with pytest.raises(InputError, match="must be a search"):
        fresh_pair(rows, 3, "old")
