"""Samplers: one contract for all, the same proposals after a resume, and what they are told."""

import math

import numpy as np
import optuna
import pytest
from fold_by_rows import fold_by_rows
from small_study import noisy, shuffled, study

from hscl.config import Config
from tune.planner.proposals import propose
from tune.planner.samplers import suggestions
from tune.simulate.study import SimulatedRun, SimulatedTrialError, simulate
from tune.states import Origin, Phase
from tune.tables.history import History

CONDITIONAL = """
[space]
"loss.temperature" = { log_uniform = [0.03, 1.0] }
"train.batch_size" = { int = [16, 64] }
"train.optimizer" = { choice = ["adam", "adamw"] }
"train.weight_decay" = { log_uniform = [1e-5, 1e-2], when = { "train.optimizer" = "adamw" } }
"loss.alpha" = { choice = [0.0, 0.1, 1.0], when = { "train.optimizer" = "adam" } }
"""
EVERYONE = ["random", "tpe", "gp"]


@pytest.mark.parametrize("sampler", EVERYONE)
def test_every_proposal_is_new_inside_and_allowed(sampler: str) -> None:
    rule = '[constraints]\nrules = ["loss.temperature <= 0.02 * train.batch_size"]'
    spec = study(f"sampler.trials = 14\n{rule}", space=CONDITIONAL, sampler=sampler)
    history = simulate(spec, noisy(), slots=3, pick=shuffled(0)).history
    records = list(history.configs.values())
    assert len(records) == 14 + 4
    for number, record in enumerate(records):
        assert record.number == number
        config = Config.from_json(record.config)
        assert config.config_id == record.config_id
        if record.origin is Origin.SAMPLER:
            assert spec.searched.inside(config) == record.params
            assert spec.searched.allows(record.params)
    kinds = {record.params["train.optimizer"] for record in records}
    assert kinds == {"adam", "adamw"}


@pytest.mark.parametrize("sampler", EVERYONE)
def test_a_study_depends_on_its_seed_and_on_nothing_else(sampler: str) -> None:
    def points(seed: int) -> list[dict[str, object]]:
        spec = study(f"study.seed = {seed}\nconfirm.seeds = 0\nrefine.trials = 2", sampler=sampler)
        run = simulate(spec, noisy())
        return [dict(record.params) for record in run.history.configs.values()]

    assert points(1) == points(1)
    assert points(1)[1:] != points(2)[1:]


@pytest.mark.parametrize("sampler", EVERYONE)
def test_after_a_resume_the_next_twenty_proposals_are_those_of_the_undisturbed_study(
    sampler: str,
) -> None:
    spec = study("sampler.trials = 40", space=CONDITIONAL, sampler=sampler)
    undisturbed = simulate(spec, noisy(failing=0.1))
    cut = SimulatedRun(spec, noisy(failing=0.1)).run(55)
    known = len(cut.history.configs)
    assert 10 < known <= 20
    resumed = SimulatedRun(spec, noisy(failing=0.1), tables=cut.tables).run()
    assert resumed.tables["configs"] == undisturbed.tables["configs"]
    assert len(resumed.tables["configs"]) >= known + 20


@pytest.mark.parametrize("sampler", EVERYONE)
def test_every_proposal_is_the_answer_on_the_rows_before_it(sampler: str) -> None:
    spec = study("sampler.trials = 24", sampler=sampler)
    run = simulate(spec, noisy(1, failing=0.1), slots=4, pick=shuffled(1))
    starts = {
        row["config_id"]: row["seq"]
        for row in reversed(run.tables["trials"])
        if row["phase"] != "confirm" and row["state"] == "started"
    }
    for number, row in enumerate(run.tables["configs"]):
        before = {
            name: [r for r in rows if r.get("seq", -1) < starts[row["config_id"]]]
            for name, rows in run.tables.items()
        }
        before["configs"] = run.tables["configs"][:number]
        phase = Phase.SCREEN if number < 24 else Phase.REFINE
        assert propose(spec, fold_by_rows(spec, **before), number, phase).config == row


def fraction_near_best(sampler: str, seeds: range) -> float:
    near = []
    for seed in seeds:
        text = f"study.seed = {seed}\nsampler.trials = 40\nrefine.trials = 0\nconfirm.seeds = 0"
        run = simulate(study(text, sampler=sampler), noisy(seed, noise=0.005))
        late = [r for r in run.history.configs.values() if r.number >= 25]
        near += [abs(math.log(float(r.params["loss.temperature"]) / 0.1)) < 0.5 for r in late]
    return float(np.mean(near))


