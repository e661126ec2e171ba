"""What to use: the rule in all its cases, and the first sentence that says it."""

from copy import deepcopy
from dataclasses import replace
from itertools import product
from statistics import fmean

import pytest
from study_factory import Simulated, evidence_of

from tune.evidence.pair import Judgement, PairComparison, Rules
from tune.evidence.search.choice import (
    Choice,
    Reason,
    answer_lines,
    reason_for_default,
    what_to_use,
)
from tune.planner.decisions import plan_row
from tune.search_model import Ranking, rank
from tune.states import Kind, Phase, TrialState, Verdict
from tune.tables.history import History

BEST = (
    ("loss.temperature", 0.12),
    ("loss.omega2", 0.1),
    ("train.lr_text", 3e-5),
    ("train.lr", 8e-4),
)
FINE = Simulated(seed=1, gap=0.0, video_sd=0.2, seed_sd=0.005, trials=16, refined=0, base=BEST)
PLAIN = Simulated(trials=8, refined=3, gap=-0.12, seed=1, failures=1)
RULES = Rules(0.02)


def preferring(history: History, *, default: bool) -> History:
    """The same, and whether its plan says that the search expected no less of the default."""
    changed = deepcopy(history)
    if default:
        changed.apply_plan(plan_row(Kind.PREFERRED))
    return changed


def told(verdict: Verdict | None, lost: tuple[int, int] = (0, 0)) -> PairComparison:
    compared = evidence_of(PLAIN).comparison
    assert compared is not None
    assert compared.primary is not None
    judgement = Judgement(verdict, reason="so it is")
    return replace(compared.primary, judgement=judgement, failures=lost, missing=(0, 0))


def searched(what: Simulated = PLAIN) -> tuple[History, Ranking]:
    history = evidence_of(what).history
    return history, rank(history)


@pytest.mark.parametrize(
    ("prefers", "verdict", "lost"),
    [*product((False, True), (*Verdict, None), ((0, 0), (1, 0), (0, 1), (1, 1)))],
)
def test_the_rule_is_the_one_that_is_written_down(
    prefers: bool,  # noqa: FBT001 - a case
    verdict: Verdict | None,
    lost: tuple[int, int],
) -> None:
    reason = reason_for_default(prefers_default=prefers, verdict=verdict, lost=lost)
    fails_more = lost == (1, 0)
    expected_of_it = prefers and verdict is not Verdict.BETTER
    assert (reason is not None) == (verdict is Verdict.WORSE or fails_more or expected_of_it)
    if verdict is Verdict.WORSE:
        assert reason is Reason.WORSE
    elif reason is not None:
        assert reason is (Reason.FAILURES if fails_more else Reason.EXPECTED)


def test_a_study_uses_its_winner_unless_there_is_a_reason() -> None:
    history, ranking = searched()
    assert history.default is not None
    default = history.default.config_id
    for prefers, verdict, reason in (
        (False, Verdict.UNDECIDED, None),
        (False, None, None),
        (True, Verdict.BETTER, None),
        (True, Verdict.UNDECIDED, Reason.EXPECTED),
        (True, Verdict.EQUIVALENT, Reason.EXPECTED),
        (True, None, Reason.EXPECTED),
        (False, Verdict.WORSE, Reason.WORSE),
    ):
        found = what_to_use(preferring(history, default=prefers), ranking, told(verdict))
        assert found is not None
        assert found.reason is reason
        assert found.config_id == (history.winner if reason is None else default)
        assert found.to_dict()["is_default"] is (reason is not None)
    assert what_to_use(preferring(history, default=True), ranking, None) is not None


def test_nothing_is_chosen_before_there_is_a_winner_nor_in_a_table() -> None:
    for what in (
        Simulated(until="refine", trials=8, refined=3),
        Simulated(sampler="list", confirm_seeds=5, epochs=3),
    ):
        evidence = evidence_of(what)
        assert evidence.choice is None
        assert what_to_use(evidence.history, None, None) is None


