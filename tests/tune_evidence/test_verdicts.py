"""Verdicts: their order, the rules that withhold or overrule them, and what would decide."""

from dataclasses import replace

import numpy as np
import pytest

from tune.evidence.pair import PairEstimate, Role, Rules
from tune.evidence.verdicts import judge, judge_together
from tune.states import Verdict
from tune.stats.intervals import student_interval
from tune.stats.looks import look_after
from tune.stats.power import Spread, detectable_difference, power_for_new_videos
from tune.stats.significance import equivalence_p

RULES = Rules(margin=0.02)
SPREAD = Spread(seed=0.02**2, video=0.1**2, error=0.06**2)


def make_pair(
    estimate: float, error: float = 0.01, *, metric: str = "mae", videos: int = 31
) -> PairEstimate:
    interval = student_interval(estimate, error, 30.0, 0.95)
    return PairEstimate(
        first="aa",
        second="bb",
        metric=metric,
        split="test",
        role=Role.PRIMARY,
        seeds=tuple(range(10)),
        planned=10,
        failures=(0, 0),
        missing=(0, 0),
        means=(0.7, 0.7 - estimate),
        sds=(0.02, 0.02),
        differences=(estimate,) * 10,
        seed_correlation=0.1,
        videos=videos,
        this_test_set=interval,
        sign_flip_p=0.01,
        new_videos=interval,
        new_videos_narrow=interval.at(0.9),
        p_value=interval.p_value(),
        spread=SPREAD,
    )


@pytest.mark.parametrize(
    ("pair", "verdict"),
    [
        (make_pair(-0.05), Verdict.BETTER),
        (make_pair(0.05), Verdict.WORSE),
        (make_pair(0.05, metric="corr"), Verdict.BETTER),
        (make_pair(0.001, 0.004), Verdict.EQUIVALENT),
        (make_pair(-0.01), Verdict.UNDECIDED),
    ],
)
def test_verdict_follows_the_interval_for_new_videos(pair: PairEstimate, verdict: Verdict) -> None:
    assert judge(pair, RULES).verdict is verdict


def test_a_small_but_sure_difference_is_called_small() -> None:
    judged = judge(make_pair(-0.006, 0.002), RULES)
    assert judged.verdict is Verdict.BETTER
    assert judged.below_margin
    assert not judge(make_pair(-0.05), RULES).below_margin


def test_four_pairs_give_no_verdict_whatever_they_say() -> None:
    pair = replace(make_pair(-0.5), seeds=(1, 2, 3, 4))
    judged = judge(pair, RULES)
    assert judged.verdict is None
    assert "only 4 of 10 seeds" in judged.reason
    assert judge(replace(pair, seeds=(1, 2, 3, 4, 5)), RULES).verdict is Verdict.BETTER


def test_seven_videos_give_no_verdict() -> None:
    judged = judge(replace(make_pair(-0.5, videos=7), new_videos=None), RULES)
    assert judged.verdict is None
    assert "7 videos" in judged.reason


def test_other_metrics_and_withheld_claims_give_no_verdict() -> None:
    assert judge(replace(make_pair(-0.5), role=Role.METRIC), RULES).verdict is None
    judged = judge(make_pair(-0.5), Rules(margin=0.02, withheld="test is still closed"))
    assert judged.verdict is None
    assert judged.reason == "test is still closed"


@pytest.mark.parametrize(
    ("estimate", "error", "failures", "expected"),
    [
        (-0.05, 0.01, (1, 0), Verdict.UNDECIDED),
        (-0.05, 0.01, (1, 1), Verdict.BETTER),
        (-0.05, 0.01, (0, 2), Verdict.BETTER),
        (0.05, 0.01, (0, 1), Verdict.UNDECIDED),
        (0.05, 0.01, (2, 1), Verdict.WORSE),
        (0.0, 0.004, (1, 0), Verdict.UNDECIDED),
        (0.0, 0.004, (0, 1), Verdict.UNDECIDED),
        (0.0, 0.004, (1, 1), Verdict.EQUIVALENT),
    ],
)
def test_the_side_that_fails_more_can_neither_win_nor_count_as_equal(
    estimate: float, error: float, failures: tuple[int, int], expected: Verdict
) -> None:
    judged = judge(replace(make_pair(estimate, error), failures=failures), RULES)
    assert judged.verdict is expected


