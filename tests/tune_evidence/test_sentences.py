"""What is said about a pair: claims only where the verdict has them."""

import math
from collections import defaultdict
from dataclasses import replace
from statistics import fmean

import pytest
from study_factory import Simulated, evidence_of

from tune.evidence.pair import Judgement, PairComparison, PairEstimate, Role, Rules
from tune.evidence.sentences import (
    collapse_texts,
    deployed_text,
    ensemble_cells,
    interval_text,
    p_text,
    pair_lines,
    risk_text,
    seed_deviation,
    seed_lines,
    several_text,
    verdict_text,
)
from tune.evidence.verdicts import judge
from tune.states import Verdict
from tune.stats.collapses import collapse_rate_bound
from tune.stats.intervals import student_interval
from tune.stats.power import Spread

RULES = Rules(margin=0.02)
NAMES = {"aa": "configuration 7", "bb": "published defaults with MiniLM"}


def _pair(estimate: float, error: float = 0.01) -> PairEstimate:
    interval = student_interval(estimate, error, 30.0, 0.95)
    return PairEstimate(
        first="aa",
        second="bb",
        metric="mae",
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
        videos=31,
        this_test_set=interval,
        sign_flip_p=0.0123,
        new_videos=interval,
        new_videos_narrow=interval.at(0.9),
        p_value=interval.p_value(),
        spread=Spread(0.02**2, 0.1**2, 0.06**2),
        ahead=student_interval(0.8, 0.1, 9.0, 0.95),
    )


def _judged(estimate: PairEstimate) -> PairComparison:
    return PairComparison.of(estimate, judge(estimate, RULES))


CASES = {
    Verdict.BETTER: _judged(_pair(-0.05)),
    Verdict.WORSE: _judged(_pair(0.05)),
    Verdict.EQUIVALENT: _judged(_pair(0.001, 0.004)),
    Verdict.UNDECIDED: _judged(_pair(-0.01)),
    None: _judged(replace(_pair(-0.01), seeds=(1, 2))),
}


@pytest.mark.parametrize("verdict", list(CASES))
def test_better_stands_only_where_the_verdict_has_it(verdict: Verdict | None) -> None:
    pair = CASES[verdict]
    assert pair.verdict is verdict
    text = "\n".join([verdict_text(pair, NAMES, RULES), *pair_lines(pair, NAMES, RULES)])
    assert ("better" in text.lower()) == (verdict is Verdict.BETTER)
    assert ("worse" in text.lower()) == (verdict is Verdict.WORSE)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_brief_sentence_is_how_the_whole_one_begins(verdict: Verdict) -> None:
    brief = verdict_text(CASES[verdict], NAMES, RULES, brief=True)
    assert verdict_text(CASES[verdict], NAMES, RULES).startswith(brief.removesuffix("."))
    assert "difference" not in brief


def test_the_headline_names_both_sides_the_difference_and_the_interval() -> None:
    text = verdict_text(CASES[Verdict.BETTER], NAMES, RULES)
    assert text.startswith(
        "configuration 7 is better than published defaults with MiniLM: test MAE"
    )
    assert "0.7000 against 0.7500" in text
    assert "−0.0500 (95 % interval −0.0704 to −0.0296)" in text
    assert "videos like these" in text


def test_a_difference_below_the_margin_is_said_to_be_small() -> None:
    pair = _judged(_pair(-0.006, 0.002))
    assert "by less than the margin of 0.02" in verdict_text(pair, NAMES, RULES)
    assert "by less than the margin" not in verdict_text(CASES[Verdict.BETTER], NAMES, RULES)


def test_both_questions_are_labelled() -> None:
    lines = pair_lines(CASES[Verdict.UNDECIDED], NAMES, RULES)
    assert any(line.startswith("On this test set: −0.0100") for line in lines)
    assert any("exact sign-flip p = 0.012" in line for line in lines)
    assert any(line.startswith("On videos like these: −0.0100") for line in lines)
    assert any("ahead on 8 of 10 seeds" in line for line in lines)


def test_an_interval_for_new_videos_that_is_the_narrower_one_is_explained() -> None:
    usual = CASES[Verdict.UNDECIDED]
    assert not any("narrower" in line for line in pair_lines(usual, NAMES, RULES))
    wide = student_interval(-0.01, 0.05, 2.0, 0.95)
    odd = replace(usual, this_test_set=wide, new_videos=student_interval(-0.01, 0.05, 20.0, 0.95))
    (line,) = [line for line in pair_lines(odd, NAMES, RULES) if "narrower" in line]
    assert "only because 10 seeds tell little of how seeds vary" in line


def test_where_videos_alone_hide_the_margin_no_number_of_seeds_is_given() -> None:
    text = " ".join(pair_lines(CASES[Verdict.UNDECIDED], NAMES, RULES))
    assert "only a larger test set" in text
    assert "no number of seeds" in text


def test_where_seeds_help_their_number_is_given() -> None:
    few_videos_matter = replace(_pair(-0.01), spread=Spread(0.05**2, 0.02**2, 0.05**2))
    text = " ".join(pair_lines(_judged(few_videos_matter), NAMES, RULES))
    assert "What would decide it: about" in text
    assert "seeds" in text


def test_a_study_that_would_have_seen_the_margin_says_that_less_is_open() -> None:
    sharp = _judged(replace(_pair(-0.015, 0.0085), spread=Spread(0.0, 0.02**2, 0.01**2)))
    assert sharp.verdict is Verdict.UNDECIDED
    assert "what is left open is a smaller one" in " ".join(pair_lines(sharp, NAMES, RULES))


