"""Models of one's own: what installed packages register in the entry-point group `hscl.models`.

The entry point's name is the kind; it leads to a subclass of `hscl.model.contract.SentimentModel`
with a class `Settings`, whose keys stand under the kind's name. Nothing is imported before a
configuration names the kind, and no file of a user can name a module.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from hscl.config_kinds import KINDS, FrozenTree, table_of
from hscl.errors import InputError, did_you_mean

__all__ = ["GROUP", "RegisteredModel", "registered_model", "registered_tables"]

GROUP = "hscl.models"


@dataclass(frozen=True)
class RegisteredModel:
    """A model that a package registers.

    Attributes:
        kind: Its name.
        package: The package and its version, such as "gru-model 0.1": part of an identity.
        model: The class that makes it.
        settings: Its keys, with a default each.
    """

    kind: str
    package: str
    model: Any
    settings: type[FrozenTree]


def registered_tables() -> dict[str, str]:
    """The kinds that packages register, by the name of their table (`-` is `_` there)."""
    return {table_of(one.name): one.name for one in entry_points(group=GROUP)}


@cache
def registered_model(kind: str) -> RegisteredModel:
    """Load a model that a package registers.

    Args:
        kind: Its name.

    Returns:
        The model; its package is imported once.

    Raises:
        InputError: No package registers it, or several do; it can't be imported, or is not such
            a class.
    """
    found = [one for one in entry_points(group=GROUP) if one.name == kind]
    if not found:
        known = [*KINDS, *registered_tables().values()]
        raise InputError(
            f"model.kind must be a kind of model that is known here, but got {kind!r}; a model "
            f"of one's own is registered by an installed package (entry-point group {GROUP!r}); "
            f"{did_you_mean(kind, known)}"
        )
    packages = [f"{one.dist.name} {one.dist.version}" for one in found if one.dist is not None]
    if len(found) > 1:
        raise InputError(
            f"one package alone may register the model {kind!r}, but {' and '.join(packages)} "
            "do; uninstall one"
        )
    try:
        model = found[0].load()
    except Exception as error:  # whatever its modules raise
        raise InputError(
            f"the model {kind!r} of {packages[0]} can't be imported "
            f"({type(error).__name__}: {error})"
        ) from error
    settings = getattr(model, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, FrozenTree)):
        raise InputError(
            f"the model {kind!r} of {packages[0]} must be a class with a class Settings, a "
            f"subclass of hscl.config.FrozenTree, but its Settings is {settings!r}"
        )
    try:
        settings()
    except ValueError as error:
        raise InputError(
            f"every key of the model {kind!r} of {packages[0]} must have a default, but: {error}"
        ) from error
    return RegisteredModel(kind, packages[0], model, settings)
