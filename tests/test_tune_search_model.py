"""The model over a study's tables: what it is told, whom it prefers, where it is not believed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fold_by_rows import fold_by_rows
from small_study import shuffled, study

from hscl.config import Config
from tune.planner.told_trials import told_trials
from tune.search_model import MOST_LEARNT, TOO_SURE, learn, point_of, rank
from tune.simulate.study import Objective, SimulatedRun, SimulatedTrialError, simulate
from tune.stats.model.encoding import Encoding
from tune.stats.model.run_model import Ran, fit_runs
from tune.study.space import Point
from tune.tables.history import History

SPACE = """
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"loss.omega1" = { log_uniform = [0.001, 0.3] }
"""


def bowl(config: Config) -> float:
    off = math.log(config.loss.temperature / 0.1) ** 2 + math.log(config.loss.omega1 / 0.03) ** 2
    return 0.7 + 0.02 * off


def world(noise: float, sign: float = 1.0) -> Objective:
    def value(config: Config, seed: int, epoch: int) -> float:
        key = [seed, int(config.loss.temperature * 1e9), int(config.loss.omega1 * 1e9)]
        luck = noise * np.random.default_rng(key).normal()
        return sign * (bowl(config) + luck + 0.3 * math.exp(-epoch))

    return value


def searched(noise: float = 0.02, text: str = "", sign: float = 1.0) -> SimulatedRun:
    spec = study(f"sampler.trials = 30\nrefine.trials = 8\nconfirm.seeds = 0\n{text}", space=SPACE)
    return simulate(spec, world(noise, sign), slots=2, pick=shuffled(0))


def test_its_ranking_is_that_of_the_model_of_every_run_told_by_hand() -> None:
    run = searched()
    space = run.spec.searched
    encoding = Encoding({name: space.parameters[name] for name in space.ordered})
    runs, ids = [], []
    for config_id, record in run.history.configs.items():
        curve: dict[int, float] = {}
        trial = run.history.search_trials[config_id]
        for row in run.tables["reports"]:
            if row["trial_id"] == trial.trial_id:
                curve[row["epoch"]] = min([row["valid_mae"], *curve.values()])
        config = Config.from_json(record.config).dotted()
        point = {name: config[name] for name in space.ordered}
        state = "complete" if trial.state == "done" else "stopped"
        runs.append(Ran(point, curve[max(curve)], curve, state))  # type: ignore[arg-type]
        ids.append(config_id)
    model = fit_runs(encoding, runs)
    assert model is not None
    mean, sd = model.predict(encoding.codes([one.point for one in runs]))
    by_hand = {
        config_id: (mean[place], TOO_SURE * sd[place])
        for place, config_id in enumerate(ids)
        if runs[place].state == "complete" and run.history.configs[config_id].number > 0
    }
    ranking = rank(run.history)
    assert ranking.trusted
    assert {one.config_id for one in ranking.others} == {*by_hand}
    for one in ranking.others:
        assert (one.value, one.sd) == pytest.approx(by_hand[one.config_id], rel=1e-6)
    expected = [one.value + (one.sd or 0.0) / TOO_SURE for one in ranking.others]
    assert expected == sorted(expected)


def at_worst(history: History, points: list[Point]) -> np.ndarray:
    """Expected loss plus its sd, by a model of the rows."""
    learnt = learn(history)
    assert learnt is not None
    mean, sd = learnt.model.predict(learnt.model.encoding.codes(points))
    return mean + sd


@pytest.mark.parametrize("seed", range(4))
def test_refine_s_last_training_is_where_the_model_is_surest_of_a_small_loss(seed: int) -> None:
    run = searched(0.02, f"study.seed = {seed}")
    *before, last = run.tables["configs"]
    rows = {name: [*rows] for name, rows in run.tables.items()} | {"configs": before}
    for name in ("trials", "reports"):
        rows[name] = [r for r in rows[name] if not r["trial_id"].startswith(last["config_id"])]
    rows["plan"] = [r for r in rows["plan"] if r["kind"] != "winner"]
    history = fold_by_rows(run.spec, **rows)
    space, rng = run.spec.searched, np.random.default_rng(0)
    of_last = at_worst(history, [space.inside(Config.from_json(last["config"])) or {}])[0]
    anywhere = at_worst(history, [space.draw(rng) for _ in range(3_000)])
    spread = float(np.std(anywhere))
    assert of_last < anywhere.min() + 0.01 * spread
    # And it is among those that are chosen from.
    assert last["config_id"] in {one.config_id for one in rank(run.history).others}


def test_smoothing_picks_better_than_the_best_observation() -> None:
    chosen: list[float] = []
    observed: list[float] = []
    for seed in range(6):
        run = searched(0.04, f"study.seed = {seed}")
        others = rank(run.history).others
        lucky = min(others, key=lambda one: one.observed)
        for picked, values in ((others[0], chosen), (lucky, observed)):
            values.append(bowl(run.config_of(picked.config_id)))
    assert np.mean(chosen) < np.mean(observed)


def test_a_metric_that_grows_is_ranked_the_other_way_round() -> None:
    one, other = searched(), searched(text='study.metric = "corr"', sign=-1.0)
    up, down = rank(other.history), rank(one.history)
    assert [e.config_id for e in up.others] == [e.config_id for e in down.others]
    assert [e.value for e in up.others] == pytest.approx([-e.value for e in down.others])
    assert up.prefers_default == down.prefers_default


def test_the_default_is_preferred_where_it_lies_on_the_ground() -> None:
    # Without refine, which goes to the ground too and may come out ahead by next to nothing.
    small = "sampler.trials = 12\nrefine.trials = 0\nconfirm.seeds = 0"
    ground = '[base]\n"loss.temperature" = 0.1\n"loss.omega1" = 0.03\n"train.epochs" = 4\n'
    far = simulate(study(small, space=SPACE), world(0.0)).history
    there = simulate(study(f"{small}\n{ground}", space=SPACE), world(0.0)).history
    assert not rank(far).prefers_default
    assert rank(there).prefers_default
    assert rank(there).default is not None


def test_of_a_default_that_was_stopped_the_model_says_what_it_expects() -> None:
    base = '[base]\n"loss.temperature" = 0.9\n"loss.omega1" = 0.002\n"train.epochs" = 9\n'
    spec = study(f"sampler.trials = 30\nrefine.trials = 4\nconfirm.seeds = 0\n{base}", space=SPACE)
    # Whoever started last reports first, so that the default meets competition at its rung.
    run = simulate(spec, world(0.02), slots=6, pick=lambda running: len(running) - 1)
    assert run.history.search_trials[spec.base.config_id].state == "pruned"
    ranking, learnt = rank(run.history), learn(run.history)
    assert ranking.default is not None
    assert learnt is not None
    assert not ranking.default.complete
    assert (ranking.default.value, ranking.default.sd) == learnt.expected(spec.base.config_id)
    assert ranking.default.value < ranking.default.observed  # the rest of its training helps
    assert not ranking.prefers_default
    note = next(row["note"] for row in run.tables["plan"] if row["kind"] == "winner")
    assert note.endswith("when it was stopped")


def test_the_chance_to_be_worse_is_small_against_a_far_default_and_even_against_itself() -> None:
    history = searched().history
    learnt, ranking = learn(history), rank(history)
    assert learnt is not None
    assert history.default is not None
    best, worst = (ranking.others[place].config_id for place in (0, -1))
    against_worst = learnt.chance_worse(best, worst)
    assert against_worst is not None
    assert against_worst < 0.05
    assert learnt.chance_worse(worst, best) == pytest.approx(1.0 - against_worst)
    assert learnt.chance_worse(best, best) == 0.5
    assert learnt.chance_worse(best, "unknown") is None


def test_the_next_point_is_one_that_the_study_may_run() -> None:
    run = searched(text='[constraints]\nrules = ["loss.omega1 <= 0.2 * loss.temperature"]')
    learnt = learn(run.history)
    assert learnt is not None
    point = learnt.next_point()
    assert run.spec.searched.contains(point)
    assert run.spec.searched.allows(point)


FINITE = """
[space]
"loss.temperature" = { choice = [0.03, 0.06, 0.1, 0.2, 0.4, 0.8] }
"train.batch_size" = { int = [16, 24] }
"""


def test_where_a_space_is_finite_the_next_point_is_one_that_was_never_tried() -> None:
    spec = study("sampler.trials = 24\nrefine.trials = 8\nconfirm.seeds = 0", space=FINITE)
    history = simulate(spec, world(0.05)).history
    learnt = learn(history)
    assert learnt is not None
    tried = [point_of(spec.searched, record) for record in history.configs.values()]
    point = learnt.next_point()
    assert spec.searched.contains(point)
    assert point not in tried
    everything = frozenset(tuple(point.items()) for point in spec.searched.grid())
    assert replace(learnt, tried=everything).next_point() == {}


def test_of_a_default_that_failed_nothing_is_expected_and_that_is_said() -> None:
    def failing(config: Config, seed: int, epoch: int) -> float:
        if config == spec.base and epoch == 3:
            raise SimulatedTrialError("out of memory")
        return bowl(config) + 0.3 * math.exp(-epoch)

    spec = study("sampler.trials = 30\nrefine.trials = 4\nconfirm.seeds = 0", space=SPACE)
    run = simulate(spec, failing)
    assert run.history.search_trials[spec.base.config_id].value is not None
    ranking = rank(run.history)
    assert ranking.default is None
    assert not ranking.prefers_default
    note = next(row["note"] for row in run.tables["plan"] if row["kind"] == "winner")
    assert note.endswith("the default did not complete")


def test_a_run_that_was_stopped_without_ever_having_a_value_is_learnt_from_as_a_failed_one() -> (
    None
):
    run = searched(text='study.metric = "corr"\n', sign=-1.0)
    rows = run.tables
    collapsed = rows["configs"][-1]["config_id"]
    trial_id = run.history.search_trials[collapsed].trial_id
    expected = {}
    for row in rows["reports"]:
        if row["trial_id"] == trial_id:
            row["valid_corr"] = math.nan
    end = next(row for row in reversed(rows["trials"]) if row["trial_id"] == trial_id)
    for state in ("failed", "pruned"):
        end["state"] = state
        history = fold_by_rows(run.spec, rows["configs"], rows["trials"], rows["reports"], [])
        trial = history.search_trials[collapsed]
        assert (trial.state, trial.value) == (state, None)
        learnt = learn(history)
        assert learnt is not None
        assert learnt.model.known == len(history.configs)
        expected[state] = learnt.expected(collapsed)
        told = [one for one in told_trials("gp", run.spec, history) if one.state.name == "FAIL"]
        assert [one.params for one in told] == [history.configs[collapsed].params]
    assert expected["failed"] == expected["pruned"]


def test_a_model_that_equal_values_leave_unchecked_says_so() -> None:
    def alike(config: Config, seed: int, epoch: int) -> float:
        return 0.6 if epoch == 9 or config.loss.temperature < 0.3 else 0.9

    spec = study("sampler.trials = 30\nrefine.trials = 0\nconfirm.seeds = 0", space=SPACE)
    history = simulate(spec, alike).history
    assert len(rank(history).others) > 5
    assert "too few, or all alike" in rank(history).note


def test_a_known_point_outside_the_space_counts_with_what_it_reached() -> None:
    run = searched(text='scheduler.kind = "none"\n[[known]]\n"loss.temperature" = 2.0')
    outside = next(c for c, record in run.history.configs.items() if record.number == 1)
    trial = run.history.search_trials[outside]
    ranked = {one.config_id: one for one in rank(run.history).others}
    assert trial.state == "done"
    assert (ranked[outside].value, ranked[outside].sd) == (trial.value, None)
    learnt = learn(run.history)
    assert learnt is not None
    assert learnt.expected(outside) is None


def test_failed_runs_are_no_candidates_and_push_their_places_down() -> None:
    def failing(config: Config, seed: int, epoch: int) -> float:
        if config.loss.temperature < 0.07:
            raise SimulatedTrialError("diverged")
        return bowl(config) + 0.3 * math.exp(-epoch)

    spec = study("sampler.trials = 30\nrefine.trials = 6\nconfirm.seeds = 0", space=SPACE)
    history = simulate(spec, failing).history
    failed = [c for c, trial in history.search_trials.items() if trial.state == "failed"]
    assert failed
    assert not {one.config_id for one in rank(history).others} & {*failed}
    learnt = learn(history)
    assert learnt is not None
    expected = [found[0] for one in failed if (found := learnt.expected(one)) is not None]
    assert len(expected) == len(failed)
    assert min(expected) > np.median([one.observed for one in rank(history).others])


def test_where_too_little_ran_the_best_observed_value_decides_and_that_is_said() -> None:
    spec = study("sampler.trials = 5\nrefine.trials = 0\nconfirm.seeds = 0", space=SPACE)
    history = simulate(spec, world(0.0)).history
    assert learn(history) is None
    ranking = rank(history)
    assert not ranking.trusted
    assert "too little ran" in ranking.note
    assert learn(History(spec)) is None


def test_a_model_that_fails_decides_nothing_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = searched().history
    monkeypatch.setattr("tune.stats.model.run_model._FAILS", 0.0)
    ranking = rank(history)
    assert not ranking.trusted
    assert "times as badly as their mean" in ranking.note
    observed = [one.observed for one in ranking.others]
    assert observed == sorted(observed)


def test_a_long_search_is_learnt_from_its_best_and_newest() -> None:
    spec = study(
        "scheduler.kind = 'none'\nsampler.trials = 260\nrefine.trials = 0\nconfirm.seeds = 0",
        space=SPACE,
    )
    history = simulate(spec, world(0.02)).history
    learnt = learn(history)
    assert learnt is not None
    assert len(learnt.model.codes) == MOST_LEARNT
    best = min(history.search_trials.values(), key=history.loss)
    newest = list(history.search_trials)[-1]
    for config_id in (best.config_id, newest):
        code = learnt.codes[config_id]
        assert (np.abs(learnt.model.codes - code).max(axis=1) < 1e-12).any()
