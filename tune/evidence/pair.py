"""One configuration against another: what is known on this test set and for videos like these."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hscl.metrics import METRIC
from tune.evidence.pairing import Runs, Seed
from tune.states import Verdict
from tune.stats.collapses import fallen_runs, far_from_others
from tune.stats.intervals import Interval, crossed_variance, t_interval, two_level_bootstrap
from tune.stats.power import FEWEST_VIDEOS, Range, Spread
from tune.stats.pseudo_values import pseudo_values, run_scores
from tune.stats.significance import EXACT_PAIRS, probability_of_improvement, sign_flip_p

__all__ = [
    "Judgement",
    "Outlook",
    "PairComparison",
    "PairEstimate",
    "Role",
    "Rules",
    "compare_pair",
    "worst_of",
]

FloatArray = npt.NDArray[np.float64]


class Role(StrEnum):
    """Why a pair is compared."""

    PRIMARY = "primary"
    """The one comparison that was fixed before test was opened."""
    REFERENCE = "reference"
    """A configuration of a `list` or `grid` against configuration 0; corrected by Holm."""
    SECONDARY = "secondary"
    """Any other pair on the study's metric; corrected by Holm."""
    METRIC = "metric"
    """A pair with configuration 0 on another metric: intervals, no verdict."""


@dataclass(frozen=True)
class Rules:
    """What was fixed before the comparison.

    Attributes:
        margin: The largest difference that still counts as none, in the metric's units.
        alpha: The level of this look: a difference is claimed where p is below it.
        withheld: Why no verdict may be given at all; empty where one may.
        of_old: The study began before there were rules on collapsed runs, on lost ones, on
            differences far from normal, on uneven videos and on families: it keeps its own.
    """

    margin: float
    alpha: float = 0.05
    withheld: str = ""
    of_old: bool = False


@dataclass(frozen=True)
class Outlook:
    """What would decide an open question: computed for a true difference of one margin.

    Attributes:
        power: Share of studies of this size that find a true difference of one margin.
        detectable: The true difference that 80 % of studies of this size find.
        pairs: Confirm seeds, as few as do, with which a study on these videos finds it in 80 %;
            None where no number does.
        videos: Fewest videos that find it in 80 %, with `videos_pairs` seeds; None where none.
        videos_pairs: The seeds that `videos` goes with: as many as there are, or twice.
        pairs_range: Between which numbers `pairs` lies, as few seeds and videos as there were
            leave the variances open: the 10 % and the 90 % end, None for no number.
        videos_range: The same of `videos`.
        unit: What "videos" are: "video" or "speaker".
    """

    power: float
    detectable: float
    pairs: int | None
    videos: int | None
    videos_pairs: int
    pairs_range: Range = (None, None)
    videos_range: Range = (None, None)
    unit: str = "video"


