"""The model of runs: what stopped, failed, unlucky and pending ones teach it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tune.stats.model.encoding import Encoding
from tune.stats.model.gaussian_process import Points, posterior
from tune.stats.model.run_model import Ran, RunModel, fit_runs
from tune.study.space import Distribution

ENCODING = Encoding({name: Distribution("uniform", (0.0, 1.0)) for name in "ab"})
GRID = ENCODING.draw(np.random.default_rng(9), 300)


def truth(codes: np.ndarray) -> np.ndarray:
    return 0.8 + 0.4 * (codes[:, 0] - 0.3) ** 2 + 0.2 * (codes[:, 1] - 0.6) ** 2


def curve(end: float, epochs: int = 9) -> dict[int, float]:
    return {epoch: end + 0.5 * math.exp(-0.7 * epoch) for epoch in range(1, epochs + 1)}


def runs(count: int, noise: float = 0.01, stopped: float = 0.0, seed: int = 0) -> list[Ran]:
    rng = np.random.default_rng(seed)
    codes = ENCODING.draw(rng, count)
    ran = []
    for code, end in zip(codes, truth(codes) + rng.normal(0.0, noise, count), strict=True):
        whole, point = curve(float(end)), ENCODING.point(code)
        if rng.random() < stopped:
            early = {epoch: whole[epoch] for epoch in (1, 2, 3)}
            ran.append(Ran(point, early[3], early, "stopped"))
        else:
            ran.append(Ran(point, whole[9], whole))
    return ran


def fitted(ran: Sequence[Ran]) -> RunModel:
    model = fit_runs(ENCODING, ran)
    assert model is not None
    return model


def error(model: RunModel) -> float:
    wrong = model.predict(GRID)[0] - truth(GRID)
    return float(np.sqrt((wrong**2).mean()))


def test_it_smooths_noise_away() -> None:
    model = fitted(runs(40, noise=0.02))
    assert error(model) < 0.01
    assert model.noise == pytest.approx(0.02, rel=0.4)
    assert model.trusted
    assert model.error_ratio < 0.9


def test_its_sd_is_honest() -> None:
    inside = []
    for seed in range(12):
        mean, sd = fitted(runs(30, noise=0.03, seed=seed)).predict(GRID[:40])
        inside += (np.abs(mean - truth(GRID[:40])) < 2.0 * sd).tolist()
    assert np.mean(inside) > 0.9


def test_stopped_runs_teach_it_where_few_are_complete() -> None:
    mixed = runs(60, stopped=0.85)
    few = [run for run in mixed if run.state == "complete"]
    assert error(fitted(mixed)) < 0.7 * error(fitted(few))


def test_worse_because_earlier_costs_nothing() -> None:
    def later(run: Ran) -> Ran:
        known = {epoch: v + 0.3 if epoch <= 3 else v for epoch, v in run.curve.items()}
        return replace(run, curve=known, value=known[max(known)])

    mixed = runs(40, stopped=0.5)
    before, after = (
        fitted(some).predict(GRID)[0] for some in (mixed, [later(run) for run in mixed])
    )
    assert after == pytest.approx(before, abs=2e-3)


def test_runs_that_differ_more_early_on_teach_as_much_as_they_know() -> None:
    # Twice as different after 3 epochs, with luck of their own there: gains scatter by three times
    # the noise at the end, and say nothing of how well the early values order.
    rng = np.random.default_rng(2)
    errors, alone, slopes = [], [], []
    for seed in range(6):
        ran = []
        for run in runs(70, seed=seed):
            true = float(truth(ENCODING.codes([run.point]))[0])
            early = 1.0 + 2.0 * (true - 0.85) + rng.normal(0.0, 0.02)
            if rng.random() < 0.8:
                ran.append(Ran(run.point, early, {3: early}, "stopped"))
            else:
                ran.append(Ran(run.point, run.value, {3: early, 9: run.value}))
        model = fitted(ran)
        slopes.append(float(model.fitted.settings.slopes[0]))
        errors.append(error(model))
        alone.append(error(fitted([run for run in ran if run.state == "complete"])))
    assert 1.5 < np.median(slopes) < 2.5
    assert np.mean(errors) < 0.7 * np.mean(alone)


def test_one_unlucky_run_does_not_move_its_surroundings() -> None:
    ran = runs(40)
    at = int(np.argmin([run.value for run in ran]))
    bad = [replace(run, value=run.value + 0.3) if i == at else run for i, run in enumerate(ran)]
    code = ENCODING.codes([ran[at].point])
    with_it, without = (fitted(some).predict(code)[0][0] for some in (bad, ran))
    assert with_it - without < 0.03


def test_a_lucky_run_is_not_taken_at_its_word() -> None:
    ran = runs(40, noise=0.02)
    at = int(np.argmax([run.value for run in ran]))
    lucky = [replace(run, value=run.value - 0.06) if i == at else run for i, run in enumerate(ran)]
    code = ENCODING.codes([ran[at].point])
    moved = fitted(ran).predict(code)[0][0] - fitted(lucky).predict(code)[0][0]
    assert 0.0 < moved < 0.045


def test_where_runs_fail_it_expects_the_worst() -> None:
    ran = [
        Ran(run.point, math.inf, {}, "failed") if float(run.point["a"]) > 0.7 else run
        for run in runs(40)
    ]
    model = fitted(ran)
    mean, _ = model.predict(ENCODING.codes([{"a": 0.9, "b": 0.6}, {"a": 0.3, "b": 0.6}]))
    assert mean[0] > mean[1] + 0.05


def test_one_collapse_does_not_set_the_scale() -> None:
    ran = [*runs(40), Ran({"a": 0.9, "b": 0.1}, 50.0, {1: 50.0})]
    assert error(fitted(ran)) < 0.03


def test_a_pending_run_lowers_the_doubt_there_and_moves_no_expectation() -> None:
    model = fitted(runs(20))
    at = ENCODING.codes([{"a": 0.05, "b": 0.95}])
    pending = model.with_pending(at)
    assert pending.predict(at)[1][0] < 0.9 * model.predict(at)[1][0]
    assert pending.predict(GRID)[0] == pytest.approx(model.predict(GRID)[0], abs=1e-6)
    assert pending.known == len(model.codes)


def test_a_difference_agrees_with_both_expectations() -> None:
    model = fitted(runs(30, stopped=0.4))
    one, other = GRID[0], GRID[1]
    mean, sd = model.difference(one, other)
    means, sds = model.predict(GRID[:2])
    assert mean == pytest.approx(means[0] - means[1])
    assert sd <= sds.sum()
    assert model.difference(one, one) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_its_error_is_that_of_leaving_each_run_out() -> None:
    model = fitted(runs(25, noise=0.01))
    values = model.fitted.inputs.values
    own, of_mean = [], []
    for i in range(25):
        rest = np.arange(25) != i
        of_mean.append(values[i] - values[rest].mean())
        own.append(model.fitted.left_out()[0][i])
    most = 3.0 * np.median(np.abs(of_mean))
    squares = [np.mean(np.clip(r, -most, most) ** 2) for r in (own, of_mean)]
    assert model.error_ratio == pytest.approx(math.sqrt(squares[0] / squares[1]))


def test_noise_alone_leaves_it_no_better_than_the_mean_and_still_trusted() -> None:
    rng, ratios = np.random.default_rng(0), []
    for _ in range(10):
        codes = ENCODING.draw(rng, 25)
        ran = [
            Ran(ENCODING.point(code), float(value), {1: float(value)})
            for code, value in zip(codes, rng.normal(0.8, 0.02, 25), strict=True)
        ]
        model = fitted(ran)
        ratios.append(model.error_ratio)
        assert model.trusted
    assert 0.9 < np.median(ratios) < 1.15


def test_a_model_that_is_surely_wrong_is_not_trusted() -> None:
    # Each run has a twin at the same place with the opposite value.
    model = fitted(runs(24))
    values = np.where(np.arange(24) % 2, 1.0, -1.0)
    near = ENCODING.codes([{"a": (i // 2) / 12, "b": 0.5} for i in range(24)])
    points = Points(ENCODING.places(near), np.zeros_like(model.fitted.inputs.points.trend))
    inputs = replace(model.fitted.inputs, points=points, values=values)
    sure = replace(model.fitted.settings, amplitude=5.0, noise=0.1, lengths=np.full(2, 0.01))
    wrong = replace(model, fitted=posterior(inputs, sure))
    assert wrong.error_ratio > 1.5
    assert not wrong.trusted


@pytest.mark.parametrize("same", [0.0, 0.1, 0.7, 1.0, -0.3])
def test_where_all_values_are_the_same_there_is_no_model(same: float) -> None:
    assert fit_runs(ENCODING, [replace(run, value=same) for run in runs(12)]) is None


def test_where_the_better_half_is_the_same_the_others_still_teach() -> None:
    # .1 has no exact representation: twelve of them have a standard deviation of rounding.
    ran = [replace(run, value=max(run.value, 0.85)) for run in runs(24)]
    model = fitted(ran)
    assert model.noise > 1e-4
    assert error(model) < 0.03


@pytest.mark.parametrize("ran", [[], runs(5), [Ran({"a": 0.1, "b": 0.1}, 1.0, {1: 1.0})] * 9])
def test_where_too_little_ran_or_nothing_differs_there_is_no_model(ran: list[Ran]) -> None:
    assert fit_runs(ENCODING, ran) is None


def test_where_nothing_is_complete_there_is_no_model() -> None:
    ran = [replace(run, state="stopped") for run in runs(9)]
    assert fit_runs(ENCODING, ran) is None


@pytest.mark.parametrize("shift", [0.0, -0.5, 0.3])
def test_runs_elsewhere_teach_by_their_differences_alone(shift: float) -> None:
    away = [
        replace(run, value=run.value + shift, elsewhere=True)
        for run in runs(40, stopped=0.4, seed=5)
    ]
    here = runs(8)
    both = fitted([*away, *here])
    assert error(both) < 0.6 * error(fitted(here))
    assert both.complete.sum() == len(here)


def test_runs_stopped_elsewhere_by_when_no_run_here_has_a_value_teach_too() -> None:
    here = [replace(run, curve={9: run.value}) for run in runs(8)]
    away = [
        Ran(run.point, run.value + 0.3, {1: run.value + 0.3}, "stopped", elsewhere=True)
        for run in runs(40, seed=5)
    ]
    assert error(fitted([*away, *here])) < 0.8 * error(fitted(here))


def test_without_a_complete_run_here_those_elsewhere_make_no_model() -> None:
    assert fit_runs(ENCODING, [replace(run, elsewhere=True) for run in runs(20)]) is None
