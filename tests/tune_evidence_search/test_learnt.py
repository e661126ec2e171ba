"""What the search knows: against a literal computation, and in words."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from study_factory import Simulated, evidence_of

from tune.evidence.search.learnt import Learnt, learnt_lines, what_was_learnt
from tune.search_model import TOO_SURE, Expected, Ranking

SEARCHED = Simulated(trials=24, refined=6, gap=-0.1)


def learnt(what: Simulated = SEARCHED) -> Learnt:
    found = evidence_of(what).learnt
    assert found is not None
    return found


def candidate(what: Simulated = SEARCHED) -> str:
    winner = evidence_of(what).history.winner
    assert winner is not None
    return winner


def literal_draws(known: Learnt, ids: tuple[str, str], count: int) -> np.ndarray:
    """(count, 2) losses at two configurations, from the process conditioned on all runs."""
    assert known.model is not None
    fitted, encoding = known.model.model.fitted, known.model.model.encoding
    now, runs = fitted.settings, len(known.model.model.codes)
    codes = np.vstack([known.model.model.codes, *(known.model.codes[one] for one in ids)])
    places, trend = encoding.places(codes), encoding.trend(codes)
    whole = np.empty((runs + 2, runs + 2))
    for i in range(runs + 2):
        for j in range(runs + 2):
            apart = (places[i] - places[j]) / now.lengths[encoding.owners]
            r = math.sqrt(sum(apart**2))
            matern = (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)
            whole[i, j] = now.amplitude**2 * matern + now.trend**2 * float(trend[i] @ trend[j])
            whole[i, j] += 1.0 + (fitted.inputs.linear[i, j] if max(i, j) < runs else 0.0)
            for run in (i, j):
                if run < runs and (rung := fitted.inputs.rungs[run]) >= 0:
                    whole[i, j] *= now.slopes[rung]
            if i == j and i < runs:
                whole[i, j] += now.noise**2 + fitted.inputs.extra[i]
                if (rung := fitted.inputs.rungs[i]) >= 0:
                    whole[i, j] += now.scatters[rung] ** 2
    across, inverse = whole[runs:, :runs], np.linalg.inv(whole[:runs, :runs])
    mean = across @ inverse @ fitted.inputs.values
    covariance = whole[runs:, runs:] - across @ inverse @ across.T
    return np.random.default_rng(0).multivariate_normal(mean, covariance, size=count)


def test_the_chance_to_be_worse_is_that_of_draws_from_the_posterior() -> None:
    """Spread as far as the model is too sure, and weighted by what confirm's pairs say of each."""
    known = learnt()
    assert known.default is not None
    assert known.model is not None
    scale = known.model.model.scale
    chances, confirmed = [], 0
    for one in known.ranking.others:
        draws = literal_draws(known, (one.config_id, known.default), 40_000)
        gaps = scale * (draws[:, 0] - draws[:, 1])
        gaps = gaps.mean() + TOO_SURE * (gaps - gaps.mean())
        fresh = [own - default for own, default in known.fresh_pairs(one.config_id)]
        weights = np.ones(len(gaps))
        if fresh:
            confirmed += 1
            scatter = max(statistics.variance(fresh), 2.0 * known.model.noise**2) / len(fresh)
            gaps = gaps.mean() + wider(gaps, fresh, scatter) * (gaps - gaps.mean())
            weights = np.exp(-0.5 * (gaps - statistics.fmean(fresh)) ** 2 / scatter)
        expected = float(weights[gaps > 0.0].sum() / weights.sum())
        chance = known.chance_worse(one.config_id)
        assert chance == pytest.approx(expected, abs=0.01)
        chances.append(expected)
    assert max(chances) - min(chances) > 0.05  # else the comparison would say little
    assert confirmed == 1
    assert known.chance_worse(known.default) is None


