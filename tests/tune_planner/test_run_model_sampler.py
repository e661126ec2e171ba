"""The model of runs as anybody's sampler: in a plain Optuna study and a plain run of Ray Tune."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import ray.tune as ray_tune
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from tune.planner.run_model_sampler import RunModelSampler


def bowl(x: float, y: float) -> float:
    return (x - 0.3) ** 2 + 0.5 * (y - 0.7) ** 2


def best(sampler: optuna.samplers.BaseSampler, *, maximize: bool = False) -> float:
    """How good the last five proposals of a noisy study of 30 trials are."""
    rng, sign = np.random.default_rng(0), -1.0 if maximize else 1.0

    def objective(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, 0.0, 1.0) for name in "xy")
        return sign * (bowl(x, y) + float(rng.normal(0.0, 0.02)))

    study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
    study.optimize(objective, n_trials=30)
    return float(np.mean([bowl(t.params["x"], t.params["y"]) for t in study.trials[-5:]]))


def test_what_the_readme_shows_runs_and_finds_the_ground() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [code] = [
        part.split("```")[0]
        for part in readme.split("```python\n")[1:]
        if "RunModelSampler" in part.split("```")[0]
    ]
    shown: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), shown)
    assert shown["study"].best_params["x"] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("maximize", [False, True])
def test_in_a_plain_study_it_finds_what_chance_does_not(*, maximize: bool) -> None:
    by_chance = best(optuna.samplers.RandomSampler(seed=0))
    assert best(RunModelSampler(seed=0), maximize=maximize) < 0.2 * by_chance


def test_with_a_pruner_it_learns_from_pruned_trials() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, 0.0, 1.0) for name in "xy")
        for epoch in range(1, 10):
            value = bowl(x, y) + math.exp(-epoch)
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(sampler=RunModelSampler(seed=1), pruner=pruner)
    study.optimize(objective, n_trials=30)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) > 8
    assert study.best_value < 0.01


def pruned_from(first: int) -> list[tuple[dict[str, Any], TrialState]]:
    """The trials of a study in which all but the best stop at once; steps begin at `first`."""

    def objective(trial: optuna.Trial) -> float:
        value = bowl(*(trial.suggest_float(name, 0.0, 1.0) for name in "xy"))
        for step in range(first, first + 5):
            trial.report(value + math.exp(-(step - first)), step)
            if value > 0.1:
                raise optuna.TrialPruned
        return value + math.exp(-4)

    study = optuna.create_study(sampler=RunModelSampler(seed=1))
    study.optimize(objective, n_trials=24)
    return [(trial.params, trial.state) for trial in study.trials]


def test_whoever_counts_steps_from_0_gets_the_same_proposals() -> None:
    trials = pruned_from(0)
    assert trials == pruned_from(1)
    assert {state for _, state in trials} == {TrialState.PRUNED, TrialState.COMPLETE}


def form(trial: optuna.Trial) -> float:
    """Every kind of parameter that Optuna knows; those of "b" exist with it alone."""
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    total = abs(math.log(trial.suggest_float("rate", 1e-5, 1e-1, log=True) / 1e-3))
    total += abs(trial.suggest_int("layers", 1, 7, step=2) - 5)
    total += abs(math.log2(trial.suggest_int("width", 8, 512, log=True) / 64))
    total += abs(trial.suggest_float("dropout", 0.0, 0.5, step=0.1) - 0.2)
    if kind == "b":
        return total + trial.suggest_float("only_b", 0.0, 1.0)
    return total + 2.0


def test_it_takes_every_form_of_parameter_and_conditions() -> None:
    study = optuna.create_study(sampler=RunModelSampler(seed=2))
    study.optimize(form, n_trials=40)  # Optuna itself refuses what a distribution does not hold
    late = study.trials[25:]
    assert np.mean([trial.params["kind"] == "b" for trial in late]) > 0.6
    assert all(("only_b" in t.params) == (t.params["kind"] == "b") for t in study.trials)
    assert np.mean([trial.value for trial in late]) < np.mean(
        [trial.value for trial in study.trials[:10]]
    )


def test_the_same_seed_and_the_same_trials_give_the_same_proposals() -> None:
    def points(seed: int) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=RunModelSampler(seed=seed))
        study.optimize(form, n_trials=14)
        return [trial.params for trial in study.trials]

    assert points(3) == points(3)
    assert points(3)[10:] != points(4)[10:]


def asked_beside(params: dict[str, float] | None) -> dict[str, float]:
    """What is proposed after 20 trials, beside a running one that has these values (so far)."""
    study = optuna.create_study(sampler=RunModelSampler(seed=5))
    rng = np.random.default_rng(0)
    for _ in range(20):
        trial = study.ask()
        value = bowl(*(trial.suggest_float(name, 0.0, 1.0) for name in "xy"))
        study.tell(trial, value + float(rng.normal(0.0, 0.05)))
    if params is not None:
        forms: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in params
        }
        running = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=params, distributions=forms
        )
        study.add_trial(running)
    trial = study.ask()
    return {name: trial.suggest_float(name, 0.0, 1.0) for name in "xy"}


def test_trials_side_by_side_go_to_different_places() -> None:
    alone = asked_beside(None)
    beside = asked_beside(alone)  # with the same draws
    assert max(abs(alone[name] - beside[name]) for name in "xy") > 0.01


def test_a_running_trial_without_values_yet_is_nowhere() -> None:
    assert asked_beside({}) == asked_beside(None)


def test_a_sampler_that_goes_on_in_another_study_learns_from_that_one() -> None:
    sampler = RunModelSampler(seed=0)
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    for _ in range(20):
        for study, ground in zip(studies, (0.2, 0.8), strict=True):
            trial = study.ask()
            study.tell(trial, (trial.suggest_float("x", 0.0, 1.0) - ground) ** 2)
    last = [np.mean([trial.params["x"] for trial in study.trials[-5:]]) for study in studies]
    assert last == pytest.approx([0.2, 0.8], abs=0.1)


def test_what_is_not_allowed_is_not_proposed() -> None:
    sampler = RunModelSampler(seed=0, allowed=lambda point: point["x"] + point["y"] > 1.2)
    study = optuna.create_study(sampler=sampler)
    for _ in range(25):
        trial = study.ask()
        study.tell(trial, bowl(*(trial.suggest_float(name, 0.0, 1.0) for name in "xy")))
    assert all(t.params["x"] + t.params["y"] > 1.2 for t in study.trials[10:])


def test_it_keeps_away_from_where_trials_fail() -> None:
    study = optuna.create_study(sampler=RunModelSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        x, y = (trial.suggest_float(name, 0.0, 1.0) for name in "xy")
        if x < 0.45:  # the best lies just beside
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, bowl(x, y))
    late = [trial.state is TrialState.FAIL for trial in study.trials[15:]]
    assert np.mean(late) < 0.45


class Counted(optuna.samplers.RandomSampler):
    """Counts what it is asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self.asked = 0

    def sample_independent(self, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        return super().sample_independent(*args, **kwargs)


def test_it_keeps_away_from_where_trials_are_pruned_without_ever_having_a_value() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, y = (trial.suggest_float(name, 0.0, 1.0) for name in "xy")
        if x < 0.45:
            trial.report(float("nan"), 1)
            raise optuna.TrialPruned
        return bowl(x, y)

    study = optuna.create_study(sampler=RunModelSampler(seed=0))
    study.optimize(objective, n_trials=30)
    late = [trial.state is TrialState.PRUNED for trial in study.trials[15:]]
    assert np.mean(late) < 0.45


def test_a_trial_pruned_before_its_first_step_says_nothing_and_counts_for_nothing() -> None:
    chance = Counted(seed=0)
    sampler = RunModelSampler(seed=0, n_startup_trials=10, fallback=chance)
    study = optuna.create_study(sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        if trial.number % 2:
            raise optuna.TrialPruned
        return x

    study.optimize(objective, n_trials=26)
    assert chance.asked == 19  # then ten have ended with something to say


def test_where_the_model_has_nothing_to_say_the_fallback_proposes() -> None:
    chance = Counted(seed=0)
    study = optuna.create_study(sampler=RunModelSampler(seed=0, fallback=chance))
    study.optimize(lambda trial: 0.0 * trial.suggest_float("x", 0.0, 1.0), n_trials=15)
    assert chance.asked == 15  # every value is the same: there is no model


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=RunModelSampler(seed=0))
    with pytest.raises(ValueError, match="multi-objective"):
        study.ask().suggest_float("x", 0.0, 1.0)


@pytest.mark.usefixtures("shared_ray")
def test_in_a_plain_run_of_ray_tune_it_finds_the_ground_too(tmp_path: Any) -> None:
    def train(config: dict[str, float]) -> None:
        ray_tune.report({"loss": (config["x"] - 0.3) ** 2 + 0.5 * (config["y"] - 0.7) ** 2})

    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in "xy"
    }
    search = OptunaSearch(
        space, sampler=RunModelSampler(seed=0, n_startup_trials=6), metric="loss", mode="min"
    )
    tuner = ray_tune.Tuner(
        train,
        tune_config=ray_tune.TuneConfig(
            search_alg=search, num_samples=22, max_concurrent_trials=2
        ),
        run_config=ray_tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    assert not results.errors
    best_result = results.get_best_result("loss", "min").metrics
    assert best_result is not None
    assert best_result["loss"] < 0.03
