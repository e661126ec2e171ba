"""What runs on the cluster: `python -m cluster.job_entry COMMAND`, started as a Ray job.

`search` is the study itself. The others answer one question each from where the tables and the
nodes are, as one line of JSON after a marker, and end.
"""

import json
import logging
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from cluster.jobs.shipping import ANSWER
from hscl.cli.main import main as run_hscl
from hscl.cli.main import run_command
from hscl.errors import HsclError, InputError, did_you_mean
from tune.study.toml import STUDY_FILE

__all__ = ["entry"]

_COLUMNS = 120  # of a status; this task has no terminal


@click.group()
def entry() -> None:
    """What a Ray job of `hscl cluster` runs on the cluster's head."""


@entry.command()
@click.option("--study", type=click.Path(path_type=Path), help="The study file that travelled.")
@click.option("--frozen", is_flag=True, help="Go on with the study file in --out.")
@click.option("--data", required=True)
@click.option("--out", required=True)
@click.option("--dry-run", is_flag=True, help="Check study and data, and say what would run.")
@click.option(
    "--lock-wait",
    type=click.IntRange(0),
    default=0,
    help="Seconds to wait for a study that is locked, as by a head that is gone.",
)
def search(
    study: Path | None, data: str, out: str, *, frozen: bool, dry_run: bool, lock_wait: int
) -> None:
    """Run the study as a driver of this cluster.

    Raises:
        SystemExit: With the exit code of `hscl search`.
    """
    with tempfile.TemporaryDirectory(prefix="hscl-study-") as folder:
        if frozen or study is None:
            study = Path(folder) / STUDY_FILE
            study.write_text(_frozen_text(out), encoding="utf-8")
        arguments = ["search", str(study), "--data", data, "--out", out]
        if not dry_run:
            _wait_for_lock(out, lock_wait)
            run_hscl([*arguments, "--address", _address()])
        try:
            run_hscl([*arguments, "--dry-run"])
        except SystemExit as ended:
            if ended.code:
                raise
        _compare_nodes(data, out)


@entry.command()
@click.option("--out", required=True)
def status(out: str) -> None:
    """How the study stands, from its tables, and what the cluster has."""
    import ray  # noqa: PLC0415 - seconds to load, and `search` brings its own

    from tune.tables.storage import open_folder  # noqa: PLC0415

    told, text = None, ""
    if open_folder(out).exists(STUDY_FILE):
        told, text = _status_of(out)
    _join()
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free = ray.available_resources()  # type: ignore[no-untyped-call]
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    used = {name: total[name] - free.get(name, 0.0) for name in ("CPU", "GPU") if name in total}
    there = {"nodes": len(alive), "total": {name: total[name] for name in used}, "used": used}
    _answer({"study": told, "text": text, "cluster": there})


@entry.command(name="trial-log")
@click.option("--out", required=True)
@click.option("--trial", required=True)
def trial_log(out: str, trial: str) -> None:
    """What a trial printed on its node.

    Raises:
        InputError: There is no such trial.
    """
    from tune.tables.storage import open_folder  # noqa: PLC0415 - pyarrow's file systems
    from tune.trial.files import LOGS  # noqa: PLC0415

    folder = open_folder(out).child(LOGS)
    name = f"{trial}.txt"
    if not folder.exists(name):
        known = [file.removesuffix(".txt") for file in folder.files() if not file.startswith(".")]
        message = f"--trial must be a trial that has begun, but got {trial!r}; "
        raise InputError(message + did_you_mean(trial, known))
    _answer(folder.read(name).decode(errors="replace"))


@entry.command()
@click.option("--data")
@click.option("--out")
@click.option("--encoder", "encoders", multiple=True)
def probe(data: str | None, out: str | None, encoders: tuple[str, ...]) -> None:
    """Ask every node what a search needs."""
    from cluster.doctor.probing import probe_cluster  # noqa: PLC0415 - Ray

    _join()
    _answer(probe_cluster(data, out, encoders))


