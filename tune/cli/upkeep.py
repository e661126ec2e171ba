"""What a person asks of a study besides running it: `stop` a trial, `note`, `clean`."""

import json
from typing import TYPE_CHECKING

import click

from hscl.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tune.tables.history import History
    from tune.tables.records import TrialRecord
    from tune.views.study import Study

__all__ = ["clean", "note", "stop"]


@click.command()
@click.argument("study")
@click.argument("trial")
def stop(study: str, trial: str) -> None:
    """Stop one trial of a running search by hand; the study goes on without it.

    STUDY is a study's folder or URI, TRIAL a trial's id or its configuration's number. It ends
    with its running epoch as if it had been stopped at a rung, and the tables say that a person
    decided it. Trials of confirm can't be stopped: choosing among their results is what confirm is
    there to rule out.
    """
    from tune.engine.requests import STOP, leave
    from tune.views.study import open_study

    opened = open_study(study)
    found = _trial(opened.history, trial)
    leave(opened.folder, STOP, found.trial_id)
    click.echo(f"{found.trial_id} ends with its next epoch; {_taken_up(opened)}")


@click.command()
@click.argument("study")
@click.argument("text")
def note(study: str, text: str) -> None:
    """Add a note to a study: shown by `hscl status` and in the report.

    STUDY is a study's folder or URI.
    """  # noqa: DOC501 - this is what --help prints
    from tune.engine.requests import NOTE, leave
    from tune.views.study import open_study

    if not text.strip():
        raise InputError("TEXT must say something, but is empty")
    opened = open_study(study)
    leave(opened.folder, NOTE, " ".join(text.split()))
    click.echo(f"noted; {_taken_up(opened)}")


@click.command()
@click.argument("study")
@click.option("--all", "everything", is_flag=True, help="Those of confirm's trainings as well.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say how much there is.")
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON; without --yes a dry run.")
def clean(study: str, *, everything: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Free the checkpoints of trials that have ended, after saying how much they are.

    STUDY is a study's folder or URI; it may be running. No command reads them any more: a winner
    is trained anew by `hscl train`. Those of confirm's trainings stay unless --all is given.
    Tables, logs, reports and model folders are not touched.
    """
    from tune.display import bytes_text
    from tune.trial.files import CHECKPOINTS
    from tune.views.study import open_study

    opened = open_study(study)
    sizes = _needless(opened, everything=everything)
    total = sum(sizes.values())
    frees = not dry_run and bool(sizes) and (yes or not as_json)
    if not as_json:
        what = "ended trials" if everything else "ended trials of the search"
        click.echo(f"{study}: {len(sizes)} checkpoints of {what}, {bytes_text(total)}")
        if frees and not yes:
            frees = click.confirm("Free them?", default=False)
    if frees:
        for trial_id in sizes:
            opened.folder.delete_folder(f"{CHECKPOINTS}/{trial_id}")
    if as_json:
        told = {"checkpoints": sorted(sizes), "bytes": total, "freed": frees}
        click.echo(json.dumps(told, indent=2))
    elif frees:
        click.echo(f"freed {bytes_text(total)}")


def _needless(opened: "Study", *, everything: bool) -> dict[str, int]:
    """Bytes of each checkpoint that nothing will need, by trial."""
    from tune.trial.files import CHECKPOINTS

    folder, trials = opened.folder, opened.history.trials
    sizes = {}
    for trial_id in folder.folders(CHECKPOINTS):
        trial = trials.get(trial_id)
        if trial is not None and trial.ended and (everything or trial.phase.searches):
            sizes[trial_id] = sum(folder.files(f"{CHECKPOINTS}/{trial_id}").values())
    return sizes


def _trial(history: "History", named: str) -> "TrialRecord":
    """The trial that may be stopped.

    Raises:
        InputError: There is none of that name, it has ended, or is one of confirm's.
    """
    by_number = {
        str(config.number): trial
        for config in history.configs.values()
        if (trial := history.search_trials.get(config.config_id)) is not None
    }
    trial = history.trials.get(named) or by_number.get(named)
    running = [one.trial_id for one in history.open.values() if one.phase.searches]
    if trial is None:
        raise InputError(
            f"TRIAL must be a trial's id or a configuration's number, but is {named!r}; "
            + (did_you_mean(named, running) if running else "no trial of the search is running")
        )
    if not trial.phase.searches:
        raise InputError(
            f"{trial.trial_id} is a training of confirm, which can't be stopped by hand: its "
            "results are there to be compared, all of them"
        )
    if trial.ended:
        raise InputError(f"{trial.trial_id} must be running, but is {trial.state} already")
    return trial


def _taken_up(opened: "Study") -> str:
    """Who takes a request up, and when."""
    from tune.tables.lock import holder_of

    holder = holder_of(opened.folder)
    if holder is not None and holder.running:
        return f"process {holder.pid} on {holder.host} takes it up within seconds"
    return "no driver runs now: the next one takes it up"
