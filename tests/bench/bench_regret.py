"""What a search exports, against the best of the space: the product and its rivals at equal cost.

    python tests/bench/bench_regret.py [--worlds 20] [--epochs 9] [--trainings 50] [--noise 1]
        [--json FILE] [--kinds …] [--arms …] [--jobs N] [--first-world 10000] [--slots 1]
        [--against optuna] [--known FILE] [--recorded [--totals 150 300 600]]

Every arm (`regret.arms`, `regret.rivals`) searches the same worlds (`regret.worlds`) with the same
total of epochs, trainings × epochs, all that it does included (the product's confirm too). Regret
is the true value of what is exported less the best true value of the space, in standard deviations
of the true values among the better half of the space. Ratio is an arm's mean regret over that of
plain Optuna on the same worlds, with its standard error by the delta method; over kinds it is the
mean of their ratios. Lists of lengths, totals and noises give every combination.

Worlds are numbered. **Choices are made on keys below 1,000 (--first-world 0) and reported on
keys from 10,000**, where reporting begins unless told otherwise: nothing is chosen on worlds that
are reported.

The parts add up to the regret: not found (nothing better was proposed), stopped (something better
was proposed, but never trained to the end), not kept (something better was complete, but could not
be exported any more), wrong pick.

--known keeps the rivals' searches, one line a world, and doesn't repeat what the file has.

--recorded replays real trainings instead (`regret.recorded`): what the table of runs says of seeds
and configurations, then the test MAE of what each arm exports, over --worlds replays (200).
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: processes, not threads, work side by side

import argparse
import itertools
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from json_lines import read_lines
from regret import rivals, surfaces, worlds
from regret.arms import check, is_product, search
from regret.memory import keep_freed_memory
from regret.rivals import RIVALS
from regret.surfaces import KINDS
from regret.tables import Row, Setting, show, summarise
from regret.worlds import World

from hscl.errors import InputError

Over = Callable[..., Iterable[Any]]

ARMS = ("default", "optuna", "random", "default-alone")


def search_world(setting: Setting, place: tuple[str, int], arms: Sequence[str]) -> list[Row]:
    """What each arm finds in one world, as rows."""
    kind, key = place
    rows, world = [], World(kind, key, setting.noise, setting.epochs)
    for arm in arms:
        began = time.process_time()
        total = setting.trainings * setting.epochs
        found = search(arm, world, total, slots=setting.slots)
        row = {"arm": arm, "kind": kind, "key": key, "noise": setting.noise}
        row |= {"epochs": setting.epochs, "trainings": setting.trainings}
        row |= found.losses(world) | {"spent": found.epochs}
        rows.append(row | {"seconds": time.process_time() - began})
    return rows


class Known:
    """Rivals' searches of earlier calls: they change only with the worlds or the rivals."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        sources = (surfaces, worlds, rivals)
        texts = [Path(str(module.__file__)).read_text() for module in sources]
        self._version = zlib.crc32("".join(texts).encode())
        self._rows: dict[tuple[Any, ...], Row] = {}
        for row in [] if file is None else read_lines(file):
            if row.pop("version") == self._version:
                self._rows[_name(row)] = row

    def find(self, place: tuple[str, int], setting: Setting, arm: str) -> Row | None:
        """A search that was made already."""
        return self._rows.get((arm, *place, setting.noise, setting.epochs, setting.trainings))

    def add(self, rows: Iterable[Row]) -> None:
        """Keep the rivals among new searches."""
        if self._file is None:
            return
        with self._file.open("a") as end:
            for row in rows:
                if not is_product(row["arm"]):
                    end.write(json.dumps(row | {"version": self._version}) + "\n")


def _name(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("arm", "kind", "key", "noise", "epochs", "trainings"))


