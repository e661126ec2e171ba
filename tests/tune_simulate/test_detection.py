"""What a study can detect, said before it runs."""

from dataclasses import asdict

import numpy as np
from synthetic import study

from tune.simulate.detection import detection, detection_lines
from tune.simulate.runs import video_layout
from tune.simulate.sample_size import detectable_with, spread_as_on_mosi
from tune.stats.power import detectable_in_seed_sds

LAST = 0.035  # the level of the look after ten pairs, where six and eight were looked at
MOSI = np.bincount(video_layout()).tolist()


def test_what_seeds_and_test_set_can_show_is_said_beforehand() -> None:
    ten = study(confirm={"seeds": 10})
    text = "\n".join(detection_lines(ten, MOSI))
    spread = spread_as_on_mosi(MOSI)
    # One seed's paired difference on these 31 videos scatters by what seeds and errors do.
    scatter = (spread.seed + spread.error / 31) ** 0.5
    here = detectable_in_seed_sds(10, LAST) * scatter
    assert "10 pairs of seeds find, in four of five studies:" in text
    assert f"on this test set a MAE difference of about {here:.3f}, if seeds vary as on" in text
    assert "looked at after 6, 8 and 10 pairs and ends when more seeds cannot change" in text
    found = detectable_with(10, MOSI, 0.02, LAST)
    assert (
        f"on videos like these about {found.difference:.3f} with these 31 test videos "
        f"({found.any_seeds:.3f} with any number of seeds)" in text
    )
    assert "what is smaller stays 'undecided'; one margin (0.02) needs about" in text
    assert "2 seeds give no verdict" in "\n".join(detection_lines(study(), MOSI))
    assert "evidence none" in "\n".join(detection_lines(study(confirm={"seeds": 0}), None))


def test_a_test_set_of_few_videos_and_another_metric_are_told_apart() -> None:
    ten = {"seeds": 10}
    few = "\n".join(detection_lines(study(confirm=ten), [60, 50, 40]))
    assert "can show nothing: test has 3 videos" in few
    one = "\n".join(detection_lines(study(confirm=ten), [150], "speaker"))
    assert "on speakers like these it can show nothing: test has 1 speaker, and a claim" in one
    other = "\n".join(detection_lines(study(study={"metric": "corr"}, confirm=ten), MOSI))
    assert "31 test videos set a limit" in other
    assert "MAE" not in other
    assert "times as large as its own scatter from seed to seed" in other


def test_each_of_many_comparisons_needs_a_larger_difference() -> None:
    known = [{"name": str(low), "loss.temperature": low} for low in (0.1, 0.2, 0.3)]
    table = study(
        sampler={"kind": "list", "trials": 4}, space={}, known=known, confirm={"seeds": 10}
    )
    assert "in each of 3 comparisons" in detection_lines(table, MOSI)[0]
    assert detection(table, MOSI).seed_sds == detectable_in_seed_sds(10, 0.05 / 3)
    assert detection(table, MOSI).looks == (10,)


def test_six_seeds_have_one_look_with_all_of_the_false_claims() -> None:
    found = detection(study(confirm={"seeds": 6}), MOSI)
    assert (found.looks, found.alpha) == ((6,), 0.05)
    assert not any(
        "looked at" in line for line in detection_lines(study(confirm={"seeds": 6}), MOSI)
    )


def test_a_further_order_leaves_the_first_one_half_of_the_false_claims() -> None:
    once, twice = (detection(study(confirm={"seeds": 6, "looks": n}), MOSI) for n in (1, 2))
    assert (once.alpha, twice.alpha) == (0.05, 0.025)


def test_the_figures_are_those_of_the_words() -> None:
    ten = study(confirm={"seeds": 10})
    found, expected = detection(ten, MOSI), detectable_with(10, MOSI, 0.02, LAST)
    assert (found.difference, found.any_seeds) == (expected.difference, expected.any_seeds)
    assert found.enough == expected.enough
    assert asdict(found) == {
        "pairs": 10,
        "comparisons": 1,
        "looks": (6, 8, 10),
        "alpha": LAST,
        "test_videos": 31,
        "seed_sds": detectable_in_seed_sds(10, LAST),
        "here": found.here,
        "difference": expected.difference,
        "any_seeds": expected.any_seeds,
        "margin": 0.02,
        "enough": expected.enough,
    }
    assert detection(study(confirm={"seeds": 10}), [60, 50, 40]).difference is None
    assert detection(study(), MOSI).seed_sds is None