def test_where_the_search_expects_more_of_the_default_the_first_sentence_says_so() -> None:
    evidence = evidence_of(FINE)
    compared, choice, learnt = evidence.comparison, evidence.choice, evidence.learnt
    assert compared is not None
    assert compared.primary is not None
    assert compared.primary.verdict is Verdict.UNDECIDED
    assert choice is not None
    assert learnt is not None
    assert learnt.ranking.prefers_default
    assert choice.reason is Reason.EXPECTED
    assert choice.config_id == compared.reference
    first, second = answer_lines(choice, compared.primary, compared.names, compared.rules)
    default, winner = learnt.ranking.default, learnt.ranking.others[0]
    assert default is not None
    assert first.startswith("Use the default: on valid MAE ")
    assert f"{default.value:.4f} ± {default.sd:.4f} is expected of it" in first
    assert f"{winner.value:.4f} ± {winner.sd:.4f} of {compared.names[winner.config_id]}" in first
    assert "and confirm leaves it undecided" in first
    assert second.startswith("It is undecided whether")


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (Verdict.EQUIVALENT, "and confirm finds the two equivalent."),
        (Verdict.UNDECIDED, "and confirm leaves it undecided."),
        (None, "and no verdict of confirm speaks against it."),
    ],
)
def test_it_says_what_confirm_says(verdict: Verdict | None, ending: str) -> None:
    history, ranking = searched(FINE)
    pair = told(verdict)
    choice = what_to_use(history, ranking, pair)
    names = dict.fromkeys((pair.first, pair.second), "one of them")
    assert choice is not None
    first, second = answer_lines(replace(choice, ahead=()), pair, names, RULES)
    assert first.endswith(ending)
    assert second.endswith(("so it is.", "."))
    assert "better" not in first


def test_without_a_model_the_observed_values_are_told() -> None:
    history, ranking = searched(FINE)
    assert ranking.default is not None
    plain = replace(
        ranking,
        trusted=False,
        default=replace(ranking.default, sd=None, value=0.7),
        others=tuple(replace(one, sd=None, value=0.75) for one in ranking.others),
    )
    (first,) = answer_lines(what_to_use(history, plain, None), None, {}, RULES)
    assert "in the search it reached valid MAE 0.7000, the winner 0.7500" in first


def test_a_worse_winner_and_one_that_fails_more_often_are_named_as_that() -> None:
    history, ranking = searched()
    compared = evidence_of(PLAIN).comparison
    assert compared is not None
    worse = told(Verdict.WORSE)
    first, second = answer_lines(
        what_to_use(history, ranking, worse), worse, compared.names, compared.rules
    )
    assert first.startswith("Use the default: confirm finds configuration ")
    assert "is worse than the default" in second
    failing = told(Verdict.UNDECIDED, lost=(2, 1))
    first, _ = answer_lines(
        what_to_use(history, ranking, failing), failing, compared.names, compared.rules
    )
    assert f"2 of {failing.planned} runs of configuration" in first
    assert "gave no result, 1 of its own." in first


def test_a_winner_in_use_is_named_first_and_its_verdict_follows() -> None:
    pair = told(Verdict.BETTER)
    choice = Choice("mae", pair.first, pair.first, pair.second, None)
    names = {pair.first: "one", pair.second: "other"}
    first, second = answer_lines(choice, pair, names, RULES)
    assert first == "Use one, the winner."
    assert second.startswith("one is better than other")
    assert answer_lines(choice, None, names, RULES) == [first]
    assert answer_lines(None, None, names, RULES) == []