def wider(gaps: np.ndarray, fresh: list[float], scatter: float) -> float:
    """By how much draws must lie further apart to make fresh seeds most probable; at least 1."""
    off = gaps.mean() - statistics.fmean(fresh)
    factors = np.linspace(1.0, 30.0, 2_901)
    whole = (factors * gaps.std()) ** 2 + scatter
    return float(factors[np.argmax(-np.log(whole) - off**2 / whole)])


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.2, 0.4])
def test_a_model_that_fresh_seeds_prove_wrong_does_not_outweigh_them(shift: float) -> None:
    """Fresh seeds of the winner, so much worse than the model expects of it; ± .1 each."""
    model, config_id = learnt().model, candidate()
    default = learnt().default
    assert model is not None
    assert default is not None
    draws = model.model.scale * literal_draws(learnt(), (config_id, default), 40_000)
    gaps = draws[:, 0] - draws[:, 1]
    gaps = gaps.mean() + TOO_SURE * (gaps - gaps.mean())
    fresh = [gaps.mean() + shift + luck for luck in (-0.1, 0.1, -0.1, 0.1, -0.1, 0.1)]
    scatter = max(statistics.variance(fresh), 2.0 * model.noise**2) / len(fresh)
    told = model.chance_worse(config_id, default, fresh)
    gaps = gaps.mean() + wider(gaps, fresh, scatter) * (gaps - gaps.mean())
    weights = np.exp(-0.5 * (gaps - statistics.fmean(fresh)) ** 2 / scatter)
    assert told == pytest.approx(float(weights[gaps > 0.0].sum() / weights.sum()), abs=0.02)
    assert told is not None
    assert (told > 0.9) is (shift >= 0.2)


def test_the_winners_curse_is_what_was_observed_beyond_what_is_expected() -> None:
    known = learnt()
    everyone = [*known.ranking.others, known.ranking.default]
    seen = {one.config_id: one for one in everyone if one is not None}
    trials = evidence_of(SEARCHED).history.search_trials
    values = {config_id: trials[config_id].value for config_id in seen}
    best = min(values, key=lambda config_id: values[config_id] or math.inf)
    assert known.best_observed.config_id == best
    assert known.winners_curse == pytest.approx(seen[best].value - seen[best].observed)
    assert known.best_predicted is not None
    assert known.best_predicted.value == min(one.value for one in seen.values())


def test_where_more_is_wanted_the_curse_is_turned_round() -> None:
    lucky = Expected("a", 0.70, 0.01, 0.75)
    other = Expected("b", 0.72, 0.01, 0.71)
    ranking = Ranking((other, lucky), None, prefers_default=False, trusted=True, note="")
    known = Learnt("corr", -1.0, {"a": "A", "b": "B"}, None, ranking, None, None)
    assert known.best_observed is lucky
    assert known.best_predicted is other
    assert known.winners_curse == pytest.approx(0.05)
    lines = " ".join(learnt_lines(known, None))
    assert "A, Corr 0.7500 in one training; that flatters it by 0.0500" in lines


def test_of_a_winner_that_is_not_the_best_predicted_it_is_said_what_is_expected() -> None:
    unsure, sure = Expected("a", 0.70, 0.02, 0.70), Expected("b", 0.71, 0.005, 0.72)
    ranking = Ranking((sure, unsure), None, prefers_default=False, trusted=True, note="")
    known = Learnt("mae", 1.0, {"a": "A", "b": "B"}, None, ranking, None, None)
    ending = (
        "Of B 0.7100 ± 0.0050 is expected; among close ones the search chooses that of which it "
        "is surest."
    )
    assert learnt_lines(known, "b")[0].endswith(ending)
    asked = replace(known, ranking=replace(ranking, others=(unsure, sure)))
    assert learnt_lines(asked, "b")[0].endswith("Of B 0.7100 ± 0.0050 is expected.")
    assert "surest" not in " ".join(learnt_lines(known, "a") + learnt_lines(known, None))


def test_a_default_that_is_best_predicted_did_not_compete_with_the_winner() -> None:
    default, winner = Expected("a", 0.74, 0.004, 0.74), Expected("b", 0.745, 0.012, 0.74)
    ranking = Ranking((winner,), default, prefers_default=True, trusted=True, note="")
    known = Learnt("mae", 1.0, {"a": "A", "b": "B"}, "a", ranking, None, None)
    assert learnt_lines(known, "b")[0].endswith("Of B 0.7450 ± 0.0120 is expected.")


def test_a_default_that_was_stopped_is_never_the_best_observed() -> None:
    stopped = Expected("a", 0.70, 0.01, 0.60, complete=False)
    other = Expected("b", 0.72, 0.01, 0.71)
    ranking = Ranking((other,), stopped, prefers_default=True, trusted=True, note="")
    known = Learnt("mae", 1.0, {"a": "A", "b": "B"}, "a", ranking, None, None)
    assert known.best_observed is other
    assert known.best_predicted is stopped
    assert "(its own training reached 0.6000 when it was stopped)" in learnt_lines(known, None)[0]


