"""Asks every node of a cluster what a search needs; runs on the cluster, as a driver."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.doctor.node_probe import HEAD, NodeProbe
from cluster.doctor.shared_folder import SharedFolder

__all__ = ["probe_cluster"]

_START_S = 120.0  # a node that must first unpack the packages and import Ray
_ANSWER_S = 300.0  # reading data and loading an encoder
_LINK_S = 60.0


def probe_cluster(
    data: str | None = None, out: str | None = None, encoders: Sequence[str] = ()
) -> dict[str, Any]:
    """Ask every living node. This process must be connected to the cluster.

    Args:
        data: The data set, None to leave it out.
        out: The output, None to leave it out.
        encoders: Text encoders of the study.

    Returns:
        `nodes` (a mapping each, see `NodeProbe`; `error` where a node did not answer), `driver`
        (this process, likewise), `links` (from, to, error) and `resources` of the cluster in
        total.
    """
    word = secrets.token_hex(8)
    shared = SharedFolder(out, word, HEAD) if out else None
    with suppress(OSError):  # the head is a node too, and says what is wrong
        if shared is not None:
            shared.write()
    listed = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    probe: Any = ray.remote(num_cpus=0, max_restarts=0)(NodeProbe)
    # Ray hides all GPUs from an actor that asks for none; this leaves them visible.
    see_all = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}}
    actors: list[Any] = [
        probe.options(
            runtime_env=see_all,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote()
        for node in listed
    ]
    nodes = []
    # Every question goes to all nodes at once; the answers are then collected node by node.
    asked = [
        {
            "facts": actor.facts.remote(),
            **({"gpus": actor.gpus.remote()} if node["Resources"].get("GPU") else {}),
            **({"data": actor.data.remote(data)} if data else {}),
            **({"write": actor.write.remote(out, word, node["NodeID"])} if out else {}),
            **{f"encoder {name}": actor.encoder.remote(name) for name in encoders},
        }
        for actor, node in zip(actors, listed, strict=True)
    ]
    for node, actor, questions in zip(listed, actors, asked, strict=True):
        said: dict[str, Any] = {
            "address": node["NodeManagerAddress"],
            "resources": {k: v for k, v in node["Resources"].items() if ":" not in k},
        }
        try:
            said |= ray.get(questions.pop("facts"), timeout=_START_S)
            said |= {name: _answer(ref) for name, ref in questions.items()}
            said["skew"] = _skew(actor)
            if shared is not None and "error" not in said["write"]:
                said["write"] |= _seen(shared, node["NodeID"])
        except Exception as error:  # noqa: BLE001 - the node's failure is the answer
            said["error"] = _reason(error)
        nodes.append(said)
    answering = [
        (node["address"], actor)
        for node, actor in zip(nodes, actors, strict=True)
        if "error" not in node
    ]
    if shared is not None:
        ray.wait(
            [actor.clear.remote() for actor in actors], num_returns=len(actors), timeout=_LINK_S
        )
        with suppress(OSError):
            shared.clear()
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return {
        "nodes": nodes,
        "driver": {"address": "the driver"} | NodeProbe().facts(),
        "links": _links(answering),
        "resources": {k: v for k, v in total.items() if ":" not in k},
    }


def _answer(reference: Any) -> Any:
    """What a node answers; other code on it may not know the question."""
    try:
        return ray.get(reference, timeout=_ANSWER_S)
    except Exception as error:  # noqa: BLE001 - the failure is the answer
        return {"error": _reason(error)}


def _seen(shared: SharedFolder, name: str) -> dict[str, Any]:
    if shared.sees(name):
        return {}
    return {"error": "the head does not see what this node writes there: it is another folder"}


def _skew(actor: Any) -> float:
    """Seconds that a node's clock is ahead of this one's, from the quickest of a few answers."""
    best = (float("inf"), 0.0)
    for _ in range(3):
        began = time.time()
        there = ray.get(actor.now.remote(), timeout=_LINK_S)
        ended = time.time()
        best = min(best, (ended - began, there - (began + ended) / 2))
    return best[1]


def _links(answering: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """A megabyte from each node to the next, around the ring: the ports between them are open."""
    links = []
    following = answering[1:] + answering[:1]
    for (source, maker), (target, reader) in zip(answering, following, strict=True):
        if source == target:
            continue
        link: dict[str, Any] = {"from": source, "to": target}
        try:
            ray.get(reader.read.remote(maker.make.remote()), timeout=_LINK_S)
        except Exception as error:  # noqa: BLE001 - the link's failure is the answer
            link["error"] = _reason(error)
        links.append(link)
    return links


def _reason(error: Exception) -> str:
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return "it did not answer in time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line]
    return (named or lines or [type(error).__name__])[-1][:300]
