"""The forest plot says exactly what the comparison says."""

from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from tune.charts.forest import forest, pair_title
from tune.charts.theme import Chart
from tune.evidence.curves import Label
from tune.evidence.pair import Judgement, PairComparison

STUDY = Simulated(failures=2, trials=8, refined=3)


@pytest.fixture(scope="module")
def pair() -> PairComparison:
    compared = evidence_of(STUDY).comparison
    assert compared is not None
    assert compared.primary is not None
    return compared.primary


def _draw(*pairs: PairComparison) -> Chart:
    return forest(pairs, evidence_of(STUDY).labels, 0.02)


def test_every_seed_is_a_dot_and_both_intervals_have_their_ends(pair: PairComparison) -> None:
    seeds, here, new = _draw(pair).figure.data
    assert tuple(seeds.x) == pair.differences
    assert tuple(seeds.customdata) == pair.seeds
    assert pair.this_test_set is not None
    assert pair.new_videos is not None
    for trace, interval in ((here, pair.this_test_set), (new, pair.new_videos)):
        assert trace.x[0] == interval.estimate
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(interval.high)
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(interval.low)
    assert here.name == "on this test set"
    assert new.name == "on videos like these"


def test_the_margin_is_a_band_and_the_range_holds_everything(pair: PairComparison) -> None:
    drawn = _draw(pair).figure
    band = drawn.layout.shapes[0]
    assert (band.x0, band.x1) == (-0.02, 0.02)
    low, high = drawn.layout.xaxis.range
    assert low < min(-0.02, *pair.differences)
    assert high > max(0.02, *pair.differences)


def test_the_axis_says_which_direction_is_better(pair: PairComparison) -> None:
    text = _draw(pair).figure.layout.xaxis.title.text
    assert "test MAE" in text
    assert text.index("first better") < text.index("first worse")
    higher = _draw(replace(pair, metric="corr")).figure.layout.xaxis.title.text
    assert higher.index("first worse") < higher.index("first better")


def test_the_text_alternative_and_the_table_hold_the_numbers(pair: PairComparison) -> None:
    chart = _draw(pair)
    assert str(pair.verdict) in chart.alternative
    assert f"{pair.means[0]:.4f} against {pair.means[1]:.4f}" in chart.alternative
    row = chart.rows[0]
    assert len(row) == len(chart.columns)
    assert row[1] == f"{len(pair.seeds)} of {pair.planned}"
    assert all(f"{seed}: " in row[-1] for seed in pair.seeds)


def test_pairs_without_intervals_are_listed_and_not_drawn(pair: PairComparison) -> None:
    empty = replace(
        pair, seeds=(), differences=(), this_test_set=None, new_videos=None, judgement=Judgement()
    )
    chart = _draw(pair, empty)
    assert len(chart.figure.data[1].x) == 1
    assert "nothing to compare yet" in chart.alternative
    assert chart.rows[1][2:6] == ("–", "–", "–", "no verdict")


def test_names_that_look_like_markup_are_shown_as_they_are(pair: PairComparison) -> None:
    labels = {
        pair.first: Label("<b>bold</b> & <a href='x'>", "winner"),
        pair.second: Label("d", "default"),
    }
    chart = forest([pair], labels, 0.02)
    title = chart.figure.layout.annotations[0].text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;a href='x'&gt; against d" in title
    assert chart.rows[0][0] == pair_title(pair, labels) == "<b>bold</b> & <a href='x'> against d"


def test_the_noise_floor_is_a_bar_of_the_seeds_pooled_deviation(pair: PairComparison) -> None:
    chart = _draw(replace(pair, sds=(0.03, 0.04)), replace(pair, second="x", sds=(0.03, 0.05)))
    sd = ((0.03**2 + 0.04**2 + 0.05**2) / 3) ** 0.5
    bar = chart.figure.layout.shapes[-1]
    assert (bar.x0, bar.x1) == pytest.approx((-sd, sd))
    assert f"differ by {sd:.4f} (sd, test set)" in chart.alternative
    assert chart.figure.layout.xaxis.range[1] > sd
    unknown = _draw(replace(pair, sds=(float("nan"), float("nan"))))
    assert len(unknown.figure.layout.shapes) == len(chart.figure.layout.shapes) - 1
    assert "noise floor" not in unknown.caption
