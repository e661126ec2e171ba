"""A whole study's comparison: which runs may be compared, on which split, and what is claimed.

Test speaks only when a whole look at confirm is over, so that nobody can look and go on. Until
then, and where test stays closed, the valid split is shown, without a verdict: valid chose the
configuration, so its values flatter. A `grid` is made for valid; its configurations were not
chosen by it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hscl.metrics import METRIC, METRICS, metrics_of
from tune.display import count as counted
from tune.evidence.confirm_state import ConfirmState, read_state
from tune.evidence.pair import (
    Judgement,
    PairComparison,
    PairEstimate,
    Role,
    Rules,
    compare_pair,
)
from tune.evidence.pairing import Runs, Seed, pair_runs
from tune.evidence.verdicts import judge, judge_together
from tune.states import Phase, TrialState, Verdict
from tune.stats.collapses import fallen_runs
from tune.stats.intervals import Interval, videos_interval
from tune.stats.power import FEWEST_VIDEOS
from tune.stats.pseudo_values import pseudo_values, run_scores
from tune.study.spec import StudySpec
from tune.tables.history import History
from tune.tables.identity import repairs_of

FloatArray = npt.NDArray[np.float64]

__all__ = [
    "ConfigSummary",
    "StudyComparison",
    "compare_study",
    "ensemble_of",
    "judge_finalists",
    "risk_of",
    "unit_notes",
]


@dataclass(frozen=True)
class ConfigSummary:
    """One configuration's runs in this comparison.

    Attributes:
        config_id: Its identity.
        number: Its place in the order of proposal; the default has 0.
        label: What output calls it.
        planned: How many runs it was to have.
        failed: Failed runs.
        unfinished: Runs that have not ended.
        scores: The metric for each of the comparison's seeds; None where a run has none.
        mean: Over the scores that exist.
        sd: Over the scores that exist.
        fallen: Seeds whose runs collapsed or had bad luck (`tune.stats.collapses`).
        risk: Share of the runs with a score that are worse than the default's mean by more than
            the margin; None without either.
        ensemble_value: The metric of the mean of all runs' predictions; None below two runs.
        ensemble: The same with its interval over videos; None with too few of them.
    """

    config_id: str
    number: int
    label: str
    planned: int
    failed: int
    unfinished: int
    scores: tuple[float | None, ...]
    mean: float | None
    sd: float | None
    fallen: tuple[Seed, ...] = ()
    risk: float | None = None
    ensemble_value: float | None = None
    ensemble: Interval | None = None


@dataclass(frozen=True)
class StudyComparison:
    """What a study's tables say about its configurations.

    Attributes:
        study: The study's name.
        study_digest: Of its specification.
        metric: The study's metric.
        rules: What it was judged by.
        looks: Looks that were planned before the first.
        looks_taken: Looks so far, without one that still runs after complete ones.
        split: "test", or "valid" where test is closed or may not speak yet.
        phase: Whose runs are compared; None in the search, where no run has a partner.
        closed: All runs on the seeds compared on have ended.
        seeds: The seeds compared on; of results made elsewhere, of the model with the most.
        videos: K of the split.
        unit: What these are: "video", or "speaker" where the data name them.
        joint: The primary pair and all others share the 5 % of false claims.
        metrics: All that its labels have, in the order of showing them.
        to_come: Runs of configurations that a list or grid has not proposed yet.
        reference: Configuration 0, or the winner of its branch.
        winner: The winner; None where there is none (yet).
        configs: The configurations compared.
        primary: Winner against default; None in `list` and `grid` studies and in the search.
        others: All other pairs on the study's metric, corrected by Holm.
        other_metrics: The primary pair, if there is one, then every other pair with the
            reference, on the other metrics.
        notes: What a reader has to know, in words.
    """

    study: str
    study_digest: str
    metric: str
    rules: Rules
    looks: int
    looks_taken: int
    split: str
    phase: Phase | None
    closed: bool
    seeds: tuple[Seed, ...]
    videos: int
    reference: str | None
    winner: str | None
    configs: tuple[ConfigSummary, ...]
    primary: PairComparison | None
    others: tuple[PairComparison, ...]
    other_metrics: tuple[PairComparison, ...]
    notes: tuple[str, ...]
    unit: str = "video"
    joint: bool = False
    metrics: tuple[str, ...] = METRICS
    to_come: int = 0

    @property
    def names(self) -> dict[str, str]:
        """What output calls each configuration."""
        return {config.config_id: config.label for config in self.configs}

    @property
    def margin(self) -> float:
        """The largest difference that counts as none."""
        return self.rules.margin

    @property
    def level(self) -> float:
        """Of this look: a difference is claimed where p is below it."""
        return self.rules.alpha

    @property
    def asked(self) -> PairComparison | None:
        """The one pair that the study is about: the primary, or a table's only one."""
        if self.primary is None and len(self.others) == 1:
            return self.others[0]
        return self.primary

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        pairs = {
            "primary": self.primary.to_dict() if self.primary else None,
            "others": [pair.to_dict() for pair in self.others],
            "other_metrics": [pair.to_dict() for pair in self.other_metrics],
        }
        plain: dict[str, Any] = {}
        for key, value in vars(self).items():
            if key not in pairs:
                limits = {"margin": self.margin, "level": self.level}
                plain |= limits if key == "rules" else {key: value}
        plain |= {"configs": [asdict(config) for config in self.configs]}
        plain |= {
            "phase": self.phase.value if self.phase else None,
            "mode": METRIC[self.metric].mode,
        }
        return plain | pairs


