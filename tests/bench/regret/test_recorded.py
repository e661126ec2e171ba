"""A replay takes the nearest recorded configuration, and judges by runs that did not choose."""

import numpy as np
import pytest
from record_mosi import SPACE

from regret.arms import search
from regret.recorded import (
    Replay,
    _table_se,
    facts,
    read_recorded,
    replay,
    replays,
    shares,
)
from regret.worlds import Values


def _drawn(replay: Replay, count: int) -> list[Values]:
    rng, space = np.random.default_rng(3), replay.spec.searched
    return [replay.values_in(space.draw(rng)) for _ in range(count)]


def _unit(values: Values) -> list[float]:
    return [
        float(np.log(float(value or 0.0) / low) / np.log(high / low))
        for value, (low, high) in zip(values, SPACE.values(), strict=True)
    ]


def test_a_proposal_stands_for_the_nearest_configuration_not_used_yet() -> None:
    recorded, replay = read_recorded(), Replay(read_recorded(), 1)
    assert replay.place(replay.default) == 0
    used = {0}
    drawn = _drawn(replay, 270)
    for values in drawn[:255]:
        free = [place for place in range(256) if place not in used]
        gaps = [np.linalg.norm(recorded.points[place] - _unit(values)) for place in free]
        assert replay.place(values) == free[int(np.argmin(gaps))]
        assert replay.place(values) == replay.place(values)
        used.add(replay.place(values))
    assert used == set(range(256))
    for values in drawn[255:]:  # all are used: the nearest again
        gaps = np.linalg.norm(recorded.points - _unit(values), axis=1)
        assert replay.place(values) == np.argmin(gaps)


def test_a_run_is_a_recorded_curve_and_the_search_has_three_of_the_four() -> None:
    recorded = read_recorded()
    firsts = set()
    for key in range(12):
        replay = Replay(recorded, key)
        curves = {
            seed: tuple(replay.report(replay.default, seed, epoch) for epoch in range(1, 9))
            for seed in (50, 7, 8, 9, 10)
        }
        known = [tuple(map(float, curve)) for curve in recorded.valid[0]]
        runs = [known.index(curve) for curve in curves.values()]
        assert len(set(runs)) == 3
        assert len(set(runs[:3])) == 3
        firsts.add(runs[0])
        # The same seed is the same recorded one for every configuration.
        (other,) = _drawn(replay, 1)
        there = [replay.report(other, 50, epoch) for epoch in range(1, 9)]
        assert there == recorded.valid[replay.place(other), runs[0]].tolist()
    assert firsts == {0, 1, 2, 3}


def test_what_chose_does_not_judge_and_confirm_does_not_choose() -> None:
    recorded, replay = read_recorded(), Replay(read_recorded(), 2)
    whole = recorded.test[0]
    assert replay.judge(replay.default) == pytest.approx(whole.mean())
    for seed in (5, 6):
        replay.report(replay.default, seed, 1)
    used = [replay._run(0, seed) for seed in (5, 6)]
    left = [whole[run] for run in range(4) if run not in used]
    assert replay.judge(replay.default) == pytest.approx(np.mean(left))
    without = [whole[run] for run in range(4) if run != used[0]]
    assert replay.judge(replay.default, frozenset({6})) == pytest.approx(np.mean(without))


@pytest.mark.parametrize(
    ("arm", "total"), [("optuna", 60), ("random-rerun4", 120), ("default", 180)]
)
def test_every_arm_can_search_the_recorded_trainings(arm: str, total: int) -> None:
    first, again, other = (Replay(read_recorded(), key) for key in (1, 1, 2))
    found = [search(arm, replay, total) for replay in (first, again, other)]
    assert found[0] == found[1]
    assert found[0].proposed != found[2].proposed
    assert found[0].epochs <= total
    assert 0.75 < first.judge(found[0].exported, found[0].confirmed) < 1.5


def test_rows_hold_differences_paired_by_replay() -> None:
    rows, missing = replays(
        ["random", "default confirm.seeds=-1"], 40, range(4), slots=1, over=map
    )
    assert [row["arm"] for row in rows] == ["random"]
    assert len(missing) == 1
    assert missing[0].startswith("default confirm.seeds=-1: ")
    assert "must be a number of seeds" in missing[0]
    (row,) = rows
    gap = row["test_mae"] - read_recorded().test[0].mean()
    assert row["to_default"] == pytest.approx(gap)
    assert row["se_to_default"] == pytest.approx(row["se"])
    assert "to_optuna" not in row
    assert 1 <= row["exports"] <= 4
    assert row["configurations"] == 5.0


def test_shares_of_variance_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2.0, (4_000, 1)) + rng.normal(0, 3.0, (4_000, 30))
    values += np.linspace(-1.5, 1.5, 30)[rng.permutation(30)] * 1.6
    seed = float(np.var(np.linspace(-1.5, 1.5, 30) * 1.6, ddof=1))
    of_rows, of_columns = shares(values)
    assert of_rows == pytest.approx(4.0 / (13.0 + seed), rel=0.05)
    assert of_columns == pytest.approx(seed / (13.0 + seed), rel=0.05)
    assert shares(rng.normal(0, 1.0, (500, 4)))[0] < 0.05


def test_the_recorded_table_says_that_a_run_is_mostly_its_seed() -> None:
    told = facts(read_recorded())
    assert 0.1 < told["share of configuration, test"] < 0.3
    assert told["share of seed, test"] < 0.03
    assert 0.1 < told["one run's test and the others' mean test, Spearman"] < 0.4


def test_a_search_is_told_which_configuration_ran() -> None:
    recorded, replay = read_recorded(), Replay(read_recorded(), 4)
    known = {tuple(map(float, values)) for values in recorded.values}
    for values in _drawn(replay, 40):
        stands = replay.stands_for(values)
        assert stands in known
        assert replay.place(stands) == replay.place(values)
        assert replay.stands_for(stands) == stands
    for arm in ("optuna", "random", "default"):
        assert search(arm, Replay(recorded, 5), 180).proposed <= known


def test_the_error_by_configuration_is_that_of_independent_means_where_all_differ() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.0, 1.0, 400), rng.normal(0.0, 2.0, 400)
    places = np.arange(400, dtype=np.float64)
    assert _table_se((one, places), (other, places + 400)) == pytest.approx(
        (5.0 / 400) ** 0.5, rel=0.1
    )
    # Always the same two configurations: as if each had been tried once.
    one, other = (1.0 + rng.permutation(np.repeat([-0.5, 0.5], 200)) for _ in range(2))
    first, second = ((tests > 1.0).astype(np.float64) for tests in (one, other))
    assert _table_se((one, first), (other, second + 2.0)) == pytest.approx(0.5)


def test_the_error_of_a_gap_to_the_default_has_the_defaults_own_error_in_it() -> None:
    rows, missing = replays(
        ["default-alone", "random"], 80, range(10_000, 10_012), slots=1, over=map
    )
    assert not missing
    alone, random = rows
    assert alone["table_se_to_default"] == 0.0
    spread = np.minimum(read_recorded().test, 1.0).var(axis=1, ddof=1).mean() ** 0.5
    places = np.array([replay(key, "random", 80)[3] for key in range(10_000, 10_012)])
    assert random["table_se_to_default"] > spread / 2 * (places != 0).mean()


def test_a_total_that_a_rival_can_do_nothing_with_is_said() -> None:
    rows, missing = replays(["optuna-rerun5"], 60, [10_000, 10_001], slots=1, over=map)
    assert rows == []
    assert "optuna-rerun5" in missing[0]
    assert "again in 10 trainings" in missing[0]
