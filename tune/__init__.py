"""Seed-robust search: a study is a function from a specification to append-only tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune.views.study import Study, open_study

__all__ = ["Study", "open_study"]


def __getattr__(name: str) -> Any:
    """Load `tune.views.study` only when it is asked for: the package itself stays light.

    Raises:
        AttributeError: There is no such name.
    """
    if name in __all__:
        return getattr(import_module("tune.views.study"), name)
    raise AttributeError(f"module 'tune' has no attribute {name!r}")
