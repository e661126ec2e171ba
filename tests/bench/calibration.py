"""How often the very code that judges real studies is wrong, on simulated ones.

A cell is a kind of study; its figures are shares over many simulated studies, each with its
binomial standard error.
"""

from dataclasses import dataclass

import numpy as np

from tune.evidence.pair import Rules, compare_pair
from tune.evidence.pairing import Runs
from tune.evidence.verdicts import judge
from tune.simulate.runs import (
    Proportion,
    RandomEffects,
    draw_latent_runs,
    draw_linear_runs,
    video_layout,
)
from tune.states import Verdict
from tune.stats.intervals import Interval
from tune.stats.power import power_on_this_test_set

__all__ = [
    "Cell",
    "CellResult",
    "null_cells",
    "run_cell",
    "run_looks_cell",
    "run_power_cell",
]


@dataclass(frozen=True)
class Cell:
    """A kind of study without a true difference on new videos.

    Attributes:
        name: What is special about it.
        metric: Of `hscl.metrics.METRICS`.
        pairs: Confirm seeds.
        effects: What varies.
        videos: Test videos.
        utterances: Test utterances.
        latent: Draw predictions rather than errors; then no truth for the first question.
    """

    name: str
    metric: str
    pairs: int
    effects: RandomEffects
    videos: int = 31
    utterances: int = 686
    latent: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[Runs, float | None]:
        """One study, and the true difference on this very test set where it is known."""
        layout = video_layout(self.videos, self.utterances)
        if self.latent:
            return draw_latent_runs(rng, self.effects, seeds=self.pairs, layout=layout), None
        return draw_linear_runs(rng, self.effects, seeds=self.pairs, layout=layout)


@dataclass(frozen=True)
class CellResult:
    """What a cell showed.

    Attributes:
        cell: The kind of study.
        claims: False "better" or "worse" among all studies with a verdict.
        new_videos: The crossed interval holds the true difference, 0.
        this_test_set: The t interval holds the true difference on the drawn test set.
        equivalent: Verdict "equivalent", for what it is worth.
        silent: Studies without a verdict.
    """

    cell: Cell
    claims: Proportion
    new_videos: Proportion
    this_test_set: Proportion
    equivalent: Proportion
    silent: int


def null_cells(pairs: tuple[int, ...] = (6, 10, 20)) -> list[Cell]:
    """All kinds of null studies: effects, metrics, tails, failures, few videos."""
    cells = [
        Cell(f"video {g:g}, utterance {b:g}", "mae", n, RandomEffects(video=g, utterance=b))
        for g in (0.0, 0.05, 0.1)
        for b in (0.1, 0.3)
        for n in pairs
    ]
    strong = RandomEffects(video=0.1)
    cells += [Cell("seed 0.1", "mae", n, RandomEffects(seed=0.1)) for n in pairs]
    for shape in ("heavy", "skewed"):
        shaped = RandomEffects(seed=0.05, video=0.1, shape=shape)
        cells += [Cell(f"{shape} seeds and videos", "mae", n, shaped) for n in pairs]
    lossy = RandomEffects(video=0.1, failure_rate=0.1)
    cells += [Cell("10 % of runs fail", "mae", n, lossy) for n in pairs]
    cells += [Cell("8 videos", "mae", n, strong, 8, 180) for n in pairs]
    cells += [Cell("200 videos", "mae", n, strong, 200, 4600) for n in pairs]
    for metric in ("mae", "corr", "acc2_non0", "acc2_has0", "acc7", "f1_has0", "f1_non0"):
        drawn = RandomEffects(video=0.3, utterance=0.3, error=0.3)
        cells += [Cell("predictions", metric, n, drawn, latent=True) for n in pairs]
    # A failed run must leave every metric: NaN compares as False, which accuracies could count.
    drawn = RandomEffects(video=0.3, utterance=0.3, error=0.3, failure_rate=0.1)
    for metric in ("acc2_has0", "f1_non0"):
        cells += [Cell("10 % of runs fail", metric, n, drawn, latent=True) for n in pairs]
    return cells


