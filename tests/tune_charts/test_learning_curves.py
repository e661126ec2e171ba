"""Learning curves: what is drawn is what the trials reported."""

import math
from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from tune.charts.learning_curves import learning_curves
from tune.charts.theme import Chart
from tune.evidence.curves import stopped_at
from tune.states import Phase, TrialState
from tune.study.allocation import rungs_of
from tune.tables.records import TrialRecord

STUDY = Simulated(failures=1, trials=10, refined=3, confirm_seeds=6)


@pytest.fixture(scope="module")
def chart() -> Chart:
    evidence = evidence_of(STUDY)
    rungs = stopped_at(evidence.trials, rungs_of(evidence.spec))
    return learning_curves(evidence.trials, evidence.labels, rungs, "mae")


def test_every_value_of_every_trial_is_drawn_in_its_phase_once(chart: Chart) -> None:
    for phase, axis in zip(("screen", "refine", "confirm"), ("x", "x2", "x3"), strict=True):
        drawn = sorted(
            y
            for trace in chart.figure.data
            if trace.xaxis == axis and "lines" in trace.mode
            for y in trace.y
            if y is not None
        )
        expected = sorted(
            value
            for c in evidence_of(STUDY).trials
            if c.phase == phase
            for value in c.best.values()
        )
        assert drawn == expected


def test_rungs_are_lines_with_the_number_that_each_stopped(chart: Chart) -> None:
    curves = evidence_of(STUDY).trials
    stopped = [c for c in curves if c.state is TrialState.PRUNED]
    assert [shape.x0 for shape in chart.figure.layout.shapes] == [1, 4]
    counts = [int(a.text) for a in chart.figure.layout.annotations if a.text.isdigit()]
    assert sum(counts) == len(stopped)


def test_the_legend_names_each_group_once(chart: Chart) -> None:
    shown = [trace.name for trace in chart.figure.data if trace.showlegend]
    assert len(shown) == len(set(shown))
    assert {"winner", "default", "failed", "stopped early"} <= set(shown)


def test_the_legend_draws_what_the_caption_names() -> None:
    evidence = evidence_of(STUDY)
    rungs = stopped_at(evidence.trials, rungs_of(evidence.spec))
    chart = learning_curves(evidence.trials, evidence.labels, rungs, "mae", 0.01)
    shown = {trace.name for trace in chart.figure.data if trace.showlegend}
    assert {"rung", "noise floor"} <= shown


@pytest.mark.parametrize(("metric", "side"), [("mae", 1), ("corr", -1)])
def test_the_axis_ends_where_decisions_do_and_what_it_cuts_is_counted(
    metric: str, side: int
) -> None:
    trial = next(c for c in evidence_of(STUDY).trials if c.state is TrialState.DONE)

    def curve(first: float, last: float) -> TrialRecord:
        best = {1: side * first, 2: side * first, 3: side * last, 4: side * last}
        return replace(trial, phase=Phase.SCREEN, best=best, curve=best)

    curves = [curve(5.0, 0.7 + 0.01 * n) for n in range(10)]
    chart = learning_curves(curves, {}, {}, metric)
    ends = sorted(side * end for end in chart.figure.layout.yaxis.range)
    assert ends == pytest.approx([0.7 - 0.08 * 0.09, 0.79 + 0.08 * 0.09])
    assert "20 values beyond them are cut off" in chart.caption
    # At a rung decisions fall too, but one trial that exploded does not set the scale.
    chart = learning_curves([*curves, curve(50.0, 0.7)], {}, {1: 0}, metric)
    ends = sorted(side * end for end in chart.figure.layout.yaxis.range)
    assert ends == pytest.approx([0.7 - 0.08 * 4.3, 5.0 + 0.08 * 4.3])
    assert "2 values beyond them are cut off" in chart.caption


def test_what_has_no_value_is_not_cut_off() -> None:
    trial = next(c for c in evidence_of(STUDY).trials if c.state is TrialState.DONE)
    curve = {1: math.nan, 2: math.nan, 3: 0.7, 4: 0.69}
    chart = learning_curves([replace(trial, curve=curve, best=curve)], {}, {}, "mae")
    assert "cut off" not in chart.caption


def test_failures_are_told_in_words_and_marked(chart: Chart) -> None:
    failed = [c for c in evidence_of(STUDY).trials if c.state is TrialState.FAILED]
    assert f"{len(failed)} failed" in chart.alternative
    marks = [t for t in chart.figure.data if t.name == "failed"]
    assert sum(len(trace.x) for trace in marks) == len(failed)


def test_the_table_has_a_row_a_trial_up_to_a_limit(chart: Chart) -> None:
    curves = evidence_of(STUDY).trials
    assert len(chart.rows) == len(curves)
    many = learning_curves(curves * 20, evidence_of(STUDY).labels, {}, "mae")
    assert len(many.rows) == 201
    assert "more trials are not shown" in many.rows[-1][0]


def test_a_study_of_one_phase_has_one_panel() -> None:
    curves = [c for c in evidence_of(STUDY).trials if c.phase is Phase.SCREEN]
    chart = learning_curves(curves, evidence_of(STUDY).labels, {}, "mae")
    assert {trace.xaxis for trace in chart.figure.data} == {"x"}
    assert not math.isnan(chart.figure.layout.height)


@pytest.mark.parametrize(("metric", "side"), [("mae", 1), ("corr", -1)])
def test_each_panel_has_the_noise_floor_from_its_best_end_on(metric: str, side: int) -> None:
    curves = evidence_of(STUDY).trials
    chart = learning_curves(curves, evidence_of(STUDY).labels, {}, metric, 0.0123)
    stripes = chart.figure.layout.shapes
    assert [(s.xref, s.yref) for s in stripes] == [
        ("x domain", "y"),
        ("x2 domain", "y2"),
        ("x3 domain", "y3"),
    ]
    for phase, stripe in zip(("screen", "refine", "confirm"), stripes, strict=True):
        ends = [c.value for c in curves if c.phase == phase and c.value is not None]
        best = min(ends) if side == 1 else max(ends)
        assert sorted((stripe.y0, stripe.y1)) == sorted((best, best + side * 0.0123))
    assert "differ by 0.012 (sd)" in chart.alternative
    assert "noise floor" in chart.caption


def test_an_unknown_noise_floor_is_neither_drawn_nor_told() -> None:
    chart = learning_curves(evidence_of(STUDY).trials, evidence_of(STUDY).labels, {}, "mae")
    assert not chart.figure.layout.shapes
    assert "noise floor" not in chart.caption
    assert "(sd)" not in chart.alternative
