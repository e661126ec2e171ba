"""`hscl cluster token | template | doctor | fetch`: what comes before and after a search."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from hscl.errors import InputError, RunError

__all__ = ["doctor", "fetch", "template", "token"]

KINDS = ("onprem", "aws", "gcp", "kuberay", "slurm", "docker")


@click.command()
@click.option(
    "--path", type=click.Path(path_type=Path), help="The file [default: where Ray looks for it]."
)
def token(path: Path | None) -> None:
    """Make the cluster's token file, readable by you alone.

    All machines of a cluster, and all that send searches to it, need the same file. An existing
    one is kept. The token itself is never shown.
    """
    from cluster.connect.tokens import create_token, default_path

    where = path or default_path()
    made = create_token(where)
    click.echo(f"{'made' if made else 'kept'} {where} (mode 0600)")


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Nodes.")
@click.option("--gpus", type=click.IntRange(0), default=1, show_default=True, help="GPUs a node.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def template(kind: str, out: Path, workers: int, gpus: int, *, force: bool) -> None:
    """Write ready files for a kind of cluster; what only you know is marked EDIT."""
    from cluster.templates import TemplateSettings, write

    for path in write(kind, TemplateSettings(workers, gpus), out, replace=force):
        holes = path.read_text(encoding="utf-8").count("EDIT")
        click.echo(f"{path}" + (f"   {holes} places to edit" if holes else ""))


@click.command()
@click.argument("study", required=False, type=click.Path(path_type=Path))
@click.option("--address", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard.")
@click.option("--data", help="The data set, as the nodes name it.")
@click.option("--out", help="The output, as the nodes name it.")
@click.option("--ship-code", is_flag=True, help="Send hscl, tune and cluster along.")
@click.option("--python", default="python", show_default=True, help="The nodes' Python.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(  # noqa: PLR0913 - one parameter an option
    study: Path | None,
    address: str | None,
    data: str | None,
    out: str | None,
    python: str,
    *,
    ship_code: bool,
    as_json: bool,
) -> None:
    """Check what a search needs, on every node, and say what to do about what is missing.

    With STUDY and --data also what the study will cost, from its own first steps.
    """  # noqa: DOC501 - this is what --help prints
    from cluster.connect.connection import DEFAULT_ADDRESS, connect
    from cluster.connect.uris import checked_location
    from cluster.doctor.diagnosis import diagnose
    from cluster.jobs.records import JobSetup
    from cluster.jobs.shipping import pack
    from tune.study.toml import load_spec

    spec = load_spec(study) if study is not None else None
    places = tuple(
        checked_location(f"--{name}", text) if text is not None else None
        for name, text in (("data", data), ("out", out))
    )
    connection = connect(address or DEFAULT_ADDRESS)
    setup = JobSetup(pack(spec or "", with_code=ship_code), python)
    checks, cost = diagnose(connection, setup, spec, *places)
    if as_json:
        report: dict[str, Any] = {"checks": [check.to_dict() for check in checks]}
        report["cost"] = cost.to_dict() if cost is not None else None
        click.echo(json.dumps(report, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(f"{'ok' if check.ok else 'PROBLEM':8}{check.name:{width}}  {check.found}")
            if check.todo:
                click.echo(f"{'':8}{'':{width}}  → {check.todo}")
        if cost is not None:
            click.echo(cost.cost_text())
    failed = [check.name for check in checks if not check.ok]
    if failed:
        raise RunError(f"the cluster is not ready: {', '.join(failed)}")


@click.command()
@click.argument("arguments", metavar="[ID] DIR", nargs=-1, required=True)
@click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    default="http://127.0.0.1:8265",
    show_default=True,
    help="The cluster's dashboard: http://HOST:PORT, or the near end of a tunnel.",
)
@click.option("--out", help="The study's --out, where Ray has forgotten the job.")
@click.option("--checkpoints/--no-checkpoints", default=True, help="Bring them too.")
def fetch(arguments: tuple[str, ...], address: str, out: str | None, *, checkpoints: bool) -> None:
    """Bring a study to a folder of this machine, from storage that this machine can open.

    Fetched again it brings what is new.
    """  # noqa: DOC501 - this is what --help prints
    from cluster.connect.connection import connect
    from cluster.connect.uris import checked_location
    from cluster.jobs.fetching import fetch_study
    from cluster.jobs.searches import find_job

    if len(arguments) > 2:
        raise InputError(f"fetch takes an id and a folder, but got {len(arguments)} arguments")
    *ids, folder = arguments
    head = "HEAD"
    if out is None:
        connection = connect(address)
        job = find_job(connection, ids[0] if ids else None)
        out, head = job.out, job.host or connection.host
    count = fetch_study(
        checked_location("--out", out), Path(folder), head, checkpoints=checkpoints
    )
    click.echo(f"{count} files; look at them with: hscl compare {shlex.quote(str(folder))}")
