"""The command `hscl repair`: a study whose tables have lost files goes on without them."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from hscl.errors import HsclError, InputError

if TYPE_CHECKING:
    from tune.planner.repair import Repair
    from tune.tables.storage import Folder
    from tune.tables.store import Hole

__all__ = ["repair"]

_FEW = 5


@click.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what is lost and what would be done.")
def repair(study: str, *, yes: bool, dry_run: bool) -> None:
    """Give up what is missing from a study's tables, so that its search can go on.

    STUDY is a study's folder or URI. Look for a copy first: files that are put back afterwards no
    longer fit. Nothing that is there is changed or removed. What other rows and logs tell is
    written anew, trials that lost what counts run again as the search goes on, and a row of the
    table of decisions says for ever what was lost: `status`, `compare` and the report show it.
    What can't be brought back or decided again is refused.
    """  # noqa: DOC501 - this is what --help prints
    from tune.display import from_here
    from tune.tables.folder import read_study_file
    from tune.tables.lock import StudyLock, check_free, holder_of
    from tune.tables.storage import open_folder
    from tune.tables.store import TableStore

    folder = open_folder(study)
    read_study_file(folder)
    check_free(folder)
    found = _planned(folder)
    if found is None:
        click.echo(f"{study}: nothing is missing from its tables")
        return
    holes, planned = found
    for line in _lines(holes, planned):
        click.echo(line)
    if dry_run or not (yes or click.confirm("Give it up?", default=False)):
        return
    holder = holder_of(folder)
    with StudyLock(folder, go_on=() if holder is None else holder.go_on) as lock:
        if (now := _planned(folder)) is None or now[0] != holes:
            raise InputError(f"{study} must stay as it is while it is repaired, but was changed")
        rows = {
            name: [{**row, "time": datetime.now(UTC)} if "seq" in row else row for row in some]
            for name, some in now[1].rows.items()
        }
        TableStore(folder, guard=lock.check).close_holes(rows)
    data = from_here((holder and holder.data) or "FILE")
    click.echo(
        f"repaired; go on with: hscl search {shlex.quote(study)} --data {shlex.quote(data)}"
    )


def _planned(folder: "Folder") -> "tuple[dict[str, list[Hole]], Repair] | None":
    """What is missing and what closes it; None where nothing is.

    Raises:
        InputError: It can't be repaired.
    """
    from tune.planner.repair import plan_repair
    from tune.tables.folder import read_study_file
    from tune.tables.salvage import salvage
    from tune.tables.store import TableStore

    spec = read_study_file(folder).spec
    store = TableStore(folder)
    holes = store.holes()
    files = {f"tables/{name}/{hole.part.name}" for name, some in holes.items() for hole in some}
    other = [one for one in salvage(folder, spec).damages if one.blocks and one.file not in files]
    if other:
        told = "\n".join(f"  {one}" for one in other)
        raise InputError(
            f"{folder.uri} must lack files to be repaired, but has damaged ones:\n{told}\n"
            "put them back from a copy; or, where there is none, move damaged files out of the "
            "folder: what was in them is missing then"
        )
    if not holes:
        return None
    tables = {name: store.read(name) for name in ("configs", "trials", "reports", "plan")}
    tables["predictions"] = store.read("predictions", columns=())
    try:
        return holes, plan_repair(spec, tables, holes, lambda: _logged(folder))
    except InputError as error:
        raise InputError(f"{folder.uri} can't be repaired: {error}") from error


def _lines(holes: "Mapping[str, list[Hole]]", planned: "Repair") -> list[str]:
    """What is lost, and what is done about it."""
    from tune.display import count
    from tune.tables.salvage import LOST

    lines = [
        f"tables/{name}/{hole.part.name} is missing{hole.rows_text}: {LOST[name]}"
        for name, some in holes.items()
        for hole in some
    ]
    if planned.restored:
        lines.append(f"{count(len(planned.restored), 'configuration')} can be written anew")
    if planned.ended:
        lines.append(f"{count(len(planned.ended), 'trial')} can be ended as their last rows tell")
    if planned.again:
        trials = ", ".join(planned.again[:_FEW]) + (", …" if len(planned.again) > _FEW else "")
        lines.append(f"{count(len(planned.again), 'trial')} can be begun again: {trials}")
    lines.append("what else is lost stays lost; the table of decisions will say so")
    return lines


def _logged(folder: "Folder") -> dict[str, str]:
    """The configurations that logs of trials hold, known by their digests."""
    from hscl.config import Config
    from tune.trial.files import LOGS

    found = {}
    for name in folder.files(LOGS):
        config_id = name.rpartition("-")[0]
        if config_id in found:
            continue
        for line in folder.read(f"{LOGS}/{name}").decode(errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            try:
                config = Config.from_json(line)
            except (HsclError, ValueError):
                continue
            if config.config_id == config_id:
                found[config_id] = line
                break
    return found
