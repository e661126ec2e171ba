"""When confirm ends early, on drawn runs."""

from dataclasses import replace
from typing import Any

import numpy as np

from tune.evidence.ending import Prospect, prospect_of
from tune.evidence.pair import PairComparison, Rules, compare_pair
from tune.evidence.verdicts import judge
from tune.simulate.runs import RandomEffects, draw_linear_runs, video_layout
from tune.states import Verdict
from tune.stats.looks import Look, plan_looks

TEN = plan_looks(10)
CLEAR = RandomEffects(seed=0.01, video=0.02, utterance=0.0, error=0.1)
CROWD = RandomEffects(seed=0.01, video=0.6, utterance=0.0, error=0.1)


def drawn(effects: RandomEffects, gap: float, seeds: int = 6, videos: int = 31) -> PairComparison:
    """A pair at the first of three looks."""
    layout = video_layout(videos, 22 * videos)
    rng = np.random.default_rng(0)
    runs, _ = draw_linear_runs(rng, effects, seeds=seeds, layout=layout, gap=gap)
    return judged(compare_pair(runs, ("a", "b"), "mae", RULES))


def judged(pair: Any) -> PairComparison:
    return PairComparison.of(pair, judge(pair, RULES))


RULES = Rules(margin=0.02, alpha=TEN[0].level)


def test_a_verdict_settles_a_pair() -> None:
    assert prospect_of(drawn(CLEAR, 0.2), RULES, TEN[1:]) is Prospect.DECIDED
    same = RandomEffects(seed=0.001, video=0.001, utterance=0.0, error=0.01)
    assert prospect_of(drawn(same, 0.0), RULES, TEN[1:]) is Prospect.DECIDED


def test_a_pair_that_more_seeds_may_decide_stays_open() -> None:
    few = RandomEffects(seed=0.03, video=0.0, utterance=0.0, error=0.1)
    pair = drawn(few, 0.03)
    assert pair.verdict is Verdict.UNDECIDED
    assert prospect_of(pair, RULES, TEN[1:]) is Prospect.OPEN


def test_where_videos_decide_and_the_test_set_has_answered_seeds_are_out_of_reach() -> None:
    pair = drawn(CROWD, 0.0)
    assert pair.verdict is Verdict.UNDECIDED
    assert pair.this_test_set is not None
    assert pair.this_test_set.excludes()
    assert prospect_of(pair, RULES, TEN[1:]) is Prospect.OUT_OF_REACH
    # The same for new videos, but on this test set the next seeds may tell.
    here = pair.this_test_set
    near = replace(here, estimate=0.012).at(here.level)
    assert prospect_of(replace(pair, this_test_set=near), RULES, TEN[1:]) is Prospect.OPEN


def test_too_few_videos_leave_the_question_about_this_test_set() -> None:
    few = drawn(CROWD, 0.0, videos=7)
    assert few.verdict is None
    assert prospect_of(few, RULES, TEN[1:]) is Prospect.OUT_OF_REACH
    unsure = RandomEffects(seed=0.03, video=0.0, utterance=0.0, error=0.1)
    assert prospect_of(drawn(unsure, 0.03, videos=7), RULES, TEN[1:]) is Prospect.OPEN


def test_with_too_few_complete_pairs_seeds_go_on() -> None:
    assert prospect_of(drawn(CROWD, 0.0, seeds=4), RULES, TEN[1:]) is Prospect.OPEN


def test_seeds_that_were_lost_do_not_come_back() -> None:
    """Six of seven planned pairs are complete: of nine to come there will be eight."""
    pair = drawn(RandomEffects(seed=0.05, video=0.0, utterance=0.0, error=0.1), 0.03)
    lost = replace(pair, planned=7)
    for level in (0.001, 0.01, 0.05, 0.2):
        whole = prospect_of(pair, RULES, [Look(8, level)])
        assert prospect_of(lost, RULES, [Look(9, level)]) is whole
    answers = {prospect_of(pair, RULES, [Look(8, level)]) for level in (0.001, 0.2)}
    assert len(answers) == 2
