"""What so many seeds and videos can show, computed and simulated alike."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tune.simulate.runs import RandomEffects, draw_linear_runs, video_layout
from tune.simulate.sample_size import (
    MOSI_SPREAD,
    SampleSizes,
    Simulation,
    detectable_with,
    sample_size_lines,
    sample_sizes,
    spread_as_on_mosi,
)
from tune.stats.power import Spread, power_for_new_videos


def _sizes(gap: float, seeds: list[int], videos: list[int], studies: int = 0) -> SampleSizes:
    simulation = Simulation(studies, np.random.default_rng(0)) if studies else None
    return sample_sizes(gap, MOSI_SPREAD, seeds, videos, simulation=simulation)


def test_every_size_has_its_computed_power() -> None:
    sizes = _sizes(0.05, [6, 10], [31, 100])
    assert [(cell.seeds, cell.videos) for cell in sizes.cells] == [
        (6, 31),
        (6, 100),
        (10, 31),
        (10, 100),
    ]
    for cell in sizes.cells:
        level = {6: 0.05, 10: 0.035}[cell.seeds]  # ten have looks after 6, 8 and 10 pairs
        sizes_of_cell = (MOSI_SPREAD, cell.seeds, cell.videos, level)
        assert cell.power == power_for_new_videos(0.05, *sizes_of_cell)
        found = power_for_new_videos(cell.detectable, *sizes_of_cell)
        assert found == pytest.approx(0.8, abs=1e-6)
        assert cell.found is None


def test_simulated_studies_find_what_was_computed_and_claim_little_else() -> None:
    cell = _sizes(0.06, [10], [31], studies=400).cells[0]
    assert cell.found is not None
    assert cell.claimed is not None
    assert cell.found.value == pytest.approx(cell.power, abs=5 * cell.found.error + 0.02)
    assert cell.claimed.value <= 0.05 + 5 * (0.05 * 0.95 / 400) ** 0.5


def test_mosis_test_set_cannot_show_two_hundredths_with_any_seeds() -> None:
    sizes = _sizes(0.02, [10], [31])
    assert sizes.seeds_needed == {31: None}
    words = " ".join(sample_size_lines(sizes))
    assert "seeds needed, by test videos: no number with 31" in words
    assert " with 10" in words


def test_enough_of_one_is_named_as_the_fewest_of_the_other() -> None:
    sizes = _sizes(0.2, [10], [31])
    words = sample_size_lines(sizes)
    assert "5 (the fewest that give a verdict) with 31" in words[1]
    assert "about 8 (the fewest that say anything) with 10" in words[2]


def test_seeds_alone_may_hide_a_gap_from_any_number_of_videos() -> None:
    sizes = sample_sizes(0.02, Spread(0.2**2, 0.0, 0.01), [6], [31])
    assert sample_size_lines(sizes)[2].endswith("no number with 6")


def test_a_number_that_nobody_can_have_is_no_exact_one() -> None:
    sizes = replace(_sizes(0.05, [10], [31]), videos_needed={10: 23_496, 20: 1_234})
    assert sample_size_lines(sizes)[2].endswith("more than 10,000 with 10 and about 1,200 with 20")


def test_more_looks_need_more() -> None:
    one = _sizes(0.06, [10], [31]).cells[0]
    two = sample_sizes(0.06, MOSI_SPREAD, [10], [31], looks=2).cells[0]
    assert two.power < one.power


def test_it_goes_into_json() -> None:
    told = json.loads(json.dumps(_sizes(0.05, [6], [31], studies=5).to_dict()))
    assert told["cells"][0]["found"]["studies"] == 5


def test_another_test_sets_spread_is_that_of_studies_simulated_on_it() -> None:
    lengths = [5] * 10 + [20] * 10 + [60] * 5
    layout = np.repeat(np.arange(25), lengths)
    expected = spread_as_on_mosi(lengths)
    effects = RandomEffects(
        seed=expected.seed**0.5,
        video=(MOSI_SPREAD.video * MOSI_SPREAD.evenness) ** 0.5,
        utterance=0.0,
        error=(MOSI_SPREAD.error * 22) ** 0.5,
    )
    rng, squared = np.random.default_rng(0), []
    for _ in range(600):
        runs, _here = draw_linear_runs(rng, effects, seeds=10, layout=layout)
        errors = np.abs(runs.predictions - runs.labels)
        squared.append((errors[0] - errors[1]).mean() ** 2)
    spread_of_means = np.mean(squared) ** 0.5
    assert spread_of_means == pytest.approx(expected.expected(10, 25).standard_error, rel=0.1)


def test_mosi_itself_has_mosis_spread() -> None:
    lengths = np.bincount(video_layout()).tolist()
    found = spread_as_on_mosi(lengths)
    assert found.video == pytest.approx(MOSI_SPREAD.video, rel=0.02)
    assert found.error == pytest.approx(MOSI_SPREAD.error, rel=0.02)
    assert found.seed == MOSI_SPREAD.seed


def test_what_is_detectable_is_found_in_four_of_five_studies_and_videos_are_the_limit() -> None:
    lengths = [22] * 31
    found, spread = detectable_with(10, lengths, 0.02), spread_as_on_mosi(lengths)
    assert power_for_new_videos(found.difference, spread, 10, 31) == pytest.approx(0.8, abs=1e-6)
    assert 0.8 * found.difference < found.any_seeds < found.difference
    assert found.enough is not None
    seeds, videos = found.enough
    assert power_for_new_videos(0.02, spread, seeds, videos) >= 0.8
    assert seeds == 20  # with 10 it would take a hundred times the videos
    assert detectable_with(5, lengths, 0.001).enough is None
