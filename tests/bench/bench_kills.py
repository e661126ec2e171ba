"""Studies killed at random moments, resumed, killed again; every row checked at the end.

    drivers    one trial at a time, the driver killed (SIGKILL, its Ray goes with it): the tables
               as readers see them equal an undisturbed run's but for what is measured
    workers    two trials at a time, the driver or a worker killed: no row lost or doubled, no gap,
               every value that of the trial's undisturbed curve, every stop and proposal the
               planner's answer on the rows before it
    training   as drivers, but real HSCL training on the demo data set

The first two train a response surface through the real Ray, so that the driver writes all the time
and kills hit its writing; the third checks that a resumed network goes on bit by bit. Only kills
that hit a driver which had begun to write, and whose study was not over, are counted. After each,
the rows on disk are noted, and must all be there at the end as they were.

Each driver starts its own Ray, which dies with it; with --shared-ray they join one that outlives
them, as on a cluster (and as is quicker on a busy machine).

Run: python tests/bench/bench_kills.py [drivers] [workers] [training] [--kills N] [--seed N]
         [--shared-ray]
It exits with 1 if anything is wrong.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from replay import check, raw_rows, readers_view
from synthetic import Data, Synthetic, study

from hscl.errors import RunError
from tune.engine.driver import SearchOptions, run_search
from tune.planner.phases import next_step
from tune.study.spec import StudySpec
from tune.tables.records import Ending
from tune.trial.data import HsclData
from tune.views.study import Study, open_study

TESTS = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS / "helpers")])
TABLES = ("configs", "trials", "reports", "predictions", "plan")
PATIENCE_S = 900.0
NO_RAY = 75
"""A driver's exit code where its Ray does not come up, as on a busy machine."""
FEW_REFUSED = 10


@dataclass(frozen=True)
class Part:
    """A kind of study and how it is killed.

    Attributes:
        slots: Trials at a time.
        epoch_s: Seconds of an epoch of the response surface; None for real training.
        within_s: A kill comes up to so long after the event that it waits for.
        trials: Trials of the screen.
    """

    slots: int
    epoch_s: float | None
    within_s: float
    trials: int


PARTS = {
    "drivers": Part(slots=1, epoch_s=0.01, within_s=0.2, trials=24),
    "workers": Part(slots=2, epoch_s=0.02, within_s=0.3, trials=32),
    "training": Part(slots=1, epoch_s=None, within_s=1.5, trials=8),
}


def spec_of(part: Part, seed: int) -> StudySpec:
    """All three phases, with rungs at epochs 1, 2 and 4."""
    real = part.epoch_s is None
    return study(
        study={"name": "killed", "seed": seed, "retries": 1000},
        base={"train.epochs": 4 if real else 6, "model.text.finetune": False},
        sampler={"kind": "tpe", "trials": part.trials},
        refine={"trials": 4 if real else 12},
        confirm={"keep": 1, "seeds": 5},
        resources={"concurrent": part.slots},
    )


def drive(out: str, name: str, seed: int, data: str, address: str | None = None) -> int:
    """What a driver's process does; its exit code."""
    part = PARTS[name]
    request = SearchOptions(out=out, address=address, checkpoint_s=0.0)
    try:
        if part.epoch_s is None:
            run_search(spec_of(part, seed), HsclData(data), request)
        else:
            workload = Synthetic(epoch_s=part.epoch_s)
            run_search(spec_of(part, seed), Data(), request, workload=workload)
    except RunError as error:
        if str(error).startswith("Ray must start"):
            return NO_RAY
        raise
    return 0


