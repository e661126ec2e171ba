"""How often the very code that judges real studies is wrong, on simulated ones.

A cell is a kind of study; its figures are shares over many simulated studies, each with its
binomial standard error.
"""

from dataclasses import dataclass

import numpy as np

from tune.evidence.ending import Prospect, prospect_of
from tune.evidence.pair import PairComparison, Rules, compare_pair
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
from tune.stats.looks import Look, plan_looks
from tune.stats.power import power_on_this_test_set

__all__ = [
    "Cell",
    "CellResult",
    "ConfirmCell",
    "ConfirmResult",
    "confirm_cells",
    "null_cells",
    "run_cell",
    "run_confirm_cell",
    "run_power_cell",
]

_MARGIN = 0.02
_CONFIRM_SHARES = (
    *("claims", "equivalent", "any_claim", "any_equivalent", "fixed", "fixed_equivalent"),
    *("new_videos", "this_test_set", "out_of_reach", "lost"),
)


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
    rules = Rules(_MARGIN)
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
    rules = Rules(_MARGIN)
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


@dataclass(frozen=True)
class ConfirmCell:
    """A kind of study whose confirm is looked at several times.

    Attributes:
        name: What varies.
        effects: The same in numbers.
        seeds: `confirm.seeds`.
        gap: True difference for new videos, in margins.
        orders: `confirm.looks`; all are ordered, whatever the first ones said.
    """

    name: str
    effects: RandomEffects
    seeds: int
    gap: float
    orders: int = 1


@dataclass(frozen=True)
class ConfirmResult:
    """What sequential confirms of one kind showed, and one look at the end on the same draws.

    Attributes:
        cell: The kind of study.
        claims: "better" or "worse" where confirm ended.
        equivalent: "equivalent" where it ended.
        any_claim: "better" or "worse" at any look, had it never ended early.
        any_equivalent: "equivalent" at any look.
        fixed: "better" or "worse" at one look at the end, at 5 %.
        fixed_equivalent: "equivalent" there.
        new_videos: The crossed interval shown at the end holds the true difference.
        this_test_set: So does the t interval on the drawn test set.
        out_of_reach: Ended early without a verdict.
        lost: Of all studies: ended so, though a later look would have given a verdict.
        pairs: Pairs of trainings spent in the mean, of seeds × orders.
    """

    cell: ConfirmCell
    claims: Proportion
    equivalent: Proportion
    any_claim: Proportion
    any_equivalent: Proportion
    fixed: Proportion
    fixed_equivalent: Proportion
    new_videos: Proportion
    this_test_set: Proportion
    out_of_reach: Proportion
    lost: Proportion
    pairs: float


def confirm_cells(seeds: tuple[int, ...] = (6, 10, 20)) -> list[ConfirmCell]:
    """Where only seeds vary (looks differ most), as on MOSI, and where videos hide everything."""
    worlds = {
        "seeds alone": RandomEffects(seed=0.02, video=0.0, utterance=0.0, error=0.1),
        "as on MOSI": RandomEffects(seed=0.02, video=0.11, utterance=0.0, error=0.3),
        "large video effects": RandomEffects(seed=0.02, video=0.3, utterance=0.0, error=0.3),
    }
    cells = [
        ConfirmCell(name, effects, count, gap)
        for name, effects in worlds.items()
        for count in seeds
        for gap in (0.0, 0.5, 1.0, 2.0, 3.0)
    ]
    alone = worlds["seeds alone"]
    return cells + [ConfirmCell("seeds alone, ordered twice", alone, 10, g, 2) for g in (0.0, 1.0)]


@dataclass(frozen=True)
class _Taken:
    """One look at a simulated confirm: what was said, and whether confirm ends with it."""

    pair: PairComparison
    ends: Prospect

    @property
    def claims(self) -> bool:
        return self.pair.verdict in {Verdict.BETTER, Verdict.WORSE}

    @property
    def equal(self) -> bool:
        return self.pair.verdict is Verdict.EQUIVALENT


def run_confirm_cell(cell: ConfirmCell, studies: int, rng: np.random.Generator) -> ConfirmResult:
    """Take all looks of many confirms of one kind.

    Args:
        cell: The kind.
        studies: How many.
        rng: The source of all draws.
    """
    layout, gap = video_layout(), cell.gap * _MARGIN
    planned = plan_looks(cell.seeds, cell.orders)
    found: dict[str, list[bool]] = {name: [] for name in _CONFIRM_SHARES}
    spent = []
    for _ in range(studies):
        total = cell.seeds * cell.orders
        runs, here = draw_linear_runs(rng, cell.effects, seeds=total, layout=layout, gap=gap)
        taken = [_take_look(runs, planned, index) for index in range(len(planned))]
        over = (one for one in taken if cell.orders == 1 and one.ends is not Prospect.OPEN)
        end = next(over, taken[-1])
        fixed = judge(taken[-1].pair, Rules(_MARGIN)).verdict
        out_of_reach = end is not taken[-1] and end.pair.verdict is Verdict.UNDECIDED
        new, this = (_known(i) for i in (end.pair.new_videos, end.pair.this_test_set))
        told = {
            "claims": end.claims,
            "equivalent": end.equal,
            "any_claim": any(one.claims for one in taken),
            "any_equivalent": any(one.equal for one in taken),
            "fixed": fixed in {Verdict.BETTER, Verdict.WORSE},
            "fixed_equivalent": fixed is Verdict.EQUIVALENT,
            "new_videos": not new.excludes(gap),
            "this_test_set": not this.excludes(here),
            "out_of_reach": out_of_reach,
            "lost": out_of_reach and any(one.claims or one.equal for one in taken),
        }
        for name, happened in told.items():
            found[name].append(happened)
        spent.append(end.pair.planned)
    shares = {name: _share(happened) for name, happened in found.items()}
    return ConfirmResult(cell=cell, pairs=float(np.mean(spent)), **shares)


def _take_look(runs: Runs, planned: tuple[Look, ...], index: int) -> _Taken:
    rules = Rules(_MARGIN, planned[index].level)
    estimate = compare_pair(runs.first(planned[index].pairs), ("a", "b"), "mae", rules)
    pair = PairComparison.of(estimate, judge(estimate, rules))
    return _Taken(pair, prospect_of(pair, rules, planned[index + 1 :]))


def _known(interval: Interval | None) -> Interval:
    if interval is None:
        raise ValueError("this study has too few pairs for an interval")
    return interval


def _share(happened: list[bool]) -> Proportion:
    return Proportion(sum(happened), len(happened))
