"""Worlds in which claims may be false although the comparison's arithmetic is right.

Runs that collapse on one side, failures that take one side's worst runs, speakers with several
videos, very uneven videos, several finalists, styles that valid and test share; and clean worlds
beside them, in which no power may be lost. Each study is one letter: what was said of it.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from tune.evidence.pair import Role, Rules, compare_pair
from tune.evidence.pairing import Runs
from tune.evidence.verdicts import judge, judge_together
from tune.simulate.runs import (
    Proportion,
    RandomEffects,
    draw_linear_runs,
    uneven_layout,
    video_layout,
)
from tune.simulate.trouble import draw_own, runs_of
from tune.states import Verdict

__all__ = ["BrokenCell", "BrokenResult", "broken_cells", "run_broken_cell"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MARGIN = 0.02
MOSI_LIKE = RandomEffects(seed=0.02, video=0.11, utterance=0.0, error=0.3)
_QUIET = RandomEffects(seed=0.005, video=0.01, utterance=0.0, error=0.1)
_LETTERS = {Verdict.BETTER: "B", Verdict.WORSE: "W", Verdict.EQUIVALENT: "E"}


@dataclass(frozen=True)
class BrokenCell:
    """A kind of study.

    Attributes:
        name: What is special about it.
        pairs: Confirm seeds.
        effects: What varies between a and b.
        gap: True difference a − b over all runs and videos.
        uneven: Standard deviation of the logarithm of the videos' lengths; 0: as in MOSI.
        finalists: Configurations compared with the default beside the winner.
        styles: That valid and test share; 0: every video is drawn by itself.
        studies: How many times the studies asked for are drawn.
    """

    name: str
    pairs: int
    effects: RandomEffects = MOSI_LIKE
    gap: float = 0.0
    uneven: float = 0.0
    finalists: int = 1
    styles: int = 0
    studies: int = 1

    @property
    def gap_without_collapses(self) -> float:
        """True difference of the runs that do not collapse."""
        return self.gap - self.effects.gap_of_collapses


@dataclass
class BrokenResult:
    """What a cell showed, one entry a study.

    Attributes:
        said: Of the primary pair: B(etter), W(orse), E(quivalent), U(ndecided), - (no verdict).
        any_claim: Some pair of the study was said to be better or worse.
        limited: The claim was worded as one about runs that do not collapse.
        new_videos: The interval for new videos holds the true difference.
        this_test_set: So does that on this test set.
    """

    cell: BrokenCell
    said: list[str] = field(default_factory=list)
    any_claim: list[bool] = field(default_factory=list)
    limited: list[bool] = field(default_factory=list)
    new_videos: list[bool] = field(default_factory=list)
    this_test_set: list[bool] = field(default_factory=list)

    def false(self, *, as_worded: bool) -> Proportion:
        """Studies that say what is not so.

        Args:
            as_worded: A claim about runs that do not collapse is held against these alone; else
                all are held against the mean over all runs.
        """
        wrong = [
            _is_false(
                said,
                self.cell.gap_without_collapses if limited and as_worded else self.cell.gap,
            )
            for said, limited in zip(self.said, self.limited, strict=True)
        ]
        if self.cell.finalists > 1:
            wrong = self.any_claim  # all configurations are equal
        return _share(wrong)

    def saying(self, letters: str) -> Proportion:
        """Studies that say one of these of the primary pair."""
        return _share([said in letters for said in self.said])

    def line(self) -> str:
        """For the table."""
        return (
            f"{self.cell.name:<34}{self.cell.pairs:>4}  {self.false(as_worded=True)!s:<16}"
            f"{self.false(as_worded=False)!s:<16}{self.saying('BW').value:<8.3f}"
            f"{self.saying('E').value:<8.3f}{self.saying('-').value:<8.3f}"
            f"{_share(self.new_videos).value:<8.3f}{_share(self.this_test_set).value:.3f}"
        )


def broken_cells() -> list[BrokenCell]:
    """All of them, the clean ones last."""
    many, few = (replace(MOSI_LIKE, collapse=(rate, 0.0)) for rate in (0.2, 0.05))
    cells = [BrokenCell("20 % of a's runs collapse", n, many) for n in (6, 10, 20)]
    cells += [BrokenCell("5 % of a's runs collapse", n, few) for n in (6, 10, 20)]
    # Those that do not collapse are equal, and the videos are many enough to show it.
    equal = replace(_QUIET, collapse=(0.05, 0.0), collapse_size=MARGIN / 0.05)
    cells += [BrokenCell("5 % collapse, one margin apart", n, equal, MARGIN) for n in (6, 10)]
    cells += [
        BrokenCell("both collapse on 10 %", n, replace(MOSI_LIKE, collapse=(0.1, 0.1)))
        for n in (6, 10)
    ]
    cells += [
        BrokenCell(f"{k} speakers", 10, RandomEffects(speakers=k, speaker=0.05)) for k in (6, 15)
    ]
    worst = RandomEffects(seed=0.03, video=0.02, utterance=0.0, error=0.1, worst_fail=0.3)
    cells += [
        BrokenCell("a's worst 30 % fail, MOSI", n, replace(MOSI_LIKE, worst_fail=0.3))
        for n in (10, 20)
    ]
    cells += [BrokenCell("a's worst 30 % fail, seeds rule", n, worst) for n in (10, 20)]
    cells += [
        BrokenCell("lognormal(1) lengths", n, RandomEffects(video=0.1), uneven=1.0, studies=5)
        for n in (6, 10)
    ]
    cells += [BrokenCell("three finalists", 10, finalists=3)]
    cells += [BrokenCell("six styles, valid and test", 10, styles=6)]
    for gap in (0.0, 0.06, 0.08):
        cells += [BrokenCell(f"clean, MOSI, {gap:g} apart", n, gap=gap) for n in (6, 10, 20)]
    cells += [
        BrokenCell(f"clean, quiet, {gap:g} apart", n, _QUIET, gap)
        for gap in (0.0, 0.02, 0.01)
        for n in (6, 10)
    ]
    return cells


def run_broken_cell(cell: BrokenCell, studies: int, rng: np.random.Generator) -> BrokenResult:
    """Judge many studies of one kind.

    Args:
        cell: The kind.
        studies: How many.
        rng: The source of all draws, and of nothing else: the same draws for any judgement.
    """
    found = BrokenResult(cell)
    rules = Rules(MARGIN)
    for _ in range(studies * cell.studies):
        if cell.finalists > 1:
            runs, here = _finalists(cell, rng), None
        elif cell.styles:
            runs, here = _chosen_on_shared_styles(cell, rng), None
        else:
            runs, here = _two(cell, rng)
            if cell.effects.speakers:
                runs = replace(runs, videos=runs.videos % cell.effects.speakers, unit="speaker")
        main = compare_pair(runs, ("a", "b"), "mae", rules)
        pairs = [main]
        if cell.finalists > 1:
            others = [p for p in combinations(runs.config_ids, 2) if p != ("a", "b")]
            pairs += [compare_pair(runs, p, "mae", rules, role=Role.SECONDARY) for p in others]
        several = len(pairs) > 1
        told = judge_together(pairs, rules) if several else [judge(main, rules)]
        found.said.append("-" if told[0].verdict is None else _LETTERS.get(told[0].verdict, "U"))
        claims = {Verdict.BETTER, Verdict.WORSE}
        found.any_claim.append(any(one.verdict in claims for one in told))
        found.limited.append(told[0].collapse_bound is not None and not any(main.fallen))
        if main.new_videos is not None:
            found.new_videos.append(not main.new_videos.excludes(cell.gap))
        if here is not None and main.this_test_set is not None:
            found.this_test_set.append(not main.this_test_set.excludes(here))
    return found


def _two(cell: BrokenCell, rng: np.random.Generator) -> tuple[Runs, float]:
    layout = uneven_layout(rng, cell.uneven) if cell.uneven else video_layout()
    return draw_linear_runs(rng, cell.effects, seeds=cell.pairs, layout=layout, gap=cell.gap)


def _finalists(cell: BrokenCell, rng: np.random.Generator) -> Runs:
    """The winner "a", the default "b" and the other finalists, all equally good."""
    names = "abcdefgh"[: cell.finalists + 1]
    layout = video_layout()
    return runs_of(names, draw_own(cell.effects, rng, len(names), cell.pairs, layout), layout)


def _chosen_on_shared_styles(cell: BrokenCell, rng: np.random.Generator) -> Runs:
    """The best of 32 equal configurations on valid, whose styles are those of test."""
    layout, effects = video_layout(), cell.effects
    videos, style = int(layout[-1]) + 1, 0.05 * 0.5**0.5
    of_style = rng.normal(0.0, style, (33, cell.styles))
    shown = np.arange(videos) % cell.styles
    shares = np.bincount(shown[layout], minlength=cell.styles) / layout.size
    noise = rng.normal(0.0, effects.video * (0.5 / videos) ** 0.5, 33)
    valid = of_style @ shares + noise + rng.normal(0.0, effects.seed * 0.5, 33)
    winner = 1 + int(np.argmin(valid[1:]))
    chosen = of_style[[winner, 0]][:, shown[layout]]
    own = draw_own(effects, rng, 2, cell.pairs, layout)
    return runs_of("ab", chosen[:, None, :] + own, layout)


def _is_false(said: str, gap: float) -> bool:
    if said == "E":
        return abs(gap) >= MARGIN - 1e-12
    if said == "B":
        return gap >= 0.0
    return said == "W" and gap <= 0.0


def _share(happened: list[bool]) -> Proportion:
    return Proportion(sum(happened), len(happened))