def test_all_of_it_is_said_and_labelled_as_valid() -> None:
    known, one = learnt(), candidate()
    lines = learnt_lines(known, one)
    predicted, observed = known.best_predicted, known.best_observed
    assert predicted is not None
    assert lines[0].startswith(f"Best predicted on valid: {known.names[predicted.config_id]}, ")
    assert f"{predicted.value:.4f} ± {predicted.sd:.4f}" in lines[0]
    assert lines[1].startswith(f"Best observed on valid: {known.names[observed.config_id]}, ")
    trials = evidence_of(SEARCHED).history.trials.values()
    own, default = (
        [t.value for t in trials if t.config_id == who and t.phase == "confirm" and t.value]
        for who in (one, known.default)
    )
    assert len(own) == len(default) == 10
    assert lines[2].startswith(
        f"On 10 seeds of confirm that the search did not have, {known.names[one]} reached MAE "
        f"{statistics.fmean(own):.4f} on valid in the mean, "
    )
    assert lines[2].endswith(f" than expected; the default {statistics.fmean(default):.4f}.")
    assert lines[3].startswith(
        f"Chance that {known.names[one]} is worse than the default on valid"
    )
    assert lines[3].endswith(
        " by the model and confirm's 10 pairs, which know nothing of test or new videos."
    )
    assert "One more training would tell most at temperature τ" in lines[4]
    assert known.error_ratio is not None
    assert f"with {known.error_ratio:.2f} of the error of the mean of the others" in lines[5]
    valid = evidence_of(SEARCHED).tables["predictions"].to_pylist()
    utterances = {(r["video"], r["utterance"]) for r in valid if r["split"] == "valid"}
    videos = {video for video, _ in utterances}
    assert f"a sample of {len(utterances)} utterances from {len(videos)} videos" in lines[6]


def test_before_confirm_the_size_of_valid_is_unknown_and_not_made_up() -> None:
    running = evidence_of(Simulated(until="confirm", trials=24, refined=6, confirm_seeds=10))
    history = running.history
    nothing = running.tables["predictions"].slice(0, 0)
    known = what_was_learnt(history, nothing)
    assert known is not None
    assert (known.valid_utterances, known.valid_videos) == (None, None)
    assert "valid itself is a sample, and other videos" in learnt_lines(known, None)[-1]


def test_without_trust_nothing_is_predicted_and_what_decides_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evidence = evidence_of(SEARCHED)
    monkeypatch.setattr("tune.stats.model.run_model._FAILS", 0.0)
    known = what_was_learnt(evidence.history, evidence.tables["predictions"])
    assert known is not None
    assert known.best_predicted is None
    assert known.winners_curse is None
    assert known.chance_worse(candidate()) is None
    told = known.to_dict(candidate())
    assert told["trusted"] is False
    assert told["next_training"] is told["chance_worse_than_default"] is None
    assert told["best_observed"]["predicted"] is None
    assert told["left_out_error_ratio"] > 0.0
    lines = learnt_lines(known, candidate())
    assert "being the best of several, such a value flatters itself" in lines[0]
    assert "than expected" not in lines[1]
    assert lines[2].startswith("No model is relied on; what decides is the best observed value: ")


def test_a_default_outside_the_space_cannot_be_compared_by_the_model() -> None:
    known = learnt()
    assert known.model is not None
    codes = {one: code for one, code in known.model.codes.items() if one != known.default}
    outside = replace(known, model=replace(known.model, codes=codes))
    assert outside.chance_worse(candidate()) is None
    assert "the model cannot say: one of the two lies outside the space" in " ".join(
        learnt_lines(outside, candidate())
    )


def test_nothing_is_known_of_a_table_nor_before_the_first_complete_training() -> None:
    assert evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3)).learnt is None
    evidence = evidence_of(SEARCHED)
    empty = type(evidence.history)(evidence.spec)
    assert what_was_learnt(empty, evidence.tables["predictions"]) is None


def test_the_json_has_a_key_for_each_thing() -> None:
    known = learnt()
    told = known.to_dict(candidate())
    assert told["split"] == "valid"
    assert told["config_id"] == candidate()
    assert told["configuration"] == known.names[candidate()]
    assert told["chance_worse_than_default"] == known.chance_worse(candidate())
    assert set(told["best_predicted"]) == {
        *("config_id", "configuration", "predicted", "sd", "observed", "complete")
    }
    assert {*told["next_training"]} == {*evidence_of(SEARCHED).spec.searched.ordered}
    assert known.to_dict(None)["chance_worse_than_default"] is None