def search_all(
    places: list[tuple[str, int]], setting: Setting, arms: Sequence[str], known: Known, over: Over
) -> list[Row]:
    """Every arm in every world of one setting; `over` maps, here or in other processes."""
    rows, todo, absent = [], [], []
    for place in places:
        found = {arm: known.find(place, setting, arm) for arm in arms}
        rows += [row for row in found.values() if row is not None]
        if missing := [arm for arm, row in found.items() if row is None]:
            todo.append(place)
            absent.append(missing)
    for made in over(partial(search_world, setting), todo, absent):
        known.add(made)
        rows += made
    return rows


def can_search(arm: str, setting: Setting, kind: str) -> bool:
    """Whether an arm can do anything with the total; says why where it can't."""
    try:
        world = World(kind, 0, setting.noise, setting.epochs)
        check(arm, world, setting.trainings * setting.epochs)
    except InputError as why:
        print(f"{arm} is left out at {setting.trainings} trainings: {why}")
        return False
    return True


def main() -> None:
    """Search, and show what each arm loses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, help="worlds a kind (20), or replays (200)")
    parser.add_argument("--epochs", type=int, nargs="+", default=[9], help="of a training")
    parser.add_argument("--trainings", type=int, nargs="+", default=[50], help="the total")
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0], help="in units")
    parser.add_argument("--json", type=Path, help="write a row a cell to this file")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=", ".join(RIVALS))
    parser.add_argument("--against", default="optuna", help="the arm that ratios are to")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--first-world", type=int, default=10_000, help="key of the first")
    parser.add_argument("--slots", type=int, default=1, help="the product's trials at once")
    parser.add_argument("--known", type=Path, help="rivals' searches of earlier calls")
    parser.add_argument("--recorded", action="store_true", help="replay real trainings")
    parser.add_argument("--totals", type=int, nargs="+", default=[150, 300, 600], help="epochs")
    asked = parser.parse_args()
    of_worlds = ("epochs", "trainings", "noise", "kinds", "against", "known")
    for name in of_worlds if asked.recorded else ("totals",):
        if getattr(asked, name) != parser.get_default(name):
            what = "worlds, not of recorded trainings" if asked.recorded else "--recorded"
            parser.error(f"--{name} is of {what}")
    if asked.recorded and asked.worlds == 1:
        parser.error("--worlds must be 2 or more with --recorded, for a standard error")
    keep_freed_memory()
    began = time.perf_counter()
    cells = []
    with ExitStack() as stack:
        pool = None if asked.jobs == 1 else stack.enter_context(ProcessPoolExecutor(asked.jobs))
        over = map if pool is None else pool.map
        for table in _recorded(asked, over) if asked.recorded else _simulated(asked, over):
            cells += table
            if asked.json is not None:
                asked.json.write_text(json.dumps(cells, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s")


def _simulated(asked: argparse.Namespace, over: Over) -> Iterator[list[Row]]:
    keys = range(asked.first_world, asked.first_world + (asked.worlds or 20))
    places = [(kind, key) for kind in asked.kinds for key in keys]
    known = Known(asked.known)
    for numbers in itertools.product(asked.epochs, asked.trainings, asked.noise):
        setting = Setting(*numbers, asked.slots)
        arms = [arm for arm in asked.arms if can_search(arm, setting, asked.kinds[0])]
        rows = search_all(places, setting, arms, known, over)
        table = summarise(rows, setting, arms, asked.against)
        show(table)
        yield table


def _recorded(asked: argparse.Namespace, over: Over) -> Iterator[list[Row]]:
    from regret import recorded  # only here: its table's recorder imports torch

    for name, value in recorded.facts(recorded.read_recorded()).items():
        print(f"{name:<60}{value:.4f}")
    keys = range(asked.first_world, asked.first_world + (asked.worlds or 200))
    for total in asked.totals:
        rows, missing = recorded.replays(asked.arms, total, keys, slots=asked.slots, over=over)
        recorded.show(rows)
        print("\n".join(missing))
        yield rows


if __name__ == "__main__":
    main()