def test_a_run_without_a_corr_counts_like_a_failed_one() -> None:
    judged = judge(replace(make_pair(0.05, metric="corr"), missing=(1, 0)), RULES)
    assert judged.verdict is Verdict.UNDECIDED
    assert "1 against 0 runs of 10" in judged.reason


def test_undecided_says_what_would_decide_it_from_the_spread_alone() -> None:
    one, other = judge(make_pair(-0.01), RULES), judge(make_pair(0.012), RULES)
    assert one.outlook == other.outlook
    assert one.outlook is not None
    assert one.outlook.pairs is None
    assert one.outlook.power == power_for_new_videos(0.02, SPREAD, 10, 31)
    videos, pairs = one.outlook.videos, one.outlook.videos_pairs
    assert videos is not None
    assert power_for_new_videos(0.02, SPREAD, pairs, videos) >= 0.8
    assert judge(make_pair(-0.05), RULES).outlook is None


def test_what_would_decide_one_of_several_is_computed_at_the_level_that_they_share() -> None:
    """As `hscl search` promises before the study runs."""
    seeds_help = replace(make_pair(-0.01, 0.012), spread=Spread(0.02**2, 0.02**2, 0.1**2))
    alone = judge(seeds_help, RULES).outlook
    lost = replace(seeds_help, seeds=(), new_videos=None, p_value=None, spread=None)
    together = judge_together([seeds_help, *[make_pair(0.0, 0.02)] * 4, lost], RULES)[0].outlook
    assert alone is not None
    assert together is not None
    assert seeds_help.spread is not None
    size = seeds_help.spread, 10, 31
    assert together.power == power_for_new_videos(0.02, *size, 0.05 / 5)  # a lost one has no part
    assert together.detectable == detectable_difference(*size, 0.05 / 5)
    assert alone.pairs is not None
    assert together.pairs is not None
    assert alone.videos is not None
    assert together.videos is not None
    assert together.pairs > alone.pairs
    assert together.videos > alone.videos
    for pairs, enough in ((together.pairs, True), (together.pairs - 1, False)):
        level = look_after(together.pairs, together.pairs).level / 5
        power = power_for_new_videos(0.02, seeds_help.spread, pairs, 31, level)
        assert (power >= 0.8) is enough
    for ends, fewer in (
        (together.pairs_range, alone.pairs_range),
        (together.videos_range, alone.videos_range),
    ):
        assert all(
            a is None or (b is not None and a > b) for a, b in zip(ends, fewer, strict=True)
        )
    assert judge_together([seeds_help], RULES)[0].outlook == alone


def test_without_a_margin_nothing_is_said_about_deciding() -> None:
    judged = judge(make_pair(-0.01), Rules(margin=0.0))
    assert judged.verdict is Verdict.UNDECIDED
    assert judged.outlook is None


def test_holm_takes_back_what_many_pairs_would_claim_by_chance() -> None:
    pairs = [make_pair(-0.0212), *[make_pair(0.0, 0.02)] * 4]
    assert judge(pairs[0], RULES).verdict is Verdict.BETTER
    judged = judge_together(pairs, RULES)
    assert judged[0].verdict is Verdict.UNDECIDED
    assert pairs[0].p_value is not None
    assert judged[0].p_holm == pytest.approx(5 * pairs[0].p_value)
    assert judged[0].sign_flip_p_holm == pytest.approx(0.05)


def test_one_pair_alone_is_judged_as_without_a_correction() -> None:
    for estimate, error in [(-0.05, 0.01), (0.001, 0.004), (-0.01, 0.01), (-0.006, 0.002)]:
        alone, together = (
            make_pair(estimate, error),
            judge_together([make_pair(estimate, error)], RULES),
        )
        judged = judge(alone, RULES)
        assert together[0].verdict is judged.verdict
        assert together[0].below_margin == judged.below_margin


