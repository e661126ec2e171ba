"""Configurations in files: TOML (also JSON and YAML) in, TOML out."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from hscl.config import Config, dotted_values, preset
from hscl.documents import read_document
from hscl.errors import InputError, did_you_mean

__all__ = ["dump_config", "load_config", "parse_config", "read_settings"]

_MOST_KEYS = 1000
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
        InputError: Unknown keys or bad values, all in one message; or a key stands twice.
    """
    name = tree.get("preset", "mosi")
    sections = set(Config.model_fields)
    settings: dict[str, Any] = {}
    problems = []
    for key, value in tree.items():
        if key in _NOT_CONFIGURATION:
            continue
        if key.split(".")[0] not in sections:
            valid = [*sections, *_NOT_CONFIGURATION]
            problems.append(f"{key!r} is no configuration key; {did_you_mean(key, valid)}")
        else:
            settings[key] = value
    try:
        flat = dotted_values(settings)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if len(tree) + len(flat) > _MOST_KEYS:
        raise InputError(f"{source}: a configuration must have at most {_MOST_KEYS} keys")
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