def compare_study(
    history: History, predictions: pa.Table, *, problems: Sequence[str] = ()
) -> StudyComparison:
    """Compare a study's configurations.

    The same rows give the same answer: draws are seeded by the study's digest.

    Args:
        history: What has happened in the study.
        predictions: The table of predictions.
        problems: What was found wrong on reading them; shown among the notes.
    """
    spec, state = history.spec, read_state(history)
    rng = np.random.default_rng(int(spec.digest[:16], 16))
    runs = _runs(history, predictions, state)
    rules, metric = state.rules(spec.confirm.margin), spec.study.metric
    primary, secondary = _judge_all(spec, state, runs, rng)
    main, others = _pairs(state)
    # A table for a paper has all metrics of every finalist, each against the default.
    finalists = [pair for pair in others if pair[1] == state.reference]
    shown = [main, *finalists] if main is not None else others if spec.is_table else []
    metrics = [
        _judged(compare_pair(runs, pair, other, rules, role=Role.METRIC, rng=rng), rules)
        for pair in shown
        for other in metrics_of(history.label_range)
        if other != metric
    ]
    configs = _summaries(state, runs, metric, rules.margin)
    return StudyComparison(
        study=spec.study.name,
        study_digest=spec.digest,
        metric=metric,
        rules=rules,
        looks=state.looks,
        looks_taken=state.looks_taken,
        split=state.split,
        phase=state.phase,
        closed=state.closed,
        seeds=state.seeds,
        videos=runs.video_count,
        reference=state.reference,
        winner=state.winner,
        configs=configs,
        primary=primary,
        others=secondary,
        other_metrics=tuple(metrics),
        notes=(
            *state.notes,
            *_about_videos(runs),
            *_about_fallen(configs),
            *_by_todays_rules(spec, state, runs, primary),
            *(f"The tables were {repair}." for repair in repairs_of(history.plan)),
            *problems,
            *runs.problems,
        ),
        unit=runs.unit,
        joint=_is_joint(state, secondary),
        metrics=metrics_of(history.label_range),
        to_come=state.to_come,
    )


def judge_finalists(
    history: History, predictions: pa.Table, state: ConfirmState
) -> tuple[PairComparison, ...]:
    """All verdicts of a study alone, the primary one first where there is one.

    Args:
        history: What has happened in the study.
        predictions: The table of predictions.
        state: Of that history.
    """
    runs = _runs(history, predictions, state)
    primary, others = _judge_all(history.spec, state, runs, None)
    return others if primary is None else (primary, *others)


