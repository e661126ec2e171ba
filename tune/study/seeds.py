"""Seeds of a study's phases: derived from one number or listed, and never used twice.

Screen, race and every look at confirm have seeds of their own, so that no configuration is
judged on a seed that helped to choose it. A study that was warm-started also avoids all seeds of
the study that it learned from.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from hscl.errors import InputError

__all__ = ["LARGEST", "SeedPlan", "plan_seeds"]

LARGEST = 999_999
"""Derived seeds have at most six digits: they are part of every trial's name."""


@dataclass(frozen=True)
class SeedPlan:
    """All seeds of a study.

    Attributes:
        screen: The one seed of the screen.
        race: One a round, in order.
        looks: For each declared look at confirm, its own seeds.
    """

    screen: int
    race: tuple[int, ...]
    looks: tuple[tuple[int, ...], ...]

    @property
    def all(self) -> tuple[int, ...]:
        """Every seed, in order of use."""
        return (self.screen, *self.race, *(seed for look in self.looks for seed in look))


def plan_seeds(
    study_seed: int,
    race: int | Collection[int],
    confirm: int | Collection[int],
    *,
    looks: int = 1,
    avoid: Collection[int] = (),
) -> SeedPlan:
    """Fix every seed before anything runs.

    Args:
        study_seed: The study's own seed; other seeds are derived from it.
        race: How many race seeds, or which.
        confirm: How many confirm seeds a look, or which in all (shared evenly by the looks).
        looks: Declared looks at confirm.
        avoid: Seeds of an earlier study that this one must not use.

    Returns:
        Disjoint seeds for screen, race and each look.

    Raises:
        InputError: Listed seeds repeat, overlap with each other or with `avoid`, or can't be
            shared evenly by the looks.
    """  # noqa: DOC502 - raised by _check
    given = (seeds if isinstance(seeds, int) else tuple(seeds) for seeds in (race, confirm))
    return _all_seeds(study_seed, *given, looks, tuple(avoid))


@lru_cache(maxsize=64)  # the planner asks at every step
def _all_seeds(
    study_seed: int,
    race: int | tuple[int, ...],
    confirm: int | tuple[int, ...],
    looks: int,
    avoid: tuple[int, ...],
) -> SeedPlan:
    listed_race = () if isinstance(race, int) else race
    listed_confirm = () if isinstance(confirm, int) else confirm
    _check(listed_race, listed_confirm, looks, avoid)
    fresh = _derived(study_seed, {*listed_race, *listed_confirm, *avoid})
    screen = next(fresh)
    racing = tuple(next(fresh) for _ in range(race)) if isinstance(race, int) else listed_race
    if isinstance(confirm, int):
        confirming = tuple(tuple(next(fresh) for _ in range(confirm)) for _ in range(looks))
    else:
        size = len(listed_confirm) // looks
        confirming = tuple(listed_confirm[i * size : (i + 1) * size] for i in range(looks))
    return SeedPlan(screen, racing, confirming)


def _check(
    race: tuple[int, ...], confirm: tuple[int, ...], looks: int, avoid: Collection[int]
) -> None:
    mistakes = []
    for name, seeds in (("race.seeds", race), ("confirm.seeds", confirm)):
        if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            mistakes.append(f"{name} must differ, but {_join(repeated)} stand there twice")
        if used := sorted(set(seeds) & set(avoid)):
            mistakes.append(
                f"{name} must be fresh, but the earlier study used {_join(used)}; choose others"
            )
    if both := sorted(set(race) & set(confirm)):
        mistakes.append(
            f"race.seeds and confirm.seeds must not overlap, but both have {_join(both)}; "
            "a winner would be confirmed on the seeds that chose it"
        )
    if len(confirm) % looks:
        mistakes.append(
            f"confirm.seeds must be shared evenly by confirm.looks = {looks}, but "
            f"{len(confirm)} are listed"
        )
    if mistakes:
        raise InputError("\n".join(mistakes))


def _join(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


def _derived(study_seed: int, taken: set[int]) -> Iterator[int]:
    """Endless distinct seeds in 1..LARGEST, the same for the same study seed."""
    taken = set(taken)
    index = 0
    while True:
        digest = hashlib.sha256(f"{study_seed}:{index}".encode()).digest()
        index += 1
        seed = int.from_bytes(digest[:8]) % LARGEST + 1
        if seed not in taken:
            taken.add(seed)
            yield seed
