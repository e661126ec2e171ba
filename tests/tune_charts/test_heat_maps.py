"""Heat maps of a grid against the comparison that they show."""

from dataclasses import replace

import numpy as np
import pytest
from study_factory import GRID, Simulated, evidence_of

from tune.charts.figures import settings_of
from tune.charts.heat_maps import heat_maps
from tune.charts.theme import Chart
from tune.evidence.pair import Judgement, PairComparison
from tune.states import Verdict

STUDY = Simulated(sampler="grid", confirm_seeds=5, epochs=4, videos=16)


@pytest.fixture(scope="module")
def pairs() -> tuple[PairComparison, ...]:
    compared = evidence_of(STUDY).comparison
    assert compared is not None
    return compared.others


def _draw(pairs: tuple[PairComparison, ...]) -> list[Chart]:
    evidence = evidence_of(STUDY)
    return heat_maps(pairs, settings_of(evidence), evidence.labels)


def test_each_cell_holds_its_configurations_mean(pairs: tuple[PairComparison, ...]) -> None:
    (chart,) = _draw(pairs)
    cells = chart.figure.data[0]
    settings = settings_of(evidence_of(STUDY))
    grid = np.asarray(cells.z)
    assert grid.shape == (len(GRID["loss.omega2"]), len(GRID["loss.temperature"]))
    for pair in pairs:
        at = settings[pair.first]
        column = GRID["loss.temperature"].index(float(at["loss.temperature"]))
        row = GRID["loss.omega2"].index(float(at["loss.omega2"]))
        assert grid[row, column] == pair.means[0]
    assert np.isfinite(grid).all()


def test_the_reference_is_outlined(pairs: tuple[PairComparison, ...]) -> None:
    (chart,) = _draw(pairs)
    box = chart.figure.layout.shapes[0]
    assert (box.x0 + box.x1) / 2 == GRID["loss.temperature"].index(0.5)
    assert (box.y0 + box.y1) / 2 == pytest.approx(GRID["loss.omega2"].index(0.1))


def test_every_number_is_written_into_its_cell_and_the_table(
    pairs: tuple[PairComparison, ...],
) -> None:
    (chart,) = _draw(pairs)
    written = [text for trace in chart.figure.data[1:] for text in trace.text or ()]
    assert len(written) == len(pairs) + 1
    assert len(chart.rows) == len(GRID["loss.omega2"])
    assert all(len(row) == len(chart.columns) for row in chart.rows)


def test_verdicts_stand_in_cells_and_only_where_there_are_any(
    pairs: tuple[PairComparison, ...],
) -> None:
    told = (
        replace(pairs[0], judgement=Judgement(Verdict.BETTER)),
        *(replace(p, judgement=Judgement()) for p in pairs[1:]),
    )
    (chart,) = _draw(told)
    assert sum("better" in cell for row in chart.rows for cell in row) == 1
    assert chart.alternative.endswith(f"{evidence_of(STUDY).labels[pairs[0].first].text}.")
    (quiet,) = _draw(tuple(replace(p, judgement=Judgement(Verdict.UNDECIDED)) for p in pairs))
    assert "No cell has the verdict" in quiet.alternative


def test_a_configuration_that_lacks_a_parameter_is_in_the_maps_of_those_that_it_has(
    pairs: tuple[PairComparison, ...],
) -> None:
    evidence = evidence_of(STUDY)
    whole = settings_of(evidence).items()
    settings = {c: dict(own, third=n % 2 == 0) for n, (c, own) in enumerate(whole)}
    for own in settings.values():
        if own["third"]:
            del own["loss.omega2"]
    means = {pair.first: pair.means[0] for pair in pairs} | {pairs[0].second: pairs[0].means[1]}
    charts = {chart.name: chart for chart in heat_maps(pairs, settings, evidence.labels)}
    both = charts["heat-map-loss-temperature-third"]
    assert np.isfinite(np.asarray(both.figure.data[0].z)).all()
    assert "no cell" not in both.caption
    some = charts["heat-map-loss-temperature-loss-omega2"]
    shown = {c: mean for c, mean in means.items() if "loss.omega2" in settings[c]}
    z = np.asarray(some.figure.data[0].z)
    assert sorted(z[np.isfinite(z)]) == pytest.approx(sorted(shown.values()))
    assert f"{len(means) - len(shown)} configurations that lack one" in some.caption
    best = min(shown, key=shown.__getitem__)
    told = f"The best cell is {evidence.labels[best].text} with MAE {shown[best]:.3f}; "
    assert some.alternative.startswith(told)
    assert f"to the best it is {max(shown.values()) - min(shown.values()):.3f}" in some.finding


def test_the_reference_has_its_mean_over_the_most_seeds(
    pairs: tuple[PairComparison, ...],
) -> None:
    fewer = replace(pairs[0], seeds=pairs[0].seeds[:2], means=(pairs[0].means[0], 9.0))
    (chart,) = _draw((fewer, *pairs[1:]))
    assert f"the reference has {pairs[1].means[1]:.3f}." in chart.alternative


def test_levels_that_look_alike_keep_their_own_rows(pairs: tuple[PairComparison, ...]) -> None:
    omegas = dict(zip(GRID["loss.omega2"], (0.1001, 0.10012, 0.2, 0.3), strict=True))
    near = {
        c: dict(own) | {"loss.omega2": omegas[float(own["loss.omega2"])]}
        for c, own in settings_of(evidence_of(STUDY)).items()
    }
    (chart,) = heat_maps(pairs, near, evidence_of(STUDY).labels)
    assert chart.figure.data[0].y == ("0.1001", "0.10012", "0.2", "0.3")
    assert [row[0] for row in chart.rows] == ["0.1001", "0.10012", "0.2", "0.3"]


def test_configurations_without_a_value_leave_their_cell_empty(
    pairs: tuple[PairComparison, ...],
) -> None:
    nan = float("nan")
    (chart,) = _draw((replace(pairs[0], means=(nan, nan)), *pairs[1:]))
    assert np.isnan(np.asarray(chart.figure.data[0].z)).sum() == 1
    assert _draw(tuple(replace(p, means=(nan, nan)) for p in pairs)) == []


def test_the_noise_floor_is_told(pairs: tuple[PairComparison, ...]) -> None:
    (chart,) = _draw(tuple(replace(p, sds=(0.0333, 0.0333)) for p in pairs))
    assert f"differ by 0.0333 (sd, {pairs[0].split} set)" in chart.alternative
    assert "The noise floor, one seed's deviation, is 0.033;" in chart.caption


def test_colours_span_four_deviations_of_a_seed_at_least(
    pairs: tuple[PairComparison, ...],
) -> None:
    def spans(sd: float) -> tuple[float, float, float]:
        cells = _draw(tuple(replace(p, sds=(sd, sd)) for p in pairs))[0].figure.data[0]
        return cells.zmin, cells.zmax, float(np.ptp(np.asarray(cells.z)))

    low, high, values = spans(1.0)
    assert high - low == pytest.approx(4.0)
    assert (high + low) / 2 == pytest.approx(sum(spans(1e-9)[:2]) / 2)
    low, high, values = spans(1e-9)
    assert high - low == pytest.approx(values)


def test_every_level_of_the_grid_has_its_tick(pairs: tuple[PairComparison, ...]) -> None:
    layout = _draw(pairs)[0].figure.layout
    assert (layout.xaxis.type, layout.xaxis.dtick) == ("category", 1)
    assert (layout.yaxis.type, layout.yaxis.dtick) == ("category", 1)