def _runs(history: History, predictions: pa.Table, state: ConfirmState) -> Runs:
    runs = pair_runs(history.trials, predictions, state.members, state.seeds, state.split)
    return runs.clipped(history.label_range)


def _judge_all(
    spec: StudySpec, state: ConfirmState, runs: Runs, rng: np.random.Generator | None
) -> tuple[PairComparison | None, tuple[PairComparison, ...]]:
    """All pairs together, or the primary one by itself where that was declared beforehand."""
    rules, metric = state.rules(spec.confirm.margin), spec.study.metric
    main, others = _pairs(state)
    role = Role.REFERENCE if spec.is_table else Role.SECONDARY
    first = [] if main is None else [compare_pair(runs, main, metric, rules, rng=rng)]
    rest = [compare_pair(runs, pair, metric, rules, role=role, rng=rng) for pair in others]
    if first and _is_joint(state, rest):
        judged = judge_together([*first, *rest], rules)
    else:
        judged = [judge(pair, rules) for pair in first]
        if first and state.claims == "winner":
            judged += [Judgement(reason=_NOT_CLAIMED)] * len(rest)
        else:
            judged += judge_together(rest, rules)
    told = [PairComparison.of(*both) for both in zip([*first, *rest], judged, strict=True)]
    return (told[0], tuple(told[1:])) if first else (None, tuple(told))


_NOT_CLAIMED = (
    'the study declared (confirm.claims = "winner") that it claims something of the winner '
    "against the default alone"
)


def _is_joint(state: ConfirmState, others: Sequence[object]) -> bool:
    """Whether the primary pair shares the false claims allowed with others."""
    return state.primary is not None and state.claims == "all" and bool(others)


def _by_todays_rules(
    spec: StudySpec, state: ConfirmState, runs: Runs, primary: PairComparison | None
) -> list[str]:
    """What today's rules would say of a study that keeps its own, where it is another."""
    if state.claims is not None or primary is None or primary.verdict is None:
        return []
    today = _judge_all(spec, replace(state, claims="all"), runs, None)[0]
    if today is None or today.verdict is primary.verdict:
        return []
    return [
        (
            "This study began before today's rules and is judged by those it declared. By "
            "today's (collapsed runs count beside failures, uneven videos, one rate of false "
            f"claims for all finalists) the verdict on winner against default would be "
            f"{today.verdict or Verdict.UNDECIDED}: {today.judgement.reason}."
        )
    ]


def _judged(pair: PairEstimate, rules: Rules) -> PairComparison:
    return PairComparison.of(pair, judge(pair, rules))


def _pairs(
    state: ConfirmState,
) -> tuple[tuple[str, str] | None, list[tuple[str, str]]]:
    """The primary pair, and all others: against the reference in tables, else every pair."""
    reference = state.reference
    if state.phase is None or reference is None:
        return None, []
    main = state.primary
    if main is None:  # a table, or no winner yet
        return None, [(config, reference) for config in state.members if config != reference]
    rest = [pair for pair in combinations(state.members, 2) if set(pair) != set(main)]
    # The default is the second of each pair that it is in, as in the primary one.
    return main, [(b, a) if a == reference else (a, b) for a, b in rest]


def _summaries(
    state: ConfirmState, runs: Runs, metric: str, margin: float
) -> tuple[ConfigSummary, ...]:
    found = [_summary(config, state, runs, metric, margin) for config in state.members]
    default = next((one.mean for one in found if one.config_id == state.reference), None)
    lower_wins = METRIC[metric].lower_wins
    return tuple(
        replace(one, risk=risk_of(one.scores, default, margin, lower_wins=lower_wins))
        for one in found
    )


