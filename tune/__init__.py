"""Seed-robust search: a study is a function from a specification to append-only tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune.cli.calling import search
    from tune.views.study import Study, open_study

__all__ = ["Study", "open_study", "search"]

_PLACES = {
    "Study": "tune.views.study",
    "open_study": "tune.views.study",
    "search": "tune.cli.calling",
}


def __getattr__(name: str) -> Any:
    """Load a module only when something of it is asked for: the package itself stays light.

    Raises:
        AttributeError: There is no such name.
    """
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'tune' has no attribute {name!r}")
