"""Whether a trained seed's files are still what training wrote, and its weights are numbers."""

import hashlib
import json
import math
from pathlib import Path

from torch import nn

from hscl.errors import DataChangedError, InputError
from hscl.files import write_whole

__all__ = ["DIGESTS", "check_digests", "check_weights", "write_digests"]

DIGESTS = "digests.json"
"""In a seed's folder: SHA-256 (hex) of every other file of it, by its path there."""

_LARGEST = 1e6
"""Far beyond any weight that a training ends with."""


def write_digests(place: Path) -> None:
    """Write down what the files of a seed are, once all of them are there.

    Args:
        place: The seed's folder.
    """
    write_whole(place / DIGESTS, json.dumps(_digests(place), indent=2) + "\n")


def check_digests(place: Path) -> None:
    """Return if the files of a seed are what training wrote; an earlier version wrote no digests.

    Args:
        place: The seed's folder.

    Raises:
        DataChangedError: A file was changed since, is gone, or came later; names it.
    """
    try:
        told = json.loads((place / DIGESTS).read_text(encoding="utf-8"))
        expected = {str(name): str(digest) for name, digest in told.items()}
        found = _digests(place)
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataChangedError(f"{place / DIGESTS} is damaged ({error}); {_TODO}") from None
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            how = "is not there" if name not in found else "was changed or added since"
            raise DataChangedError(
                f"{place / name} must be what training wrote, but {how}; {_TODO}"
            )


def check_weights(network: nn.Module, place: Path) -> None:
    """Return if a network can compute anything.

    Args:
        network: With its weights.
        place: Where they came from, for the message.

    Raises:
        InputError: A weight is NaN, infinite, or larger than any that a training ends with.
    """
    learned = {name for name, _ in network.named_parameters()}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        largest = float(tensor.abs().amax()) if tensor.numel() else 0.0  # NaN where one is
        if not math.isfinite(largest):
            what = "are not finite"
        elif name in learned and largest > _LARGEST:
            what = f"reach {largest:.3g}"
        else:
            continue
        raise InputError(
            f"{place} must hold weights up to {_LARGEST:g} in size, but those of {name} {what}; "
            f"{_TODO}"
        )


_TODO = "train this seed again, or put the folder back from a copy"


def _digests(place: Path) -> dict[str, str]:
    """Of all files but the digests' own and hidden ones, which some file systems leave."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        if path.is_file() and name.as_posix() != DIGESTS and not _is_hidden(name):
            with path.open("rb") as file:
                found[name.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)
