"""The commands that read a study: `status`, `trials`, `table`, `tensorboard`, `studies`."""

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hscl.errors import InputError, RunError
from tune.cli.output import (
    print_rich,
    reads_studies,
    refuse_terminal,
    warn_of_damage,
    write_output,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tune.evidence.gather import Evidence

__all__ = ["status", "studies", "table", "tensorboard", "trials"]

_WIDEST = 400  # columns of a table that goes to no terminal: a row stays a line


@click.command()
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@reads_studies
def status(study: str, *, as_json: bool) -> None:
    """Say how a study stands, from its tables; it may be running, here or elsewhere.

    STUDY is a study's folder or URI, or a folder of studies, which are listed.
    """
    from rich.console import Console

    from tune.tables.storage import open_folder
    from tune.views.progress import render_status
    from tune.views.study import open_study
    from tune.views.study_list import list_studies, render_list

    if found := list_studies(open_folder(study)):
        if as_json:
            click.echo(json.dumps({"studies": [one.to_dict() for one in found]}, indent=2))
            return
        print_rich(render_list(found), None, width=_WIDEST)
        return
    opened = open_study(study)
    if as_json:
        click.echo(json.dumps(opened.status(), indent=2))
        warn_of_damage(opened.damages)
        return
    shown = render_status(opened.read_status())  # reads the tables, which the answer needs too
    click.echo(opened.answer_text(), nl=False)
    Console(highlight=False, markup=False, emoji=False).print(shown, crop=False)
    warn_of_damage(opened.damages)


@click.command()
@click.argument("name")
@click.argument("study")
@click.option("--events", is_flag=True, help="For trials: every event, not each trial's last.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="json is one object a line; parquet goes to --out or a pipe.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Instead of printing."
)
@reads_studies
def table(name: str, study: str, *, events: bool, form: str, out: Path | None) -> None:
    """Print a table of a study: configs, trials, reports, predictions or plan.

    STUDY is a study's folder or URI. One row per trial and epoch, and for trials each one's last
    event, whatever was interrupted and resumed.
    """
    from tune.tables.reading import as_bytes
    from tune.tables.salvage import salvage
    from tune.views.study import open_study

    opened = open_study(study)
    rows = opened.table(name, events=events)
    # A history needs no predictions, and does not miss any.
    whole = salvage(opened.folder, opened.spec) if name == "predictions" else opened
    warn_of_damage(whole.damages)
    refuse_terminal(form, out)
    write_output(as_bytes(rows, form), out)


@click.command()
@click.argument("study")
@click.option("--seeds", is_flag=True, help="A row a trial instead of a row a configuration.")
@click.option(
    "--sort",
    metavar="COLUMN",
    default="number",
    show_default=True,
    help="By which column; values of the metric best first; -COLUMN the other way round.",
)
@click.option(
    "--filter",
    "conditions",
    metavar="CONDITION",
    multiple=True,
    help="Such as 'loss.temperature < 0.2' or 'state == pruned'; all that are given must hold.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet", "optuna", "mlflow"]),
    default="table",
    show_default=True,
    help="json is one object a line; parquet goes to --out or a pipe; optuna (SQLite for .db, "
    "else a journal) and mlflow (SQLite) go to a new --out, which their own programs open.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="Instead of printing."
)
@reads_studies
def trials(
    study: str, sort: str, conditions: tuple[str, ...], form: str, out: Path | None, *, seeds: bool
) -> None:
    """List a study's configurations: values, state, phases, metric, cost; a row each.

    STUDY is a study's folder or URI; it may be running. The value on valid is the mean over a
    configuration's seeds in its furthest phase. Test has one once a look at confirm is over.
    """
    from tune.evidence.gather import gather
    from tune.evidence.search.trials import trials_table
    from tune.report.trials import filtered, render_trials, sorted_by
    from tune.tables.reading import as_bytes
    from tune.tables.storage import open_folder

    evidence = gather(open_folder(study))
    warn_of_damage(evidence.damages)
    metric = evidence.metric
    rows = sorted_by(filtered(trials_table(evidence, seeds=seeds), conditions), sort, metric)
    if form == "table":
        print_rich(render_trials(rows, metric), out, width=_WIDEST)
        return
    if form in {"optuna", "mlflow"}:
        click.echo(_write_foreign(evidence, rows, form, out, seeds=seeds))
        return
    refuse_terminal(form, out)
    write_output(as_bytes(rows, form), out)


