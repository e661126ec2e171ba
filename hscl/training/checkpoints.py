"""Tensors and plain values in one safetensors file, put in place atomically. No pickle anywhere.

One file holds both, so that it is there whole or not at all: the values stand as JSON in the
file's own header.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hscl.errors import InputError
from hscl.files import whole_or_nothing

__all__ = [
    "read_record",
    "read_tensors",
    "write_checkpoint",
]

_KEY = "hscl"


def write_checkpoint(
    path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]
) -> Path:
    """Write a checkpoint; a kill at any moment leaves the old file or the new one, whole.

    Args:
        path: Where it will stand; its folder is made.
        tensors: By name, on any device.
        record: JSON-able values that belong to them.

    Returns:
        The path.

    Raises:
        OSError: The disk is full, or the folder can't be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_or_nothing(path) as part:
        part.touch()
        mode = part.stat().st_mode  # safetensors would leave it to the owner alone
        try:
            save_file(on_cpu, part, metadata={_KEY: json.dumps(record)})
        except SafetensorError as error:  # its own kind even where the disk is full
            raise OSError(f"{path} can't be written: {error}") from error
        part.chmod(mode)
    return path


def read_record(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint, without reading its tensors.

    Args:
        path: A file that `write_checkpoint` wrote.

    Returns:
        What was given as `record`.

    Raises:
        InputError: The file is missing, damaged, or not such a file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get(_KEY)
        record = None if stored is None else json.loads(stored)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} must be a checkpoint, but can't be read: {error}") from error
    if not isinstance(record, dict):
        raise InputError(
            f"{path} must be a checkpoint of hscl, but was written by another program"
        )
    return record


def read_tensors(path: Path, prefix: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, on the CPU.

    Args:
        path: A file that `write_checkpoint` wrote.
        prefix: Only names beginning so; it is cut off.

    Returns:
        Tensors by name.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} must be a checkpoint, but can't be read: {error}") from error
