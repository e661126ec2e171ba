"""What a specification says about the study."""

import pytest
from small_study import study

from hscl.digest import digest_json
from tune.states import Origin


def test_the_default_is_configuration_zero_and_known_points_follow() -> None:
    spec = study('[[known]]\nname = "mine"\n"loss.alpha" = 0.3\n[[known]]\n"loss.high" = false')
    assert [(point.name, point.origin) for point in spec.start_points] == [
        ("default", Origin.DEFAULT),
        ("mine", Origin.KNOWN),
        ("known 2", Origin.KNOWN),
    ]
    assert spec.start_points[0].config == spec.base


def test_the_default_is_called_what_it_is() -> None:
    assert study(epochs=20).default_text == "preset mosi with MiniLM"
    text = '[base]\n"model.text.encoder" = "bert-base-uncased"\n"loss.alpha" = 0.3'
    assert study(text, epochs=20).default_text == (
        "preset mosi with bert-base-uncased; [base] sets loss.alpha = 0.3"
    )
    assert study(text, epochs=20).base_changes == {"loss.alpha": 0.3}


@pytest.mark.parametrize(("metric", "mode"), [("mae", "min"), ("corr", "max"), ("f1_non0", "max")])
def test_the_mode_follows_from_the_metric(metric: str, mode: str) -> None:
    assert study(f'[study]\nmetric = "{metric}"').mode == mode


def test_only_a_confirm_that_is_no_grid_opens_test() -> None:
    grid = '[space]\n"loss.low" = { choice = [true, false] }'
    assert study().opens_test
    assert not study("[confirm]\nseeds = 0").opens_test
    assert not study("[confirm]\nseeds = []").opens_test
    assert not study(space=grid, sampler="grid").opens_test
    assert study('[[known]]\n"loss.high" = false', sampler="list").opens_test


def test_a_grid_holds_the_default_known_points_and_every_point_once() -> None:
    space = (
        '[space]\n"loss.low" = { choice = [true, false] }\n'
        '"loss.high" = { choice = [true, false] }'
    )
    spec = study('[[known]]\n"loss.low" = false', space=space, sampler="grid")
    found = [(p.origin, p.config.loss.low, p.config.loss.high) for p in spec.compared_points]
    assert found == [
        (Origin.DEFAULT, True, True),
        (Origin.KNOWN, False, True),
        (Origin.SAMPLER, True, False),
        (Origin.SAMPLER, False, False),
    ]
    assert spec.compared_points[2].name == "loss.low = True, loss.high = False"


def test_resources_can_be_resolved_without_changing_the_study() -> None:
    spec = study()
    resolved = spec.with_resources({"gpus": 0.5})
    assert resolved.resources.gpus == 0.5
    assert resolved.resources.cpus == spec.resources.cpus
    assert resolved.digest == spec.digest
    assert resolved != spec


def test_seeds_of_an_earlier_study_are_avoided() -> None:
    spec = study()
    assert not set(spec.seed_plan(spec.seed_plan().all).all) & set(spec.seed_plan().all)


def test_a_studys_digest_counts_a_later_key_only_where_it_says_something() -> None:
    # What a version with these keys alone would count: a new key's default must not change it.
    spec = study()
    counted = {
        "study": ["name", "metric", "seed", "epoch_timeout_s", "retries"],
        "sampler": ["kind", "trials"],
        "scheduler": ["kind", "grace_epochs", "reduction_factor"],
        "refine": ["trials", "share"],
        "confirm": ["keep", "seeds", "margin", "looks"],
        "budget": ["epochs", "hours"],
    }
    tree = {name: keys for name, keys in spec.tree().items() if name != "resources"}
    tree["base"] = {"preset": spec.preset} | spec.base.counted()
    tree |= {name: {key: tree[name][key] for key in keys} for name, keys in counted.items()}
    assert spec.digest == digest_json(tree)
