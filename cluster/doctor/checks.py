"""What a search needs and the cluster lacks, by what the nodes said; one line a check."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tune.study.sections import ResourcesSection
from tune.study.size import GIB, trials_that_fit
from tune.study.spec import StudySpec
from tune.trial.code import COMPUTING

__all__ = ["Check", "alike", "checks_of"]

_MIN_DISK = 2 * GIB
_FULL = 0.95  # Ray stops storing objects on a disk that is fuller than this
_MEMORY_A_TRIAL = 2 * GIB  # torch, an encoder, its optimizer
_SKEW_S = 2.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Attributes:
        name: What was looked at.
        ok: Whether a search can run as far as this goes.
        found: What was seen.
        todo: What to do about it; "" where nothing is.
    """

    name: str
    ok: bool
    found: str
    todo: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


def checks_of(report: dict[str, Any], spec: StudySpec | None = None) -> list[Check]:
    """Check what `probe_cluster` found.

    Args:
        report: Its result.
        spec: The study, where one is meant to run.

    Returns:
        Checks in the order in which things must be mended.
    """
    nodes = report["nodes"]
    there = [node for node in nodes if "error" not in node]
    return [
        *alike(report),
        *(check for check in _packages(there) if check.name not in COMPUTING),
        *_gpus(there, report["resources"], spec),
        *(
            check
            for name in sorted({key for node in there for key in node if key[:8] == "encoder "})
            for check in _on_each(
                there, name, name, "install it, or copy its folder, on every node"
            )
        ),
        _disk(there),
        _memory(there, report["resources"], spec),
        _clocks(there),
        _tokens(there),
        _links(report["links"]),
    ]


def alike(report: dict[str, Any]) -> list[Check]:
    """Check what must be the same on every node: without it no number is the driver's.

    Args:
        report: The result of `probe_cluster`.

    Returns:
        Checks: nodes, Python, versions, code; data and output where they were named.
    """
    nodes = report["nodes"]
    there = [node for node in nodes if "error" not in node]
    computing = [*there, *([report["driver"]] if "driver" in report else [])]
    return [
        _answering(nodes),
        _same("Python", computing, lambda node: ".".join(node["python"].split(".")[:2])),
        *(check for check in _packages(computing) if check.name in COMPUTING),
        _same("code of hscl", computing, lambda node: node.get("code", "older")[:12]),
        *_on_each(there, "data", "data", "mount or copy it under the same path on every node"),
        *_on_each(
            there,
            "write",
            "output",
            "mount one folder, writable, on every node, or give an s3:// or gs:// URI",
        ),
    ]


def _answering(nodes: list[dict[str, Any]]) -> Check:
    silent = [f"{node['address']}: {node['error']}" for node in nodes if "error" in node]
    if silent:
        missing = any("No module named" in text for text in silent)
        todo = (
            "install hscl-search there, or use --ship-code"
            if missing
            else "look at that node's /tmp/ray/session_latest/logs; restart Ray on it"
        )
        return Check("nodes", ok=False, found="; ".join(silent), todo=todo)
    names = ", ".join(f"{node['address']} ({node['host']})" for node in nodes)
    return Check("nodes", ok=True, found=f"{len(nodes)} answer: {names}")


