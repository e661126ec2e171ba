"""How often the comparison is wrong, on simulated studies judged by the very code of real ones.

Every figure is a share over that many studies, with its binomial standard error. Parts:

    null      false "better" or "worse", and how often both intervals hold the truth
    power     a true gap on this test set: found by t and by sign flip, beside the exact power
    looks     sequential confirms: claims, coverage where they end, power, trainings saved
    studies   whole null studies through the planner: screen, refine, confirm
    broken    worlds in which claims may be false: collapses, speakers, failures, lengths, families
    nothing   a hyperparameter that does nothing, and those that do something, called mattering

A whole study takes 0.05 to 1 s of CPU. With --rows their answers are kept, one line a study, and
the same command goes on where it was stopped.

Run: python tests/bench/bench_calibration.py [--studies 2000] [--whole 2000] [--parts null,power]
     [--rows FOLDER] [--jobs 1]
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from calibrated.broken import broken_cells, run_broken_cell
from calibrated.cells import confirm_cells, null_cells, run_cell, run_confirm_cell, run_power_cell
from calibrated.studies import (
    null_study_claim,
    parameters_called,
)
from calibrated.world import flat_surface
from json_lines import read_lines

from tune.simulate.runs import Proportion, RandomEffects

PARTS = ("null", "power", "looks", "broken", "studies", "nothing")


def null(studies: int, rng: np.random.Generator) -> None:
    """False claims and coverage."""
    head = ("cell", "metric", "pairs", "false claims", "holds, Q2", "holds, Q1", "equivalent")
    print(("{:<28}{:<11}{:>5}  {:<16}{:<16}{:<16}{}").format(*head))
    for cell in null_cells():
        found = run_cell(cell, studies, rng)
        silent = f"  ({found.silent} without a verdict)" if found.silent else ""
        here = "" if np.isnan(found.this_test_set.value) else str(found.this_test_set)
        print(
            f"{cell.name:<28}{cell.metric:<11}{cell.pairs:>5}  {found.claims!s:<16}"
            f"{found.new_videos!s:<16}{here:<16}{found.equivalent}{silent}",
            flush=True,
        )


def power(studies: int, rng: np.random.Generator) -> None:
    """Q1 power against the exact power of the t test."""
    for pairs in (6, 8, 10, 12, 20):
        for gap in (0.5, 1.0):
            t, flip, exact = run_power_cell(pairs, gap, studies, rng)
            print(
                f"{pairs} pairs, gap of {gap:g} sd: t {t}, sign flip {flip}, exact t {exact:.3f}",
                flush=True,
            )


def looks(studies: int, rng: np.random.Generator) -> None:
    """Sequential confirms, by world, gap and seeds; errors of the shares are at most .011."""
    print(
        "claims and equivalents: where confirm ended / at any look / at one look at the end\n"
        f"{'world':<28}{'seeds':>5}{'margins':>8}  {'claims':<22}{'equivalent':<22}"
        f"{'holds, Q2':<15}{'holds, Q1':<15}{'out of reach':<13}{'lost':<7}saved"
    )
    for cell in confirm_cells():
        found = run_confirm_cell(cell, studies, rng)
        claims = (found.claims, found.any_claim, found.fixed)
        equal = (found.equivalent, found.any_equivalent, found.fixed_equivalent)
        several = (" / ".join(f"{s.value:.3f}" for s in shares) for shares in (claims, equal))
        columns = [f"{text:<22}" for text in several]
        columns += [f"{share!s:<15}" for share in (found.new_videos, found.this_test_set)]
        saved = 1.0 - found.pairs / (cell.seeds * cell.orders)
        print(
            f"{cell.name:<28}{cell.seeds:>5}{cell.gap:>8g}  {''.join(columns)}"
            f"{found.out_of_reach.value:<13.3f}{found.lost.value:<7.3f}{saved:.0%}",
            flush=True,
        )


def broken(studies: int, rng: np.random.Generator) -> None:
    """False claims where something is wrong with runs, videos or the choice; then clean worlds.

    Every cell has a generator of its own, so that another judgement sees the same draws.
    """
    print(
        f"{'world':<34}{'runs':>4}  {'false as worded':<16}{'of all runs':<16}{'claims':<8}"
        f"{'equal':<8}{'silent':<8}{'holds':<8}here"
    )
    for number, cell in enumerate(broken_cells()):
        print(
            run_broken_cell(cell, studies, np.random.default_rng([19, number])).line(), flush=True
        )


@dataclass(frozen=True)
class Whole:
    """How whole studies are run.

    Attributes:
        count: Studies a cell.
        rows: Where their answers are kept; None: nowhere.
        jobs: Processes.
    """

    count: int
    rows: Path | None
    jobs: int

    def answers(self, cell: str, ask: Callable[[int], Any]) -> list[Any]:
        """One JSON-able answer for each study, those kept from earlier runs first."""
        file = self.rows / f"{cell}.jsonl" if self.rows else None
        known = [] if file is None else read_lines(file)
        for answer in self._asked(ask, range(len(known), self.count)):
            known.append(answer)
            if file is not None:
                with file.open("a") as end:
                    end.write(json.dumps(answer) + "\n")
        return known[: self.count]

    def _asked(self, ask: Callable[[int], Any], keys: Iterable[int]) -> Iterable[Any]:
        if self.jobs == 1:
            yield from map(ask, keys)
            return
        with ProcessPoolExecutor(self.jobs) as pool:
            yield from pool.map(ask, keys, chunksize=8)


def studies(whole: Whole) -> None:
    """Whole null studies, of the defaults' size."""
    for sampler, scheduler, failures, seeds in (
        ("random", "asha", 0.0, 6),
        ("random", "asha", 0.0, 10),
        ("random", "asha", 0.0, 20),
        ("tpe", "asha", 0.0, 6),
        ("random", "none", 0.0, 6),
        ("tpe", "none", 0.0, 6),
        ("tpe", "asha", 0.1, 6),
    ):
        study: dict[str, Any] = {"sampler": sampler, "scheduler": scheduler}
        ask = partial(null_study_claim, **study, failures=failures, seeds=seeds)
        name = f"null-{sampler}-{scheduler}-{seeds}" + "-failures" * bool(failures)
        found = whole.answers(name, ask)
        claims = [claimed for claimed in found if claimed is not None]
        silent = f" ({found.count(None)} without a verdict)" if None in found else ""
        print(
            f"null studies, {sampler}, {scheduler}, {seeds} seeds, {failures:.0%} of trials fail: "
            "false claims "
            f"{Proportion(sum(claims), len(claims))} of {len(claims)}{silent}",
            flush=True,
        )


