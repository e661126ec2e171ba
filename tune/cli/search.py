"""The commands `hscl search` and `hscl confirm`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hscl.errors import InputError, RunError, did_you_mean

if TYPE_CHECKING:
    from tune.engine.driver import SearchOptions, SearchOutcome
    from tune.study.spec import StudySpec

__all__ = ["confirm", "search"]

_INTERRUPTED = 130


@click.command()
@click.argument("study")
@click.option("--data", required=True, help="The data set, from `hscl data convert`.")
@click.option("--out", help="The study's folder, as a path or URI; the same again resumes it.")
@click.option("--address", help="Join this Ray cluster as its driver: auto or HOST:PORT.")
@click.option(
    "--warm-start", metavar="DIR", help="Let the sampler know an earlier study's search."
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would run.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def search(study: str, *, as_json: bool, **options: Any) -> None:
    """Run a study, or go on with it: screen, refine, confirm.

    STUDY is a study file, or the name of one that `hscl studies` lists. Ctrl-C once stops after
    saving, twice at once; the same command goes on where it stopped.
    """  # noqa: DOC501 - this is what --help prints
    from tune.trial.data import HsclData

    spec, data = _read_study(study, options["out"]), HsclData(options["data"])
    if options.pop("dry_run"):
        _say_size(spec, data, options, as_json=as_json)
        return
    if options["out"] is None:
        raise InputError("--out must say where the study goes; only --dry-run needs none")
    from tune.engine.driver import SearchOptions
    from tune.simulate.detection import detection_lines

    out, address, warm = options["out"], options["address"], options["warm_start"]
    request = SearchOptions(out=out, address=address, warm_start=warm)
    opening = detection_lines(spec, data.test_lengths(spec))
    _run(spec, data, request, opening, as_json=as_json)


@click.command()
@click.argument("study")
@click.option("--data", required=True, help="The data set that the study began with.")
@click.option("--address", help="Join this Ray cluster as its driver: auto or HOST:PORT.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def confirm(study: str, data: str, address: str | None, *, as_json: bool) -> None:
    """Run `confirm.seeds` more seeds of a study that is over, as often as it declared.

    STUDY is a study's folder or URI. The looks on the way and the level of each were planned
    before the first. More times than `confirm.looks` are refused: seeds that are added because the
    result was not liked can claim nothing.
    """
    from tune.engine.driver import SearchOptions
    from tune.trial.data import HsclData
    from tune.views.study import open_study

    opened = open_study(study)
    request = SearchOptions(out=study, address=address, another_look=True)
    _run(opened.spec, HsclData(data), request, [], as_json=as_json)


def _read_study(where: str, out: str | None) -> "StudySpec":
    """A study file, or a ready study by its name; one from before 0.2 for its own folder only.

    Raises:
        InputError: It is neither.
    """
    from tune.study.ready import ready_studies, ready_study
    from tune.study.toml import load_spec, parse_spec
    from tune.tables.folder import frozen_spec
    from tune.tables.storage import open_folder

    if Path(where).exists() or Path(where).suffix:
        begun = None if out is None else frozen_spec(open_folder(out))
        return load_spec(where, frozen=begun is not None and begun.race is not None)
    names = [study.name for study in ready_studies()]
    if where not in names:
        raise InputError(
            f"STUDY must be a file or the name of a ready study, but {where!r} is neither; "
            f"{did_you_mean(where, names)}"
        )
    import tomllib

    return parse_spec(tomllib.loads(ready_study(where).text), source=where, name=where)


def _run(
    spec: "StudySpec", data: Any, request: "SearchOptions", opening: list[str], *, as_json: bool
) -> None:
    """Run a study with all views, from its opening lines on, and say what came out.

    Raises:
        SystemExit: 130, where a person stopped it.
    """
    from rich.console import Console

    from tune.engine.driver import run_search
    from tune.views.progress import SearchProgress
    from tune.views.search_text import ending_lines
    from tune.views.study import open_study
    from tune.views.tensorboard import TensorBoard

    console = Console(stderr=as_json)
    progress = SearchProgress(console, opening=opening)
    outcome = run_search(spec, data, request, views=(TensorBoard(), progress))
    opened = open_study(request.out)
    if as_json:
        click.echo(json.dumps(opened.status(), indent=2))
    if outcome.interrupted:
        click.echo("hscl: interrupted; everything so far is kept", err=True)
        raise SystemExit(_INTERRUPTED)
    _refuse_failure(outcome, request.out)
    if not as_json:
        for line in ending_lines(opened):
            console.print(line, highlight=False, soft_wrap=True)


def _refuse_failure(outcome: "SearchOutcome", out: str) -> None:
    """Return unless the study gave up.

    Raises:
        RunError: It did.
    """
    if outcome.done is not None and outcome.done.gave_up:
        raise RunError(
            f"{outcome.done.note}; each trial's output is in {out}/logs. Once the cause is "
            "removed, the same command tries again"
        )


def _say_size(spec: "StudySpec", data: Any, options: dict[str, Any], *, as_json: bool) -> None:
    """What a search would do, after every check that it would make."""
    from dataclasses import asdict

    from tune.engine.ray_session import check_machine, fit_here
    from tune.simulate.detection import detection, detection_lines
    from tune.study.size import size_of
    from tune.tables.folder import check_folder
    from tune.tables.storage import open_folder
    from tune.trial.first_steps import time_first_steps
    from tune.views.search_text import size_lines

    if options["out"] is not None:
        check_folder(open_folder(options["out"]), spec)
    if options["address"] is None:
        check_machine(spec.resources)
    data.check(spec)
    used = _used_seeds(spec, data, options)
    timed = time_first_steps(spec, data.where)
    size = size_of(spec, used, timed["seconds_per_epoch"])
    at_once = spec.resources.concurrent or fit_here(spec.resources)
    lengths = data.test_lengths(spec)
    if as_json:
        told = asdict(size) | {"timed": timed, "at_once": at_once}
        told["detects"] = asdict(detection(spec, lengths))
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    lines = size_lines(size, timed["seconds_per_epoch"], at_once)
    click.echo("\n".join([*lines, *detection_lines(spec, lengths)]))


def _used_seeds(spec: "StudySpec", data: Any, options: dict[str, Any]) -> tuple[int, ...]:
    """Seeds that this study must not use again, after the checks that belong to them."""
    from tune.planner.warm_start import warm_start_rows
    from tune.tables.folder import check_data, check_phases, frozen_spec
    from tune.tables.storage import open_folder
    from tune.views.study import open_study

    if options["out"] is not None and frozen_spec(open_folder(options["out"])) is not None:
        begun = open_study(options["out"]).history
        check_data(begun, data.digest, data.where)
        check_phases(begun, options["out"])
        return begun.earlier_seeds
    if options["warm_start"] is None:
        return ()
    earlier = open_study(options["warm_start"])
    return tuple(warm_start_rows(spec, earlier.history, earlier.spec.study.name)[0]["seeds"])
