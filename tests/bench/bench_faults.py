"""Lets the n-th write, fsync or rename of a small study fail, goes on with it, and compares.

    TMPDIR=/dev/shm python tests/bench/bench_faults.py [--every 1]

The study runs in this process with the real engine, tables and trials (`disk_study`). The first
driver ends at the fault, as a full or broken disk ends it, or is gone there without another word;
the next one ends the study, whose tables must be those of the undisturbed one but for times and
attempts. Nothing of a fault may be an error of ours, a hole or another row.
"""

import argparse
import errno
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from disk_study import go_on, small
from replay import readers_view

from hscl.errors import HsclError
from tune.states import Kind
from tune.views.study import open_study

__all__ = ["KINDS", "Fault", "KilledError", "after_fault", "operations", "view"]

KINDS = ("write", "fsync", "rename")


class KilledError(BaseException):
    """The process is gone: nobody catches it."""


class Fault:
    """Counts operations of each kind, and lets one of them fail.

    Args:
        kind: One of `KINDS`; empty: none fails.
        number: Which one, from 1.
        killed: The process is gone there; else the disk says that it is full.
    """

    def __init__(self, kind: str = "", number: int = 0, *, killed: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self._at = (kind, number)
        self._error: BaseException = KilledError()
        if not killed:
            self._error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _wrapped(self, kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.counts[kind] += 1
            if (kind, self.counts[kind]) == self._at:
                raise self._error
            return action(*args, **kwargs)

        return counted

    @contextmanager
    def present(self) -> Iterator[None]:
        """While the block runs, the file system is like this."""
        places = {
            "write": (Path, "write_bytes"),
            "fsync": (os, "fsync"),
            "rename": (Path, "replace"),
        }
        before = {kind: getattr(*place) for kind, place in places.items()}
        for kind, (owner, name) in places.items():
            setattr(owner, name, self._wrapped(kind, before[kind]))
        try:
            yield
        finally:
            for kind, (owner, name) in places.items():
                setattr(owner, name, before[kind])


def view(where: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables as readers see them, without times, attempts and what failed checkpoints say."""
    tables = readers_view(open_study(where))
    tables["plan"] = [row for row in tables["plan"] if row["kind"] != Kind.UNSAVED]
    return tables


def operations(where: Path) -> Counter[str]:
    """How many operations of each kind an undisturbed study has, which is written there."""
    fault = Fault()
    with fault.present():
        assert go_on(where, small())
    return fault.counts


def after_fault(where: Path, fault: Fault) -> str:
    """Run a study into a fault, and go on with it.

    Returns:
        What the first driver said; "" where the fault was none of its business.
    """
    said = ""
    with fault.present():
        try:
            go_on(where, small())
        except KilledError:
            said = "killed"
        except (HsclError, OSError) as error:  # the command line says both, exit 1 or 2
            said = str(error)
    assert go_on(where, small())
    return said


def run(every: int) -> Counter[str]:
    """Every so-many-th operation; what went wrong is printed."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as name:
        room = Path(name)
        counts = operations(room / "undisturbed")
        wanted = view(room / "undisturbed")
        print(dict(counts), flush=True)
        for kind in KINDS:
            for number in range(1, counts[kind] + 1, every):
                for killed in (False, True):
                    where = room / "study"
                    shutil.rmtree(where, ignore_errors=True)
                    try:
                        said = after_fault(where, Fault(kind, number, killed=killed))
                        wrong = "" if view(where) == wanted else "other tables"
                    except Exception as error:  # noqa: BLE001 - what is looked for
                        said, wrong = "", f"{type(error).__name__}: {error}"
                    outcomes[
                        (wrong and "wrong") or ("went on" if not said else "said, went on")
                    ] += 1
                    if wrong:
                        print(f"{kind} {number}, killed {killed}: {wrong}", flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1)
    print(dict(run(parser.parse_args().every)))
