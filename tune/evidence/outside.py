"""Predictions made anywhere, without a study: the same judgement on them.

A table of `model, seed, utterance, video, prediction, label` (and `speaker`, where known) is
compared as a study's finalists are: every model against one of them, corrected by Holm where
there are several. Runs are paired by seed where both models name their seeds alike; else they are
two independent groups on the same videos, and the interval is as wide as that makes it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hscl.data.schema import LABEL_RANGE
from hscl.errors import InputError, did_you_mean
from hscl.metrics import METRIC, metrics_of
from tune.display import count as counted
from tune.evidence.comparison import (
    ConfigSummary,
    StudyComparison,
    ensemble_of,
    risk_of,
    unit_notes,
)
from tune.evidence.curves import Label
from tune.evidence.outside_table import NEEDED, Model, Results, read_results
from tune.evidence.pair import (
    PairComparison,
    PairEstimate,
    Role,
    Rules,
    compare_pair,
    worst_of,
)
from tune.evidence.pairing import Runs, Seed
from tune.evidence.sentences import several_text
from tune.evidence.verdicts import judge, judge_together
from tune.states import TrialState
from tune.stats.collapses import fallen_runs
from tune.stats.power import FEWEST_PAIRS, FEWEST_VIDEOS
from tune.stats.pseudo_values import pseudo_values, run_scores
from tune.stats.unpaired import crossed_difference, welch_interval

__all__ = ["NEEDED", "compare_outside", "headline_outside", "labels_outside", "opening_outside"]

_SPLIT = "test"
_SIMS = (
    "All labels lie between −1 and 1 in steps of 0.2, as CH-SIMS's: its metrics are shown, and "
    "predictions are clipped to that range, as MMSA does."
)

FloatArray = npt.NDArray[np.float64]


def compare_outside(
    path: Path, *, against: str | None = None, metric: str = "mae", margin: float = 0.02
) -> StudyComparison:
    """Judge predictions that no study made.

    Args:
        path: A CSV, Parquet or Arrow file with the columns of `NEEDED`, and `speaker` where known.
        against: The model that all others are compared with; None: the first in the table.
        metric: What the verdict is on.
        margin: The largest difference that counts as none.

    Returns:
        What a study's comparison says, without a phase.

    Raises:
        InputError: The table lacks something, runs differ in utterances or labels, there is one
            model only, or no such model or metric.
    """
    results = read_results(path)
    metrics = metrics_of(results.label_range)
    if metric not in metrics:
        raise InputError(
            f"--metric must be one that the labels of {path} have, but got {metric!r}; "
            f"{did_you_mean(metric, metrics)}"
        )
    names = [model.name for model in results.models]
    reference = names[0] if against is None else against
    if reference not in names:
        raise InputError(
            f"--against must name a model of {path}, but got {against!r}; "
            f"{did_you_mean(reference, names)}"
        )
    if len(names) < 2:
        raise InputError(f"{path} must hold two models or more; it holds {names[0]!r} alone.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rng = np.random.default_rng(int(digest[:16], 16))
    rules = Rules(margin)
    by_name = {model.name: model for model in results.models}
    rivals = [model for model in results.models if model.name != reference]
    alone = len(rivals) == 1
    role = Role.PRIMARY if alone else Role.REFERENCE
    pairs = [(rival, by_name[reference]) for rival in rivals]
    found = [_estimate(results, pair, metric, rules, role=role, rng=rng) for pair in pairs]
    others = [
        _estimate(results, pair, other, rules, role=Role.METRIC, rng=rng)
        for pair in pairs
        for other in metrics
        if other != metric
    ]
    together = [judge(found[0], rules)] if alone else judge_together(found, rules)
    judged = [PairComparison.of(*both) for both in zip(found, together, strict=True)]
    return StudyComparison(
        study=path.name,
        study_digest=digest,
        metric=metric,
        rules=rules,
        looks=1,
        looks_taken=1,
        split=_SPLIT,
        phase=None,
        closed=True,
        seeds=max((model.seeds for model in results.models), key=len),
        videos=int(results.videos.max()) + 1,
        reference=reference,
        winner=None,
        configs=tuple(_summaries(results, reference, metric, margin)),
        primary=judged[0] if alone else None,
        others=() if alone else tuple(judged),
        other_metrics=tuple(PairComparison.of(pair, judge(pair, rules)) for pair in others),
        notes=(
            *_notes(results, pairs),
            *unit_notes(
                results.unit, int(results.videos.max()) + 1, _SPLIT, named=results.videos_named
            ),
        ),
        unit=results.unit,
        metrics=metrics,
    )


def labels_outside(compared: StudyComparison) -> dict[str, Label]:
    """What figures and sentences call each model.

    Args:
        compared: From `compare_outside`.
    """
    return {
        config_id: Label(name, "default" if config_id == compared.reference else "other")
        for config_id, name in compared.names.items()
    }


def opening_outside(compared: StudyComparison) -> tuple[str, ...]:
    """Who beats whom among several models; of a single pair its verdict says it."""
    return () if compared.primary is not None else (headline_outside(compared),)


def headline_outside(compared: StudyComparison) -> str:
    """Who beats whom, in one sentence."""
    reference = compared.names[compared.reference or ""]
    return several_text(compared, labels_outside(compared), reference, "model")


def _paired(first: Model, second: Model) -> bool:
    common = set(first.seeds) & set(second.seeds)
    alike = set(first.seeds) == set(second.seeds)
    return alike or len(common) >= FEWEST_PAIRS


def _estimate(
    results: Results,
    pair: tuple[Model, Model],
    metric: str,
    rules: Rules,
    *,
    role: Role,
    rng: np.random.Generator,
) -> PairEstimate:
    first, second = pair
    sizes = len(first.seeds), len(second.seeds)
    if _paired(first, second):
        names = (first.name, second.name)
        found = compare_pair(_runs(results, pair), names, metric, rules, role=role, rng=rng)
        return replace(found, sizes=sizes)
    level = 1.0 - rules.alpha
    values = [pseudo_values(metric, results.labels, m.predictions) for m in pair]
    scores = [run_scores(v) for v in values]
    have = [np.isfinite(s) for s in scores]
    values = [v[h] for v, h in zip(values, have, strict=True)]
    scores = [s[h] for s, h in zip(scores, have, strict=True)]
    smaller = 0 if len(scores[0]) <= len(scores[1]) else 1
    fewer = len(scores[smaller])
    videos = int(results.videos.max()) + 1
    wide = None
    if fewer >= 2 and videos >= FEWEST_VIDEOS:
        wide = crossed_difference(values[0], values[1], results.videos, level)
    failures = [int((~m.finite).sum()) for m in pair]
    lower_wins = METRIC[metric].lower_wins
    fallen = [_fallen(model, results, metric, rules.margin) for model in pair]
    return PairEstimate(
        first=first.name,
        second=second.name,
        metric=metric,
        split=_SPLIT,
        role=role,
        seeds=tuple(range(fewer)),
        planned=sizes[smaller],
        sizes=sizes,
        failures=(failures[0], failures[1]),
        missing=(
            sizes[0] - failures[0] - len(scores[0]),
            sizes[1] - failures[1] - len(scores[1]),
        ),
        means=(_mean(scores[0]), _mean(scores[1])),
        sds=(_sd(scores[0]), _sd(scores[1])),
        differences=(),
        seed_correlation=None,
        videos=videos,
        this_test_set=welch_interval(scores[0], scores[1], level) if fewer >= 2 else None,
        new_videos=wide,
        new_videos_narrow=wide.at(1.0 - 2.0 * rules.alpha) if wide else None,
        p_value=wide.p_value() if wide else None,
        fallen=(fallen[0], fallen[1]),
        runs=(len(scores[0]), len(scores[1])),
        worst=(
            worst_of(scores[0], lower_wins=lower_wins),
            worst_of(scores[1], lower_wins=lower_wins),
        ),
        unit=results.unit,
    )


def _fallen(model: Model, results: Results, metric: str, margin: float) -> tuple[Seed, ...]:
    """Seeds of a model's runs that collapsed or had bad luck."""
    scores = run_scores(pseudo_values(metric, results.labels, model.predictions))
    lower_wins = METRIC[metric].lower_wins
    fell = fallen_runs(scores, model.predictions, margin, lower_wins=lower_wins)
    return tuple(seed for seed, fallen in zip(model.seeds, fell, strict=True) if fallen)


