"""The same figures in the report and in a notebook, for every kind of study."""

import json
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest
from study_factory import SPACE, Simulated, evidence_of, write_study

import tune
from hscl.config import Config
from tune.charts.figures import charts_of, figures_of, settings_of
from tune.charts.theme import DARK, LIGHT

SEARCH = Simulated(trials=8, refined=3)


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (SEARCH, {"forest", "best-so-far", "learning-curves", "parallel-coordinates"}),
        (Simulated(sampler="list", confirm_seeds=5, epochs=3), {"forest", "learning-curves"}),
        (
            Simulated(sampler="grid", confirm_seeds=5, epochs=3),
            {"heat-map-loss-temperature-loss-omega2", "learning-curves"},
        ),
        (
            Simulated(until="screen", trials=8),
            {"best-so-far", "learning-curves", "parallel-coordinates"},
        ),
    ],
)
def test_a_study_has_the_figures_that_it_has_data_for(what: Simulated, names: set[str]) -> None:
    assert names <= set(charts_of(evidence_of(what)))


def test_every_figure_is_complete_for_those_who_cannot_see_it() -> None:
    for chart in charts_of(evidence_of(SEARCH)).values():
        assert chart.title
        assert chart.finding
        assert len(chart.alternative) > 40
        assert chart.rows
        assert all(len(row) == len(chart.columns) for row in chart.rows)
        go.Figure(json.loads(chart.figure.to_json()))


def test_settings_are_those_in_the_configurations() -> None:
    evidence = evidence_of(SEARCH)
    settings = settings_of(evidence)
    for row in evidence.tables["configs"].to_pylist():
        values = Config.from_json(row["config"]).dotted()
        assert settings[row["config_id"]] == {name: values[name] for name in SPACE}


def test_an_opened_study_gives_the_reports_figures(tmp_path: Path) -> None:
    study = tune.open_study(write_study(tmp_path / "study", SEARCH))
    figures = study.figures()
    expected = figures_of(evidence_of(SEARCH))
    assert {n: f.to_json() for n, f in figures.items()} == {
        n: f.to_json() for n, f in expected.items()
    }
    assert all(isinstance(figure, go.Figure) for figure in figures.values())
    compared = study.comparison()
    assert compared is not None
    assert compared.primary is not None


def test_dark_figures_hold_no_light_ink() -> None:
    light, dark = figures_of(evidence_of(SEARCH)), figures_of(evidence_of(SEARCH), dark=True)
    assert list(light) == list(dark)
    assert all(LIGHT.ink not in figure.to_json() for figure in dark.values())
    assert all(DARK.ink in figure.to_json() for figure in dark.values())


def test_the_package_opens_studies_without_loading_anything_before() -> None:
    code = (
        "import sys, tune\n"
        "assert 'pyarrow' not in sys.modules\n"
        "assert callable(tune.open_study)\n"
        "try: tune.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_noise_floor_is_in_every_plot_of_the_metric() -> None:
    search = charts_of(evidence_of(SEARCH))
    grid = charts_of(evidence_of(Simulated(sampler="grid", confirm_seeds=5, epochs=3)))
    names = {"forest", "best-so-far", "learning-curves", "parallel-coordinates"}
    floors = [search[name].caption for name in sorted(names)]
    floors += [chart.caption for name, chart in grid.items() if name.startswith("heat-map")]
    assert len(floors) == 5
    assert all("noise floor" in caption for caption in floors)