def risk_of(
    scores: Sequence[float | None], default: float | None, margin: float, *, lower_wins: bool
) -> float | None:
    """Share of runs that are worse than the default's mean by more than the margin.

    Args:
        scores: The metric of each run; None where a run has none.
        default: The default's mean; None where it has none.
        margin: What counts as no difference.
        lower_wins: True where smaller values of the metric are wanted.
    """
    known = np.array([score for score in scores if score is not None])
    if default is None or not known.size:
        return None
    behind = known - default if lower_wins else default - known
    return float((behind > margin).mean())


def ensemble_of(
    metric: str, labels: FloatArray, predictions: FloatArray, videos: npt.NDArray[np.int64]
) -> tuple[float | None, Interval | None]:
    """The metric of the mean of several runs' predictions, and its interval over videos.

    Args:
        metric: Of `hscl.metrics.METRIC`.
        labels: (U,) true labels.
        predictions: (n, U) of whole runs.
        videos: (U,) number of each utterance's video.

    Returns:
        None for both below two runs or where the metric does not exist; for the interval alone
        with too few videos.
    """
    if len(predictions) < 2:
        return None, None
    values = pseudo_values(metric, labels, predictions.mean(axis=0))
    if not np.isfinite(values).all():
        return None, None
    enough = np.unique(videos).size >= FEWEST_VIDEOS
    interval = videos_interval(values[0], videos) if enough else None
    return float(run_scores(values)[0]), interval


def _summary(
    config_id: str, state: ConfirmState, runs: Runs, metric: str, margin: float
) -> ConfigSummary:
    predictions = runs.predictions[runs.index(config_id)]
    scores = run_scores(pseudo_values(metric, runs.labels, predictions))
    known = scores[np.isfinite(scores)]
    fallen = fallen_runs(scores, predictions, margin, lower_wins=METRIC[metric].lower_wins)
    ended = {TrialState.DONE, TrialState.FAILED, TrialState.PRUNED}
    states = runs.states[runs.index(config_id)]
    planned = len(states) - (states.count(None) if config_id in state.dropped else 0)
    finished = predictions[runs.finished(config_id)]
    value, interval = ensemble_of(metric, runs.labels, finished, runs.videos)
    return ConfigSummary(
        config_id=config_id,
        number=state.numbers[config_id],
        label=state.labels[config_id],
        planned=planned,
        failed=runs.failures(config_id),
        unfinished=planned - sum(end in ended for end in states),
        scores=tuple(float(s) if np.isfinite(s) else None for s in scores),
        mean=float(known.mean()) if known.size else None,
        sd=float(known.std(ddof=1)) if known.size > 1 else None,
        fallen=tuple(s for s, fell in zip(runs.seeds, fallen, strict=True) if fell),
        ensemble_value=value,
        ensemble=interval,
    )


def _about_fallen(configs: Sequence[ConfigSummary]) -> list[str]:
    """What runs far from all others do to every figure that is drawn from the seeds' spread."""
    fallen = sum(len(one.fallen) for one in configs)
    if not fallen:
        return []
    runs = f"{counted(fallen, 'run')} that collapsed or had bad luck"
    told = f"The spread between seeds holds {runs}: the noise floor, and the seed's share of the"
    return [f"{told} variance, are larger for it."]


def unit_notes(unit: str, count: int, split: str, *, named: bool) -> list[str]:
    """What the unit of the intervals is, and what would make them too short.

    Args:
        unit: "video" or "speaker".
        count: How many there are.
        split: "valid" or "test".
        named: The ids name videos.
    """
    if unit == "speaker":
        told = f"The unit is the speaker ({count} in the {split} set): claims are for speakers"
        return [f"{told} like these."]
    if named:
        unknown = "The data name no speakers: where one speaks in several videos, intervals"
        return [f"{unknown} for new videos are too short."]
    unnamed = f"The {split} set's ids name no videos, so each utterance is its own video"
    return [f"{unnamed}: if some share a recording, intervals for new videos are too short."]


def _about_videos(runs: Runs) -> list[str]:
    if not runs.utterances:
        return []
    return unit_notes(runs.unit, runs.video_count, runs.split, named=runs.videos_named)
