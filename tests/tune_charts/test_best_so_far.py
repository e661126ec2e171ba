"""Best so far against cost, checked against a plain reading of the progress."""

import math
from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from tune.charts.best_so_far import best_so_far
from tune.charts.theme import Chart
from tune.evidence.curves import Progress, TrialEnd, progress_of_search
from tune.states import TrialState

STUDY = Simulated(trials=10, until="screen")


@pytest.fixture(scope="module")
def progress() -> Progress:
    evidence = evidence_of(STUDY)
    return progress_of_search(evidence.history, evidence.tables["reports"])


@pytest.fixture(scope="module")
def chart(progress: Progress) -> Chart:
    return best_so_far(progress, evidence_of(STUDY).labels, "mae")


def test_the_line_never_gets_worse_and_ends_at_the_best_report(
    chart: Chart, progress: Progress
) -> None:
    line = next(trace for trace in chart.figure.data if trace.name == "best so far")
    assert list(line.y) == sorted(line.y, reverse=True)
    values = [value for curve in evidence_of(STUDY).trials for value in curve.curve.values()]
    assert line.y[-1] == min(values)
    assert line.x[-1] == len(values)


def test_the_table_holds_the_steps_and_nothing_else(chart: Chart, progress: Progress) -> None:
    shown = [float(row[1]) for row in chart.rows]
    assert shown == sorted(shown, reverse=True)
    assert len(chart.rows) == len(dict.fromkeys(progress.best))


def test_the_words_begin_with_the_first_value_that_there_is(progress: Progress) -> None:
    late = replace(
        progress, best=(math.nan, *progress.best[1:]), holder=("", *progress.holder[1:])
    )
    chart = best_so_far(late, evidence_of(STUDY).labels, "mae")
    assert f"went from {progress.best[1]:.3f} at epoch 2 to" in chart.alternative
    assert chart.rows[0][0] == "2"


def test_stopped_and_complete_trials_have_marks_of_their_own(chart: Chart) -> None:
    marks = {trace.name: trace for trace in chart.figure.data}
    assert marks["stopped early"].marker.symbol != marks["complete trial"].marker.symbol
    assert "lower is better" in chart.figure.layout.yaxis.title.text


def test_the_default_is_a_line_and_is_said_to_be_missing_where_it_is(progress: Progress) -> None:
    labels = evidence_of(STUDY).labels
    default = next(c for c, label in labels.items() if label.role == "default")
    ends = tuple(end for end in progress.ends if end.config_id != default)
    without = Progress(progress.epochs, progress.best, progress.holder, ends, progress.seconds)
    chart = best_so_far(without, labels, "mae")
    assert "no finished trial" in chart.alternative
    assert not any(trace.name.startswith("default") for trace in chart.figure.data)


@pytest.mark.parametrize(("metric", "ends"), [("mae", (0.5, 0.52)), ("corr", (0.48, 0.5))])
def test_the_noise_floor_lies_on_the_worse_side_of_the_best(
    metric: str, ends: tuple[float, float]
) -> None:
    end = TrialEnd(2, 0.5, "a", TrialState.DONE)
    progress = Progress((1, 2), (0.6, 0.5), ("a", "a"), (end,), 1.0)
    chart = best_so_far(progress, {}, metric, 0.02)
    (stripe,) = chart.figure.layout.shapes
    assert (stripe.y0, stripe.y1) == pytest.approx(ends)
    assert "noise floor" in chart.caption
    assert not best_so_far(progress, {}, metric).figure.layout.shapes


def test_values_that_are_undefined_are_passed_over() -> None:
    end = TrialEnd(2, 0.5, "a", TrialState.DONE)
    progress = Progress((1, 2), (math.nan, 0.5), ("", "a"), (end,), 1.0)
    chart = best_so_far(progress, {}, "corr")
    assert "0.500" in chart.alternative
    assert "higher is better" in chart.figure.layout.yaxis.title.text
