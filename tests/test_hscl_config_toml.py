"""Configurations in files."""

import json
from pathlib import Path

import pytest
import yaml

from hscl.config import PRESETS, Config
from hscl.config_toml import dump_config, load_config, parse_config, read_settings
from hscl.errors import InputError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_the_round_trip(name: str) -> None:
    assert parse_config(dump_config(PRESETS[name])) == PRESETS[name]


def test_evidence_travels_along_and_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_text(dump_config(Config(), evidence={"verdict": "undecided", "seeds": [1, 2]}))
    assert "undecided" in path.read_text()
    assert load_config(path) == Config()


def test_a_short_file_departs_from_its_preset() -> None:
    config = parse_config('preset = "mosei"\n"train.epochs" = 3\n[loss]\nalpha = 0.5\n')
    expected = PRESETS["mosei"].with_overrides({"train.epochs": 3, "loss.alpha": 0.5})
    assert config == expected


@pytest.mark.parametrize(("suffix", "dump"), [(".json", json.dumps), (".yaml", yaml.safe_dump)])
def test_json_and_yaml_are_read_too(suffix: str, dump: object, tmp_path: Path) -> None:
    path = tmp_path / f"config{suffix}"
    path.write_text(dump(PRESETS["released"].model_dump()))  # type: ignore[operator]
    assert load_config(path) == PRESETS["released"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[los]\nalpha = 1.0", "did you mean 'loss'"),
        ("[loss]\nalfa = 1.0", "did you mean 'loss.alpha'"),
        ("loss = 3", "loss"),
        ("[loss", "TOML"),
        ('preset = "moosi"', "did you mean 'mosi'"),
        ("preset = 3", "no preset"),
    ],
)
def test_mistakes_are_named(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        parse_config(text)


@pytest.mark.parametrize(
    "text",
    [
        '"train.lr" = 0.1\n[train]\nlr = 0.2',
        '"model.text" = {finetune = false}\n[model.text]\nfinetune = true',
        '[model]\n"text.finetune" = false\n[model.text]\nfinetune = true',
    ],
)
def test_a_key_in_two_spellings_stands_twice(text: str) -> None:
    with pytest.raises(InputError, match=r"^here: the key '(train\.lr|.*finetune)' stands twice"):
        parse_config(text, source="here")


def test_a_missing_file_and_a_binary_file_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="readable text"):
        load_config(tmp_path / "binary.toml")


def test_a_list_at_the_top_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[1]")
    with pytest.raises(InputError, match="list"):
        load_config(tmp_path / "c.json")


def test_a_file_holds_what_its_kind_of_model_uses_and_can_set_nothing_else(tmp_path: Path) -> None:
    searched = PRESETS["mosi-misa"].with_overrides({"loss.temperature": 0.1})  # of other points
    path = tmp_path / "misa.toml"
    path.write_text(dump_config(searched))
    assert "temperature" not in path.read_text()
    assert "[model.misa]" in path.read_text()
    assert "mult" not in path.read_text()
    assert load_config(path).config_id == searched.config_id
    with pytest.raises(InputError, match=r"loss\.alpha means nothing to model\.kind = 'mult'"):
        parse_config('preset = "mosi-mult"\n[loss]\nalpha = 0.2')


def test_settings_of_a_command_line_are_toml_and_words_need_no_quotes() -> None:
    texts = ["a.b=1", "c = 0.5", "d=true", "e=text+audio", "f='x y'", "g=[1, 2]", "a.b=2", "h=x=y"]
    assert read_settings(texts) == {
        "a.b": 2,
        "c": 0.5,
        "d": True,
        "e": "text+audio",
        "f": "x y",
        "g": [1, 2],
        "h": "x=y",
    }
    for wrong in ("a.b", "=1", "a.b=", ""):
        with pytest.raises(InputError, match="KEY=VALUE"):
            read_settings([wrong])
