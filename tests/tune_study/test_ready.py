"""The studies that come with the package are right, and complete."""

import tomllib

import pytest

from hscl.config import PRESETS
from hscl.config_kinds import KINDS, table_of
from hscl.errors import InputError
from tune.study.branches import branches_of
from tune.study.ready import ready_studies, ready_study
from tune.study.size import size_of
from tune.study.spec import StudySpec
from tune.study.toml import parse_spec


def spec_of(name: str) -> StudySpec:
    return parse_spec(tomllib.loads(ready_study(name).text))


def test_every_ready_study_can_be_planned_and_says_what_it_is() -> None:
    for study in ready_studies():
        size = size_of(spec_of(study.name))
        assert size.trainings > 0
        assert study.text.startswith(f"# {study.description}\n")
        assert size.name == study.name


def test_a_name_that_is_near_is_offered() -> None:
    with pytest.raises(InputError, match="did you mean 'baselines'"):
        ready_study("baseline")


def test_the_ablation_tables_have_all_their_rows() -> None:
    rows = {
        name: [point.name for point in spec_of(name).start_points]
        for name in ("ablation-modalities", "ablation-levels", "ablation-labels", "published")
    }
    assert rows == {
        "ablation-modalities": [
            "default",
            "T+A",
            "T+V",
            "audio shuffled",
            "audio hidden",
            "vision shuffled",
            "vision hidden",
            "T",
        ],
        "ablation-levels": [
            "default",
            "− low",
            "− high",
            "− both",
            "− similarity",
            "similarity only",
        ],
        "ablation-labels": ["default", "classes only", "no labels"],
        "published": [
            "default",
            "text-only",
            "T",
            "released",
            "LF-DNN",
            "MulT",
            "MISA",
            "Self-MM",
        ],
    }


def test_switches_of_the_levels_are_those_of_the_contract() -> None:
    levels = {point.name: point.config.loss for point in spec_of("ablation-levels").start_points}
    switches = {name: (one.low, one.similarity, one.high) for name, one in levels.items()}
    assert switches == {
        "default": (True, True, True),
        "− low": (False, False, True),
        "− high": (True, True, False),
        "− both": (False, False, False),
        "− similarity": (True, False, True),
        "similarity only": (False, True, True),
    }


def test_the_published_study_has_the_published_settings() -> None:
    points = {point.name: point.config for point in spec_of("published").start_points}
    assert points["text-only"] == PRESETS["text-only"]
    assert points["released"] == PRESETS["released"]
    assert points["default"] == PRESETS["mosi"]
    for name, kind in (
        ("LF-DNN", "lf-dnn"),
        ("MulT", "mult"),
        ("MISA", "misa"),
        ("Self-MM", "self-mm"),
    ):
        assert points[name] == PRESETS[f"mosi-{kind}"]
        assert points[name].model.kind == kind


def test_baselines_begin_as_published_but_equally_long_and_search_keys_of_their_own() -> None:
    spec = spec_of("baselines")
    own = {"hscl": "loss."} | {kind: f"model.{table_of(kind)}." for kind in KINDS[1:]}
    branches = branches_of(spec)
    assert set(branches) == set(KINDS)
    for kind, branch in branches.items():
        published = PRESETS["mosi" if kind == "hscl" else f"mosi-{kind}"]
        assert branch.base == published.with_overrides({"train.epochs": spec.base.train.epochs})
        assert branch.searched.inside(branch.base) is not None
        rest = set(branch.space) - {"train.lr", "train.batch_size"}
        assert rest
        assert all(name.startswith(own[str(kind)]) for name in rest)


def test_the_grid_stays_on_valid() -> None:
    spec = spec_of("grid-weights-temperature")
    assert not spec.opens_test
    assert spec.sampler.trials == 30


def test_the_search_is_over_what_the_method_adds() -> None:
    spec = spec_of("search")
    assert {"loss.temperature", "loss.alpha", "loss.omega1", "loss.omega2"} <= set(spec.space)
    assert spec.searched.inside(spec.base) is not None
    default, known = spec.start_points
    assert default.config == PRESETS["mosi"]
    assert spec.searched.inside(known.config) is not None
    assert known.config.values().items() - default.config.values().items() == {
        ("train.batch_size", 32),
        ("train.optimizer", "adamw"),
        ("train.schedule", "linear"),
    }