@dataclass
class Killing:
    """One part's studies, and what was done to them."""

    name: str
    folder: Path
    rng: np.random.Generator
    address: str | None
    kills: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    rows: int = 0
    restarts: int = 0
    refused: int = 0

    @property
    def part(self) -> Part:
        return PARTS[self.name]

    def run(self, wanted: int) -> None:
        """Kill so often, in as many studies as it takes, and check each once it is over."""
        while self.kills.total() < wanted:
            seed, self.studies = self.studies + 1, self.studies + 1
            out = self.folder / f"{self.name}-{seed}"
            seen = self._killed(out, seed, wanted)
            self._finish(out, seed)
            done = open_study(out)
            check(done, values=self.part.epoch_s is not None)
            _check_nothing_lost(done, seen)
            self.rows += len(raw_rows(done, "reports"))
            self.restarts += sum(row["attempt"] > 1 for row in raw_rows(done, "trials"))
            if self.part.slots == 1:
                calm = self.folder / f"{self.name}-{seed}-undisturbed"
                self._finish(calm, seed)
                ours, theirs = readers_view(done), readers_view(open_study(calm))
                for table in TABLES:
                    assert ours[table] == theirs[table], f"{table} differ from the undisturbed run"

    def _killed(self, out: Path, seed: int, wanted: int) -> list[dict[str, list[Any]]]:
        """Kill until it has been enough or the study is over; the rows seen after each kill."""
        seen = []
        while self.kills.total() < wanted and self._kill_one_driver(out, seed, wanted):
            opened = open_study(out)
            check(opened, over=False, values=self.part.epoch_s is not None)
            seen.append({table: raw_rows(opened, table) for table in TABLES})
        return seen

    def _kill_one_driver(self, out: Path, seed: int, wanted: int) -> bool:
        """Start a driver, kill some of its workers and then itself; False if it ended before."""
        before = _appends(out, "trials")
        with self._start(out, seed) as driver:
            for victim in self._victims():
                alive = _wait_for(out, driver, "trials", before + 1)
                reports = _appends(out, "reports") + int(self.rng.integers(0, 8))
                alive = alive and _wait_for(out, driver, "reports", reports)
                time.sleep(self.rng.uniform(0.0, self.part.within_s))
                pids = [driver.pid] if victim == "driver" else _workers_of(os.getpid())
                if not alive or driver.poll() is not None:
                    break
                if pids and _kill(int(self.rng.choice(pids))):
                    self.kills[victim] += victim == "worker"
                if self.kills.total() >= wanted:
                    break
            if driver.poll() is None:
                driver.kill()
        if driver.returncode == NO_RAY:
            self.refused += 1
            assert self.refused < FEW_REFUSED, "drivers do not start"
            return True
        assert driver.returncode in {0, -signal.SIGKILL}, f"exit {driver.returncode} of {out.name}"
        opened = open_study(out)
        if isinstance(next_step(opened.spec, opened.history, frozenset()), Ending):
            return False  # killed or not, it had nothing left to do
        self.kills["driver"] += 1
        return True

    def _victims(self) -> Iterator[str]:
        """Who is killed next; the driver is the last one of its run."""
        while self.part.slots > 1 and self.rng.random() < 0.6:
            yield "worker"
        yield "driver"

    def _finish(self, out: Path, seed: int) -> None:
        code = self._start(out, seed).wait(timeout=PATIENCE_S)
        assert code == 0, f"the undisturbed end of {out.name} must exit with 0, not {code}"

    def _start(self, out: Path, seed: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, __file__, "--drive", str(out), self.name, str(seed)]
        command.append(str(self.folder / "demo.arrow"))
        command += [self.address] if self.address else []
        return subprocess.Popen(command)


def _kill(pid: int) -> bool:
    """End a process at once; whether there was one."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _wait_for(out: Path, driver: "subprocess.Popen[bytes]", table: str, appends: int) -> bool:
    """Whether a table came to so many appends while the driver lived."""
    deadline = time.monotonic() + PATIENCE_S
    while driver.poll() is None:
        if _appends(out, table) >= appends:
            return True
        assert time.monotonic() < deadline, f"{out.name} stands still"
        time.sleep(0.005)
    return False


def _appends(out: Path, table: str) -> int:
    """How often a table was appended to."""
    files = (out / "tables" / table).glob("0*.parquet")
    return 1 + max((int(path.name[9:17]) for path in files), default=-1)


def _workers_of(ancestor: int) -> list[int]:
    """The processes below this one that train."""
    parents, trains = {}, set()
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit():
                stat = (path / "stat").read_text()
                parents[int(path.name)] = int(stat.rpartition(")")[2].split()[1])
                if b"ImplicitFunc" in (path / "cmdline").read_bytes():
                    trains.add(int(path.name))
        except OSError:
            continue  # it has just ended
    ours = []
    for worker in trains:
        parent = worker
        while parent > 1 and parent != ancestor:
            parent = parents.get(parent, 0)
        if parent == ancestor:
            ours.append(worker)
    return sorted(ours)


def _check_nothing_lost(done: Study, seen: list[dict[str, list[Any]]]) -> None:
    for table in TABLES:
        rows = raw_rows(done, table)
        for earlier in seen:
            kept = rows[: len(earlier[table])]
            assert kept == earlier[table], f"rows of {table} that were there are not any more"


def main() -> int:
    """Run the parts that are asked for; 1 where anything was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared-ray", action="store_true")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        address = None
        if wanted.shared_ray:
            import ray

            # A search's own Ray listens on loopback, where no other process can join it.
            ray.init(address="local", include_dashboard=False)
            stack.callback(ray.shutdown)
            address = ray.get_runtime_context().gcs_address
        wrong = [
            _run_part(name, np.random.default_rng([wanted.seed, i]), wanted.kills, address)
            for i, name in enumerate(wanted.parts)
        ]
    return int(any(wrong))


def _run_part(name: str, rng: np.random.Generator, kills: int, address: str | None) -> bool:
    """Run a part and print its outcome; whether anything was wrong."""
    wrong, outcome = False, "everything as it must be"
    with tempfile.TemporaryDirectory(prefix="hscl-kills-") as folder:
        if PARTS[name].epoch_s is None:
            from hscl.data.demo import write_demo

            write_demo(Path(folder) / "demo.arrow", utterances=120)
        killing = Killing(name, Path(folder), rng, address)
        began = time.monotonic()
        try:
            killing.run(kills)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was left must tell
            traceback.print_exc()
            kept = shutil.copytree(folder, Path(tempfile.mkdtemp(prefix="hscl-wrong-")) / name)
            wrong, outcome = True, f"WRONG: {error} (see above; what was left lies in {kept})"
    whom = ", ".join(f"{count} of a {victim}" for victim, count in killing.kills.items())
    print(
        f"{name}: {killing.kills.total()} kills ({whom}) in {killing.studies} studies, "
        f"{killing.restarts} trial events after a first attempt, {killing.rows} report rows, "
        f"{killing.refused} starts refused, {time.monotonic() - began:.0f} s: {outcome}",
        flush=True,
    )
    return wrong


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        sys.exit(drive(sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:]))
    else:
        sys.exit(main())
