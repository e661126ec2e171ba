"""A grid study's runs as shares and curves."""

import numpy as np
import pytest

from hscl.config import preset
from tune.stats.effects import SEED
from tune.stats.factorial import analyse_grid
from tune.stats.grid_effects import GridRun, grid_effects
from tune.study.space import Distribution, Space

TEMPERATURES = (1.0, 0.1, 0.5)
LABELS = ("supcr", "none")
SPACE = Space(
    preset("mosi"),
    {
        "loss.temperature": Distribution("choice", TEMPERATURES),
        "loss.labels": Distribution("choice", LABELS),
        "loss.alpha": Distribution("choice", (0.1,)),
    },
)


def _runs(seed: int = 0, noise: float = 0.02) -> list[GridRun]:
    rng = np.random.default_rng(seed)
    return [
        GridRun(
            {"loss.temperature": t, "loss.labels": label, "loss.alpha": 0.1},
            s,
            0.7 + 0.1 * t + rng.normal(0, noise),
        )
        for t in TEMPERATURES
        for label in LABELS
        for s in range(5)
    ]


def test_shares_are_those_of_the_analysis_of_variance() -> None:
    runs = _runs()
    found = grid_effects(SPACE, runs)
    values = np.array([run.value for run in runs]).reshape(3, 2, 5)
    exact = analyse_grid(values)
    whole = exact.seed_component + sum(effect.component for effect in exact.effects)
    shares = {share.name: share for share in found.shares}
    assert shares[SEED].part == pytest.approx(exact.seed_component / whole)
    assert shares["loss.temperature"].part == pytest.approx(exact.effects[0].component / whole)
    assert shares["loss.temperature"].matters
    assert not shares["loss.labels"].matters
    assert shares["loss.temperature × loss.labels"].matters is None
    assert sum(share.part for share in shares.values()) == pytest.approx(1.0)


def test_curves_rise_with_numbers_and_keep_the_order_of_words() -> None:
    found = grid_effects(SPACE, _runs())
    temperature, labels = found.responses
    assert temperature.values == (0.1, 0.5, 1.0)
    assert temperature.mean == pytest.approx((0.71, 0.75, 0.80), abs=0.02)
    assert temperature.log
    assert labels.values == LABELS
    assert not labels.log
    assert len(labels.observed) == 30
    assert temperature.low[0] < temperature.mean[0] < temperature.high[0]


def test_the_order_of_runs_does_not_matter() -> None:
    runs = _runs()
    assert grid_effects(SPACE, runs[::-1]).shares == grid_effects(SPACE, runs).shares


def test_a_seed_that_lacks_a_cell_is_left_out_and_told() -> None:
    found = grid_effects(SPACE, _runs()[1:])
    assert "1 seeds lack" in found.notes[1]
    whole = grid_effects(SPACE, [run for run in _runs() if run.seed != 0])
    assert found.shares == whole.shares


def test_a_grid_that_is_not_whole_says_so() -> None:
    found = grid_effects(SPACE, [run for run in _runs() if run.point["loss.labels"] == "none"])
    assert found.shares == ()
    assert "not whole" in found.notes[0]
    assert grid_effects(SPACE, []).shares == ()


def test_a_grid_with_conditions_is_no_full_table_however_far_it_ran() -> None:
    # Labels exist at one temperature alone: no other temperature can ever have a cell for them.
    labels = Distribution("choice", LABELS, (("loss.temperature", 0.5),))
    space = Space(
        preset("mosi"),
        {"loss.temperature": Distribution("choice", TEMPERATURES), "loss.labels": labels},
    )
    found = grid_effects(space, _runs())
    assert found.shares == ()
    assert "not every parameter is active everywhere" in found.notes[0].lower()


def test_values_without_any_spread_have_no_shares_but_the_seeds_zero() -> None:
    flat = [GridRun(run.point, run.seed, 0.7) for run in _runs()]
    assert [share.part for share in grid_effects(SPACE, flat).shares] == [0.0]