def nothing(whole: Whole) -> None:
    """Which parameters are called mattering: alpha does nothing, and on the flat surface none."""
    quiet = RandomEffects(seed=0.005, video=0.01, utterance=0.02, error=0.1)
    worlds: dict[str, dict[str, Any]] = {
        "called": {},
        "quiet": {"effects": quiet},
        "flat": {"surface": flat_surface},
    }
    for world, sampler, scheduler in (
        ("called", "random", "asha"),
        ("called", "random", "none"),
        ("called", "tpe", "asha"),
        ("flat", "random", "none"),
        ("flat", "tpe", "asha"),
        ("quiet", "random", "none"),
    ):
        true = worlds[world]
        ask = partial(parameters_called, sampler=sampler, scheduler=scheduler, **true)
        found = whole.answers(f"{world}-{sampler}-{scheduler}", ask)
        known = [called for called in found if called]
        if not known:
            print(f"{world}, {sampler}, {scheduler}: no study says anything")
            continue
        told = [
            f"{name} {Proportion(sum(called[name] for called in known), len(known))}"
            for name in known[0]
        ]
        told.append(f"any {Proportion(sum(any(called.values()) for called in known), len(known))}")
        print(f"{world}, {sampler}, {scheduler}, {len(known)} studies: {', '.join(told)}")


def main() -> None:
    """Run the parts asked for and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000, help="paired studies a cell")
    parser.add_argument("--whole", type=int, default=2000, help="whole studies a cell")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rows", type=Path, help="keep whole studies' answers in this folder")
    parser.add_argument("--jobs", type=int, default=1, help="processes for whole studies")
    chosen = parser.parse_args()
    if chosen.rows:
        chosen.rows.mkdir(parents=True, exist_ok=True)
    whole = Whole(chosen.whole, chosen.rows, chosen.jobs)
    for part in chosen.parts.split(","):
        paired = part in {"null", "power", "looks", "broken"}
        began = time.perf_counter()
        print(
            f"== {part}, {chosen.studies if paired else chosen.whole} studies a cell", flush=True
        )
        if paired:
            globals()[part](chosen.studies, np.random.default_rng(PARTS.index(part)))
        else:
            globals()[part](whole)
        print(f"   {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
