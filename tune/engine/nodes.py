"""Nodes whose workers don't come up, or compute something else: named, and left alone."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import PlacementGroupFactory

from hscl.errors import RunError
from tune.states import NODE_BROKE
from tune.trial.messages import Breakdown

__all__ = ["Nodes", "Wanted", "address_of", "innermost"]

Living = dict[str, list[dict[str, Any]]]
Wanted = Mapping[str, float]
"""What a trial asks of a node, by Ray's names."""
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
        failed: How many workers did not come up, by the id of their node: one that was mended and
            joins again begins anew.
    """

    def __init__(self, living: Callable[[], Living] | None = None) -> None:
        self._living = living or _living
        self.failed: Counter[str] = Counter()
        self._working: set[str] = set()  # names of hosts
        self._said: dict[str, str] = {}  # why nodes were put aside, by address

    def works(self, host: str) -> None:
        """A worker there has said something."""
        self._working.add(host)

    def broke(self, error: BaseException | None, wanted: Wanted) -> Breakdown | None:
        """What a worker that did not come up says about its node.

        Args:
            error: Ray's.
            wanted: What a trial asks for.

        Returns:
            The breakdown; None where nothing is known against the node.

        Raises:
            RunError: No node is left.
        """
        text = _COLOURS.sub("", str(error))
        address = address_of(error)
        there = self._living().get(address, ())
        if not there or self._working & {node["NodeManagerHostname"] for node in there}:
            return None
        said = f"{address}: {innermost(text)}"
        if not self._leave(address, said, starts=1, wanted=wanted):
            raise RunError(
                "a worker must come up on some node, but none does: "
                f"{'; '.join(self._said.values())}"
                "; put that right (hscl cluster doctor), then run the same command again: "
                "everything so far is kept"
            )
        return Breakdown(NODE_BROKE, said)

    def differs(self, address: str, breakdown: Breakdown, wanted: Wanted) -> Breakdown:
        """Put a node aside whose worker computes something else than the driver.

        Args:
            address: Of the node.
            breakdown: What the worker said.
            wanted: What a trial asks for.

        Returns:
            The breakdown of a broken node; where no other is left one that ends the run.
        """
        said = f"{address}: {breakdown.text}"
        if self._living().get(address) and self._leave(address, said, _TRIES, wanted):
            return Breakdown(NODE_BROKE, said)
        texts = self._said.values() if len(self._said) > 1 else [breakdown.text]
        return Breakdown(breakdown.kind, "; ".join(texts))

    def elsewhere(self, wanted: PlacementGroupFactory) -> PlacementGroupFactory:
        """What a trial asks for, on none of the nodes that were put aside.

        Args:
            wanted: What it asks for.
        """
        living = (
            (node for nodes in self._living().values() for node in nodes) if self.failed else ()
        )
        aside = [node["NodeID"] for node in living if self.aside(node)]
        if not aside:
            return wanted
        bundles = wanted.bundles
        selector = {"ray.io/node-id": f"!in({','.join(sorted(aside))})"}
        return PlacementGroupFactory(bundles, bundle_label_selector=[selector] * len(bundles))

    def aside(self, node: Mapping[str, Any]) -> bool:
        """Whether a node was put aside.

        Args:
            node: Ray's entry.
        """
        return self.failed[node["NodeID"]] >= _TRIES

    def _leave(self, address: str, said: str, starts: int, wanted: Wanted) -> bool:
        """Count failed starts against the nodes of an address; whether any node is left."""
        living = self._living()
        for node in living[address]:
            self.failed[node["NodeID"]] += starts
        self._said[address] = said
        return any(
            not self.aside(node) and all(node["Resources"].get(n, 0) >= wanted[n] for n in wanted)
            for nodes in living.values()
            for node in nodes
        )


def address_of(error: BaseException | None) -> str:
    """The address of the node on which Ray says that an error arose; "" where it says none.

    Args:
        error: Ray's.
    """
    found = _ADDRESS.search(_COLOURS.sub("", str(error)))
    return str(getattr(error, "ip", "") or (found[1] if found else ""))


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
