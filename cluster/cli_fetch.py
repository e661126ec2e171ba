"""`hscl cluster fetch`: results, brought to this machine."""

from pathlib import Path

import click

from hscl.errors import InputError

__all__ = ["fetch"]


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
    from cluster.connection import connect
    from cluster.fetching import fetch_study
    from cluster.jobs import find_job
    from cluster.uris import checked_location

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
    click.echo(f"{count} files; look at them with: hscl compare {folder}")
