"""Which code computes: a digest of our sources and the versions of what numbers depend on."""

import functools
import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hscl.digest import digest_json

__all__ = ["CODE_KEY", "COMPUTING", "code_digest", "code_here", "differences"]

CODE_KEY = "hscl_code"
"""The key under which a worker's `code_digest` travels beside each of its messages."""

_OURS = ("hscl", "tune", "cluster")
COMPUTING = ("hscl-search", "torch", "transformers", "numpy", "pyarrow")
"""The distributions whose versions change what is computed."""


@functools.cache
def code_here() -> Mapping[str, str]:
    """What this process computes with: `sources` (a digest), and versions by distribution.

    A build's own label (`+cu128`, `+cpu`) is left out: nodes with and without GPUs differ in it.
    """
    versions = {name: _version(name) for name in COMPUTING}
    return {"sources": _sources_digest()} | versions


def code_digest(code: Mapping[str, str]) -> str:
    """One word for `code_here`."""
    return digest_json(dict(code))[:16]


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """What differs, such as "torch 2.7.0, not 2.6.0"; empty where nothing does.

    Args:
        one: What is there.
        other: What should be, or was.
    """
    names = dict.fromkeys([*other, *one])
    return ", ".join(
        f"{name} {one.get(name, 'unknown')[:12]}, not {other.get(name, 'unknown')[:12]}"
        for name in names
        if one.get(name) != other.get(name)
    )


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"


def _sources_digest() -> str:
    """SHA-256 over the packages' Python files: names and contents, wherever they lie."""
    total = hashlib.sha256()
    for package in _OURS:
        root = _folder_of(package)
        if root is None:
            continue
        for path in sorted(root.rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            name = path.relative_to(root).as_posix()
            total.update(f"{package}/{name}\0{content}\n".encode())
    return total.hexdigest()


def _folder_of(package: str) -> Path | None:
    spec = find_spec(package)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    # Any folder of that name where a search runs (`hscl cluster template --out cluster`) is found
    # before the package of an editable install.
    beside = Path(__file__).parents[2] / package
    return beside if (beside / "__init__.py").exists() else None
