"""Whether what a search expects comes true: "± sd", and the chance that the winner is worse.

    python tests/bench/bench_expected.py [--worlds 60] [--epochs 9] [--noise 1 4] [--jobs N]
        [--first-world 10000] [--recorded [--totals 300 600]]

Whole searches of the default size in the worlds of `bench_regret.py`, where the true valid value
of every configuration is known; each key once, kinds in turn, as worlds of one key share their
luck. Or (--recorded) among recorded trainings of MOSI, where the truth is the mean of a
configuration's runs that the search has not seen, and their noise is allowed for. Told for the
winner, for the other configurations with a complete training, and for the winner less the default:
how far expectations lie from the truth, and in how many cases 1.96 of the model's own sd hold it,
or so many times that; then how often the winner is truly worse than the default on valid, and
which chance was given to that, before confirm and after.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: processes, not threads, work side by side

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from regret.arms import simulated
from regret.memory import keep_freed_memory
from regret.recorded import Replay, read_recorded
from regret.surfaces import KINDS
from regret.worlds import World

from tune.evidence.search.learnt import Learnt, what_was_learnt
from tune.search_model import TOO_SURE
from tune.simulate.study import SimulatedRun
from tune.states import TrialState
from tune.tables.schemas import SCHEMAS

FACTORS = (1.0, 1.5, 2.0, TOO_SURE, 3.0)


@dataclass(frozen=True)
class Truth:
    """What a configuration is worth on valid, and the variance of knowing it."""

    value: float
    variance: float = 0.0


@dataclass(frozen=True)
class Told:
    """What one search expected.

    Attributes:
        winner, others, gap: (n, 3) error, the model's own sd, sd of the truth.
        chances: That the winner is worse than the default, before confirm and after.
        worse: Whether it is.
    """

    winner: np.ndarray
    others: np.ndarray
    gap: np.ndarray
    chances: tuple[float, float]
    worse: bool


def told(run: SimulatedRun, truth_of: Callable[[str], Truth]) -> Told | None:
    """Set what a finished search expects against the truth; None where no model is trusted."""
    history = run.history
    known = what_was_learnt(history, SCHEMAS["predictions"].empty_table())
    winner = history.winner
    if known is None or known.model is None or known.default is None or winner is None:
        return None
    after, before = known.chance_worse(winner), replace(known, confirmed={}).chance_worse(winner)
    if after is None or before is None:
        return None
    complete = [
        config_id
        for config_id, trial in history.search_trials.items()
        if trial.state is TrialState.DONE and config_id in known.model.codes
    ]
    own, default = truth_of(winner), truth_of(known.default)
    return Told(
        winner=_errors(known, [winner], truth_of),
        others=_errors(known, [one for one in complete if one != winner], truth_of),
        gap=_gap(known, winner, own, default),
        chances=(before, after),
        worse=own.value > default.value,
    )


def _errors(known: Learnt, ids: Sequence[str], truth_of: Callable[[str], Truth]) -> np.ndarray:
    assert known.model is not None
    rows = []
    for one in ids:
        expected, truth = known.model.expected(one), truth_of(one)
        assert expected is not None
        rows.append((expected[0] - truth.value, expected[1] / TOO_SURE, truth.variance**0.5))
    return np.array(rows).reshape(-1, 3)


def _gap(known: Learnt, winner: str, own: Truth, default: Truth) -> np.ndarray:
    assert known.model is not None
    assert known.default is not None
    codes = known.model.codes
    mean, sd = known.model.model.difference(codes[winner], codes[known.default])
    unsure = (own.variance + default.variance) ** 0.5
    return np.array([[mean - (own.value - default.value), sd, unsure]])


def in_world(place: tuple[str, int], noise: float, epochs: int) -> Told | None:
    """A search in one world."""
    world = World(*place, noise, epochs)
    run = simulated("default", world, 50 * epochs)
    return told(run, lambda one: Truth(world.valid(world.values_of(run.config_of(one)))))


def in_replay(key: int, total: int) -> Told | None:
    """A search among the recorded trainings; confirm would have had the runs that judge."""
    recorded = read_recorded()
    world = Replay(recorded, key)
    run = simulated("default confirm.seeds=0", world, total)
    reached = recorded.valid.min(axis=2)
    better = np.argsort(reached.mean(axis=1))[: len(reached) // 2]  # others scatter more
    noise2 = float(reached[better].var(axis=1, ddof=1).mean())

    def truth_of(one: str) -> Truth:
        unseen = world.unseen_valid(world.values_of(run.config_of(one)))
        return Truth(float(unseen.mean()), noise2 / len(unseen))

    return told(run, truth_of)


def show(name: str, searches: Iterable[Told | None]) -> None:
    """One setting's table."""
    trusted = [one for one in searches if one is not None]
    print(f"\n{name}: {len(trusted)} searches with a model")
    if not trusted:
        return
    heads = "".join(f"{f'in {factor:g} × 1.96 sd':>20}" for factor in FACTORS)
    print(f"{'':<22}{'bias':>10}{'rms error':>12}{'own sd':>10}{heads}")
    for what in ("winner", "others", "gap"):
        error, sd, unsure = np.concatenate([getattr(one, what) for one in trusted]).T
        cells = "".join(
            f"{np.mean(np.abs(error) < 1.96 * np.hypot(factor * sd, unsure)):>20.2f}"
            for factor in FACTORS
        )
        rms = float(np.mean(error**2)) ** 0.5
        own = float(np.mean(sd**2)) ** 0.5
        print(f"{what:<22}{error.mean():>+10.4f}{rms:>12.4f}{own:>10.4f}{cells}")
    before, after = np.mean([one.chances for one in trusted], axis=0)
    worse = np.mean([one.worse for one in trusted])
    # Of a truth that scatters itself more seem worse than are.
    _, _, unsure = np.concatenate([one.gap for one in trusted]).T
    scatter = f" (a truth unsure by {np.mean(unsure):.4f})" if unsure.any() else ""
    print(f"winner worse than the default on valid: {worse:.2f}{scatter}; ", end="")
    print(f"said {before:.2f}, after confirm {after:.2f}", flush=True)


def main() -> None:
    """Search, and set what was expected against the truth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=60, help="worlds, or replays")
    parser.add_argument("--epochs", type=int, default=9, help="of a training")
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0, 4.0], help="in units")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--first-world", type=int, default=10_000, help="key of the first")
    parser.add_argument("--recorded", action="store_true", help="replay real trainings")
    parser.add_argument("--totals", type=int, nargs="+", default=[300, 600], help="epochs")
    asked = parser.parse_args()
    keep_freed_memory()
    began = time.perf_counter()
    keys = range(asked.first_world, asked.first_world + asked.worlds)
    with ProcessPoolExecutor(asked.jobs) as pool:
        if asked.recorded:
            for total in asked.totals:
                ask = partial(in_replay, total=total)
                show(f"recorded MOSI, {total} epochs", pool.map(ask, keys))
        else:
            places = list(zip(itertools.cycle(KINDS), keys))
            for noise in asked.noise:
                search = partial(in_world, noise=noise, epochs=asked.epochs)
                found = pool.map(search, places)
                show(f"trainings of {asked.epochs} epochs, noise {noise:g}", found)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
