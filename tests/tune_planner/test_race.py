"""Who leaves the race, against SciPy and the rule's own words."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from small_study import noisy, shuffled, study

from tune.planner.race import Losses, end_round, paired_p, ranking, standing
from tune.simulate.study import SimulatedRun, simulate

values = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 6))


@given(st.lists(st.tuples(values, values), min_size=3, max_size=10))
def test_p_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    mine, leader = zip(*pairs, strict=True)
    differences = np.subtract(mine, leader)
    assume(np.ptp(differences) > 1e-9)
    expected = stats.ttest_rel(mine, leader, alternative="greater").pvalue
    assert paired_p(mine, leader) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_equal_differences_are_certain() -> None:
    assert paired_p([2, 2, 2], [1, 1, 1]) == 0
    assert paired_p([1, 1, 1], [2, 2, 2]) == 1
    assert paired_p([1, 1, 1], [1, 1, 1]) == 1


def test_fewer_than_three_pairs_say_nothing() -> None:
    assert math.isnan(paired_p([0.9, 0.9, None, 0.9], [0.1, 0.1, 0.1, None]))


def test_a_failed_seed_ranks_last() -> None:
    losses: Losses = {"a": [0.1, None], "b": [0.9, 0.9], "c": [0.2, 0.3], "d": [None, None]}
    assert ranking(losses) == ["c", "b", "a", "d"]
    assert standing(losses["d"]) == (2, math.inf)
    assert standing(losses["c"]) == (0, 0.25)


def test_equal_means_keep_the_order_of_proposal() -> None:
    assert ranking({"b": [0.5, 0.1], "a": [0.1, 0.5]}) == ["b", "a"]


def test_the_clearly_worse_leaves_and_the_default_never_does() -> None:
    losses = {
        "default": [0.90, 0.91, 0.89],
        "good": [0.50, 0.52, 0.51],
        "near": [0.51, 0.50, 0.53],
        "bad": [0.80, 0.81, 0.79],
    }
    ended = end_round(losses, "default")
    assert ended.leader == "good"
    assert [gone.config_id for gone in ended.dropped] == ["bad"]
    assert ended.dropped[0].p < 0.05 / 3


def test_the_level_is_shared_by_those_who_remain() -> None:
    leader, other = [0.0, 0.0, 0.0], [0.10, 0.14, 0.06]
    p = paired_p(other, leader)
    assert 0.05 / 3 < p < 0.05 / 2
    few = {"default": leader, "a": other, "b": [0.01, -0.01, 0.01]}
    assert [gone.config_id for gone in end_round(few, "default").dropped] == ["a"]
    more = few | {"c": [0.01, 0.01, -0.01]}
    assert end_round(more, "default").dropped == ()


def test_two_failures_end_it_only_where_the_default_had_none() -> None:
    failing: dict[str, list[float | None]] = {
        "default": [0.5, 0.5, 0.5],
        "a": [0.1, None, None],
        "b": [0.4, 0.4, None],
    }
    gone = end_round(failing, "default").dropped
    assert [one.config_id for one in gone] == ["a"]
    assert "failed on 2 seeds, the default on none" in gone[0].reason
    failing["default"] = [0.5, None, 0.5]
    assert end_round(failing, "default").dropped == ()


def literal_race(run: SimulatedRun) -> list[tuple[str, int]]:
    """(configuration, seeds seen) of everyone who leaves, from the tables and the rule's words."""
    sign = 1 if run.spec.mode == "min" else -1
    key = f"valid_{run.spec.study.metric}"
    plan = run.tables["plan"]
    seeds = next(r["seeds"] for r in plan if r["kind"] == "phase_begun" and r["phase"] == "race")
    entered = [r["config_id"] for r in plan if r["kind"] == "finalists" and r["phase"] == "race"]
    default = run.tables["configs"][0]["config_id"]
    last = {row["trial_id"]: row["state"] for row in run.tables["trials"]}

    def loss(config_id: str, seed: int) -> float:
        trial_id = f"{config_id}-{seed}"
        if last.get(trial_id) != "done":
            return math.nan
        its = [sign * r[key] for r in run.tables["reports"] if r["trial_id"] == trial_id]
        return float(min(its))

    remaining, left = list(entered), []
    for count in range(3, len(seeds)):
        if remaining == [default]:
            break
        matrix = {c: np.array([loss(c, seed) for seed in seeds[:count]]) for c in remaining}
        finished = {c: (~np.isnan(matrix[c])).sum() for c in remaining}
        fewest = min(np.isnan(matrix[c]).sum() for c in remaining)
        means = {c: np.nanmean(matrix[c]) if finished[c] else math.inf for c in remaining}
        leader = min(
            (c for c in remaining if np.isnan(matrix[c]).sum() == fewest), key=lambda c: means[c]
        )
        gone = []
        for config_id in remaining:
            if config_id == default:
                continue
            both = ~np.isnan(matrix[config_id]) & ~np.isnan(matrix[leader])
            failed = np.isnan(matrix[config_id]).sum()
            if failed >= 2 and not np.isnan(matrix[default]).any():
                gone.append(config_id)
            elif config_id != leader and both.sum() >= 3:
                p = stats.ttest_rel(
                    matrix[config_id][both], matrix[leader][both], alternative="greater"
                ).pvalue
                if p < 0.05 / (len(remaining) - 1):
                    gone.append(config_id)
        left += [(config_id, count) for config_id in gone]
        remaining = [config_id for config_id in remaining if config_id not in gone]
    return left


@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 8),
    failing=st.sampled_from([0.0, 0.15, 0.4]),
    noise=st.sampled_from([0.005, 0.05]),
)
@settings(max_examples=30, deadline=None)
def test_a_race_drops_whom_the_rules_own_words_drop_in_any_order_of_arrival(
    seed: int, slots: int, failing: float, noise: float
) -> None:
    spec = study(
        "[race]\nkeep = 'all'\nseeds = 6\n[confirm]\nseeds = 0\n[sampler]\ntrials = 7\n"
        "[scheduler]\nkind = 'none'"
    )
    objective = noisy(seed, failing=failing, noise=noise)
    run = simulate(spec, objective, slots=slots, pick=shuffled(seed))
    assume(
        any(row["kind"] == "phase_begun" and row["phase"] == "race" for row in run.tables["plan"])
    )
    assume(run.done is not None and not run.done.gave_up)
    dropped = [
        (row["config_id"], int(row["note"].split(":")[0].removeprefix("after seed ")))
        for row in run.tables["plan"]
        if row["kind"] == "dropped"
    ]
    assert dropped == literal_race(run)
    # Nobody runs a seed after leaving.
    seeds = {
        config_id: [
            r["seed"]
            for r in run.tables["trials"]
            if r["config_id"] == config_id and r["phase"] == "race" and r["state"] == "started"
        ]
        for config_id, _ in dropped
    }
    assert all(len(seeds[config_id]) == count for config_id, count in dropped)


def test_what_a_race_decides_does_not_depend_on_the_order_of_arrival() -> None:
    spec = study(
        "[race]\nkeep = 'all'\nseeds = 6\n[sampler]\ntrials = 8\n[scheduler]\nkind = 'none'"
    )
    decided = []
    for slots in (1, 3, 8):
        run = simulate(spec, noisy(5, noise=0.03), slots=slots, pick=shuffled(slots))
        decided.append(
            [
                {key: value for key, value in row.items() if key != "seq"}
                for row in run.tables["plan"]
            ]
        )
    assert decided[0] == decided[1] == decided[2]
    assert any(row["kind"] == "dropped" for row in decided[0])
