"""A quick calibration of the very code: wide bands, but wrong methods fall outside them."""

import math

import numpy as np
import pytest

from calibrated.cells import (
    Cell,
    ConfirmCell,
    confirm_cells,
    null_cells,
    run_cell,
    run_confirm_cell,
    run_power_cell,
)
from tune.evidence.pair import Rules, compare_pair
from tune.simulate.runs import Proportion, RandomEffects
from tune.stats.intervals import crossed_variance

STUDIES = 300
FIVE = 5 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.mark.parametrize("pairs", [6, 10])
@pytest.mark.parametrize(
    ("metric", "effects"),
    [
        ("mae", RandomEffects(video=0.1)),
        ("mae", RandomEffects(seed=0.1, video=0.0)),
        ("mae", RandomEffects(seed=0.05, video=0.1, shape="heavy")),
        ("mae", RandomEffects(video=0.1, failure_rate=0.1)),
        ("acc2_non0", RandomEffects(video=0.3, utterance=0.3)),
        ("corr", RandomEffects(video=0.3, utterance=0.3)),
        ("f1_has0", RandomEffects(video=0.3, utterance=0.3)),
        ("acc2_has0", RandomEffects(video=0.3, utterance=0.3, failure_rate=0.1)),
        ("f1_non0", RandomEffects(video=0.3, utterance=0.3, failure_rate=0.1)),
    ],
)
def test_null_studies_seldom_claim_and_intervals_hold_the_truth(
    metric: str, effects: RandomEffects, pairs: int
) -> None:
    latent = metric != "mae"
    cell = Cell("quick", metric, pairs, effects, latent=latent)
    found = run_cell(cell, STUDIES, np.random.default_rng(pairs))
    assert found.claims.value <= 0.05 + FIVE
    assert found.new_videos.value >= 0.95 - FIVE
    if not latent:
        assert found.this_test_set.value == pytest.approx(0.95, abs=FIVE)


def test_utterances_as_the_unit_fall_outside_the_band() -> None:
    """What the code would claim if it took utterances for independent."""
    rng = np.random.default_rng(0)
    cell = Cell("quick", "mae", 10, RandomEffects(video=0.1))
    claims = 0
    for _ in range(STUDIES):
        runs, _here = cell.draw(rng)
        error = np.abs(runs.predictions - runs.labels)
        table = error[0] - error[1]
        claims += crossed_variance(table, np.arange(runs.labels.size)).interval().excludes()
    assert claims / STUDIES > 0.05 + FIVE


def test_seeds_as_the_only_unit_fall_outside_the_band() -> None:
    rng = np.random.default_rng(1)
    cell = Cell("quick", "mae", 10, RandomEffects(video=0.1))
    claims = 0
    for _ in range(STUDIES):
        runs, _here = cell.draw(rng)
        pair = compare_pair(runs, ("a", "b"), "mae", Rules(margin=0.02))
        assert pair.this_test_set is not None
        claims += pair.this_test_set.excludes()
    assert claims / STUDIES > 0.05 + FIVE


def test_the_power_on_this_test_set_is_the_exact_one() -> None:
    by_t, by_flip, exact = run_power_cell(10, 1.0, STUDIES, np.random.default_rng(2))
    assert exact == pytest.approx(0.80, abs=0.01)
    assert by_t.value == pytest.approx(exact, abs=5 * by_t.error)
    assert by_flip.value == pytest.approx(exact, abs=5 * by_flip.error)


@pytest.mark.parametrize("orders", [1, 2])
def test_all_looks_together_claim_no_more_than_one_and_intervals_hold_where_they_end(
    orders: int,
) -> None:
    effects = RandomEffects(seed=0.02, video=0.0, utterance=0.0, error=0.1)
    cell = ConfirmCell("quick", effects, {1: 10, 2: 6}[orders], 0.0, orders)
    found = run_confirm_cell(cell, STUDIES, np.random.default_rng(3))
    assert found.any_claim.value <= 0.05 + FIVE
    assert found.claims.value <= found.any_claim.value
    assert min(found.new_videos.value, found.this_test_set.value) >= 0.95 - FIVE


def test_a_large_gap_ends_confirm_early_with_the_verdict_of_one_look_at_the_end() -> None:
    effects = RandomEffects(seed=0.01, video=0.02, utterance=0.0, error=0.1)
    found = run_confirm_cell(ConfirmCell("quick", effects, 10, 4.0), 50, np.random.default_rng(4))
    assert found.claims.value == found.fixed.value == 1.0
    assert found.pairs < 7.0
    assert found.lost.value == 0.0


def test_at_one_margin_no_look_calls_a_pair_equivalent_too_often() -> None:
    effects = RandomEffects(seed=0.005, video=0.01, utterance=0.0, error=0.1)
    cell = ConfirmCell("quick", effects, 10, 1.0)
    found = run_confirm_cell(cell, STUDIES, np.random.default_rng(5))
    assert found.any_equivalent.value <= 0.05 + FIVE


def test_the_table_of_confirms_covers_seeds_and_gaps() -> None:
    cells = confirm_cells()
    assert {cell.seeds for cell in cells} == {6, 10, 20}
    assert {cell.gap for cell in cells} == {0.0, 0.5, 1.0, 2.0, 3.0}
    assert {cell.orders for cell in cells} == {1, 2}


def test_failed_runs_leave_some_studies_without_a_verdict() -> None:
    cell = Cell("quick", "mae", 6, RandomEffects(failure_rate=0.3))
    found = run_cell(cell, 100, np.random.default_rng(4))
    assert found.silent > 10
    assert found.claims.studies == 100 - found.silent


def test_the_table_covers_all_kinds_of_studies() -> None:
    cells = null_cells()
    assert {cell.pairs for cell in cells} == {6, 10, 20}
    assert {"mae", "acc2_non0", "f1_non0", "corr"} <= {cell.metric for cell in cells}
    assert {"normal", "heavy", "skewed"} == {cell.effects.shape for cell in cells}
    lossy = {cell.metric for cell in cells if cell.effects.failure_rate}
    assert {"mae", "acc2_has0", "f1_non0"} <= lossy
    assert any(cell.videos == 8 for cell in cells)


def test_a_share_has_its_binomial_error() -> None:
    share = Proportion(5, 100)
    assert share.value == 0.05
    assert share.error == pytest.approx(0.02179, abs=1e-5)
    assert str(share) == "0.050 ± 0.022"
    assert math.isnan(Proportion(0, 0).value)
