"""Comparisons and plans in the terminal."""

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from calibrated.world import World, run_study
from rich.console import Console

from tune.evidence.comparison import compare_study
from tune.report.rows import Compared
from tune.report.terminal import render_sample_sizes, render_studies, render_study
from tune.simulate.sample_size import MOSI_SPREAD, Simulation, sample_sizes
from tune.study.toml import parse_spec
from tune.tables.fold import fold


@cache
def _compared(kind: str = "random", known: int = 2) -> Compared:
    tree = {
        "study": {"name": "[bold] a study"},
        "base": {"train.epochs": 3},
        "sampler": {"kind": kind},
        "confirm": {"seeds": 6},
    }
    if kind == "list":
        temperatures = [0.1 + n / 50 for n in range(known)]
        tree["known"] = [{"name": f"[{t}]", "loss.temperature": t} for t in temperatures]
    else:
        tree |= {
            "space": {"loss.temperature": {"log_uniform": [0.03, 1.0]}},
            "sampler": {"kind": kind, "trials": 6},
            "scheduler": {"kind": "none"},
            "refine": {"trials": 2},
            "confirm": {"seeds": 6, "keep": 2},
        }
    spec = parse_spec(tree)
    tables = run_study(spec, World(2))[1]
    comparison = compare_study(fold(spec, tables), tables["predictions"])
    return Compared("runs/a", "ab" * 32, comparison, 3)


def _shown(compared: Compared) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_study(compared))
    return console.export_text()


def test_the_terminal_shows_both_questions_the_verdict_and_the_notes() -> None:
    compared = _compared()
    text = _shown(compared)
    primary = compared.comparison.primary
    assert primary is not None
    assert "on this test set" in text
    assert "on videos like these" in text
    assert f"Verdict: {primary.verdict}" in text
    assert "6 of 6" in text
    assert "Failed trials over all phases: 3" in text
    assert "this training and valid split" in text
    others = compared.comparison.other_metrics
    (corr,) = [p for p in others if p.metric == "corr" and p.first == primary.first]
    for mean, sd in list(zip(corr.means, corr.sds, strict=True))[:1]:  # more than one pair
        assert f"{mean:.4f} ± {sd:.4f}".replace("-", "−") in text
    assert "corrected by Holm" in text


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    text = _shown(_compared("list"))
    assert "[0.1]" in text
    assert "[bold] a study" in text


@pytest.mark.parametrize("markup", [True, False])
def test_no_backslash_comes_into_names_whatever_the_console_reads(markup: bool) -> None:  # noqa: FBT001
    compared = _compared("list")
    configs = [replace(c, label=f"[b]{c.label} [/b]") for c in compared.comparison.configs]
    comparison = replace(compared.comparison, configs=tuple(configs), study="[red]")
    told = replace(compared, comparison=comparison)
    console = Console(width=200, record=True, file=io.StringIO(), markup=markup)
    console.print(render_study(told))
    console.print(render_studies([told]))
    text = console.export_text()
    assert "\\" not in text
    assert text.count("[b]") >= 4
    assert "[red] (runs/a)" in text


def test_tables_name_their_reference_once() -> None:
    compared = _compared("list")
    reference = compared.comparison.names[compared.comparison.reference or ""]
    text = " ".join(_shown(compared).split())
    assert text.count(f"each minus {reference}") == 2  # once on MAE, once on the other metrics
    assert "Acc-7" in text


def test_a_list_shows_the_references_own_mean_and_deviation_on_every_other_metric() -> None:
    compared = _compared("list")
    pair = next(one for one in compared.comparison.other_metrics if one.metric == "corr")
    console = Console(file=io.StringIO(), width=200)
    console.print(render_study(compared))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (line,) = [one for one in lines if one.split()[:2] == ["Corr", "default"]]
    assert f"{pair.means[1]:.4f} ± {pair.sds[1]:.4f}" in line


def test_long_lists_keep_other_metrics_for_the_machine() -> None:
    text = _shown(_compared("list", known=7))
    assert "49 rows, in --json and --format csv" in text


@pytest.mark.parametrize("kind", ["random", "list"])
def test_studies_side_by_side_show_each_ones_pairs(kind: str) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_studies([_compared(), _compared(kind)]))
    text = console.export_text()
    assert text.count("videos like these") >= 1
    assert text.count("(runs/a)") >= 3


def test_sample_sizes_show_every_size_with_its_share() -> None:
    simulation = Simulation(20, np.random.default_rng(0))
    sizes = sample_sizes(0.05, MOSI_SPREAD, [6, 10], [31], simulation=simulation)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_sample_sizes(sizes))
    text = console.export_text()
    for cell in sizes.cells:
        assert f"{cell.power:.2f}" in text
        assert str(cell.found) in text
    assert "true difference of 0.05" in text
    assert "video 0.12" in text