def test_failures_are_counted_for_both_sides() -> None:
    pair = _judged(replace(_pair(-0.05), failures=(2, 0), seeds=tuple(range(8))))
    text = " ".join(pair_lines(pair, NAMES, RULES))
    assert "configuration 7 2 failed" in text
    assert "8 of 10 seeds" in text
    assert "fails more often" in text


def test_no_verdict_is_said_with_its_reason() -> None:
    text = verdict_text(CASES[None], NAMES, RULES)
    assert text.startswith("No verdict on configuration 7 against published defaults")
    assert "only 2 of 10 seeds have both results" in text
    line = pair_lines(CASES[None], NAMES, RULES)[-1]
    assert line.startswith("Verdict: no verdict; only 2 of 10 seeds have both results")


def test_the_seeds_deviation_is_pooled_over_configurations_that_have_one() -> None:
    pairs = [
        replace(_pair(-0.01), sds=(0.03, 0.04)),
        replace(_pair(-0.01), first="cc", sds=(math.nan, 0.04)),  # one run has no deviation
    ]
    assert seed_deviation(pairs) == pytest.approx(((0.03**2 + 0.04**2) / 2) ** 0.5)
    assert seed_deviation([replace(_pair(-0.01), sds=(math.nan, math.nan))]) is None
    assert seed_lines(0.035, "test") == [
        "Seeds of one configuration differ by 0.0350 (sd, test set)."
    ]
    assert seed_lines(None, "test") == []


def test_numbers_are_written_with_true_minus_signs() -> None:
    assert interval_text(student_interval(-0.5, 0.0, 3.0, 0.9)) == (
        "−0.5000 (90 % interval −0.5000 to −0.5000)"
    )
    assert p_text(0.0004) == "p < 0.001"
    assert p_text(None) == ""


@pytest.mark.parametrize(("seeds", "said"), [(20, ", exact sign-flip p"), (21, ", sign-flip p")])
def test_a_p_value_from_drawn_patterns_is_not_called_exact(seeds: int, said: str) -> None:
    pair = _judged(replace(_pair(-0.01), seeds=tuple(range(seeds)), planned=seeds))
    text = " ".join(pair_lines(pair, NAMES, RULES))
    assert f"{said} = 0.012" in text


def test_an_ensemble_is_the_metric_of_the_mean_prediction_few_videos_give_no_interval() -> None:
    evidence = evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3))
    compared = evidence.comparison
    assert compared is not None
    rows = evidence.tables["predictions"].to_pylist()
    for one, (_, value, ends) in zip(compared.configs, ensemble_cells(compared), strict=True):
        by_utterance = defaultdict(list)
        for row in rows:
            if row["split"] == "test" and row["trial_id"].startswith(one.config_id):
                key = row["video"], row["utterance"], row["label"]
                by_utterance[key].append(row["prediction"])
        errors = [abs(fmean(told) - label) for (*_, label), told in by_utterance.items()]
        assert value == f"{fmean(errors):.4f}"
        low, high = (float(end) for end in ends.split(" to "))
        assert low < fmean(errors) < high
    few = replace(compared, configs=tuple(replace(c, ensemble=None) for c in compared.configs))
    assert [(cells[1], cells[2]) for cells in ensemble_cells(few)] == [
        (cells[1], "") for cells in ensemble_cells(compared)
    ]
    assert "below 8 of them there is none" in deployed_text(few)
    first = compared.configs[0]
    assert risk_text(replace(first, risk=0.4)) == "2 of 5"


def test_without_a_verdict_the_whole_sentence_says_what_this_test_set_shows() -> None:
    pair = CASES[None]
    assert pair.this_test_set is not None
    said = verdict_text(pair, NAMES, RULES)
    shown = f"the difference over 2 seeds is {interval_text(pair.this_test_set)}."
    assert said.endswith(f"On this test set alone, where only seeds vary, {shown}")
    assert "On this test set" not in verdict_text(pair, NAMES, RULES, brief=True)
    assert "On this test set" not in verdict_text(replace(pair, split="valid"), NAMES, RULES)


def test_the_rate_of_collapses_that_is_left_open_is_of_the_winners_own_runs() -> None:
    """Eight runs of the winner leave 31 %; the five of the other would leave 45 %."""
    judgement = Judgement(Verdict.BETTER, collapse_bound=collapse_rate_bound(8))
    pair = replace(CASES[Verdict.BETTER], runs=(8, 5), judgement=judgement)
    assert collapse_texts(pair, NAMES) == [
        (
            "0 of 8 runs of configuration 7 and 0 of 5 runs of published defaults with MiniLM "
            "collapsed; of configuration 7 a rate up to 31 % can't be excluded"
        )
    ]
    equal = replace(pair, runs=(8, 8))
    assert collapse_texts(equal, NAMES) == [
        "0 of 8 seeds collapsed on either side; a rate up to 31 % can't be excluded"
    ]


def test_a_table_of_the_default_alone_has_nothing_to_compare() -> None:
    compared = evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3)).comparison
    assert compared is not None
    alone = replace(compared, others=(), configs=compared.configs[:1])
    assert several_text(alone, {}, "the default") == (
        "There is nothing to compare: the default is the only configuration."
    )