def test_equivalence_of_several_pairs_is_corrected_too() -> None:
    pair = make_pair(0.0, 0.0115)
    assert pair.new_videos is not None
    assert 0.0125 < equivalence_p(pair.new_videos, 0.02) < 0.05
    assert judge(pair, RULES).verdict is Verdict.EQUIVALENT
    together = judge_together([pair] * 4, RULES)
    assert {p.verdict for p in together} == {Verdict.UNDECIDED}


def test_pairs_without_numbers_stay_without_a_verdict_beside_the_others() -> None:
    lost = replace(
        make_pair(0.0), seeds=(1,), new_videos=None, p_value=None, sign_flip_p=None, spread=None
    )
    judged = judge_together([lost, make_pair(-0.05)], RULES)
    assert [p.verdict for p in judged] == [None, Verdict.BETTER]
    assert judged[0].p_holm is None
    assert np.isfinite(judged[1].p_holm or np.nan)


def _spoiled(pair: PairEstimate, first: tuple[int, ...], second: tuple[int, ...]) -> PairEstimate:
    return replace(pair, fallen=(first, second), runs=(10, 10), worst=(1.4, 1.4))


@pytest.mark.parametrize("estimate", [-0.05, 0.0])
def test_the_side_with_more_collapsed_runs_can_neither_win_nor_count_as_equal(
    estimate: float,
) -> None:
    judged = judge(_spoiled(make_pair(estimate, 0.004), (3,), ()), RULES)
    assert judged.verdict is Verdict.UNDECIDED
    assert "1 against 0 runs of 10 gave no result, collapsed or had bad luck" in judged.reason
    other = judge(_spoiled(make_pair(0.05, 0.004), (3,), ()), RULES)
    assert other.verdict is Verdict.WORSE  # it may lose


def test_collapsed_runs_count_beside_failed_ones() -> None:
    failed = replace(make_pair(-0.05), failures=(0, 1))
    assert judge(_spoiled(failed, (3,), ()), RULES).verdict is Verdict.BETTER
    assert judge(_spoiled(failed, (3, 4), ()), RULES).verdict is Verdict.UNDECIDED


def test_where_no_run_collapsed_a_verdict_says_which_rate_it_leaves_open() -> None:
    for estimate, verdict in ((-0.05, Verdict.BETTER), (0.0, Verdict.EQUIVALENT)):
        judged = judge(_spoiled(make_pair(estimate, 0.004), (), ()), RULES)
        assert judged.verdict is verdict
        assert judged.collapse_bound == pytest.approx(0.2589, abs=1e-4)
    assert judge(_spoiled(make_pair(-0.01), (), ()), RULES).collapse_bound is None  # undecided
    # The winner's runs count, not the loser's.
    assert judge(_spoiled(make_pair(-0.05), (), (3,)), RULES).collapse_bound is not None
    assert judge(_spoiled(make_pair(-0.05), (3,), (4,)), RULES).collapse_bound is None


def test_where_seeds_are_far_from_normal_sign_flips_must_agree() -> None:
    pair = replace(make_pair(-0.05), far_from_normal=True, sign_flip_p=0.06)
    judged = judge(pair, RULES)
    assert judged.verdict is Verdict.UNDECIDED
    assert "sign flips do not agree (p = 0.060)" in judged.reason
    assert judge(replace(pair, sign_flip_p=0.01), RULES).verdict is Verdict.BETTER
    equal = replace(make_pair(0.0, 0.004), far_from_normal=True, flip_equivalence_p=0.06)
    assert judge(equal, RULES).verdict is Verdict.UNDECIDED
    assert judge(replace(equal, flip_equivalence_p=0.04), RULES).verdict is Verdict.EQUIVALENT


def test_a_win_that_rests_on_runs_that_were_lost_is_none() -> None:
    """Two lost runs of the winner, as bad as its worst one, move the mean by a sixth of 0.12."""
    pair = replace(make_pair(-0.025), failures=(2, 2), runs=(10, 10), worst=(0.82, 0.82))
    judged = judge(pair, RULES)
    assert judged.verdict is Verdict.UNDECIDED
    assert "as bad as its worst finished run" in judged.reason
    mild = replace(pair, worst=(0.705, 0.82))
    assert judge(mild, RULES).verdict is Verdict.BETTER


