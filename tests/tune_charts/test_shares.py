"""Shares of variance, largest first, with what chance would give."""

from tune.charts.shares import variance_shares
from tune.evidence.variance import SEED, UNEXPLAINED
from tune.stats.effects import VarianceShare

SHARES = [
    VarianceShare(SEED, 0.31, 0.22, 0.40),
    VarianceShare("loss.temperature", 0.42, 0.30, 0.50, null=0.08, matters=True),
    VarianceShare("loss.alpha", 0.03, 0.0, 0.1, null=0.07, matters=False),
    VarianceShare("loss.temperature × train.lr_text", 0.06, 0.02, 0.1, null=0.05, matters=True),
]


def test_bars_are_ranked_and_the_seed_has_its_own_colour() -> None:
    bars = variance_shares(SHARES, "mae").figure.data[0]
    assert list(bars.x) == sorted(share.part for share in SHARES)
    colours = dict(zip(bars.y, bars.marker.color, strict=True))
    assert sum(colour == colours["the seed"] for colour in colours.values()) == 1


def test_intervals_and_the_null_are_drawn_where_they_exist() -> None:
    bars, null = variance_shares(SHARES, "mae").figure.data
    assert max(a + b for a, b in zip(bars.x, bars.error_x.array, strict=True)) == 0.5
    assert sorted(null.x) == [0.05, 0.07, 0.08]
    bare = variance_shares([VarianceShare(SEED, 0.4), VarianceShare("train.lr", 0.6)], "mae")
    assert len(bare.figure.data) == 1
    assert bare.figure.data[0].error_x.array is None


def test_words_and_table_say_what_matters() -> None:
    chart = variance_shares(SHARES, "mae")
    assert "The seed has 31 % of the variance" in chart.alternative
    beyond = chart.alternative.split("Beyond the seed's noise: ")[1]
    assert "temperature τ" in beyond
    assert "alpha" not in beyond
    assert chart.rows[0] == ("temperature τ", "42 %", "0.30 to 0.50", "8 %", "yes")
    assert chart.rows[1][-1] == "–"
    assert all(len(row) == len(chart.columns) for row in chart.rows)
    assert chart.rows[-1][-1] == "no"


def test_what_nothing_explains_has_a_colour_of_its_own_and_takes_no_interval_away() -> None:
    chart = variance_shares([*SHARES[1:], VarianceShare(UNEXPLAINED, 0.2)], "mae")
    bars = chart.figure.data[0]
    drawn = dict(zip(bars.y, zip(bars.marker.color, bars.error_x.array, strict=True), strict=True))
    colour, error = drawn.pop("unexplained")
    assert colour not in {other for other, _ in drawn.values()}
    assert error is None
    assert all(length is not None for _, length in drawn.values())
    assert "The seed" not in chart.alternative
    assert ("unexplained", "20 %", "–", "–", "–") in chart.rows
