"""How often the comparison is wrong, on simulated studies judged by the very code of real ones.

Every figure is a share over that many studies, with its binomial standard error. Parts:

    null      false "better" or "worse", and how often both intervals hold the truth
    power     a true gap on this test set: found by t and by sign flip, beside the exact power
    looks     false claims at any of several declared looks
    studies   whole null studies through the planner: screen, race, confirm
    nothing   a hyperparameter that does nothing, called mattering
    regret    what `hscl export` gives against the best single-seed trial at the same budget

Run: python tests/bench/bench_calibration.py [--studies 2000] [--whole 2000] [--parts null,power]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tune.calibration import Share, null_cells, run_cell, run_looks_cell, run_power_cell
from tune.study_calibration import (
    better_half_sd,
    call_of_nothing,
    null_study_claim,
    regrets,
)

PARTS = ("null", "power", "looks", "studies", "nothing", "regret")


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
    """Several declared looks."""
    for each, count in ((10, 1), (5, 2), (5, 4)):
        share = run_looks_cell(each, count, studies, rng)
        print(f"{count} looks of {each} pairs each: false claims {share}", flush=True)


def _share(happens: Callable[[int], bool | None], studies: int) -> Share:
    found = [happened for key in range(studies) if (happened := happens(key)) is not None]
    return Share(sum(found), len(found))


def studies(count: int, rng: np.random.Generator) -> None:
    """Whole null studies."""
    for sampler in ("random", "tpe"):
        some = count if sampler == "random" else count // 4
        share = _share(lambda key, kind=sampler: null_study_claim(key, kind), some)  # type: ignore[misc]
        print(
            f"null studies, sampler {sampler}: false claims {share} of {share.studies}", flush=True
        )


def nothing(count: int, rng: np.random.Generator) -> None:
    """A parameter without any effect."""
    for sampler, scheduler in (("random", "none"), ("random", "asha"), ("tpe", "asha")):
        some = count if sampler == "random" else count // 4
        calls = [call_of_nothing(key, sampler, scheduler) for key in range(some)]
        known = [call for call in calls if call is not None]
        called = Share(sum(matters for _, matters in known), len(known))
        print(
            f"alpha, which does nothing, {sampler} and {scheduler}: called mattering {called} "
            f"of {len(known)}",
            flush=True,
        )


def regret(count: int, rng: np.random.Generator) -> None:
    """Mean regret of export against single-seed search."""
    sd = better_half_sd()
    print(f"sd of true values among the better half of the space: {sd:.4f}")
    for share in (1.0, 0.25):
        found = np.array([regrets(key, share * sd) for key in range(count)])
        ours = found[:, 0].mean()
        print(f"seed sd {share:g} × that, {count} studies: regret of export {ours:.4f}")
        for column, how in ((1, "full length"), (2, "early stopping")):
            theirs = found[:, column].mean()
            # Of a ratio of two means over the same worlds, by the delta method.
            spread = (found[:, 0] - ours / theirs * found[:, column]).std(ddof=1)
            print(
                f"    best single-seed trial, {how}: {theirs:.4f}, ratio {ours / theirs:.2f} ± "
                f"{spread / theirs / count**0.5:.2f}",
                flush=True,
            )


def main() -> None:
    """Run the parts asked for and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000, help="paired studies a cell")
    parser.add_argument("--whole", type=int, default=2000, help="whole studies a cell")
    parser.add_argument("--parts", default=",".join(PARTS))
    chosen = parser.parse_args()
    for part in chosen.parts.split(","):
        paired = part in {"null", "power", "looks"}
        count = chosen.studies if paired else chosen.whole
        began = time.perf_counter()
        print(f"== {part}, {count} studies a cell", flush=True)
        globals()[part](count, np.random.default_rng(PARTS.index(part)))
        print(f"   {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