def run_cell(cell: Cell, studies: int, rng: np.random.Generator) -> CellResult:
    """Judge many studies of one kind.

    Args:
        cell: The kind.
        studies: How many.
        rng: The source of all draws.
    """
    rules = Rules(margin=0.02)
    verdicts: list[Verdict | None] = []
    held_new: list[bool] = []
    held_here: list[bool] = []
    for _ in range(studies):
        runs, here = cell.draw(rng)
        pair = compare_pair(runs, ("a", "b"), cell.metric, rules)
        verdicts.append(judge(pair, rules).verdict)
        if pair.new_videos is not None:
            held_new.append(not pair.new_videos.excludes(0.0))
        if here is not None and pair.this_test_set is not None:
            held_here.append(not pair.this_test_set.excludes(here))
    judged = [verdict for verdict in verdicts if verdict is not None]
    return CellResult(
        cell,
        claims=_share([verdict in {Verdict.BETTER, Verdict.WORSE} for verdict in judged]),
        new_videos=_share(held_new),
        this_test_set=_share(held_here),
        equivalent=_share([verdict is Verdict.EQUIVALENT for verdict in judged]),
        silent=len(verdicts) - len(judged),
    )


def run_power_cell(
    pairs: int, gap_in_sds: float, studies: int, rng: np.random.Generator
) -> tuple[Proportion, Proportion, float]:
    """How often a true gap on this test set is found, and how often it should be.

    Args:
        pairs: Confirm seeds.
        gap_in_sds: The true gap in standard deviations of the paired seed difference.
        studies: How many.
        rng: The source of all draws.

    Returns:
        Found by the t interval, found by the sign flip at 5 %, exact power of the t test.
    """
    sd, layout = 0.05, video_layout()
    effects = RandomEffects(seed=sd, video=0.0, utterance=0.0, error=0.0)
    rules = Rules(margin=0.02)
    by_t: list[bool] = []
    by_flip: list[bool] = []
    for _ in range(studies):
        runs, _here = draw_linear_runs(
            rng, effects, seeds=pairs, layout=layout, gap=gap_in_sds * sd
        )
        pair = compare_pair(runs, ("a", "b"), "mae", rules, rng=None)
        by_t.append(_known(pair.this_test_set).excludes(0.0))
        by_flip.append((pair.sign_flip_p or 1.0) < 0.05)
    exact = power_on_this_test_set(gap_in_sds, 1.0, pairs, 0.05)
    return _share(by_t), _share(by_flip), exact


def run_looks_cell(
    pairs_a_look: int, looks: int, studies: int, rng: np.random.Generator
) -> Proportion:
    """False claims at any of several declared looks, each with more seeds on the same test set.

    Args:
        pairs_a_look: Confirm seeds that each look adds.
        looks: Declared looks.
        studies: How many.
        rng: The source of all draws.
    """
    rules = Rules(margin=0.02, looks=looks)
    layout = video_layout()
    claimed: list[bool] = []
    for _ in range(studies):
        runs, _here = draw_linear_runs(
            rng, RandomEffects(video=0.05), seeds=pairs_a_look * looks, layout=layout
        )
        seen = (_first(runs, pairs_a_look * (look + 1)) for look in range(looks))
        claimed.append(any(_claims(part, rules) for part in seen))
    return _share(claimed)


def _first(runs: Runs, seeds: int) -> Runs:
    return Runs(
        split=runs.split,
        config_ids=runs.config_ids,
        seeds=runs.seeds[:seeds],
        utterances=runs.utterances,
        videos=runs.videos,
        labels=runs.labels,
        predictions=runs.predictions[:, :seeds],
        states=tuple(row[:seeds] for row in runs.states),
    )


def _claims(runs: Runs, rules: Rules) -> bool:
    judgement = judge(compare_pair(runs, ("a", "b"), "mae", rules), rules)
    return judgement.verdict in {Verdict.BETTER, Verdict.WORSE}


def _known(interval: Interval | None) -> Interval:
    if interval is None:
        raise ValueError("this study has too few pairs for an interval")
    return interval


def _share(happened: list[bool]) -> Proportion:
    return Proportion(sum(happened), len(happened))
