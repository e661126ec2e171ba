"""Response curves show what they are given, on one scale, with the noise floor."""

import pytest

from tune.charts.responses import response_curves
from tune.evidence.curves import Label
from tune.stats.effects import Response
from tune.study.space import Value

LABELS = {
    "d": Label("default", "default"),
    "w": Label("winner <3", "winner"),
    "x": Label("x", "other"),
}
SETTINGS: dict[str, dict[str, Value]] = {
    "d": {"loss.temperature": 0.5, "loss.labels": "supcr"},
    "w": {"loss.temperature": 0.1},
    "x": {"loss.temperature": 0.3},
}
TEMPERATURE = Response(
    name="loss.temperature",
    values=(0.03, 0.17, 1.0),
    mean=(0.8, 0.7, 0.9),
    low=(0.75, 0.65, 0.85),
    high=(0.85, 0.75, 0.95),
    observed=((0.1, 0.72), (0.9, 0.91)),
    log=True,
    matters=True,
    p=0.012,
)
KINDS = Response(
    "loss.labels", ("supcr", "none"), (0.71, 0.7), (0.6, 0.6), (0.8, 0.8), matters=False, p=0.4
)


def test_a_curve_has_its_line_its_band_and_its_trials() -> None:
    (chart,) = response_curves([TEMPERATURE], 0.02, SETTINGS, LABELS, "mae")
    traces = {trace.name: trace for trace in chart.figure.data}
    assert tuple(traces["expected"].y) == TEMPERATURE.mean
    assert tuple(traces["band"].y) == TEMPERATURE.low
    assert tuple(traces["one new training"].y) == TEMPERATURE.high
    assert traces["one new training"].fill == "tonexty"
    assert tuple(traces["trials"].x) == (0.1, 0.9)
    assert chart.figure.layout.xaxis.type == "log"


@pytest.mark.parametrize(("metric", "ends"), [("mae", (0.7, 0.72)), ("corr", (0.88, 0.9))])
def test_the_noise_floor_is_one_seed_deviation_from_the_best(
    metric: str, ends: tuple[float, float]
) -> None:
    (chart,) = response_curves([TEMPERATURE], 0.02, SETTINGS, LABELS, metric)
    floor = chart.figure.layout.shapes[0]
    assert (floor.y0, floor.y1) == pytest.approx(ends)


def test_all_curves_share_one_scale_so_that_effects_can_be_compared() -> None:
    charts = response_curves([TEMPERATURE, KINDS], 0.02, SETTINGS, LABELS, "mae")
    scales = {tuple(chart.figure.layout.yaxis.range) for chart in charts}
    assert len(scales) == 1
    low, high = scales.pop()
    assert low < 0.6
    assert high > 0.95


def test_winner_and_default_are_marked_where_they_lie() -> None:
    (chart,) = response_curves([TEMPERATURE], 0.02, SETTINGS, LABELS, "mae")
    marks = {trace.name: tuple(trace.x) for trace in chart.figure.data}
    assert marks["default"] == (0.5,)
    assert marks["winner &lt;3"] == (0.1,)
    assert "x" not in marks


def test_values_without_an_order_are_points_with_bars() -> None:
    (chart,) = response_curves([KINDS], 0.02, SETTINGS, LABELS, "mae")
    expected = next(trace for trace in chart.figure.data if trace.name == "expected")
    assert tuple(expected.x) == ("supcr", "none")
    assert tuple(expected.error_y.array) == pytest.approx((0.09, 0.1))
    assert chart.figure.layout.xaxis.type == "category"


def test_words_and_table_say_the_best_and_whether_it_matters() -> None:
    charts = response_curves([TEMPERATURE, KINDS], 0.02, SETTINGS, LABELS, "mae")
    assert "best, 0.700, at 0.17" in charts[0].alternative
    assert "Matters beyond the seed (p = 0.012)" in charts[0].finding
    assert "Nothing seen beyond the seed" in charts[1].finding
    assert charts[0].rows[0] == ("0.03", "0.800", "0.750 and 0.850")


def test_an_unknown_noise_has_no_stripe_and_is_said_to_be_unknown() -> None:
    (chart,) = response_curves([TEMPERATURE], None, SETTINGS, LABELS, "mae")
    assert not chart.figure.layout.shapes
    assert "differ by an unknown amount" in chart.alternative


def test_long_curves_give_short_tables() -> None:
    n = 60
    values = tuple(float(v) for v in range(1, n + 1))
    long = Response("loss.alpha", values, (0.7,) * n, (0.6,) * n, (0.8,) * n)
    (chart,) = response_curves([long], 0.02, {}, {}, "mae")
    assert [chart.rows[0][0], chart.rows[-1][0]] == ["1", "60"]
    assert len(chart.rows) < 12
    assert "not tested" in chart.finding
