"""The commands `hscl search` and `hscl confirm`."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from hscl.errors import InputError, RunError

if TYPE_CHECKING:
    from tune.engine.driver import SearchOptions, SearchOutcome
    from tune.study.spec import StudySpec
    from tune.trial.data import HsclData

__all__ = ["confirm", "search"]

_INTERRUPTED = 130
_OPENED_BEFORE = (
    "this test set was opened before, by {}. The seeds are new, the videos are the same: what "
    "comes out holds on this test set by itself, but for new videos it is no second, independent "
    "confirmation"
)


@click.command()
@click.argument("study")
@click.option("--data", required=True, help="The data set, from `hscl data convert`.")
@click.option(
    "--out",
    help="The study's folder, as a path or URI; the same again resumes it.  [required, but for "
    "--dry-run and where STUDY is a folder]",
)
@click.option("--address", help="Join this Ray cluster as its driver: auto or HOST:PORT.")
@click.option(
    "--warm-start", metavar="DIR", help="Let the sampler know an earlier study's search."
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a key of the study, such as confirm.seeds=10 or train.epochs=4; repeatable.",
)
@click.option(
    "--more",
    is_flag=True,
    help="Resume with more trials or a larger budget; only while the test set is closed.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would run.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def search(study: str, *, as_json: bool, **options: Any) -> None:
    """Run a study, or go on with it: screen, refine, confirm.

    STUDY is a study file, the name of one that `hscl studies` lists, or the folder of a study
    that has begun. Ctrl-C once stops after saving, twice at once; the same command goes on where
    it stopped.
    """  # noqa: DOC501 - this is what --help prints
    from hscl.config_toml import read_settings
    from tune.cli.sources import read_study

    spec, out = read_study(study, options["out"], read_settings(options.pop("settings")))
    options["out"] = out
    if out is None and not options["dry_run"]:
        raise InputError("--out must say where the study goes; only --dry-run needs none")
    refuse_early(spec, options)
    notice = _notices(spec, as_json=as_json)
    data = read_data(options["data"], notice)
    if options.pop("dry_run"):
        from tune.cli.dry_run import say_size

        say_size(spec, data, options, notice, as_json=as_json)
        return
    from tune.engine.driver import SearchOptions

    request = SearchOptions(
        out=str(out),
        address=options["address"],
        warm_start=options["warm_start"],
        more=options["more"],
        notice=notice,
    )
    _run(spec, data, request, as_json=as_json)


@click.command()
@click.argument("study")
@click.option("--data", required=True, help="The data set that the study began with.")
@click.option("--address", help="Join this Ray cluster as its driver: auto or HOST:PORT.")
@click.option(
    "--fresh",
    is_flag=True,
    help="A new study instead: this winner against this default on --seeds new seeds, in --out.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="With --fresh: how many.")
@click.option("--out", metavar="DIR", help="With --fresh: the new study's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def confirm(study: str, data: str, *, fresh: bool, as_json: bool, **options: Any) -> None:
    """Run `confirm.seeds` more seeds of a study that is over, as often as it declared.

    STUDY is a study's folder or URI. The looks on the way and the level of each were planned
    before the first. More times than `confirm.looks` are refused: seeds that are added because the
    result was not liked can claim nothing. With --fresh the same question is asked anew, by a
    study of its own on seeds never used.
    """  # noqa: DOC501 - this is what --help prints
    from tune.views.study import open_study

    seeds, out = options["seeds"], options["out"]
    if not fresh and (seeds or out):
        raise InputError("--seeds and --out belong to --fresh; a further look has its own")
    if fresh and not (seeds and out):
        raise InputError("--fresh needs --seeds N and --out DIR: how many seeds, and where to")
    earlier = open_study(study)
    if fresh:
        from tune.planner.fresh_pair import fresh_pair

        spec = fresh_pair(earlier.history, seeds, study)
        refuse_early(
            spec, {"data": data, "out": out, "warm_start": study, "dry_run": False, "more": False}
        )
    else:
        spec = earlier.spec
    notice = _notices(spec, as_json=as_json)
    dataset = read_data(data, notice)
    from tune.engine.driver import SearchOptions

    address = options["address"]
    if not fresh:
        request = SearchOptions(out=study, address=address, another_look=True, notice=notice)
        _run(spec, dataset, request, as_json=as_json)
        return
    from tune.states import Kind
    from tune.tables.folder import check_data

    check_data(earlier.history, dataset.digest, data, dataset.label_range)
    if earlier.history.plan_rows(Kind.TEST_OPENED):
        notice(_OPENED_BEFORE.format(earlier.spec.study.name))
    request = SearchOptions(out=out, address=address, warm_start=study, notice=notice)
    _run(spec, dataset, request, as_json=as_json)


def _notices(spec: "StudySpec", *, as_json: bool) -> Callable[[str], None]:
    """What says, before it begins, what takes a while."""
    from hscl.cli.interrupts import raise_if_interrupted

    def notice(what: str) -> None:
        raise_if_interrupted()
        click.echo(f"{spec.study.name}: {what}", err=as_json)

    return notice


def refuse_early(spec: "StudySpec", options: dict[str, Any]) -> None:
    """Refuse what needs neither the data nor anything heavy."""
    from tune.study.toml import STUDY_FILE
    from tune.tables.folder import check_folder, read_study_file
    from tune.tables.lock import check_free
    from tune.tables.storage import open_folder
    from tune.trial.data import check_there

    check_there(options["data"])
    folder = None if options["out"] is None else open_folder(options["out"])
    if folder is not None:
        check_folder(folder, spec, more=options["more"])
        if not options["dry_run"]:
            check_free(folder)
    begun = folder is not None and folder.exists(STUDY_FILE)
    if options["warm_start"] is not None and not begun:
        read_study_file(open_folder(options["warm_start"]))


def read_data(where: str, notice: Callable[[str], None]) -> "HsclData":
    from tune.trial.data import HsclData, check_there

    check_there(where)
    notice(f"reading {where}")
    return HsclData(where)


def _run(spec: "StudySpec", data: "HsclData", request: "SearchOptions", *, as_json: bool) -> None:
    """Run a study with all views, from its opening lines on, and say what came out.

    Raises:
        SystemExit: 130, where a person stopped it.
    """
    from rich.console import Console

    from tune.engine.driver import run_search
    from tune.tables.lock import holder_of
    from tune.views.progress import SearchProgress, going_on
    from tune.views.search_text import ending_lines
    from tune.views.study import open_study
    from tune.views.tensorboard import TensorBoard

    def opening() -> Sequence[str]:
        from tune.simulate.detection import detection_lines

        lengths = data.test_lengths(spec)
        return [] if request.another_look else detection_lines(spec, lengths, data.unit)

    console = Console(stderr=as_json, markup=False, emoji=False)
    say = functools.partial(console.print, highlight=False, soft_wrap=True)
    views = (TensorBoard(say), SearchProgress(console, opening=opening))
    outcome = run_search(spec, data, request, views=views)
    opened = open_study(request.out)
    if as_json:
        click.echo(json.dumps(opened.status(), indent=2))
    if outcome.interrupted:
        click.echo("hscl: interrupted; everything so far is kept", err=True)
        if (command := going_on(holder_of(opened.folder))) is not None:
            click.echo(f"go on with: {command}", err=True)
        raise SystemExit(_INTERRUPTED)
    refuse_failure(outcome, request.out)
    if not as_json:
        if not outcome.ran:
            click.echo(f"{spec.study.name}: finished before; this is what came out")
        for line in ending_lines(opened):
            say(line)


def refuse_failure(outcome: "SearchOutcome", out: str) -> None:
    """Return unless the study gave up.

    Raises:
        RunError: It did.
    """
    if outcome.done is not None and outcome.done.gave_up:
        raise RunError(
            f"{outcome.done.note}; each trial's output is in {out}/logs. Once the cause is "
            "removed, the same command tries again"
        )