@dataclass(frozen=True)
class PairEstimate:
    """All that was measured of A − B. Two-element tuples hold A's and B's value.

    Attributes:
        first: A's configuration.
        second: B's configuration.
        metric: Of `hscl.metrics.METRICS`.
        split: "valid" or "test".
        role: Why this pair is compared.
        seeds: The seeds on which both have a value.
        planned: On how many seeds both were to run.
        failures: Failed runs.
        missing: Finished runs without a value (Corr of a constant prediction).
        means: Mean of the metric over `seeds`.
        sds: Standard deviation of the metric over `seeds`.
        differences: A − B for each of `seeds`.
        seed_correlation: Of A's and B's values over `seeds`; None where it does not exist.
        videos: K, the number of videos.
        this_test_set: Interval over seeds alone; None below two pairs.
        sign_flip_p: Exact p value over seeds alone.
        new_videos: Interval over seeds and videos; None with too few videos.
        new_videos_narrow: The same at 1 − 2·alpha, for equivalence.
        bootstrap: Two-level bootstrap; shown, decides nothing.
        p_value: Of `new_videos`.
        spread: Variance components of one seed on one video.
        ahead: Share of seeds on which A wins, ties counting half.
        fallen: Seeds of A's and of B's runs that collapsed or had bad luck
            (`tune.stats.collapses`); their values count like any.
        runs: How many runs of A and B have a value.
        worst: The worst of these values.
        far_from_normal: Some seed's difference lies far from the others'.
        flip_equivalence_p: P value of a difference of the margin or more by sign flips; only
            where `far_from_normal`.
        unit: What `videos` counts: "video", or "speaker" where the data name them.
        sizes: How many runs A and B were to have where these are not `planned` each: results made
            elsewhere may have seeds that the other side lacks; else None.
    """

    first: str
    second: str
    metric: str
    split: str
    role: Role
    seeds: tuple[Seed, ...]
    planned: int
    failures: tuple[int, int]
    missing: tuple[int, int]
    means: tuple[float, float]
    sds: tuple[float, float]
    differences: tuple[float, ...]
    seed_correlation: float | None
    videos: int
    this_test_set: Interval | None = None
    sign_flip_p: float | None = None
    new_videos: Interval | None = None
    new_videos_narrow: Interval | None = None
    bootstrap: Interval | None = None
    p_value: float | None = None
    spread: Spread | None = None
    ahead: Interval | None = None
    fallen: tuple[tuple[Seed, ...], tuple[Seed, ...]] = ((), ())
    runs: tuple[int, int] = (0, 0)
    worst: tuple[float, float] = (float("nan"), float("nan"))
    far_from_normal: bool = False
    flip_equivalence_p: float | None = None
    unit: str = "video"
    sizes: tuple[int, int] | None = None

    @property
    def paired(self) -> bool:
        """Whether runs are compared seed by seed; else as two groups without a common seed."""
        return bool(self.differences) or not self.seeds

    @property
    def planned_runs(self) -> tuple[int, int]:
        """How many runs either side was to have."""
        return (self.planned, self.planned) if self.sizes is None else self.sizes

    @property
    def lower_wins(self) -> bool:
        """Whether smaller values of the metric are wanted."""
        return METRIC[self.metric].lower_wins

    @property
    def lost(self) -> tuple[int, int]:
        """Runs of either side that gave no result: failed, or without a value."""
        return self.failures[0] + self.missing[0], self.failures[1] + self.missing[1]

    @property
    def spoiled(self) -> tuple[int, int]:
        """Runs of either side that gave no result, collapsed, or had bad luck."""
        return self.lost[0] + len(self.fallen[0]), self.lost[1] + len(self.fallen[1])


@dataclass(frozen=True)
class Judgement:
    """What is concluded from an estimate.

    Attributes:
        verdict: None where none may be given; `reason` says why.
        below_margin: The difference is smaller than the margin for sure.
        reason: Why this verdict, or why none.
        outlook: What would decide it, where the verdict is undecided.
        sign_flip_p_holm: The estimate's `sign_flip_p`, corrected; secondary pairs only.
        p_holm: The estimate's `p_value`, corrected; secondary pairs only.
        collapse_bound: Where the verdict is about runs that do not collapse, as none was seen to:
            the rate of collapses that can't be excluded; else None.
        overruled: Undecided only because of runs that failed, collapsed or had bad luck.
    """

    verdict: Verdict | None = None
    below_margin: bool = False
    reason: str = ""
    outlook: Outlook | None = None
    sign_flip_p_holm: float | None = None
    p_holm: float | None = None
    collapse_bound: float | None = None
    overruled: bool = False


