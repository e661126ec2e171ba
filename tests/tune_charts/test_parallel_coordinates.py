"""Parallel coordinates: every configuration passes its own values."""

from dataclasses import replace

import pytest
from study_factory import SPACE, Simulated, evidence_of

from tune.charts.axes import Axis, axis_of
from tune.charts.figures import settings_of
from tune.charts.parallel_coordinates import parallel_coordinates
from tune.charts.theme import Chart
from tune.evidence.curves import Label
from tune.states import Phase, TrialState
from tune.tables.records import TrialRecord

STUDY = Simulated(trials=14, refined=3, confirm_seeds=5)


@pytest.fixture(scope="module")
def screen() -> list[TrialRecord]:
    return [curve for curve in evidence_of(STUDY).trials if curve.phase is Phase.SCREEN]


@pytest.fixture(scope="module")
def axes() -> list[Axis]:
    evidence = evidence_of(STUDY)
    settings = settings_of(evidence)
    return [
        axis_of(name, distribution, [values[name] for values in settings.values()])
        for name, distribution in evidence.spec.space.items()
    ]


@pytest.fixture(scope="module")
def chart(screen: list[TrialRecord], axes: list[Axis]) -> Chart:
    evidence = evidence_of(STUDY)
    return parallel_coordinates(settings_of(evidence), axes, screen, evidence.labels, "mae")


def _lines(chart: Chart) -> list[list[float]]:
    lines: list[list[float]] = []
    for trace in chart.figure.data:
        if trace.mode != "lines":
            continue
        line: list[float] = []
        for y in trace.y:
            if y is None:
                lines.append(line)
                line = []
            else:
                line.append(y)
    return lines


def test_each_configuration_is_one_line_through_its_settings(
    chart: Chart, screen: list[TrialRecord], axes: list[Axis]
) -> None:
    settings = settings_of(evidence_of(STUDY))
    expected = sorted(
        [axis.place(settings[curve.config_id][axis.name]) for axis in axes] for curve in screen
    )
    assert sorted(line[:-1] for line in _lines(chart)) == expected
    assert all(len(line) == len(SPACE) + 1 for line in _lines(chart))


def test_the_best_complete_trial_ends_on_top_and_nothing_leaves_the_axis(
    chart: Chart, screen: list[TrialRecord]
) -> None:
    ends = [line[-1] for line in _lines(chart)]
    assert max(ends) == 1.0
    assert min(ends) == 0.0
    complete = sum(curve.state is TrialState.DONE for curve in screen)
    assert f"{complete} of them complete" in chart.alternative


def _foot(chart: Chart) -> float:
    """Where the worst complete trial ends, by the labels of the last axis."""
    x = max(note.x for note in chart.figure.layout.annotations)
    ticks = [(note.y, note.text) for note in chart.figure.layout.annotations if note.x == x]
    return float(min(y for y, text in ticks if text[0].isdigit()))


def test_only_the_worst_of_all_ends_at_the_bottom(
    screen: list[TrialRecord], axes: list[Axis], chart: Chart
) -> None:
    values = {c.config_id: c.value for c in screen if c.value is not None}
    default = screen[0]
    stopped = [c for c in screen[1:] if c.state is TrialState.PRUNED]
    ends = sorted(c.value for c in screen if c.state is TrialState.DONE and c.value)
    told = [replace(c, best={c.epoch: ends[-1] + 0.1 * n}) for n, c in enumerate(stopped, start=2)]
    early = replace(default, state=TrialState.PRUNED, best={default.epoch: ends[-1] + 0.1})
    rest = [c for c in screen[1:] if c.state is TrialState.DONE]
    chart = parallel_coordinates(
        settings_of(evidence_of(STUDY)), axes, [early, *rest, *told], {}, "mae"
    )
    by_end = sorted(line[-1] for line in _lines(chart))
    assert len(set(by_end)) == len(values)
    assert by_end[: len(told) + 1] == pytest.approx(
        [_foot(chart) * n / (len(told) + 1) for n in range(len(told) + 1)]
    )
    assert "in their order" in chart.caption


def test_winner_and_default_stand_out_by_marker_and_dash(
    screen: list[TrialRecord], axes: list[Axis]
) -> None:
    evidence = evidence_of(STUDY)
    # Who won the study is for its model to say; here it is a configuration of the screen.
    labels = {
        curve.config_id: Label("winner", "winner") if number == 1 else Label("other", "other")
        for number, curve in enumerate(screen)
    } | {screen[0].config_id: Label("default", "default")}
    chart = parallel_coordinates(settings_of(evidence), axes, screen, labels, "mae")
    special = [trace for trace in chart.figure.data if "markers" in trace.mode]
    assert [trace.name for trace in special] == ["default", "winner"]
    assert len({trace.marker.symbol for trace in special}) == 2
    assert len({trace.line.dash for trace in special}) == 2


