"""`tune.search`: the command `hscl search` as a function, for scripts and notebooks."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune.cli.search import read_data, refuse_early, refuse_failure
from tune.cli.sources import read_study

if TYPE_CHECKING:
    from tune.engine.driver import View
    from tune.study.spec import StudySpec
    from tune.views.study import Study

__all__ = ["search"]


def search(
    study: str | Path | Mapping[str, Any],
    *,
    data: str | Path,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    address: str | None = None,
    warm_start: str | Path | None = None,
) -> "Study":
    """Run a study, or go on with it, as `hscl search` does: the same checks, lock and folder.

    In a notebook progress is one line; an interrupted cell saves what runs, and the same call goes
    on.

    Args:
        study: A study file, the name of a ready study, the folder of one that has begun, or the
            sections of a file as a mapping: `{"space": {…}, "budget": {"epochs": 80}}`.
        data: The data set.
        out: The study's folder, as a path or URI.
        settings: Keys to change, as `--set` does: `{"confirm.seeds": 10}`.
        address: A Ray cluster to join as its driver; None starts Ray on this machine.
        warm_start: Folder of an earlier study whose search the sampler shall know.

    Returns:
        The study, which is over.

    Raises:
        InputError: What the command refuses with exit code 2; nothing was started.
        RunError: The study failed or gave up.
        KeyboardInterrupt: A person stopped it; everything so far is kept.
    """  # noqa: DOC502 - raised by the steps
    spec = _spec(study, str(out), settings or {})
    options = {"data": str(data), "out": str(out), "dry_run": False, "more": False}
    refuse_early(spec, options | {"warm_start": None if warm_start is None else str(warm_start)})
    dataset = read_data(str(data), lambda _: None)
    from tune.engine.driver import SearchOptions, run_search
    from tune.views.study import open_study
    from tune.views.tensorboard import TensorBoard

    request = SearchOptions(
        out=str(out),
        address=address,
        warm_start=None if warm_start is None else str(warm_start),
    )
    outcome = run_search(spec, dataset, request, views=(TensorBoard(), _progress()))
    if outcome.interrupted:
        raise KeyboardInterrupt(f"{spec.study.name}: stopped; the same call goes on with {out}")
    refuse_failure(outcome, str(out))
    return open_study(str(out))


def _spec(
    study: str | Path | Mapping[str, Any], out: str, settings: Mapping[str, Any]
) -> "StudySpec":
    if not isinstance(study, Mapping):
        return read_study(str(study), out, settings)[0]
    from tune.study.toml import parse_spec, with_settings

    return parse_spec(with_settings(study, settings), source="the study")


def _progress() -> "View":
    """One line that is written over in a notebook; elsewhere what the command shows."""
    from rich.console import Console

    console = Console()
    if console.is_jupyter:
        from tune.views.notebook import LineProgress

        return LineProgress()
    from tune.views.progress import SearchProgress

    return SearchProgress(console)