@entry.command()
@click.option("--study", type=click.Path(path_type=Path), required=True)
@click.option("--data", required=True)
def cost(study: Path, data: str) -> None:
    """Time the study's first steps where and how one of its trials would run.

    Raises:
        HsclError: What the first steps ended with.
        RayTaskError: Any other error there.
    """  # noqa: DOC502 - HsclError: the cause that came from the worker
    import ray  # noqa: PLC0415 - seconds to load

    from cluster.doctor.cost import time_first_steps  # noqa: PLC0415
    from tune.study.size import gpus_of_trial  # noqa: PLC0415
    from tune.study.toml import load_spec  # noqa: PLC0415

    spec = load_spec(study)
    _join()
    total = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = gpus_of_trial(spec.resources, total.get("GPU", 0.0))
    if not gpus and spec.base.run.precision == "auto":  # as a cluster's trials on CPUs compute
        base = spec.base.with_overrides({"run.precision": "fp32"})
        spec = spec.model_copy(update={"base": base})
    first: Any = ray.remote(num_cpus=spec.resources.cpus, num_gpus=gpus)(time_first_steps)
    began = time.monotonic()
    try:
        timed = ray.get(first.remote(spec, data))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, HsclError):  # its message, without the worker's traceback
            raise error.cause from None
        raise
    # All but the steps themselves: a worker's start, its imports, the data read and prepared.
    _answer(timed | {"start_seconds": time.monotonic() - began - timed["took"]})


def _status_of(out: str) -> tuple[dict[str, Any], str]:
    """A study's state as plain values, and as `hscl status` prints it."""
    from tune.views.progress import status_text  # noqa: PLC0415 - only this needs it
    from tune.views.study import open_study  # noqa: PLC0415

    study = open_study(out)
    warnings = "".join(f"warning: {damage}\n" for damage in study.damages)
    told = study.answer_text() + status_text(study.read_status(), _COLUMNS)
    return study.status(), warnings + told


def _wait_for_lock(out: str, seconds: float) -> None:
    """Wait while another driver has the study: an NFS server frees a dead host's lock late."""
    from tune.tables.lock import holder_of  # noqa: PLC0415 - pyarrow's file systems
    from tune.tables.storage import open_folder  # noqa: PLC0415

    folder, deadline, said = open_folder(out), time.monotonic() + seconds, False
    while (holder := holder_of(folder)) is not None and holder.running:
        if time.monotonic() >= deadline:
            return  # the search itself says whose it is
        if not said:
            said = True
            who = f"process {holder.pid} on {holder.host}"
            click.echo(f"{out} is locked by {who}; waiting for up to {seconds:g} s")
        time.sleep(1)


def _compare_nodes(data: str, out: str) -> None:
    """Refuse nodes that would not compute what the driver does, or see other data or output.

    Raises:
        InputError: Naming each, and what differs.
    """
    from cluster.doctor.checks import alike  # noqa: PLC0415 - Ray
    from cluster.doctor.probing import probe_cluster  # noqa: PLC0415

    _join()
    wrong = [check for check in alike(probe_cluster(data, out)) if not check.ok]
    if wrong:
        listed = "\n".join(f"  {one.name}: {one.found}; {one.todo}" for one in wrong)
        raise InputError(
            f"all nodes must be alike, and see the same data and one output, but:\n{listed}\n"
            "--no-check sends the search all the same: nodes with other code or data are then "
            "put aside"
        )


def _join() -> None:
    """Connect to the cluster that this job runs on."""
    import ray  # noqa: PLC0415 - seconds to load

    ray.init(address=_address(), log_to_driver=False, logging_level=logging.ERROR)


def _address() -> str:
    """Where Ray says that this job's cluster is."""
    return os.environ.get("RAY_ADDRESS", "auto")


def _frozen_text(out: str) -> str:
    """The study file in an output.

    Raises:
        InputError: There is no study, or its file can't be read.
    """
    from tune.tables.folder import frozen_spec, read_study_file  # noqa: PLC0415 - pyarrow's file systems
    from tune.tables.storage import open_folder  # noqa: PLC0415

    folder = open_folder(out)
    if frozen_spec(folder) is None:
        message = (
            f"{out} must hold a study, but has no {STUDY_FILE}; it appears once the driver has "
            "read the data: look at `hscl cluster logs`"
        )
        raise InputError(message)
    return read_study_file(folder).text


def _answer(value: Any) -> None:
    click.echo(ANSWER + json.dumps(value))


if __name__ == "__main__":
    # `stop` sends SIGINT, which a head that was started in the background of a script ignores,
    # and so does every job that inherits from it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command(entry, "python -m cluster.job_entry")