def test_tpe_learns_where_it_is_good_from_stopped_trials_too() -> None:
    by_chance = 1.0 / math.log(1 / 0.03)
    assert fraction_near_best("tpe", range(4)) > 1.7 * by_chance


def test_gp_learns_although_most_of_its_trials_are_stopped() -> None:
    by_chance = 1.0 / math.log(1 / 0.03)
    assert fraction_near_best("gp", range(2)) > 1.7 * by_chance


@pytest.mark.parametrize(("sampler", "phase"), [("gp", Phase.SCREEN), ("tpe", Phase.REFINE)])
def test_where_the_model_fails_tpe_proposes(
    sampler: str, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = simulate(study("sampler.trials = 16", sampler=sampler), noisy()).history
    number = len(history.configs)
    by_tpe = next(suggestions(study(sampler="tpe"), history, number))
    of_model = next(suggestions(history.spec, history, number, phase))
    assert of_model != by_tpe
    monkeypatch.setattr("tune.stats.model.run_model._FAILS", 0.0)
    assert next(suggestions(history.spec, history, number, phase)) == by_tpe


def test_it_keeps_away_from_where_trials_fail() -> None:
    failed = []
    for seed in range(4):
        text = f"study.seed = {seed}\nsampler.trials = 40\nrefine.trials = 0\nconfirm.seeds = 0"
        run = simulate(study(text, sampler="tpe"), cliff)
        late = [t for t in run.history.trials.values() if number(run, t.config_id) >= 20]
        failed += [trial.state == "failed" for trial in late]
    # By chance it would be log(1 / 0.15) / log(1 / 0.03) = 54 %.
    assert np.mean(failed) < 0.3


def cliff(config: Config, seed: int, epoch: int) -> float:
    if config.loss.temperature > 0.15:
        raise SimulatedTrialError("diverged")
    return 1 / epoch + config.loss.omega1 / 10


def number(run: SimulatedRun, config_id: str) -> int:
    return run.history.configs[config_id].number


def test_suggestions_of_a_small_space_are_all_its_points() -> None:
    space = "[space.loss]\nlow = { choice = [true, false] }\nhigh = { choice = [true, false] }"
    spec = study("sampler.trials = 2", space=space)
    points = list(suggestions(spec, History(spec), 1))
    assert len(points) == 4
    assert all(point in points for point in spec.searched.grid())


FINITE = """
[space]
"loss.temperature" = { choice = [0.03, 0.06, 0.1, 0.2, 0.4, 0.8] }
"train.batch_size" = { int = [16, 24] }
"""
FINITE_BRANCH = """
[space]
"loss.temperature" = { choice = [0.08, 0.1, 0.12] }
"train.optimizer" = { choice = ["adam", "adamw"] }
"train.weight_decay" = { log_uniform = [1e-5, 1e-2], when = { "train.optimizer" = "adamw" } }
"""


@pytest.mark.parametrize("space", [FINITE, FINITE_BRANCH])
@pytest.mark.parametrize(("sampler", "phase"), [("gp", Phase.SCREEN), ("tpe", Phase.REFINE)])
def test_where_points_can_come_twice_the_models_first_proposal_is_new(
    sampler: str, phase: Phase, space: str
) -> None:
    text = "sampler.trials = 30\nrefine.trials = 6\nconfirm.seeds = 0"
    spec, asked = study(text, space=space, sampler=sampler), set()
    run = SimulatedRun(spec, noisy(noise=0.06))
    while run.run(1).done is None:
        history, number = run.history, len(run.history.configs)
        refines = history.refined_from is not None
        if number < 14 or number in asked or refines != (phase is Phase.REFINE):
            continue
        first = next(suggestions(spec, history, number, phase))
        assert first not in [record.params for record in history.configs.values()]
        asked.add(number)
    assert len(asked) >= 5


def test_optuna_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(study("refine.trials = 0\nconfirm.seeds = 0", sampler="tpe"), noisy())
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    assert optuna.logging.get_verbosity() >= optuna.logging.WARNING


def test_a_parameter_of_every_form_reaches_the_configuration() -> None:
    run = simulate(study(space=CONDITIONAL, sampler="tpe"), noisy())
    for record in run.history.configs.values():
        values = Config.from_json(record.config).dotted()
        assert {name: values[name] for name in record.params} == record.params
