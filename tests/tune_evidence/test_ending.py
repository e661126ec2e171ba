"""When confirm ends early: on drawn runs, and in whole simulated studies."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from calibrated.world import World, run_study

from hscl.config import Config
from tune.evidence.comparison import compare_study
from tune.evidence.ending import Prospect, end_early, prospect_of
from tune.evidence.pair import PairComparison, Rules, compare_pair
from tune.evidence.verdicts import judge
from tune.simulate.runs import RandomEffects, draw_linear_runs, video_layout
from tune.simulate.study import SimulatedRun
from tune.states import Kind, Phase, TrialState, Verdict
from tune.stats.looks import Look, plan_looks
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec
from tune.tables.fold import fold

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


def _one_of_two(config: Config) -> float:
    return 0.7 if config.loss.temperature < 0.3 else 0.9


def _all_alike(config: Config) -> float:
    return 0.8


@cache
def _study(
    *,
    clear: bool,
    seeds: int = 10,
    looks: int = 1,
    keep: int = 1,
    kind: str = "random",
    claims: str = "all",
) -> tuple[StudySpec, World, SimulatedRun, dict[str, pa.Table]]:
    tree: dict[str, Any] = {
        "base": {"train.epochs": 2},
        "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
        "sampler": {"kind": kind, "trials": 6},
        "confirm": {"seeds": seeds, "looks": looks, "keep": keep, "claims": claims},
    }
    if kind == "list":
        known = [{"name": str(low), "loss.temperature": low} for low in (0.1, 0.2)]
        tree |= {"space": {}, "known": known, "sampler": {"kind": "list"}}
    spec = parse_spec(tree)
    surface, effects = (_one_of_two, CLEAR) if clear else (_all_alike, CROWD)
    world = World(1, surface, effects)
    return spec, world, *run_study(spec, world)


def _confirm_trials(run: SimulatedRun) -> int:
    return sum(trial.phase is Phase.CONFIRM for trial in run.history.trials.values())


def test_a_study_whose_verdict_is_clear_spends_six_pairs_of_ten() -> None:
    _, _, run, tables = _study(clear=True)
    assert _confirm_trials(run) == 2 * 6
    (row,) = run.history.plan_rows(Kind.CONFIRM_ENDED)
    assert row["value"] == 2 * 4
    assert row["note"] == "the verdict is reached after 6 of 10 pairs; 8 trainings saved"
    assert run.history.ending is not None
    assert run.history.planned[Phase.CONFIRM] == 2 * 6
    compared = compare_study(run.history, tables["predictions"])
    assert compared.primary is not None
    assert compared.primary.verdict is Verdict.BETTER
    assert (compared.looks, compared.looks_taken, compared.level) == (3, 1, TEN[0].level)
    assert compared.primary.new_videos is not None
    assert compared.primary.new_videos.level == pytest.approx(1.0 - TEN[0].level)
    told = " ".join(compared.notes)
    assert "Confirm is looked at after 6, 8 and 10 pairs" in told
    assert "Confirm ended early: the verdict is reached after 6 of 10 pairs" in told


def test_a_study_that_no_seeds_can_decide_says_so_and_ends() -> None:
    _, _, run, tables = _study(clear=False)
    (row,) = run.history.plan_rows(Kind.CONFIRM_ENDED)
    assert "chance below 5 % of a verdict for new videos" in row["note"]
    compared = compare_study(run.history, tables["predictions"])
    assert compared.primary is not None
    assert compared.primary.verdict is Verdict.UNDECIDED
    assert compared.looks_taken < 3


def test_six_seeds_have_one_look_and_nothing_to_save() -> None:
    _, _, run, tables = _study(clear=True, seeds=6)
    assert _confirm_trials(run) == 2 * 6
    assert not run.history.plan_rows(Kind.CONFIRM_ENDED)
    compared = compare_study(run.history, tables["predictions"])
    assert (compared.looks, compared.level) == (1, 0.05)
    assert not any("looked at" in note for note in compared.notes)


def test_all_comparisons_of_a_confirm_must_be_settled() -> None:
    """The winner is clearly better than the default, but nobody can tell the finalists apart."""
    spec, _, run, tables = _study(clear=True, keep=2)
    pairs = compare_study(run.history, tables["predictions"])
    assert len(pairs.others) == 2
    until = at_the_first_look(tables, run)
    state = fold(spec, until)
    alone = compare_study(state, until["predictions"])
    assert alone.primary is not None
    assert alone.primary.verdict is Verdict.BETTER
    settled = {pair.verdict for pair in alone.others} <= {Verdict.BETTER, Verdict.EQUIVALENT}
    assert bool(run.history.plan_rows(Kind.CONFIRM_ENDED)) >= settled
    assert (end_early(state, until["predictions"]) is not None) == (_confirm_trials(run) == 18)


def test_finalists_of_whom_nothing_is_claimed_keep_no_study_going() -> None:
    _, _, run, tables = _study(clear=True, keep=2, claims="winner")
    assert _confirm_trials(run) == 3 * 6
    (row,) = run.history.plan_rows(Kind.CONFIRM_ENDED)
    assert row["note"] == "the verdict is reached after 6 of 10 pairs; 12 trainings saved"
    compared = compare_study(run.history, tables["predictions"])
    assert compared.primary is not None
    assert compared.primary.verdict is Verdict.BETTER
    assert [pair.verdict for pair in compared.others] == [None, None]


def at_the_first_look(tables: dict[str, pa.Table], run: SimulatedRun) -> dict[str, pa.Table]:
    """The tables when the runs of the first look had ended."""
    first = run.history.looks[0]
    ends = [
        row["seq"]
        for row in tables["trials"].to_pylist()
        if row["seed"] in first and row["state"] == TrialState.DONE
    ]
    names = ("trials", "plan", "reports")
    rows = {name: tables[name].to_pylist() for name in names}
    return tables | {
        name: pa.Table.from_pylist(
            [row for row in rows[name] if row["seq"] <= max(ends)], schema=tables[name].schema
        )
        for name in names
    }


def test_the_rows_of_a_table_have_equal_numbers_of_seeds_all_that_were_ordered() -> None:
    _, _, run, tables = _study(clear=True, kind="list")
    assert _confirm_trials(run) == 3 * 10
    assert not run.history.plan_rows(Kind.CONFIRM_ENDED)
    assert compare_study(run.history, tables["predictions"]).level == 0.05
