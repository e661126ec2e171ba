"""Short stable digests: the same content gives the same name everywhere."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["digest_folder", "digest_json"]


def digest_json(tree: Any) -> str:
    """SHA-256 of a JSON-able tree, whatever the order of its keys.

    Args:
        tree: Mappings, lists, strings, finite numbers, booleans, None.

    Returns:
        64 hex digits.
    """
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_folder(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below a folder.

    Hidden files and Python's caches don't count. Computed once per process and state of the files.

    Args:
        folder: An existing folder.

    Returns:
        64 hex digits.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(p.startswith((".", "__pycache__")) for p in path.relative_to(folder).parts)
    )
    state = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _digest_files(folder, state)


@lru_cache(maxsize=32)
def _digest_files(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, _, _ in state:
        path = Path(name)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
