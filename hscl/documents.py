"""Small files that a person or a stranger wrote, TOML, JSON or YAML: read within bounds."""

import json
import stat
import tomllib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hscl.errors import InputError, visible

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["checked_tree", "parse_json", "read_document", "read_text"]

_MOST_BYTES = 2 << 20
_MOST_DEEP = 32
_MOST_VALUES = 100_000
_NUMBER = r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"
"""YAML 1.2's numbers with an exponent; YAML 1.1, which PyYAML reads, takes `1e-3` for a text."""


def read_document(path: Path) -> dict[str, Any]:
    """The tree in a TOML, JSON or YAML file, by the file's suffix.

    Args:
        path: The file.

    Returns:
        Its top-level mapping: every key a text, at most 32 levels deep.

    Raises:
        InputError: The file is missing or unreadable, too large or too deep, holds a key twice, or
            its top level is no mapping.
    """
    text = read_text(path)
    kind = path.suffix.lower()
    try:
        if kind == ".json":
            tree = parse_json(text)
        elif kind in {".yaml", ".yml"}:
            tree = _parse_yaml(text)
        else:
            tree = tomllib.loads(text)
        checked_tree(tree)
    except RecursionError:
        raise InputError(
            f"{path} must be {kind[1:] or 'toml'}, but is nested too deeply"
        ) from None
    except Exception as error:  # each parser has its own
        raise InputError(f"{path} must be {kind[1:] or 'toml'}, but: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} must hold tables of keys, but holds a {type(tree).__name__}")
    return tree


def read_text(path: Path, *, most: int = _MOST_BYTES) -> str:
    """A small text file; a device, a pipe or a file without end is none.

    Args:
        path: The file.
        most: Bytes that it may have.

    Returns:
        Its text.

    Raises:
        InputError: It is no file, too large, or no UTF-8.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} must be a readable text file, but is no regular file")
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise InputError(f"{path} must be at most {most:,} bytes long, but is longer")
        return content.decode("utf-8-sig")  # without the mark that editors on Windows put first
    except (OSError, ValueError) as error:  # UnicodeDecodeError, or a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} must be a readable text file, but: {reason}") from error


def parse_json(text: str | bytes) -> Any:
    """JSON in which no key stands twice.

    Args:
        text: The document.

    Returns:
        The value.

    Raises:
        ValueError: It is no JSON, nested too deeply, or has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        message = "it is nested too deeply"
        raise ValueError(message) from None


def checked_tree(tree: Any) -> None:
    """Return if nested tables and lists are what a file of settings may hold.

    Args:
        tree: As parsed; it may refer to itself.

    Raises:
        ValueError: Too deep, too many values, a key that is no text, or a text that would steer a
            terminal.
    """
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    seen = 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        _check_size(seen, depth)
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or not key.isprintable():
                    message = f"every key must be a text on one line, but one is {key!r:.60}"
                    raise ValueError(message)
            waiting += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
        elif isinstance(value, str) and visible(text := value.replace("\t", " ")) != text:
            message = f"no text may hold control characters, but one is {value!r:.60}"
            raise ValueError(message)


def _check_size(seen: int, depth: int) -> None:
    if depth > _MOST_DEEP:
        message = f"its tables must be nested at most {_MOST_DEEP} deep"
        raise ValueError(message)
    if seen > _MOST_VALUES:
        message = f"it must hold at most {_MOST_VALUES:,} values"
        raise ValueError(message)


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_doubles(key for key, _ in pairs)
    return dict(pairs)


def _refuse_doubles(keys: Iterable[Hashable]) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            message = f"the key {key!r} stands twice"
            raise ValueError(message)
        seen.add(key)


def _parse_yaml(text: str) -> Any:
    import re  # noqa: PLC0415
    from typing import cast  # noqa: PLC0415

    import yaml  # noqa: PLC0415 - only for those who use it; transformers brings it

    base = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    class Loader(base):  # type: ignore[valid-type, misc]
        """Resolvers of its own."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(_NUMBER), list("-+.0123456789")
    )
    depth = 0
    for event in yaml.parse(text, Loader=base):  # building recurses in C, without a limit
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        _check_size(0, depth)
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _check_nodes(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_nodes(root: "Node") -> None:
    """Before anything is built: references may repeat a node a billion times, or name itself."""
    from yaml.nodes import MappingNode, SequenceNode  # noqa: PLC0415

    waiting: list[tuple[Any, int]] = [(root, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        _check_size(seen, depth)
        if isinstance(node, MappingNode):
            merge = "tag:yaml.org,2002:merge"
            _refuse_doubles(k.value for k, _ in node.value if k.tag != merge and _scalar(k))
            waiting += [(one, depth + 1) for pair in node.value for one in pair]
        elif isinstance(node, SequenceNode):
            waiting += [(one, depth + 1) for one in node.value]


def _scalar(node: "Node") -> bool:
    return isinstance(node.value, str)