def _runs(results: Results, pair: tuple[Model, Model]) -> Runs:
    seeds = list(dict.fromkeys([*pair[0].seeds, *pair[1].seeds]))
    shape = (2, len(seeds), len(results.utterances))
    predictions = np.full(shape, np.nan)
    states: list[list[TrialState | None]] = []
    for row, model in zip(predictions, pair, strict=True):
        told: list[TrialState | None] = [None] * len(seeds)
        for seed, finite, values in zip(model.seeds, model.finite, model.predictions, strict=True):
            told[seeds.index(seed)] = TrialState.DONE if finite else TrialState.FAILED
            row[seeds.index(seed)] = values if finite else np.nan
        states.append(told)
    return Runs(
        split=_SPLIT,
        config_ids=(pair[0].name, pair[1].name),
        seeds=tuple(seeds),
        utterances=results.utterances,
        videos=results.videos,
        labels=results.labels,
        predictions=predictions,
        states=tuple(tuple(told) for told in states),
        videos_named=results.videos_named,
        unit=results.unit,
    )


def _summaries(
    results: Results, reference: str, metric: str, margin: float
) -> Iterator[ConfigSummary]:
    found = [_summary(k, m, results, metric) for k, m in enumerate(results.models)]
    default = next(one.mean for one in found if one.config_id == reference)
    lower_wins = METRIC[metric].lower_wins
    for one, model in zip(found, results.models, strict=True):
        have = model.predictions[model.finite]
        value, interval = ensemble_of(metric, results.labels, have, results.videos)
        yield replace(
            one,
            fallen=_fallen(model, results, metric, margin),
            risk=risk_of(one.scores, default, margin, lower_wins=lower_wins),
            ensemble_value=value,
            ensemble=interval,
        )