@dataclass(frozen=True)
class PairComparison(PairEstimate):
    """An estimate with the judgement on it.

    Attributes:
        judgement: As `tune.evidence.verdicts` gives it.
    """

    judgement: Judgement = Judgement()

    @classmethod
    def of(cls, estimate: PairEstimate, judgement: Judgement) -> "PairComparison":
        """Join what was measured and what is concluded."""
        return cls(**vars(estimate), judgement=judgement)

    @property
    def verdict(self) -> Verdict | None:
        """Of the judgement."""
        return self.judgement.verdict

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, all on one level; what is not a number becomes None."""
        measured = asdict(self)
        concluded = measured.pop("judgement")
        plain = {key: _plain(value) for key, value in (measured | concluded).items()}
        return plain | {"mode": METRIC[self.metric].mode}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, StrEnum) else value


def compare_pair(
    runs: Runs,
    pair: tuple[str, str],
    metric: str,
    rules: Rules,
    *,
    role: Role = Role.PRIMARY,
    rng: np.random.Generator | None = None,
) -> PairEstimate:
    """The numbers of a comparison; the verdict follows in `tune.evidence.verdicts`.

    Args:
        runs: Predictions on the same seeds and utterances.
        pair: A and B; differences are A − B.
        metric: Of `hscl.metrics.METRICS`.
        rules: What was fixed beforehand.
        role: Why this pair is compared.
        rng: For the bootstrap (of primary pairs and those with the reference) and for sign flips
            above 20 pairs; None leaves both out.
    """
    values = [
        pseudo_values(metric, runs.labels, runs.predictions[runs.index(config)]) for config in pair
    ]
    every = [run_scores(v) for v in values]
    have: list[npt.NDArray[np.bool_]] = [np.isfinite(score) for score in every]
    both = have[0] & have[1]
    scores = [score[both] for score in every]
    differences = scores[0] - scores[1]
    n, level = int(both.sum()), 1.0 - rules.alpha
    several = n >= 2
    far = bool(far_from_others(differences, rules.margin).any())
    # The same draws whoever asks: a verdict may rest on them.
    flipper = np.random.default_rng(n) if far and rng is None else rng
    flips = several and (n <= EXACT_PAIRS or flipper is not None)
    sign_flip = sign_flip_p(differences, flipper) if flips else None
    crossed = wide = bootstrap = None
    if several and runs.video_count >= FEWEST_VIDEOS:
        table = values[0][both] - values[1][both]
        crossed = crossed_variance(table, runs.videos, by_weight=not rules.of_old)
        wide = crossed.interval(level)
        if rng is not None and role in {Role.PRIMARY, Role.REFERENCE}:
            bootstrap = two_level_bootstrap(table, runs.videos, rng, level=level)
    lower_wins = METRIC[metric].lower_wins
    fallen = [
        fallen_runs(
            score, runs.predictions[runs.index(config)], rules.margin, lower_wins=lower_wins
        )
        for config, score in zip(pair, every, strict=True)
    ]
    return PairEstimate(
        first=pair[0],
        second=pair[1],
        metric=metric,
        split=runs.split,
        role=role,
        seeds=tuple(s for s, keep in zip(runs.seeds, both, strict=True) if keep),
        planned=len(runs.seeds),
        failures=(runs.failures(pair[0]), runs.failures(pair[1])),
        missing=(_missing(runs, pair[0], have[0]), _missing(runs, pair[1], have[1])),
        means=(_mean(scores[0]), _mean(scores[1])),
        sds=(_sd(scores[0]), _sd(scores[1])),
        differences=tuple(float(d) for d in differences),
        seed_correlation=_correlation(scores[0], scores[1]),
        videos=runs.video_count,
        this_test_set=t_interval(differences, level) if several else None,
        sign_flip_p=sign_flip,
        new_videos=wide,
        new_videos_narrow=wide.at(1.0 - 2.0 * rules.alpha) if wide else None,
        bootstrap=bootstrap,
        p_value=wide.p_value() if wide else None,
        spread=Spread.of(crossed) if crossed else None,
        ahead=probability_of_improvement(differences, lower_wins=lower_wins) if several else None,
        fallen=(_seeds(runs, fallen[0]), _seeds(runs, fallen[1])),
        runs=(int(have[0].sum()), int(have[1].sum())),
        worst=(
            worst_of(every[0], lower_wins=lower_wins),
            worst_of(every[1], lower_wins=lower_wins),
        ),
        far_from_normal=far,
        flip_equivalence_p=_flip_equivalence(differences, rules.margin, flipper) if far else None,
        unit=runs.unit,
    )


def _flip_equivalence(
    differences: FloatArray, margin: float, rng: np.random.Generator | None
) -> float:
    """The larger p value of two one-sided sign-flip tests against ± margin."""
    if abs(float(differences.mean())) >= margin:
        return 1.0
    return max(sign_flip_p(differences - side, rng) / 2.0 for side in (margin, -margin))


def worst_of(scores: FloatArray, *, lower_wins: bool) -> float:
    """The worst of the scores that exist; NaN where none does."""
    known = scores[np.isfinite(scores)]
    if not known.size:
        return float("nan")
    return float(known.max() if lower_wins else known.min())


def _seeds(runs: Runs, which: npt.NDArray[np.bool_]) -> tuple[Seed, ...]:
    return tuple(seed for seed, chosen in zip(runs.seeds, which, strict=True) if chosen)


def _missing(runs: Runs, config_id: str, have: npt.NDArray[np.bool_]) -> int:
    """Finished runs whose metric does not exist."""
    if not runs.utterances:  # no run has predictions, though none lacks one
        return 0
    return int((runs.finished(config_id) & ~have).sum())


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _sd(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _correlation(one: FloatArray, other: FloatArray) -> float | None:
    if one.size < 3 or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return None
    return float(np.corrcoef(one, other)[0, 1])
