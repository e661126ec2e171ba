"""The result of `hscl evaluate` in the terminal."""

import math
from dataclasses import replace

import pytest

from hscl.evaluation_table import evaluation_lines
from hscl.metrics import METRICS
from hscl.model_evaluation import Evaluation
from hscl.model_record import mean_sd


@pytest.fixture
def evaluation() -> Evaluation:
    by_seed = {
        seed: {**dict.fromkeys(METRICS, 0.8), "mae": 0.7 + seed / 10, "corr": math.nan}
        for seed in (1, 2)
    }
    return Evaluation(
        by_seed=by_seed,
        summary={n: mean_sd([v[n] for v in by_seed.values()]) for n in METRICS},
        ensemble={**dict.fromkeys(METRICS, 0.8), "mae": 0.75},
        utterances=686,
        digest="abcdef0123456789",
        same_data=True,
        earlier=0,
        warnings=[],
    )


def test_each_seed_mean_and_deviation_have_a_line(evaluation: Evaluation) -> None:
    lines = evaluation_lines(evaluation)
    assert lines[0].split()[:2] == ["test", "MAE"]
    firsts = [line.split("  ")[0] for line in lines[:6]]
    assert firsts[1:] == ["seed 1", "seed 2", "mean", "± sd", "mean prediction"]
    assert lines[1].split() == ["seed", "1", "0.800", "–", *["80.0"] * 6]
    assert lines[3].split() == ["mean", "0.850", "–", *["80.0"] * 6]
    assert lines[4].split()[2] == "0.071"
    assert len({len(line) for line in lines[:6]}) == 1


def test_one_seed_has_no_mean(evaluation: Evaluation) -> None:
    single = replace(evaluation, by_seed={1: evaluation.by_seed[1]})
    assert not [line for line in evaluation_lines(single) if line.startswith("mean")]


def test_it_says_on_what_and_how_often_before(evaluation: Evaluation) -> None:
    text = "\n".join(evaluation_lines(evaluation))
    assert "686 utterances of data set abcdef012345." in text
    assert "The first test evaluation" in text
    again = "\n".join(evaluation_lines(replace(evaluation, same_data=False, earlier=3)))
    assert "not the one it was trained on" in again
    assert "opened 3 times before" in again
    assert "do not choose by it" in again