def _summary(number: int, model: Model, results: Results, metric: str) -> ConfigSummary:
    scores = run_scores(pseudo_values(metric, results.labels, model.predictions))
    known = scores[np.isfinite(scores)]
    return ConfigSummary(
        config_id=model.name,
        number=number,
        label=model.name,
        planned=len(model.seeds),
        failed=int((~model.finite).sum()),
        unfinished=0,
        scores=tuple(float(s) if np.isfinite(s) else None for s in scores),
        mean=_mean(known) if known.size else None,
        sd=_sd(known) if known.size > 1 else None,
    )


def _notes(results: Results, pairs: Sequence[tuple[Model, Model]]) -> list[str]:
    notes = [] if results.label_range == LABEL_RANGE else [_SIMS]
    for first, second in pairs:
        common = len(set(first.seeds) & set(second.seeds))
        if not _paired(first, second):
            why = (
                f"have {counted(common, 'common seed')}, and pairs need {FEWEST_PAIRS}"
                if common
                else "name their seeds differently"
            )
            notes.append(
                f"{first.name} and {second.name} {why}, so their runs are two independent groups: "
                "nothing that both share cancels, and the interval is wider than that of runs "
                "paired by seed."
            )
        elif set(first.seeds) != set(second.seeds):
            notes.append(f"{first.name} and {second.name} are paired on {common} common seeds.")
    failed = {
        model.name: [s for s, ok in zip(model.seeds, model.finite, strict=True) if not ok]
        for model in results.models
    }
    return notes + [
        f"{name} has predictions that are no finite number on seed {', '.join(seeds)}: these runs "
        "count as failed."
        for name, seeds in failed.items()
        if seeds
    ]


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _sd(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")
