"""Codes of points: there and back, where steps may go, and terms that are orthonormal."""

import math
from typing import Any

import numpy as np
import pytest

from hscl.config import preset
from tune.stats.model.encoding import Encoding
from tune.study.space import Distribution, Space

PARAMETERS = {
    "loss.temperature": Distribution("log_uniform", (0.03, 1.0)),
    "train.epochs": Distribution("int", (2, 8)),
    "loss.labels": Distribution("choice", ("supcr", "supcon", "none")),
    "loss.low": Distribution("choice", (True, False)),
    "loss.omega2": Distribution("uniform", (0.0, 1.0), (("loss.labels", "supcr"),)),
}
SPACE = Space(preset("mosi"), PARAMETERS)
ENCODING = Encoding(PARAMETERS)
RNG = np.random.default_rng


def test_a_point_of_the_space_comes_back_from_its_code() -> None:
    points = [SPACE.draw(RNG(seed)) for seed in range(200)]
    codes = ENCODING.codes(points)
    for point, code in zip(points, codes, strict=True):
        back = SPACE.canonical(ENCODING.point(code))
        assert list(back) == list(point)
        for name, value in point.items():
            same = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            assert back[name] == same


def test_drawn_codes_and_steps_from_them_are_points_of_the_space() -> None:
    drawn = ENCODING.draw(RNG(0), 500)
    stepped = ENCODING.step(RNG(1), drawn, np.full(500, 0.25))
    for code in (*drawn, *stepped):
        assert SPACE.contains(SPACE.canonical(ENCODING.point(code)))
    assert 0.5 < np.mean(stepped[:, 1] != drawn[:, 1]) < 1.0


@pytest.mark.parametrize("kind", ["int", "uniform", "log_uniform"])
def test_a_range_of_one_value_has_one_code_and_its_condition_holds(kind: Any) -> None:
    encoding = Encoding(
        {
            "a": Distribution(kind, (3, 3)),
            "b": Distribution("uniform", (0.0, 1.0), (("a", 3),)),
        }
    )
    drawn = encoding.draw(RNG(0), 20)
    for codes in (drawn, encoding.step(RNG(1), drawn, np.full(20, 0.25))):
        points = [encoding.point(code) for code in codes]
        assert all(point["a"] == pytest.approx(3) and "b" in point for point in points)
        assert encoding.codes(points) == pytest.approx(codes)


def test_drawn_codes_follow_the_prior() -> None:
    drawn = [ENCODING.point(code) for code in ENCODING.draw(RNG(0), 6_000)]
    logs = [math.log(float(point["loss.temperature"])) for point in drawn]
    assert np.mean(logs) == pytest.approx(np.log([0.03, 1.0]).mean(), abs=0.05)
    epochs = [point["train.epochs"] for point in drawn]
    assert np.bincount(epochs)[2:] == pytest.approx(6_000 / 7, rel=0.12)
    active = [point["loss.labels"] == "supcr" for point in drawn]
    assert active == ["loss.omega2" in point for point in drawn]


def test_small_steps_stay_near() -> None:
    drawn = ENCODING.draw(RNG(0), 500)
    stepped = ENCODING.step(RNG(1), drawn, np.full(500, 0.02))
    moved = np.abs(stepped[:, 0] - drawn[:, 0])
    assert 0.01 < moved.mean() < 0.02
    assert np.mean(stepped[:, 2] != drawn[:, 2]) < 0.05


def test_differences_are_those_of_the_literal_rule() -> None:
    codes = ENCODING.draw(RNG(2), 12)
    places = ENCODING.places(codes)
    assert ENCODING.owners.shape == (places.shape[1],)
    apart = (places[:, None, :] - places[None, :5, :]) ** 2
    for place, choice in enumerate(ENCODING.is_choice):
        for i, one in enumerate(codes[:, place]):
            for j, other in enumerate(codes[:5, place]):
                if choice:
                    same = one == other or (math.isnan(one) and math.isnan(other))
                    expected = 0.0 if same else 1.0
                else:
                    middle = [0.5 if math.isnan(v) else v for v in (one, other)]
                    expected = (middle[0] - middle[1]) ** 2
                own = ENCODING.owners == place
                assert apart[i, j, own].sum() == pytest.approx(expected)


def test_terms_of_the_trend_have_mean_0_and_are_uncorrelated_under_the_prior() -> None:
    numeric = Encoding({name: PARAMETERS[name] for name in ("loss.temperature", "loss.low")})
    terms = numeric.trend(numeric.draw(RNG(0), 40_000))
    assert terms.mean(axis=0) == pytest.approx(0.0, abs=0.02)
    gram = terms.T @ terms / len(terms)
    # A range 1 and ¼ for its curve, a choice ½ + ½, the product of first terms ¼ · 1 · ½.
    assert np.sort(np.diag(gram)) == pytest.approx([0.125, 0.25, 0.5, 0.5, 1.0], abs=0.03)
    assert gram[0, 1] == pytest.approx(0.0, abs=0.02)


def test_a_value_outside_its_range_is_taken_to_the_nearer_end() -> None:
    code = ENCODING.codes([{"loss.temperature": 3.0, "train.epochs": 1}])[0]
    assert code[:2].tolist() == [1.0, 0.0]
    assert np.isnan(code[2:]).all()


def test_true_is_no_option_1() -> None:
    encoding = Encoding({"a": Distribution("choice", (1, True))})
    assert encoding.codes([{"a": True}, {"a": 1}]).tolist() == [[1.0], [0.0]]
    with pytest.raises(ValueError, match="none of"):
        encoding.codes([{"a": 2}])
