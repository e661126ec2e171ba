"""What goes wrong with runs and videos, drawn and said."""

from itertools import combinations

import numpy as np
import pytest

from hscl.errors import InputError
from tune.simulate.sample_size import MOSI_SPREAD, Simulation, sample_sizes
from tune.simulate.trouble import Trouble, trouble_lines
from tune.states import TrialState

NOTHING = {
    "collapse": 0.0,
    "failures": 0.0,
    "speakers": 0,
    "speaker_sd": 0.05,
    "speakers_named": False,
    "uneven": 0.0,
    "finalists": 1,
    "styles": 0,
    "style_sd": 0.05,
}


def test_trouble_is_simulated_and_said() -> None:
    def claimed(**trouble: float) -> float:
        simulation = Simulation(60, np.random.default_rng(3), Trouble(**trouble))  # type: ignore[arg-type]
        cells = sample_sizes(0.02, MOSI_SPREAD, [6], [31], simulation=simulation).cells
        assert cells[0].claimed is not None
        return cells[0].claimed.value

    clean = claimed()
    assert claimed(collapse=0.2) > clean + 0.05  # where none of six was seen to collapse
    assert claimed(speakers=6, speaker_sd=0.3) > clean + 0.1
    assert claimed(speakers=6, speaker_sd=0.3, speakers_named=True) == 0.0  # too few for a verdict
    assert claimed(uneven=1.0) < 0.2
    assert claimed(styles=6, style_sd=0.3) > clean + 0.1
    assert claimed(finalists=3) < 0.2
    for trouble, said in (
        (Trouble(collapse=0.2), "20 % of one configuration's runs collapse"),
        (Trouble(failures=0.3), "the worst 30 % of one configuration's runs fail"),
        (Trouble(finalists=3), "3 finalists are compared"),
        (Trouble(styles=6), "share 6 styles"),
    ):
        assert said in trouble_lines(trouble)[0]
    assert not trouble_lines(Trouble())


def test_one_sides_worst_runs_fail_and_the_others_at_random() -> None:
    trouble = Trouble.of(NOTHING | {"failures": 0.5})
    rng = np.random.default_rng(0)
    runs = trouble.draw(rng, MOSI_SPREAD, 10, 31, 0.0)
    assert runs.states[0].count(TrialState.FAILED) == 5
    assert 0 < runs.states[1].count(TrialState.FAILED) < 10


def test_finalists_differ_by_the_gap_from_the_winner_alone_and_are_as_noisy_as_two() -> None:
    rng = np.random.default_rng(1)
    trouble, gaps, scatter = Trouble(finalists=3), [], []
    for _ in range(200):
        runs = trouble.draw(rng, MOSI_SPREAD, 6, 31, 0.1)
        assert runs.config_ids == ("a", "b", "c", "d")
        mean = dict(zip("abcd", np.abs(runs.predictions).mean((1, 2)), strict=True))
        gaps.append([mean["a"] - mean[other] for other in "bcd"])
        scatter.append([mean[one] - mean[other] for one, other in combinations("bcd", 2)])
    assert np.mean(gaps, axis=0) == pytest.approx([-0.1] * 3, abs=0.01)
    plain = [
        np.subtract(*np.abs(r.predictions - r.labels).mean((1, 2)))
        for r in (Trouble().draw(rng, MOSI_SPREAD, 6, 31, 0.0) for _ in range(200))
    ]
    assert np.std(scatter) == pytest.approx(np.std(plain), rel=0.2)


def test_what_cannot_be_simulated_together_is_refused() -> None:
    for both in ({"styles": 6, "finalists": 2}, {"finalists": 2, "collapse": 0.1}):
        with pytest.raises(InputError, match="one at a time"):
            Trouble.of(NOTHING | both)