def _write_foreign(
    evidence: "Evidence", rows: "pa.Table", form: str, out: Path | None, *, seeds: bool
) -> str:
    """Write another program's file, whole or not at all.

    Returns:
        The command that opens it.

    Raises:
        InputError: `out` is missing or taken, or rows are trainings.
        RunError: The disk refuses.
    """
    if seeds:
        raise InputError(f"--format {form} has all seeds in it already; leave out --seeds")
    if out is None or out.exists() or not out.parent.is_dir():
        raise InputError(
            f"--format {form} must go to a new file in a folder that exists: --out study.db"
        )
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".hscl-") as folder:
            part = Path(folder) / f"part{out.suffix}"
            if form == "optuna":
                from tune.views.optuna_trials import SQLITE, write_optuna

                write_optuna(evidence, rows, part)
                part.replace(out)
                sqlite = out.suffix.lower() in SQLITE
                return shlex.join(["optuna-dashboard", f"sqlite:///{out}" if sqlite else str(out)])
            from tune.views.mlflow_runs import write_mlflow

            write_mlflow(evidence, rows, part, out)
            part.replace(out)
            return shlex.join(["mlflow", "ui", "--backend-store-uri", f"sqlite:///{out}"])
    except OSError as error:
        raise RunError(f"{out} must be a file that can be written, but: {error}") from error


@click.command()
@click.argument("study")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write it.")
@reads_studies
def tensorboard(study: str, out: Path | None) -> None:
    """Make a study's TensorBoard files anew from its tables.

    STUDY is a study's folder or URI. The files go to STUDY/tensorboard; for object storage give
    a local --out.
    """  # noqa: DOC501 - this is what --help prints
    from tune.views.study import open_study
    from tune.views.tensorboard import FOLDER, rebuild

    opened = open_study(study)
    warn_of_damage(opened.damages)
    root = out
    if root is None:
        if opened.folder.local is None:
            raise InputError(f"{study} is on object storage: give a local folder with --out DIR")
        root = opened.folder.local / FOLDER
    try:
        rebuild(opened, root)
    except OSError as error:
        raise RunError(f"{root} must be a folder that can be written, but: {error}") from error
    click.echo(f"tensorboard --logdir {shlex.quote(str(root))}")


@click.command()
@click.option("--show", metavar="NAME", help="Print that study's file, to start your own from.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="With --show: change a key, such as train.epochs=4; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def studies(show: str | None, settings: tuple[str, ...], *, as_json: bool) -> None:
    """List the studies that come with the package; `hscl search NAME` runs one."""  # noqa: DOC501
    from tune.study.ready import ready_studies, ready_study

    if show is not None:
        text = ready_study(show).text
        click.echo(_adapted(show, text, settings) if settings else text, nl=False)
        return
    if settings:
        raise InputError("--set belongs to --show NAME: it changes that study's file")
    found = ready_studies()
    if as_json:
        listed = [{"name": study.name, "description": study.description} for study in found]
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    width = max(len(study.name) for study in found)
    for study in found:
        click.echo(f"{study.name:<{width}}  {study.description}")


def _adapted(name: str, text: str, settings: tuple[str, ...]) -> str:
    """A ready study's file with keys changed; one that could not be run is refused."""
    import tomllib

    import tomli_w

    from hscl.config_toml import read_settings
    from tune.study.toml import parse_spec, with_settings

    tree = with_settings(tomllib.loads(text), read_settings(settings))
    parse_spec(tree, source=f"{name} with --set", name=name)
    return text.splitlines()[0] + "\n" + tomli_w.dumps(tree)
