"""Worlds are what they say: pure functions with a unit, a default of a known rank and a best."""

import numpy as np
import pytest

from regret.surfaces import KINDS, snap
from regret.worlds import UNIT, Values, World

SEEDS = range(1, 201)


def _drawn(world: World, count: int) -> list[Values]:
    rng, space = np.random.default_rng(0), world.spec.searched
    return [world.values_in(space.draw(rng)) for _ in range(count)]


def _ends(world: World, values: Values) -> list[float]:
    return [world.report(values, seed, world.epochs) for seed in SEEDS]


@pytest.mark.parametrize("kind", KINDS)
def test_unit_default_and_best_are_what_they_are_called(kind: str) -> None:
    world = World(kind, 3)
    cube = np.random.default_rng(0).random((2_000, len(world.default)))
    true = np.sort(world._true(snap(world.landscape.space, cube)))
    assert true[:1_000].std() == pytest.approx(UNIT, rel=0.1)
    assert true[0] >= world.best - 1e-4 * UNIT
    assert true[0] <= world.best + 2.0 * UNIT
    default = world.true(world.default)
    # Terraces hold many equals: the default's rank lies within those of its own.
    assert np.mean(true < default - 1e-9) <= 0.34
    assert np.mean(true <= default + 1e-9) >= 0.16
    assert world.values_of(world.spec.base) == world.default


@pytest.mark.parametrize("kind", ["bowl-2", "mixed", "wide"])
def test_no_search_by_brute_force_finds_anything_better_than_the_best(kind: str) -> None:
    world = World(kind, 5)
    cube = np.random.default_rng(1).random((30_000, len(world.default)))
    assert world._true(snap(world.landscape.space, cube)).min() >= world.best


@pytest.mark.parametrize("kind", KINDS)
def test_a_world_follows_from_kind_and_key_whatever_was_asked_before(kind: str) -> None:
    one, same, other = World(kind, 7), World(kind, 7), World(kind, 8)
    points = _drawn(one, 3)
    there = [one.report(values, 5, epoch) for values in points for epoch in (1, 9)]
    back = [same.report(values, 5, epoch) for values in points[::-1] for epoch in (9, 1)]
    assert there == back[::-1]
    assert (one.default, one.best) == (same.default, same.best)
    assert one.default != other.default
    assert one.report(points[0], 5, 9) != one.report(points[0], 6, 9)
    assert one.report(points[0], 5, 9) != other.report(points[0], 5, 9)


def test_true_values_are_those_of_the_points_that_they_were_drawn_as() -> None:
    for kind in KINDS:
        world = World(kind, 4)
        cube = np.random.default_rng(0).random((5, len(world.default)))
        points = snap(world.landscape.space, cube)
        true = [world.true(world._values_at(point)) for point in points]
        assert true == pytest.approx(world._true(points).tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_says_what_its_point_says(kind: str) -> None:
    world = World(kind, 1)
    space, rng = world.spec.searched, np.random.default_rng(2)
    for point in (space.draw(rng) for _ in range(5)):
        config, values = space.to_config(point), world.values_in(point)
        assert world.values_of(config) == values
        assert world.objective(config, 3, 2) == world.report(values, 3, 2)


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_noise_is_the_spread_of_seeds_in_units_and_the_truth_their_mean(noise: float) -> None:
    world = World("bowl-5", 2, noise)
    ends = _ends(world, world.default)
    assert np.std(ends) == pytest.approx(noise * UNIT, rel=0.15)
    assert np.mean(ends) == pytest.approx(world.true(world.default), abs=0.2 * noise * UNIT)


def test_a_small_part_of_the_seed_is_shared_by_all_configurations() -> None:
    world = World("bowl-2", 4)
    luck = [_ends(world, values) for values in _drawn(world, 12)]
    off = np.array(np.corrcoef(luck))[np.triu_indices(12, 1)]
    assert 0.05 < off.mean() < 0.25


def test_collapses_are_part_of_the_truth_and_depend_on_the_configuration() -> None:
    world, shares = World("collapses", 2, noise=0.1), []
    for values in _drawn(world, 12):
        ends = np.array(_ends(world, values))
        assert ends.mean() == pytest.approx(world.true(values), abs=0.6 * UNIT)
        shares.append(np.mean(ends > ends.min() + 4.0 * UNIT))
    assert 0.01 < min(shares) < 0.15
    assert 0.15 < max(shares) < 0.4


def test_where_valid_is_wrong_test_is_not() -> None:
    world, gaps = World("misled", 3), []
    for values in _drawn(world, 15):
        tests = [world.test(values, seed) for seed in SEEDS]
        assert np.mean(tests) == pytest.approx(world.true(values), abs=0.25 * UNIT)
        gaps.append((np.mean(_ends(world, values)) - world.true(values)) / UNIT)
    assert 0.4 < np.std(gaps) < 1.4


def test_noise_grows_with_the_learning_rate_where_it_should() -> None:
    world = World("noisy", 3)
    points = sorted(_drawn(world, 200), key=lambda values: float(values[4] or 0.0))
    low, high = (np.std(_ends(world, values)) for values in (points[5], points[-5]))
    assert high > 2.5 * low


def test_good_ones_learn_slowly_where_they_should() -> None:
    # Of one run, how far the first epoch lies above the last: without luck between seeds.
    def left(kind: str, share: slice) -> float:
        world = World(kind, 6)
        best = sorted(_drawn(world, 200), key=world.true)[share]
        runs = [world.report(v, 1, 1) - world.report(v, 1, 9) for v in best]
        return float(np.mean(runs))

    good, bad = slice(0, 10), slice(100, 200)
    assert left("slow", good) > left("slow", bad) + 2.0 * UNIT
    assert left("bowl-5", good) < left("bowl-5", bad) + UNIT


def test_early_epochs_are_biased_by_the_learning_rate_and_the_temperature() -> None:
    world = World("early", 2)
    points = _drawn(world, 150)
    left = [world.report(v, 1, 1) - world.report(v, 1, 9) for v in points]
    columns = np.log(np.array([[v[4], v[0]] for v in points], dtype=np.float64)).T
    rate, temperature = (np.corrcoef(column, left)[0, 1] for column in columns)
    assert rate < -0.4
    assert temperature > 0.2


def test_a_longer_training_reports_more_epochs_and_ends_at_its_best() -> None:
    world = World("bowl-2", 1, epochs=20)
    curve = [world.report(world.default, 1, epoch) for epoch in range(1, 21)]
    assert curve[0] > curve[4] > curve[-1] - 0.02
    assert world.spec.base.train.epochs == 20
    with pytest.raises(IndexError):
        world.report(world.default, 1, 21)
