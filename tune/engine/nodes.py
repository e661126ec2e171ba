"""Nodes whose workers don't come up: named, and after a few tries left alone."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune import PlacementGroupFactory

from hscl.errors import RunError
from tune.states import NODE_BROKE
from tune.trial.messages import Breakdown

__all__ = ["Nodes", "innermost"]

Living = dict[str, list[dict[str, Any]]]
_TRIES = 3
_ADDRESS = re.compile(r"\bip[=:]\s*([0-9a-fA-F.:]*[0-9a-fA-F])")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^\s*[\w.]*(?:Error|Exception|Interrupt|Exit)\b")
_RAYS_OWN = "failed to import on the worker"


class Nodes:
    """What is known of the nodes' workers.

    Args:
        living: Ray's entries of the living nodes, by address.

    Attributes:
        failed: How many workers did not come up, by the address of their node.
    """

    def __init__(self, living: Callable[[], Living] | None = None) -> None:
        self._living = living or _living
        self.failed: Counter[str] = Counter()
        self._working: set[str] = set()  # names of hosts

    def works(self, host: str) -> None:
        """A worker there has said something."""
        self._working.add(host)

    def broke(self, error: BaseException | None) -> Breakdown | None:
        """What a worker that did not come up says about its node.

        Args:
            error: Ray's.

        Returns:
            The breakdown; None where nothing is known against the node.

        Raises:
            RunError: No node is left.
        """
        text = _COLOURS.sub("", str(error))
        found = _ADDRESS.search(text)
        address = str(getattr(error, "ip", "") or (found[1] if found else ""))
        living = self._living()
        hosts = {node["NodeManagerHostname"] for node in living.get(address, ())}
        if not hosts or hosts & self._working:
            return None
        self.failed[address] += 1
        said = f"{address}: {innermost(text)}"
        if all(self._aside(address) for address in living):
            raise RunError(
                f"a worker must come up on some node, but none does: {said}; put that right (hscl "
                "cluster doctor), then run the same command again: everything so far is kept"
            )
        return Breakdown(NODE_BROKE, said)

    def elsewhere(self, wanted: PlacementGroupFactory) -> PlacementGroupFactory:
        """What a trial asks for, on none of the nodes that were put aside.

        Args:
            wanted: What it asks for.
        """
        aside = [
            node["NodeID"]
            for address, nodes in (self._living().items() if self.failed else ())
            for node in nodes
            if self._aside(address)
        ]
        if not aside:
            return wanted
        bundles = wanted.bundles
        selector = {"ray.io/node-id": f"!in({','.join(sorted(aside))})"}
        return PlacementGroupFactory(bundles, bundle_label_selector=[selector] * len(bundles))

    def _aside(self, address: str) -> bool:
        return self.failed[address] >= _TRIES


def innermost(text: str) -> str:
    """The line of an error's text that says what it was.

    Args:
        text: Such as Ray's, with a traceback.

    Returns:
        One line of at most 200 characters.
    """
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines()]
    errors = [line for line in lines if _ERROR.match(line) and _RAYS_OWN not in line]
    said = [line for line in lines if line.strip("^~ ")]
    return (errors or said or ["no reason given"])[-1][:200]


def _living() -> Living:
    import ray  # noqa: PLC0415

    found: Living = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            found.setdefault(node["NodeManagerAddress"], []).append(node)
    return found