def _same(name: str, nodes: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> Check:
    """The same value on every node."""
    where: dict[Any, list[str]] = defaultdict(list)
    for node in nodes:
        where[value(node)].append(node["address"])
    if len(where) > 1:
        found = "; ".join(
            f"{key or 'not installed'} on {', '.join(at)}" for key, at in where.items()
        )
        todo = f"install one {name} on all nodes"
        return Check(name, ok=False, found=found, todo=todo)
    only = next(iter(where), None)
    if only is None and nodes:
        return Check(name, ok=False, found="not installed", todo=f"install {name} on all nodes")
    return Check(name, ok=True, found=str(only))


def _packages(nodes: list[dict[str, Any]]) -> list[Check]:
    names = list(dict.fromkeys(name for node in nodes for name in node["packages"]))

    def version_of(name: str) -> Callable[[dict[str, Any]], Any]:
        # Without a build's own label: nodes with and without GPUs differ in it.
        return lambda node: (node["packages"].get(name) or "").partition("+")[0] or None

    return [_same(name, nodes, version_of(name)) for name in names]


def _gpus(
    nodes: list[dict[str, Any]], total: dict[str, float], spec: StudySpec | None
) -> list[Check]:
    checks = []
    wanted = spec.resources.gpus if spec is not None else None
    if wanted and not total.get("GPU"):
        checks.append(
            Check(
                "GPUs",
                ok=False,
                found=f"a trial asks for {wanted:g}, the cluster has none now",
                todo="start GPU nodes (an autoscaler does once a search waits), or set "
                "resources.gpus = 0",
            )
        )
    broken, names = [], []
    for node in nodes:
        if "gpus" not in node:
            continue
        count, seen = int(node["resources"]["GPU"]), node["gpus"]
        if "error" in seen:
            broken.append(f"{node['address']}: {seen['error']}")
        elif len(seen["names"]) < count:
            found = f"Ray counts {count}, torch sees {len(seen['names'])}"
            broken.append(f"{node['address']}: {found}")
        else:
            names += seen["names"]
    if broken:
        todo = "install a torch build for that node's driver (nvidia-smi names its CUDA version)"
        checks.append(Check("torch on GPUs", ok=False, found="; ".join(broken), todo=todo))
    elif names:
        kinds = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
        checks.append(Check("torch on GPUs", ok=True, found=kinds))
    elif not checks:
        checks.append(Check("GPUs", ok=True, found="none; trials run on CPUs"))
    return checks


def _on_each(nodes: list[dict[str, Any]], key: str, name: str, todo: str) -> list[Check]:
    """Something tried on every node, with the same digest where there is one."""
    asked = [node for node in nodes if key in node]
    if not asked:
        return []
    broken = [f"{node['address']}: {node[key]['error']}" for node in asked if "error" in node[key]]
    if broken:
        return [Check(name, ok=False, found="; ".join(broken), todo=todo)]
    digests = {node[key].get("digest") for node in asked}
    if len(digests) > 1:
        found = "; ".join(
            f"{str(node[key]['digest'])[:12]} on {node['address']}" for node in asked
        )
        return [Check(name, ok=False, found=found, todo=f"the same {name} on every node")]
    (digest,) = digests
    found = f"on {len(asked)} nodes" + (f", digest {digest[:12]}" if digest else "")
    if "rows" in asked[0][key]:
        found += f", {asked[0][key]['rows']} utterances"
    return [Check(name, ok=True, found=found)]


def _disk(nodes: list[dict[str, Any]]) -> Check:
    short = []
    for node in nodes:
        disk = node["disk"]
        if "error" in disk:
            short.append(f"{node['address']}: {disk['error']}")
        elif disk["free"] < max(_MIN_DISK, (1 - _FULL) * disk["total"]):
            short.append(f"{node['address']}: {disk['free'] / GIB:.1f} GiB free")
    if short:
        todo = "free space, or start Ray with --temp-dir on a larger disk (it needs 5 % free)"
        return Check("disk", ok=False, found="; ".join(short), todo=todo)
    least = min((node["disk"]["free"] for node in nodes), default=0)
    return Check("disk", ok=True, found=f"at least {least / GIB:.0f} GiB free")


def _memory(nodes: list[dict[str, Any]], total: dict[str, float], spec: StudySpec | None) -> Check:
    resources = spec.resources if spec is not None else ResourcesSection()
    short = []
    for node in nodes:
        slots = trials_that_fit(resources, node["resources"], total.get("GPU", 0.0))
        slots = min(slots, resources.concurrent or slots)
        needed = slots * _MEMORY_A_TRIAL
        if node["memory_free"] < needed:
            free = node["memory_free"] / GIB
            short.append(f"{node['address']}: {free:.1f} GiB free for {slots} trials at once")
    if short:
        todo = (
            f"raise resources.cpus or set resources.concurrent: a trial needs about "
            f"{_MEMORY_A_TRIAL / GIB:.0f} GiB"
        )
        return Check("memory", ok=False, found="; ".join(short), todo=todo)
    least = min((node["memory_free"] for node in nodes), default=0)
    return Check("memory", ok=True, found=f"at least {least / GIB:.1f} GiB free")


def _clocks(nodes: Sequence[dict[str, Any]]) -> Check:
    off = [f"{n['address']}: {n['skew']:+.1f} s" for n in nodes if abs(n["skew"]) > _SKEW_S]
    if off:
        return Check(
            "clocks", ok=False, found="; ".join(off), todo="run NTP (chrony) on every node"
        )
    most = max((abs(n["skew"]) for n in nodes), default=0.0)
    return Check("clocks", ok=True, found=f"within {most:.2f} s of the head")


def _tokens(nodes: Sequence[dict[str, Any]]) -> Check:
    name = "token files"
    open_to_all = [f"{n['address']}: {n['exposed']}" for n in nodes if n.get("exposed")]
    if open_to_all:
        todo = "chmod 600 it there: whoever reads it can run code on every node"
        return Check(name, ok=False, found="; ".join(open_to_all), todo=todo)
    return Check(name, ok=True, found="readable by their owner alone, where there are any")


def _links(links: list[dict[str, Any]]) -> Check:
    broken = [f"{a['from']} → {a['to']}: {a['error']}" for a in links if "error" in a]
    if broken:
        todo = (
            "open the ports between nodes: all, or those fixed by ray start "
            "--object-manager-port, --node-manager-port, --min-worker-port, --max-worker-port"
        )
        return Check("ports between nodes", ok=False, found="; ".join(broken), todo=todo)
    found = f"{len(links)} links carry data" if links else "a single node"
    return Check("ports between nodes", ok=True, found=found)