def test_lost_runs_are_held_against_one_of_several_at_its_corrected_p_value() -> None:
    """As bad as its worst one, the lost run moves t from 3 to 2.3: enough for a pair alone."""
    pair = replace(make_pair(-0.03), failures=(1, 1), runs=(10, 10), worst=(0.777, 0.777))
    others = [replace(make_pair(0.0, 0.02), first=name) for name in ("cc", "dd", "ee")]
    assert judge(pair, RULES).verdict is Verdict.BETTER
    judged = judge_together([pair, *others], RULES)[0]
    assert judged.p_holm is not None
    assert judged.p_holm < 0.05
    assert judged.verdict is Verdict.UNDECIDED
    assert "as bad as its worst finished run" in judged.reason
    # Without lost runs the same pair wins among the same others.
    whole = judge_together([replace(pair, failures=(0, 0)), *others], RULES)[0]
    assert whole.verdict is Verdict.BETTER


def test_a_lost_run_of_the_reference_counts_in_every_pair_that_it_is_in() -> None:
    one = replace(make_pair(0.03), failures=(1, 1), runs=(10, 10), worst=(0.777, 0.747))
    pairs = [replace(one, first=name) for name in ("cc", "dd", "ee", "ff")]
    assert judge(one, RULES).verdict is Verdict.WORSE
    assert {judged.verdict for judged in judge_together(pairs, RULES)} == {Verdict.UNDECIDED}


def test_collapses_of_the_other_side_do_not_excuse_runs_without_a_result() -> None:
    for estimate in (-0.05, 0.0):
        pair = replace(make_pair(estimate, 0.004), failures=(1, 0))
        judged = judge(_spoiled(pair, (), (3,)), RULES)
        assert judged.verdict is Verdict.UNDECIDED
        assert "but 1 against 0 runs of 10 gave no result, and the side" in judged.reason


@pytest.mark.parametrize(
    ("failures", "verdict"), [((2, 1), Verdict.BETTER), ((7, 1), Verdict.UNDECIDED)]
)
def test_of_groups_of_different_sizes_shares_of_failed_runs_are_compared(
    failures: tuple[int, int], verdict: Verdict
) -> None:
    groups = replace(
        make_pair(-0.05),
        differences=(),
        seeds=tuple(range(5)),
        planned=6,
        sizes=(30, 6),
        runs=(30 - failures[0], 6 - failures[1]),
        failures=failures,
        worst=(0.71, 0.76),
    )
    judged = judge(groups, RULES)
    assert judged.verdict is verdict
    if verdict is Verdict.UNDECIDED:
        assert "but 7 of 30 against 1 of 6 runs gave no result" in judged.reason


def test_lost_runs_of_a_large_group_weigh_as_few_of_many() -> None:
    """Two of thirty, each 0.3 worse than the mean, move it by 0.02; two of seven by 0.09."""
    groups = replace(
        make_pair(-0.05),
        differences=(),
        seeds=tuple(range(5)),
        planned=6,
        sizes=(30, 6),
        runs=(28, 5),
        failures=(2, 1),
        worst=(1.0, 0.76),
    )
    assert judge(groups, RULES).verdict is Verdict.BETTER
    paired = replace(groups, differences=(-0.05,) * 5)
    assert judge(paired, RULES).verdict is Verdict.UNDECIDED


def test_a_study_from_before_these_rules_is_judged_by_its_own() -> None:
    old = replace(RULES, of_old=True)
    pair = replace(_spoiled(make_pair(-0.05), (3,), ()), far_from_normal=True, sign_flip_p=0.5)
    judged = judge(pair, old)
    assert judged.verdict is Verdict.BETTER
    assert judged.collapse_bound is None


def test_speakers_are_called_speakers_where_they_are_the_unit() -> None:
    few = judge(replace(make_pair(-0.05, videos=6), unit="speaker"), RULES)
    assert (
        few.reason
        == "the test set has 6 speakers, and fewer than 8 say nothing about new speakers"
    )
    open_still = judge(replace(make_pair(-0.01), unit="speaker"), RULES)
    assert "interval for new speakers holds 0" in open_still.reason
    assert open_still.outlook is not None
    assert open_still.outlook.unit == "speaker"