def test_the_table_lists_complete_trials_first_best_first(chart: Chart) -> None:
    states = [row[-1] for row in chart.rows]
    assert states == sorted(states)  # "complete" before "stopped early"
    complete = [float(row[-2]) for row in chart.rows if row[-1] == "complete"]
    assert complete == sorted(complete)
    assert all(len(row) == len(chart.columns) for row in chart.rows)


def test_each_configuration_has_its_own_state_and_all_are_counted(
    screen: list[TrialRecord], axes: list[Axis]
) -> None:
    evidence = evidence_of(STUDY)
    first, second, third, *rest = [c for c in screen if c.state is TrialState.DONE]
    trials = [
        *(c for c in screen if c.state is not TrialState.DONE),
        replace(first, state=TrialState.FAILED),
        replace(second, state=TrialState.STARTED),
        replace(third, curve={}, best={}),
        *rest,
    ]
    chart = parallel_coordinates(settings_of(evidence), axes, trials, evidence.labels, "mae")
    said = {row[0]: row[-1] for row in chart.rows}
    assert said[evidence.labels[first.config_id].text] == "failed"
    assert said[evidence.labels[second.config_id].text] == "unfinished"
    assert evidence.labels[third.config_id].text not in said
    groups = list(dict.fromkeys(row[-1] for row in chart.rows))
    assert groups == ["complete", "stopped early", "failed", "unfinished"]
    assert {"stopped early", "failed", "unfinished"} <= {
        trace.name for trace in chart.figure.data if trace.showlegend
    }
    assert chart.alternative.startswith(
        f"{len(screen)} configurations (1 without a value), {len(rest)} of them complete. "
    )


def test_without_a_complete_trial_the_words_say_so(
    screen: list[TrialRecord], axes: list[Axis]
) -> None:
    stopped = [curve for curve in screen if curve.state is TrialState.PRUNED]
    evidence = evidence_of(STUDY)
    chart = parallel_coordinates(settings_of(evidence), axes, stopped, evidence.labels, "mae")
    assert chart.alternative == "No trial of the search is complete yet."


def test_the_noise_floor_is_a_bar_from_the_best_down_the_metrics_axis(
    screen: list[TrialRecord], axes: list[Axis]
) -> None:
    evidence = evidence_of(STUDY)
    told = (settings_of(evidence), axes, screen, evidence.labels, "mae")
    ends = [c.best[c.epoch] for c in screen if c.state is TrialState.DONE]
    half = (max(ends) - min(ends)) / 2
    chart = parallel_coordinates(*told, half)
    (bar,) = [shape for shape in chart.figure.layout.shapes if shape.type == "rect"]
    assert (bar.x0 + bar.x1) / 2 == len(axes)
    foot = _foot(chart)
    assert (bar.y0, bar.y1) == pytest.approx(((1.0 + foot) / 2, 1.0))
    assert [t.name for t in chart.figure.data if t.showlegend is None][-1] == "noise floor"
    assert f"differ by {half:.3f} (sd)" in chart.alternative
    wide = parallel_coordinates(*told, 100.0).figure.layout.shapes[-1]
    assert (wide.y0, wide.y1) == (0.0, 1.0)
    unknown = parallel_coordinates(*told)
    assert all(shape.type == "line" for shape in unknown.figure.layout.shapes)
    assert "noise floor" not in unknown.caption


def test_the_words_give_the_range_of_several_only_and_say_whose_value_is_the_best(
    screen: list[TrialRecord], axes: list[Axis]
) -> None:
    evidence = evidence_of(STUDY)

    def told(complete: int) -> str:
        trials = [
            replace(trial, state=TrialState.DONE if n < complete else TrialState.PRUNED)
            for n, trial in enumerate(screen)
        ]
        drawn = parallel_coordinates(settings_of(evidence), axes, trials, evidence.labels, "mae")
        return drawn.alternative

    few = told(5)
    assert "fifth" not in few
    best = min(screen[:5], key=lambda trial: trial.value or 9.0)
    assert few.endswith(f"is that of {evidence.labels[best.config_id].text}.")
    assert "on the one seed of the search" in few
