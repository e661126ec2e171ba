"""What a search exports, against the best of the space: the product and its rivals at equal cost.

    python tests/bench/bench_regret.py [--worlds 8] [--epochs 9] [--trainings 50] [--noise 1]
        [--json FILE] [--kinds …] [--arms …] [--jobs 1] [--first-world 10000] [--slots 1]
        [--known FILE]

Every arm (`regret_arms`, `regret_rivals`) searches the same worlds (`regret_worlds`) with the same
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
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: processes, not threads, work side by side

import argparse
import itertools
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import regret_rivals
import regret_surfaces
import regret_worlds
from regret_arms import is_product, search
from regret_rivals import RIVALS
from regret_surfaces import KINDS
from regret_tables import Row, Setting, show, summarise
from regret_worlds import World

ARMS = ("default", "optuna", "random", "default-alone")


def search_world(
    place: tuple[str, int], setting: Setting, arms: Sequence[str]
) -> list[dict[str, Any]]:
    """What each arm finds in one world, as rows."""
    kind, key = place
    rows = []
    world = None
    for arm in arms:
        world = world or World(kind, key, setting.noise, setting.epochs)
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
        sources = (regret_surfaces, regret_worlds, regret_rivals)
        texts = [Path(str(module.__file__)).read_text() for module in sources]
        self._version = zlib.crc32("".join(texts).encode())
        self._rows: dict[tuple[Any, ...], Row] = {}
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                row = json.loads(line)
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
    places: list[tuple[str, int]], setting: Setting, arms: Sequence[str], known: Known, jobs: int
) -> list[Row]:
    """Every arm in every world of one setting."""
    rows, missing = [], []
    for place in places:
        found = {arm: known.find(place, setting, arm) for arm in arms}
        rows += [row for row in found.values() if row is not None]
        missing.append((place, [arm for arm, row in found.items() if row is None]))
    todo = [(place, absent) for place, absent in missing if absent]
    for made in _in_processes(todo, setting, jobs):
        known.add(made)
        rows += made
    return rows


def _in_processes(
    todo: list[tuple[tuple[str, int], list[str]]], setting: Setting, jobs: int
) -> Iterator[list[Row]]:
    places, arms = [place for place, _ in todo], [absent for _, absent in todo]
    ask = partial(_search_world_in, setting)
    if jobs == 1:
        yield from map(ask, places, arms)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(ask, places, arms)


def _search_world_in(setting: Setting, place: tuple[str, int], arms: list[str]) -> list[Row]:
    return search_world(place, setting, arms)


def main() -> None:
    """Search, and show what each arm loses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=8, help="worlds a kind")
    parser.add_argument("--epochs", type=int, nargs="+", default=[9], help="of a training")
    parser.add_argument("--trainings", type=int, nargs="+", default=[50], help="the total")
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0], help="in units")
    parser.add_argument("--json", type=Path, help="write a row a cell to this file")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=", ".join(RIVALS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first-world", type=int, default=10_000, help="key of the first")
    parser.add_argument("--slots", type=int, default=1, help="the product's trials at once")
    parser.add_argument("--known", type=Path, help="rivals' searches of earlier calls")
    asked = parser.parse_args()
    keys = range(asked.first_world, asked.first_world + asked.worlds)
    places = [(kind, key) for kind in asked.kinds for key in keys]
    known, cells, began = Known(asked.known), [], time.perf_counter()
    for numbers in itertools.product(asked.epochs, asked.trainings, asked.noise):
        setting = Setting(*numbers, asked.slots)
        rows = search_all(places, setting, asked.arms, known, asked.jobs)
        table = summarise(rows, setting, asked.arms)
        show(table)
        cells += table
        if asked.json is not None:
            asked.json.write_text(json.dumps(cells, indent=1) + "\n")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
