"""ASHA's decisions, against a reference that reads the rule off the rows, line by line."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import noisy, shuffled, study

from hscl.config import Config
from tune.planner.asha import should_stop
from tune.simulate.study import SimulatedRun, simulate
from tune.study.spec import StudySpec
from tune.tables.history import History

Row = dict[str, Any]


def literal_decision(spec: StudySpec, before: list[Row], row: Row, screen: set[str]) -> bool:
    """Whether the trial of `row` stops there, from the rows before it and the rule's own words."""
    key, sign = f"valid_{spec.study.metric}", 1 if spec.mode == "min" else -1
    grace, factor = spec.scheduler.grace_epochs, spec.scheduler.reduction_factor
    rung, k = grace, 0
    while rung < spec.base.train.epochs and rung != row["epoch"]:
        k += 1
        rung = grace * factor**k
    if rung >= spec.base.train.epochs or row["finished"] or row["trial_id"] not in screen:
        return False
    values = {}
    for trial_id in screen:
        its = [r for r in before if r["trial_id"] == trial_id]
        if trial_id == row["trial_id"]:
            its = [*its, row]
        upto = [sign * r[key] for r in its if r["epoch"] <= rung]
        reached = any(r["epoch"] == rung for r in its)
        complete = any(r["finished"] for r in its if r["epoch"] < rung)
        if reached or complete:
            values[trial_id] = min(upto)
    if len(values) < factor:
        return False
    best = sorted(values.values())[: len(values) // factor]
    return bool(values[row["trial_id"]] > best[-1])


def check_every_stop(run: SimulatedRun) -> int:
    reports = run.tables["reports"]
    screen = {row["trial_id"] for row in run.tables["trials"] if row["phase"] == "screen"}
    for index, row in enumerate(reports):
        expected = literal_decision(run.spec, reports[:index], row, screen)
        assert row["stop"] == expected, row
    return sum(row["stop"] for row in reports)


@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 6),
    grace=st.integers(1, 3),
    factor=st.integers(2, 4),
    patience=st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_every_decision_equals_the_rules_own_words_in_any_order_of_arrival(
    seed: int, slots: int, grace: int, factor: int, patience: int
) -> None:
    spec = study(
        f"[scheduler]\ngrace_epochs = {grace}\nreduction_factor = {factor}\n"
        f"[base]\n'train.patience' = {patience}\n"
        "[refine]\ntrials = 2\n[confirm]\nseeds = 1\n[sampler]\ntrials = 10"
    )
    objective = noisy(seed, failing=0.1)
    check_every_stop(simulate(spec, objective, slots=slots, pick=shuffled(seed)))


@pytest.mark.parametrize("metric", ["mae", "corr"])
def test_a_metric_that_grows_is_judged_the_other_way_round(metric: str) -> None:
    spec = study(f'[study]\nmetric = "{metric}"\n[base]\n"train.patience" = 2')
    sign = 1 if metric == "mae" else -1
    loss = noisy(3)

    def objective(config: Config, seed: int, epoch: int) -> float:
        return sign * loss(config, seed, epoch)

    run = simulate(spec, objective, slots=3, pick=shuffled(1))
    assert check_every_stop(run) > 3


class Screen:
    """A history with trials that report what a test says."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.history = History(spec)
        self.seq = 0

    def start(self, name: str, phase: str = "screen") -> None:
        self.seq += 1
        self.history.apply_event(
            {
                "seq": self.seq,
                "trial_id": name,
                "config_id": name,
                "phase": phase,
                "seed": 1,
                "attempt": 1,
                "state": "started",
                "error": None,
            }
        )

    def report(
        self, name: str, epoch: int, value: float | None, *, finished: bool = False
    ) -> bool:
        if name not in self.history.trials:
            self.start(name)
        stop = should_stop(self.spec, self.history, name, epoch, value, finished=finished)
        row = {
            "seq": self.seq,
            "trial_id": name,
            "epoch": epoch,
            "stop": stop,
            "finished": finished,
            f"valid_{self.spec.study.metric}": value,
        }
        self.history.apply_report(row)
        return stop


def test_nobody_stops_before_so_many_values_are_there() -> None:
    screen = Screen(study())
    assert not screen.report("a", 1, 0.5)
    assert not screen.report("b", 1, 0.9)
    assert screen.report("c", 1, 0.6)


def test_the_best_and_its_equals_stay() -> None:
    screen = Screen(study())
    for name in "ab":
        screen.report(name, 1, 0.5)
    assert not screen.report("c", 1, 0.5)
    assert not screen.report("d", 1, 0.4)
    assert screen.report("e", 1, 0.5)


def test_the_value_at_a_rung_is_the_best_so_far() -> None:
    screen = Screen(study())
    screen.report("a", 1, 0.5)
    screen.report("b", 1, 0.5)
    screen.report("c", 1, 0.5)
    for name in "ab":
        screen.report(name, 2, 0.6)
        screen.report(name, 3, 0.7)
    screen.report("c", 2, 0.4)
    assert not screen.report("c", 3, 0.9)
    assert screen.history.rung_values(3) == [0.4, 0.5, 0.5]


def test_a_trial_that_ended_by_patience_counts_at_every_later_rung() -> None:
    screen = Screen(study(epochs=28))
    for name, value in (("a", 0.3), ("b", 0.4)):
        screen.report(name, 1, value)
        assert not screen.report(name, 2, 0.9, finished=True)
    assert screen.history.rung_values(9) == [0.3, 0.4]
    screen.report("c", 1, 0.35)
    assert screen.report("c", 3, 0.35)


def test_an_end_without_a_finished_report_counts_the_same() -> None:
    # A table written before the column `finished` existed.
    screen = Screen(study(epochs=28))
    screen.report("a", 1, 0.3)
    end = {"trial_id": "a", "phase": "screen", "seed": 1, "config_id": "a", "state": "done"}
    screen.history.apply_event(end)
    assert screen.history.rung_values(3) == screen.history.rung_values(9) == [0.3]
    screen.history.apply_event(end)
    assert screen.history.rung_values(9) == [0.3]


def test_a_resumed_trial_is_compared_only_at_rungs_that_it_has_not_passed() -> None:
    screen = Screen(study())
    screen.report("a", 1, 0.9)
    screen.report("b", 1, 0.5)
    screen.report("c", 1, 0.5)
    # It was there first and went on; now it repeats epoch 1 and would be the worst of three.
    assert not should_stop(screen.spec, screen.history, "a", 1, 0.9)
    # A resume at epoch 2 enters rung 3 and no lower one.
    screen.report("a", 2, 0.8)
    screen.report("a", 3, 0.8)
    assert screen.history.rungs == {1: {"a": 0.9, "b": 0.5, "c": 0.5}, 3: {"a": 0.8}}


def test_values_that_are_missing_never_count() -> None:
    screen = Screen(study('[study]\nmetric = "corr"'))
    for name, value in (("a", None), ("b", math.nan), ("c", math.inf)):
        assert not screen.report(name, 1, value)
    assert screen.history.rung_values(1) == []
    for name in "def":
        screen.report(name, 1, 0.5)
    # Without any value it can't be among the best.
    assert screen.report("g", 1, None)
    assert screen.history.rung_values(1) == [-0.5] * 3


def test_refine_and_confirm_are_never_stopped() -> None:
    screen = Screen(study())
    for name in "abc":
        screen.report(name, 1, 0.1)
    for phase in ("refine", "confirm"):
        screen.start(phase, phase)
        assert not screen.report(phase, 1, 0.9)
    assert len(screen.history.rung_values(1)) == 3
