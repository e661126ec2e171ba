"""What a study can detect, said before it runs."""

from dataclasses import asdict

import numpy as np
from synthetic import study

from tune.simulate.detection import detection, detection_lines
from tune.simulate.runs import video_layout
from tune.simulate.sample_size import detectable_with
from tune.stats.power import detectable_in_seed_sds

MOSI = np.bincount(video_layout()).tolist()


def test_what_seeds_and_test_set_can_show_is_said_beforehand() -> None:
    ten = study(confirm={"seeds": 10})
    text = "\n".join(detection_lines(ten, MOSI))
    assert (
        f"10 pairs of seeds find a difference of {detectable_in_seed_sds(10):.2f} standard" in text
    )
    found = detectable_with(10, MOSI, 0.02)
    assert (
        f"these 31 test videos find a true MAE difference of about {found.difference:.3f}" in text
    )
    assert "below that expect 'undecided'; one margin (0.02) needs about" in text
    assert "2 seeds give no verdict" in "\n".join(detection_lines(study(), MOSI))
    assert "evidence none" in "\n".join(detection_lines(study(confirm={"seeds": 0}), None))


def test_a_test_set_of_few_videos_and_another_metric_are_told_apart() -> None:
    ten = {"seeds": 10}
    few = "\n".join(detection_lines(study(confirm=ten), [60, 50, 40]))
    assert "can show nothing: test has 3 videos" in few
    other = "\n".join(detection_lines(study(study={"metric": "corr"}, confirm=ten), MOSI))
    assert "31 test videos set a limit" in other
    assert "MAE" not in other


def test_each_of_many_comparisons_needs_a_larger_difference() -> None:
    known = [{"name": str(low), "loss.temperature": low} for low in (0.1, 0.2, 0.3)]
    table = study(
        sampler={"kind": "list", "trials": 4}, space={}, known=known, confirm={"seeds": 10}
    )
    text = detection_lines(table, MOSI)[0]
    assert f"{detectable_in_seed_sds(10, 0.05 / 3):.2f} standard deviations" in text
    assert "each of 3 comparisons" in text


def test_the_figures_are_those_of_the_words() -> None:
    ten = study(confirm={"seeds": 10})
    found, expected = detection(ten, MOSI), detectable_with(10, MOSI, 0.02)
    assert (found.difference, found.any_seeds) == (expected.difference, expected.any_seeds)
    assert found.enough == expected.enough
    assert asdict(found) == {
        "pairs": 10,
        "comparisons": 1,
        "alpha": 0.05,
        "test_videos": 31,
        "seed_sds": detectable_in_seed_sds(10),
        "difference": expected.difference,
        "any_seeds": expected.any_seeds,
        "margin": 0.02,
        "enough": expected.enough,
    }
    assert detection(study(confirm={"seeds": 10}), [60, 50, 40]).difference is None
    assert detection(study(), MOSI).seed_sds is None
