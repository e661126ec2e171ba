"""Configurations in files: TOML (also JSON and YAML) in, TOML out."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from hscl.config import Config, dotted_values, preset
from hscl.errors import InputError, did_you_mean

__all__ = ["dump_config", "load_config", "parse_config", "read_document", "read_settings"]

_NOT_CONFIGURATION = ("evidence", "preset")


def load_config(path: Path | str) -> Config:
    """Read a configuration from a file.

    The file holds a `preset` (default `"mosi"`) and whatever departs from it, as tables; an
    exported configuration holds all that it uses. Its `[evidence]` table is for people.

    Args:
        path: A `.toml`, `.json`, `.yaml` or `.yml` file.

    Returns:
        The configuration.

    Raises:
        InputError: The file is missing, unreadable, or holds unknown keys or bad values.
    """  # noqa: DOC502 - raised by the two steps
    return config_from_tree(read_document(Path(path)), str(path))


def parse_config(text: str, *, source: str = "configuration") -> Config:
    """As `load_config`, from TOML text.

    Args:
        text: TOML.
        source: How messages call it.

    Returns:
        The configuration.

    Raises:
        InputError: The text is no TOML, or holds unknown keys or bad values.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} must be TOML, but: {error}") from error
    return config_from_tree(tree, source)


def config_from_tree(tree: Mapping[str, Any], source: str) -> Config:
    """A configuration from nested tables, missing keys taken from its preset.

    Args:
        tree: As read from a file; keys may be nested tables or dotted names.
        source: How messages call it.

    Returns:
        The configuration.

    Raises:
        InputError: Unknown keys or bad values, all in one message.
    """
    name = tree.get("preset", "mosi")
    sections = set(Config.model_fields)
    flat: dict[str, Any] = {}
    problems = []
    for key, value in tree.items():
        if key in _NOT_CONFIGURATION:
            continue
        if key.split(".")[0] not in sections:
            valid = [*sections, *_NOT_CONFIGURATION]
            problems.append(f"{key!r} is no configuration key; {did_you_mean(key, valid)}")
        elif isinstance(value, Mapping):
            flat |= dotted_values(value, f"{key}.")
        else:
            flat[key] = value
    try:
        config = preset(name if isinstance(name, str) else repr(name)).with_settings(flat)
    except InputError as error:
        problems.append(str(error))
    if problems:
        raise InputError(f"{source}: " + f"\n{source}: ".join("\n".join(problems).splitlines()))
    return config


def dump_config(config: Config, *, evidence: Mapping[str, Any] | None = None) -> str:
    """A configuration as TOML, every value written out that means something to its kind of model.

    Args:
        config: The configuration.
        evidence: What is known about it, for the `[evidence]` table that `load_config` ignores.

    Returns:
        TOML text that `parse_config` reads back to the same configuration.
    """
    tree = config.used_tree()
    if evidence is not None:
        tree["evidence"] = dict(evidence)
    return tomli_w.dumps(tree)


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """What a command line's `--set key=value` say.

    Args:
        texts: Such as `train.epochs=4` or `model.modalities=text+audio`. A value is TOML; what is
            none is taken as text, so that words need no quotes. The last of a key counts.

    Returns:
        Values by key.

    Raises:
        InputError: One is no `key=value`.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, mark, value = (part.strip() for part in text.partition("="))
        if not (key and mark and value):
            raise InputError(f"--set must be KEY=VALUE, such as train.epochs=4, but got {text!r}")
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = value
    return settings


def read_document(path: Path) -> dict[str, Any]:
    """The tree in a TOML, JSON or YAML file, by the file's suffix.

    Args:
        path: The file.

    Returns:
        Its top-level mapping.

    Raises:
        InputError: The file is missing or unreadable, or its top level is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} must be a readable text file, but: {reason}") from error
    kind = path.suffix.lower()
    try:
        if kind == ".json":
            tree = json.loads(text)
        elif kind in {".yaml", ".yml"}:
            import yaml  # noqa: PLC0415 - only for those who use it; transformers brings it

            tree = yaml.safe_load(text)
        else:
            tree = tomllib.loads(text)
    except Exception as error:  # each parser has its own
        raise InputError(f"{path} must be {kind[1:] or 'toml'}, but: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} must hold tables of keys, but holds a {type(tree).__name__}")
    return tree