def test_where_the_default_was_ahead_the_first_sentence_says_so() -> None:
    history, ranking = searched()
    pair = told(Verdict.UNDECIDED)
    for means, split in (((0.7, 0.8), None), ((0.8, 0.7), "test")):
        choice = what_to_use(history, ranking, replace(pair, means=means))
        assert choice is not None
        assert choice.reason is None
        valid = [one for one in choice.ahead if one.split == "valid"]
        assert valid == []  # the winner is far better there
        assert [one.split for one in choice.ahead] == ([] if split is None else [split])
        first, _ = answer_lines(choice, pair, {choice.winner: "one", pair.second: "b"}, RULES)
        if split is None:
            assert first == "Use one, the winner."
        else:
            assert first == (
                "Use one, the winner; the default was ahead on test "
                f"(MAE 0.7000 against 0.8000 over {len(pair.seeds)} seeds)."
            )
    # On valid: the mean over the confirm seeds of both, counted literally.
    turned = deepcopy(history)
    runs = [trial for trial in turned.trials.values() if trial.phase is Phase.CONFIRM]
    for trial in runs:
        if trial.config_id == turned.winner:
            trial.best[trial.epoch] = 2.0
    choice = what_to_use(turned, ranking, pair)
    assert choice is not None
    (ahead,) = choice.ahead
    done = {
        (trial.config_id, trial.seed): trial.value
        for trial in runs
        if trial.state is TrialState.DONE
    }
    both = [seed for one, seed in done if one == turned.winner and (choice.default, seed) in done]
    values = [done[choice.default, seed] or 0.0 for seed in both]
    assert (ahead.split, ahead.winner, ahead.seeds) == ("valid", 2.0, len(both))
    assert ahead.default == pytest.approx(fmean(values))


def test_without_confirm_the_first_sentence_says_that_nothing_confirms_it() -> None:
    evidence = evidence_of(Simulated(trials=6, refined=3, confirm_seeds=0, epochs=3))
    assert evidence.choice is not None
    choice = replace(evidence.choice, reason=None, ahead=())
    (only,) = answer_lines(choice, None, {choice.winner: "one"}, RULES)
    assert only.endswith("nothing confirms it, because this study has no confirm seeds.")


def test_a_default_ahead_in_a_search_without_confirm_is_told_though_refine_found_the_winner() -> (
    None
):
    history = deepcopy(
        evidence_of(Simulated(trials=6, refined=3, confirm_seeds=0, epochs=3)).history
    )
    assert history.winner is not None
    assert history.default is not None
    (screened,) = [t for t in history.trials.values() if t.config_id == history.default.config_id]
    (refined,) = [t for t in history.trials.values() if t.config_id == history.winner]
    assert (screened.phase, refined.phase) == (Phase.SCREEN, Phase.REFINE)
    screened.best, screened.state = {3: 0.2}, TrialState.DONE
    refined.best[refined.epoch] = 0.3
    choice = what_to_use(history, rank(history), None)
    assert choice is not None
    assert [(one.split, one.default, one.winner, one.seeds) for one in choice.ahead] == [
        ("valid", 0.2, 0.3, 1)
    ]


@pytest.mark.parametrize("outside", ["default", "winner"])
def test_of_one_outside_the_space_what_its_training_reached_is_told(outside: str) -> None:
    history, ranking = searched(FINE)
    assert ranking.default is not None
    first, *others = ranking.others
    default = replace(ranking.default, value=0.7)
    if outside == "default":
        default, expected = replace(default, sd=None), "on valid its training reached MAE 0.7000, "
    else:
        first = replace(first, sd=None)
        expected = f"the training of the winner reached {first.value:.4f}"
    told_of = replace(ranking, default=default, others=(first, *others))
    (line,) = answer_lines(what_to_use(history, told_of, None), None, {}, RULES)
    assert expected in line
    # A default of which something is expected has its sd beside it.
    assert (f"{default.value:.4f} ± " in line) == (outside == "winner")
    assert f"{default.value:.4f} is expected" not in line


def test_what_stands_in_the_plan_decides_whatever_a_model_says_now() -> None:
    history, ranking = searched()
    for planned, now in ((False, True), (True, False)):
        found = what_to_use(
            preferring(history, default=planned), replace(ranking, prefers_default=now), None
        )
        assert found is not None
        assert (found.reason is Reason.EXPECTED) == planned


def test_a_search_that_expects_no_less_of_the_default_says_so_in_its_plan() -> None:
    for what, expected in ((FINE, True), (PLAIN, False)):
        history = evidence_of(what).history
        assert rank(history).prefers_default is expected
        assert history.prefers_default is expected
