"""The knowledge gradient against runs that are really added; where the best candidates lie."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from tune.stats.model.acquisition import knowledge_gradient, most_promising, safest
from tune.stats.model.encoding import Encoding
from tune.stats.model.gaussian_process import Points, posterior
from tune.stats.model.run_model import Ran, RunModel, fit_runs
from tune.study.space import Distribution

ENCODING = Encoding({name: Distribution("uniform", (0.0, 1.0)) for name in "ab"})


def bowl(count: int, noise: float = 0.02) -> RunModel:
    rng = np.random.default_rng(0)
    runs = []
    for code in ENCODING.draw(rng, count):
        value = float(((code - [0.3, 0.7]) ** 2).sum() + rng.normal(0.0, noise))
        runs.append(Ran(ENCODING.point(code), value, {1: value}))
    model = fit_runs(ENCODING, runs)
    assert model is not None
    return model


def with_one_more(
    model: RunModel, code: np.ndarray, loss: float, answers: np.ndarray | None = None
) -> float:
    """The smallest expected loss after a run that really ended so, of runs and of `answers`."""
    codes = np.vstack([model.codes, code])
    inputs = model.fitted.inputs
    more = replace(
        inputs,
        points=Points(ENCODING.places(codes), ENCODING.trend(codes)),
        linear=np.zeros((len(codes), len(codes))),
        extra=np.append(inputs.extra, 0.0),
        values=np.append(inputs.values, (loss - model.centre) / model.scale),
        rungs=np.append(inputs.rungs, -1),
    )
    told = replace(
        model,
        codes=codes,
        rungs=np.append(model.rungs, 0),
        complete=np.append(model.complete, True),
        fitted=posterior(more, model.fitted.settings),
        known=len(codes),
    )
    return best(told, answers)


def best(model: RunModel, answers: np.ndarray | None = None) -> float:
    known = model.codes[model.complete]
    known = known if answers is None else np.vstack([known, answers])
    return float(model.predict(known)[0].min())


@pytest.mark.parametrize("places", [0, 30])
def test_it_is_what_the_best_expectation_falls_by_in_the_mean_over_outcomes(places: int) -> None:
    model, rng = bowl(12, noise=0.05), np.random.default_rng(3)
    answers = ENCODING.draw(rng, places) if places else None
    for code in ENCODING.draw(rng, 4):
        mean, sd = (float(one[0]) for one in model.predict(code[None, :]))
        outcomes = mean + rng.normal(size=1_500) * np.hypot(sd, model.noise)
        falls = [
            best(model, answers) - with_one_more(model, code, loss, answers) for loss in outcomes
        ]
        error = np.std(falls) / len(falls) ** 0.5
        got = knowledge_gradient(model, code[None, :], answers)[0]
        assert got == pytest.approx(np.mean(falls), abs=4.0 * error + 0.03 * np.mean(falls))


def test_the_best_candidates_lie_where_a_bowl_has_its_ground() -> None:
    model = bowl(25)
    best = np.array(list(islice(most_promising(model, np.random.default_rng(1)), 5)))
    assert np.abs(best - [0.3, 0.7]).max() < 0.25
    assert (np.diff(knowledge_gradient(model, best)) <= 1e-12).all()


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_the_safest_comes_before_every_place_of_a_fine_grid(noise: float) -> None:
    model = bowl(20, noise)
    first, second = islice(safest(model, np.random.default_rng(2)), 2)
    line = np.linspace(0.0, 1.0, 81)
    grid = np.array(np.meshgrid(line, line)).reshape(2, -1).T
    mean, sd = model.predict(np.vstack([first, second, grid]))
    losses = mean + sd
    assert losses[0] <= losses[1]
    assert losses[0] <= losses[2:].min() + 0.001 * float(np.ptp(losses))


@pytest.mark.parametrize("most", [0.25, 0.9])
def test_where_the_ground_is_forbidden_both_go_to_the_best_that_is_not(most: float) -> None:
    model, rng = bowl(25), np.random.default_rng(5)

    def may_run(code: np.ndarray) -> bool:
        return bool(code.sum() <= most)  # the ground is at a sum of 1

    line = np.linspace(0.0, 1.0, 81)
    grid = np.array(np.meshgrid(line, line)).reshape(2, -1).T
    grid = grid[[may_run(code) for code in grid]]
    mean, sd = model.predict(grid)
    first, *others = safest(model, rng, may_run)
    assert all(map(may_run, [first, *others]))
    own_mean, own_sd = model.predict(first[None, :])
    spread = float(np.ptp(mean + sd))
    assert own_mean[0] + own_sd[0] <= (mean + sd).min() + 0.01 * spread
    # What a training is worth to a choice among the best of what may run.
    answers = grid[np.argsort(mean + sd)[:60]]
    wanted, *rest = most_promising(model, rng, may_run, anywhere=True)
    assert all(map(may_run, [wanted, *rest]))
    gains = knowledge_gradient(model, np.vstack([wanted, grid]), answers)
    assert gains[0] >= 0.9 * gains[1:].max()


def test_where_nothing_may_run_nothing_is_proposed() -> None:
    model, rng = bowl(25), np.random.default_rng(5)
    assert not list(safest(model, rng, lambda _: False))
    assert not list(most_promising(model, rng, lambda _: False, anywhere=True))


def test_the_safest_of_few_points_is_the_best_that_has_not_run() -> None:
    levels = Encoding({name: Distribution("int", (0, 5)) for name in "ab"})
    points = [{"a": a, "b": b} for a in range(6) for b in range(6)]
    rng = np.random.default_rng(4)
    ran = [points[place] for place in rng.permutation(36)[:20]] + [{"a": 2, "b": 3}]
    losses = [(p["a"] - 2) ** 2 + (p["b"] - 3) ** 2 + float(rng.normal(0.0, 0.3)) for p in ran]
    runs = [Ran(point, loss, {1: loss}) for point, loss in zip(ran, losses, strict=True)]
    model = fit_runs(levels, runs)
    assert model is not None
    proposed = [levels.point(code) for code in safest(model, np.random.default_rng(0))]
    assert not [point for point in proposed if point in ran]
    left = [point for point in points if point not in ran]
    mean, sd = model.predict(levels.codes(left))
    assert proposed[0] == left[int(np.argmin(mean + sd))]


def test_without_noise_what_is_known_already_is_worth_nothing() -> None:
    model = bowl(25, noise=0.0)
    known = knowledge_gradient(model, model.codes[:5])
    assert known.max() < 0.01 * knowledge_gradient(model, np.array([[0.3, 0.7]]))[0]


def test_a_run_that_is_under_way_takes_most_of_the_worth_of_its_place() -> None:
    model = bowl(12)
    worth = knowledge_gradient(model, np.array([[0.35, 0.65]]))[0]
    pending = model.with_pending(np.array([[0.35, 0.65]]))
    assert knowledge_gradient(pending, np.array([[0.35, 0.65]]))[0] < 0.7 * worth
