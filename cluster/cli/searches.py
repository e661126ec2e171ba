"""`hscl cluster …`: the same study on a Ray cluster."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cluster.cli.setup import doctor, fetch, template, token
from hscl.cli.main import Group
from hscl.errors import InputError, RunError

if TYPE_CHECKING:
    from cluster.connect.connection import Connection
    from cluster.jobs.known import KnownStudy
    from cluster.jobs.records import SearchJob

F = TypeVar("F", bound=Callable[..., Any])

_address = click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    default="http://127.0.0.1:8265",
    show_default=True,
    help="The cluster's dashboard: http://HOST:PORT, or the near end of a tunnel.",
)
_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
_ship = click.option("--ship-code", is_flag=True, help="Send hscl, tune and cluster along.")


def _known(function: F) -> F:
    """The options by which a search is found again when Ray has forgotten its job."""
    out = click.option("--out", help="The study's --out, where Ray has forgotten the job.")
    python = click.option("--python", help="The nodes' Python [default: the job's, else python].")
    return _address(out(python(_ship(function))))


@click.group(cls=Group)
def cluster() -> None:
    """Run a study on a Ray cluster: send it off, follow it, stop it, bring it back."""


cluster.add_command(token)
cluster.add_command(template)
cluster.add_command(doctor)
cluster.add_command(fetch)


@cluster.command()
@click.argument("study", type=click.Path(path_type=Path))
@_address
@click.option("--data", required=True, help="The data set, as every node names it.")
@click.option("--out", required=True, help="Where the study is written, as every node names it.")
@_ship
@click.option("--python", default="python", show_default=True, help="The nodes' Python.")
@click.option(
    "--stop-wait",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    help="Seconds that a stopped search may take to save before Ray kills it.",
)
@click.option("--follow", is_flag=True, help="Stay and show the output.")
@click.option("--check/--no-check", default=True, help="First try study, data and output there.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; reach for nothing.")
def submit(  # noqa: PLR0913 - one parameter an option
    study: Path,
    address: str,
    data: str,
    out: str,
    python: str,
    stop_wait: int,
    *,
    ship_code: bool,
    follow: bool,
    check: bool,
    dry_run: bool,
) -> None:
    """Send a study to a cluster.

    The study file travels, and with --ship-code the packages; data never do. A study that --out
    holds already goes on where it was.
    """
    from cluster.connect.connection import connect, job_address
    from cluster.connect.uris import checked_location
    from cluster.jobs.head_tasks import check_search
    from cluster.jobs.records import JobRequest, JobSetup
    from cluster.jobs.searches import refuse_second, submit_search
    from cluster.jobs.shipping import pack
    from tune.study.toml import load_spec

    spec = load_spec(study)
    setup = JobSetup(pack(spec, with_code=ship_code), python, stop_wait)
    request = JobRequest(
        setup,
        spec.study.name,
        checked_location("--data", data),
        checked_location("--out", out),
    )
    if dry_run:
        click.echo(f"would send to {job_address(address)}, for {python} there:")
        for name, size in setup.shipment.listing:
            click.echo(f"{size:12,} bytes  {name}")
        click.echo(f"would run: python -m cluster.job_entry {' '.join(request.arguments)}")
        return
    connection = connect(address)
    _warn(connection)
    refuse_second(connection, request.out)
    if check:
        click.echo(check_search(connection, request))
    job_id = submit_search(connection, request)
    _next_commands(connection, job_id)
    if follow:
        _follow(connection, job_id)


@cluster.command()
@click.argument("job_id", metavar="[ID]", required=False)
@_known
@_json
def status(
    job_id: str | None,
    address: str,
    out: str | None,
    python: str | None,
    *,
    ship_code: bool,
    as_json: bool,
) -> None:
    """How a search stands: phase, trials, best so far, time left, workers and GPUs in use.

    Without ID the search that runs, else the newest.
    """  # noqa: DOC501 - this is what --help prints
    from cluster.jobs.head_tasks import ask_head
    from cluster.jobs.known import status_text

    study = _find(address, job_id, out, python, ship_code=ship_code)
    answer = ask_head(study.connection, study.setup, ["status", "--out", study.out.uri])
    answer["job"] = study.job.to_dict() if study.job else None
    if answer["study"] is None and study.job is None:
        raise InputError(f"{study.out.uri} must hold a study, but has no study.toml")
    if not as_json:
        click.echo(status_text(answer))
        return
    del answer["text"]
    click.echo(json.dumps(answer, indent=2))


@cluster.command()
@click.argument("job_id", metavar="[ID]", required=False)
@_known
@click.option("-f", "--follow", is_flag=True, help="Show what comes until the search ends.")
@click.option("--trial", help="What this trial printed, instead of the driver.")
def logs(  # noqa: PLR0913 - one parameter an option
    job_id: str | None,
    address: str,
    out: str | None,
    python: str | None,
    trial: str | None,
    *,
    ship_code: bool,
    follow: bool,
) -> None:
    """What the driver printed, or with --trial a trial."""
    from cluster.jobs.following import output_of
    from cluster.jobs.head_tasks import ask_head

    study = _find(address, job_id, out, python, ship_code=ship_code)
    if trial is not None:
        arguments = ["trial-log", "--out", study.out.uri, "--trial", trial]
        click.echo(ask_head(study.connection, study.setup, arguments), nl=False)
        return
    job = study.needs_job()
    if follow:
        _follow(study.connection, job.id)
    else:
        click.echo(output_of(study.connection, job.id), nl=False)


@cluster.command()
@click.argument("job_id", metavar="[ID]", required=False)
@_address
def stop(job_id: str | None, address: str) -> None:
    """Stop a search after its trials have saved, as Ctrl-C would.

    Ray kills what is left after the seconds given to `submit --stop-wait`; an epoch that takes
    longer is resumed from its last checkpoint.
    """
    from cluster.connect.connection import command_text, connect
    from cluster.jobs.searches import find_job, stop_job

    connection = connect(address)
    job = find_job(connection, job_id)
    if not job.active:
        click.echo(f"{job.id} has ended already: {job.status.value}")
        return
    ended = stop_job(connection, job)
    go_on = command_text(connection, f"resume {job.id}")
    click.echo(f"{job.id}: {ended.value}; go on with: {go_on}")


@cluster.command(name="list")
@_address
@_json
def list_searches(address: str, *, as_json: bool) -> None:
    """All searches that the cluster knows, the newest first."""
    from cluster.connect.connection import connect
    from cluster.jobs.searches import search_jobs

    jobs = search_jobs(connect(address))
    if as_json:
        click.echo(json.dumps([job.to_dict() for job in jobs], indent=2))
        return
    for job in jobs:
        when = f"{job.started:%Y-%m-%d %H:%M}Z" if job.started else ""
        click.echo(f"{job.id}  {job.status.value:9}  {when}  {job.name}  {job.out}")
    if not jobs:
        click.echo("no searches")


@cluster.command()
@click.argument("job_id", metavar="[ID]", required=False)
@_known
@click.option("--data", help="The data set, where Ray has forgotten the job.")
@click.option("--follow", is_flag=True, help="Stay and show the output.")
def resume(  # noqa: PLR0913 - one parameter an option
    job_id: str | None,
    address: str,
    out: str | None,
    python: str | None,
    data: str | None,
    *,
    ship_code: bool,
    follow: bool,
) -> None:
    """Go on with a search that was stopped or lost: the same study, a new job."""
    from cluster.jobs.searches import submit_search

    study = _find(address, job_id, out, python, ship_code=ship_code)
    new = submit_search(study.connection, study.request(data))
    _next_commands(study.connection, new)
    if follow:
        _follow(study.connection, new)


def _find(
    address: str, job_id: str | None, out: str | None, python: str | None, *, ship_code: bool
) -> "KnownStudy":
    from cluster.connect.connection import connect
    from cluster.jobs.known import find_study

    connection = connect(address)
    _warn(connection)
    return find_study(connection, job_id, out, python, ship_code=ship_code)


def _warn(connection: "Connection") -> None:
    if connection.warning:
        click.secho(connection.warning, err=True, fg="red", bold=True)


def _next_commands(connection: "Connection", job_id: str) -> None:
    from cluster.connect.connection import command_text

    click.echo(f"submitted {job_id}")
    for command in ("status {}", "logs {} -f", "stop {}", "resume {}", "fetch {} DIR"):
        click.echo(f"    {command_text(connection, command.format(job_id))}")


def _follow(connection: "Connection", job_id: str) -> None:
    """Show a job's output to its end, and leave with an exit code that says how it went.

    Raises:
        RunError: The search failed or was stopped.
        KeyboardInterrupt: The person has seen enough; the search goes on.
    """
    from cluster.connect.connection import command_text
    from cluster.jobs.following import follow
    from cluster.jobs.searches import find_job

    try:
        ended = follow(connection, job_id, lambda piece: click.echo(piece, nl=False))
    except KeyboardInterrupt:
        stop_it = command_text(connection, f"stop {job_id}")
        click.echo(f"\nthe search goes on; stop it with: {stop_it}", err=True)
        raise
    if ended.value != "SUCCEEDED":
        job: SearchJob = find_job(connection, job_id)
        how = "was stopped" if ended.value == "STOPPED" else "failed (see above)"
        go_on = command_text(connection, f"resume {job.id}")
        raise RunError(f"{job.id} {how}; go on with: {go_on}")
