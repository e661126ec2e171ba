"""How many seeds and test videos show a given gap: computed, and checked by simulated studies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from tune.display import listing
from tune.evidence.pair import Rules
from tune.simulate.runs import Proportion
from tune.simulate.trouble import PER_VIDEO, Trouble
from tune.stats.looks import look_after, plan_looks, seeds_that_decide
from tune.stats.power import (
    FEWEST_PAIRS,
    FEWEST_VIDEOS,
    Spread,
    detectable_difference,
    power_for_new_videos,
    videos_that_decide,
)

__all__ = [
    "MOSI_SPREAD",
    "Detectable",
    "SampleSize",
    "SampleSizes",
    "SeedsAndVideos",
    "Simulation",
    "detectable_with",
    "sample_size_lines",
    "sample_sizes",
    "spread_as_on_mosi",
]

MOSI_SPREAD = Spread(seed=0.02**2, video=0.12**2, error=0.065**2, evenness=0.84)
"""MAE differences as measured on MOSI: a standard error by video of about .02 on 31 videos."""

_ANY_SEEDS = 10**6
_MOST_VIDEOS = 10_000  # a larger test set nobody has


class SeedsAndVideos(NamedTuple):
    """A size of a study that is enough.

    Attributes:
        seeds: Confirm seeds.
        videos: Test videos.
    """

    seeds: int
    videos: int


@dataclass(frozen=True)
class Detectable:
    """What a test set can show of new videos, if MAE differences vary as they did on MOSI.

    Attributes:
        difference: The true MAE difference that 80 % of studies find.
        any_seeds: The same with any number of seeds: the test set's own limit.
        enough: Seeds and the fewest test videos, as long as these, that show a difference of one
            margin: the study's seeds, or twice as many where those would need over ten times its
            videos; None where that does not do.
    """

    difference: float
    any_seeds: float
    enough: SeedsAndVideos | None


def spread_as_on_mosi(lengths: Sequence[int]) -> Spread:
    """The variance components to be expected on another test set.

    What a seed does and what a video does are taken over; what single utterances add averages out
    over a video's utterances; long videos that dominate count as fewer.

    Args:
        lengths: Utterances of each video.
    """
    whole = sum(lengths)
    evenness = whole**2 / sum(length**2 for length in lengths) / len(lengths)
    return Spread(
        seed=MOSI_SPREAD.seed,
        video=MOSI_SPREAD.video * MOSI_SPREAD.evenness / evenness,
        error=MOSI_SPREAD.error * PER_VIDEO * len(lengths) / whole,
        evenness=evenness,
    )


def detectable_with(
    pairs: int, lengths: Sequence[int], margin: float, alpha: float = 0.05
) -> Detectable:
    """What a study can find for videos like these, before it runs.

    Args:
        pairs: Confirm seeds, ≥ 2.
        lengths: Utterances of each test video, two videos or more.
        margin: > 0.
        alpha: The level of the last look.
    """
    spread, videos = spread_as_on_mosi(lengths), len(lengths)
    needed = {n: videos_that_decide(margin, spread, n, alpha) for n in (pairs, 2 * pairs)}
    few = [SeedsAndVideos(n, k) for n, k in needed.items() if k is not None]
    enough = next((size for size in few if size.videos <= 10 * videos), few[-1] if few else None)
    return Detectable(
        detectable_difference(spread, pairs, videos, alpha),
        detectable_difference(spread, _ANY_SEEDS, videos, alpha),
        enough,
    )


@dataclass(frozen=True)
class SampleSize:
    """What a study of so many seeds and videos can show.

    Attributes:
        seeds: Confirm seeds.
        videos: Test videos.
        power: Computed share of studies whose last look finds the gap for new videos.
        detectable: The gap that 80 % of such studies find.
        found: Simulated studies that find it at any look; None where none were simulated.
        claimed: Simulated studies without any gap that claim one; None where none were simulated.
    """

    seeds: int
    videos: int
    power: float
    detectable: float
    found: Proportion | None
    claimed: Proportion | None


@dataclass(frozen=True)
class SampleSizes:
    """What studies of several sizes can show.

    Attributes:
        gap: The true difference asked about.
        spread: What varies.
        looks: How often so many seeds may be ordered.
        cells: Every number of seeds with every number of videos.
        seeds_needed: For each number of videos the fewest seeds; None where none suffices.
        videos_needed: For each number of seeds the fewest videos; None where none suffices.
    """

    gap: float
    spread: Spread
    looks: int
    cells: tuple[SampleSize, ...]
    seeds_needed: dict[int, int | None]
    videos_needed: dict[int, int | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Simulation:
    """How the computed shares are checked.

    Attributes:
        studies: Simulated studies a cell, judged by the very code of real ones.
        rng: The source of all draws.
    """

    studies: int
    rng: np.random.Generator
    trouble: Trouble | None = None

    @classmethod
    def of(cls, studies: int, trouble: Trouble) -> "Simulation | None":
        """So many studies a cell; None for none."""
        return cls(studies, np.random.default_rng(0), trouble) if studies else None


def sample_sizes(
    gap: float,
    spread: Spread,
    seeds: Sequence[int],
    videos: Sequence[int],
    *,
    looks: int = 1,
    simulation: Simulation | None = None,
) -> SampleSizes:
    """Compute, and simulate if asked, what studies of several sizes can show.

    Args:
        gap: The true difference asked about, > 0.
        spread: What varies between seeds and videos.
        seeds: Numbers of confirm seeds, each ≥ 5.
        videos: Numbers of test videos, each ≥ 8.
        looks: How often so many seeds may be ordered (`confirm.looks`).
        simulation: None: nothing is simulated. What is computed knows nothing of its trouble.
    """
    cells = []
    for size in (SeedsAndVideos(n, k) for n in seeds for k in videos):
        alpha = look_after(size.seeds, size.seeds, looks).level
        found = claimed = None
        if simulation is not None:
            found = _claims(gap, spread, size, looks, simulation)
            claimed = _claims(0.0, spread, size, looks, simulation)
        cells.append(
            SampleSize(
                size.seeds,
                size.videos,
                power_for_new_videos(gap, spread, size.seeds, size.videos, alpha),
                detectable_difference(spread, size.seeds, size.videos, alpha),
                found,
                claimed,
            )
        )
    return SampleSizes(
        gap,
        spread,
        looks,
        tuple(cells),
        {k: seeds_that_decide(gap, spread, k, looks) for k in videos},
        {n: videos_that_decide(gap, spread, n, look_after(n, n, looks).level) for n in seeds},
    )


def _claims(
    gap: float, spread: Spread, size: SeedsAndVideos, looks: int, simulation: Simulation
) -> Proportion:
    """Simulated studies that claim a difference at a look of the first order."""
    trouble = simulation.trouble or Trouble()
    planned = [look for look in plan_looks(size.seeds, looks) if look.pairs <= size.seeds]
    claims = 0
    for _ in range(simulation.studies):
        runs = trouble.draw(simulation.rng, spread, size.seeds, size.videos, gap)
        claims += any(
            trouble.claims(runs.first(look.pairs), Rules(gap or 1.0, look.level), every=not gap)
            for look in planned
        )
    return Proportion(claims, simulation.studies)


def sample_size_lines(sizes: SampleSizes) -> list[str]:
    """The answers in two sentences: the fewest seeds for the videos there are, and the reverse."""
    seeds = [f"{_seeds(needed)} with {videos}" for videos, needed in sizes.seeds_needed.items()]
    videos = [f"{_videos(needed)} with {seeds}" for seeds, needed in sizes.videos_needed.items()]
    return [
        f"To find a true difference of {sizes.gap:g} for videos like these in 80 % of studies:",
        f"  seeds needed, by test videos: {listing(seeds)}",
        f"  test videos needed, by seeds: {listing(videos)}",
    ]


def _seeds(needed: int | None) -> str:
    if needed is None:
        return "no number"
    return f"{needed} (the fewest that give a verdict)" if needed == FEWEST_PAIRS else f"{needed}"


def _videos(needed: int | None) -> str:
    """Two digits, as no more is known of it; beyond any test set only that."""
    if needed is None:
        return "no number"
    if needed > _MOST_VIDEOS:
        return f"more than {_MOST_VIDEOS:,}"
    least = " (the fewest that say anything)" if needed == FEWEST_VIDEOS else ""
    return f"about {float(f'{needed:.2g}'):,.0f}{least}"
