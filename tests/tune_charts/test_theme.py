"""Colours that everybody can tell apart, and figures that turn dark without being drawn again."""

from dataclasses import astuple, fields

import plotly.graph_objects as go
import pytest

from tune.charts.theme import DARK, LIGHT, RAMP, Palette, colour_map, figure, recolour, style_of


def _luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2, section "relative luminance"."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_and_lines_stand_out_from_the_page(palette: Palette) -> None:
    # Links and verdicts are written in these, too: WCAG wants 4.5 of text.
    for role in ("ink", "muted", "winner", "other", "third", "warm", "alert"):
        assert _contrast(getattr(palette, role), palette.page) >= 4.5
    assert _contrast(palette.faint, palette.page) >= 2.9


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_ramp_gets_steadily_further_from_the_page(palette: Palette) -> None:
    ramp = [getattr(palette, f"ramp{n}") for n in range(1, 6)]
    contrasts = [_contrast(colour, palette.page) for colour in ramp]
    assert contrasts == sorted(contrasts)
    assert contrasts[-1] > 7


def test_every_role_has_a_value_of_its_own_so_that_colours_can_be_exchanged() -> None:
    assert len(set(astuple(LIGHT))) == len(fields(Palette))
    assert set(colour_map(DARK)) == set(astuple(LIGHT))
    assert set(RAMP) <= set(astuple(LIGHT))


def test_groups_differ_in_dash_and_in_marker_not_only_in_colour() -> None:
    styles = [style_of(role) for role in ("winner", "default", "finalist", "known")]
    assert len({style.dash for style in styles}) == len(styles)
    assert len({style.symbol for style in styles}) == len(styles)


def test_a_recoloured_figure_holds_no_light_colour_and_is_otherwise_the_same() -> None:
    drawn = figure(
        [go.Scatter(x=[1, 2], y=[3, 4], line={"color": LIGHT.winner}, text=["#1", "plain"])],
        height=300,
        shapes=[{"type": "rect", "fillcolor": LIGHT.grey_band}],
    )
    light = drawn.to_plotly_json()
    dark = recolour(light)
    assert not [colour for colour in astuple(LIGHT) if f"'{colour}'" in str(dark)]
    assert dark["data"][0]["text"] == ["#1", "plain"]
    back = {new: old for old, new in colour_map(DARK).items()}
    assert str(light) == _replaced(str(dark), back)
    go.Figure(dark)


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(f"'{old}'", f"'{new}'")
    return text
