"""What `bench_expected.py` reports of a search is its expectation less the truth it is given."""

import numpy as np
import pytest
from bench_expected import Truth, told
from regret.arms import simulated
from regret.worlds import World

from tune.evidence.search.learnt import what_was_learnt
from tune.search_model import TOO_SURE
from tune.tables.schemas import SCHEMAS


def test_errors_are_expectations_less_the_truth_and_sds_the_models_own() -> None:
    world = World("bowl-2", 3, 4.0, 9)
    run = simulated("default", world, 50 * 9)
    known = what_was_learnt(run.history, SCHEMAS["predictions"].empty_table())
    assert known is not None
    expected = {one.config_id: one for one in known.ranking.others}
    default, winner = known.default, run.history.winner
    assert default is not None
    assert winner is not None

    def truth_of(one: str) -> Truth:
        """Each is a unit better than expected; the default is truly best."""
        return Truth(expected[one].value - 1.0 if one in expected else -9.0, 0.25)

    found = told(run, truth_of)
    assert found is not None
    assert found.winner == pytest.approx(
        np.array([[1.0, (expected[winner].sd or 0.0) / TOO_SURE, 0.5]])
    )
    default_too = run.history.search_trials[default].state == "done"
    assert len(found.others) == len(expected) - 1 + default_too
    assert found.gap[0, 2] == pytest.approx(0.5**0.5)
    assert found.worse
    before, after = found.chances
    assert before != after  # confirm's pairs count
