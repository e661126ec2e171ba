"""The doctor's visit: from this machine to the cluster, from its nodes to a verdict."""

from importlib.metadata import version
from typing import Any

from cluster.connect.connection import Connection
from cluster.connect.uris import Location
from cluster.doctor.checks import Check, checks_of
from cluster.doctor.cost import Cost, estimate
from cluster.jobs.head_tasks import ask_head
from cluster.jobs.records import JobSetup
from cluster.jobs.shipping import DISTRIBUTION, encoders_of
from hscl.errors import HsclError
from tune.study.spec import StudySpec
from tune.study.toml import STUDY_FILE
from tune.trial.code import code_here
from tune.trial.first_steps import gpu_advice

__all__ = ["diagnose"]

_PROBE_S = 600.0
_COST_S = 900.0


def diagnose(
    connection: Connection,
    setup: JobSetup,
    spec: StudySpec | None,
    data: Location | None,
    out: Location | None,
) -> tuple[list[Check], Cost | None]:
    """Check a cluster for a search.

    Args:
        connection: The cluster.
        setup: How a search would be started.
        spec: The study that is meant to run.
        data: Where its data would be read.
        out: Where it would be written.

    Returns:
        All checks, and the study's cost where a study and its data are given and nothing is in
        the way.
    """
    arguments = ["probe"]
    arguments += ["--data", data.uri] if data else []
    arguments += ["--out", out.uri] if out else []
    for name in encoders_of(spec) if spec else ():
        arguments += ["--encoder", name]
    report = ask_head(connection, setup, arguments, _PROBE_S)
    checks = [*_first_checks(connection), *checks_of(report, spec), _same_here(report["nodes"])]
    if spec is None or data is None or not all(check.ok for check in checks):
        return checks, None
    try:
        timed = ask_head(
            connection, setup, ["cost", "--study", STUDY_FILE, "--data", data.uri], _COST_S
        )
    except HsclError as error:
        todo = "read the message; the same would end the search's trials"
        return [*checks, Check("first steps", ok=False, found=str(error), todo=todo)], None
    peak = timed["peak_memory"] / 2**30
    found = f"{timed['took']:.1f} s, peak memory {peak:.2f} GiB"
    found = "; ".join(filter(None, (found, gpu_advice(spec, timed))))
    checks.append(Check("first steps", ok=True, found=found))
    nodes = [node["resources"] for node in report["nodes"]]
    return checks, estimate(spec, timed, nodes)


def _first_checks(connection: Connection) -> list[Check]:
    """What the connection itself has shown."""
    version = f"{connection.address}, Ray {connection.ray_version} as here"
    token = Check("token", ok=True, found="asked for and accepted")
    if connection.warning:
        todo = "start it with RAY_AUTH_MODE=token; see `hscl cluster template`"
        found = "none is asked for: whoever reaches the cluster can run code on it"
        token = Check("token", ok=False, found=found, todo=todo)
    return [Check("reachable", ok=True, found=version), token]


def _same_here(nodes: list[dict[str, Any]]) -> Check:
    """This machine reads the study and shows the results: with the same code as the nodes."""
    here = f"{version(DISTRIBUTION)} ({code_here()['sources'][:12]})"
    asked = [node for node in nodes if "packages" in node]
    there = {f"{n['packages'].get(DISTRIBUTION)} ({n.get('code', 'older')[:12]})" for n in asked}
    name = f"{DISTRIBUTION} here"
    if there - {here}:
        found = f"{here}, the nodes have {', '.join(sorted(there - {here}))}"
        return Check(name, ok=False, found=found, todo="install the same, or use --ship-code")
    return Check(name, ok=True, found=here)
