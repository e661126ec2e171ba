"""What the model of all runs knows about a search, and what it does not, in numbers and words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hscl.metrics import DIGITS, METRIC
from tune.display import count, number, parameter_name, setting
from tune.search_model import Expected, Ranking, SearchModel, learn, rank_by
from tune.states import Phase, TrialState
from tune.study.space import Value
from tune.tables.history import History
from tune.tables.records import config_label

__all__ = ["Learnt", "learnt_lines", "what_was_learnt"]


@dataclass(frozen=True)
class Learnt:
    """What a search has taught, on valid.

    Attributes:
        metric: The study's metric.
        sign: +1 where less of it is better, else −1.
        names: What output calls each configuration.
        default: Configuration 0; None where its row is lost.
        ranking: All that may be chosen; it has at least one.
        model: Of all runs; None where it is not trusted, or too little ran.
        error_ratio: Error of predicting complete runs left out, over that of the others' mean;
            None where too little ran to tell.
        valid_utterances: How many valid has; None where no run has written predictions.
        valid_videos: Of how many videos they are; None where that is unknown.
        confirmed: By configuration what its complete trainings in confirm reached on valid, by
            seed. The search has chosen by none of them.
    """

    metric: str
    sign: float
    names: Mapping[str, str]
    default: str | None
    ranking: Ranking
    model: SearchModel | None
    error_ratio: float | None
    valid_utterances: int | None = None
    valid_videos: int | None = None
    confirmed: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def best_predicted(self) -> Expected | None:
        """What the model expects most of, the default included; None without a model."""
        known = [one for one in self._all if one.sd is not None]
        return min(known, key=lambda one: self.sign * one.value, default=None)

    @property
    def best_observed(self) -> Expected:
        """What reached most in a complete training, the default included."""
        return min(self.complete, key=lambda one: self.sign * one.observed)

    @property
    def complete(self) -> tuple[Expected, ...]:
        """All that may be chosen and were trained to the end."""
        return tuple(one for one in self._all if one.complete)

    @property
    def winners_curse(self) -> float | None:
        """By how much the best observed value flatters its configuration.

        Observed less predicted, turned so that more than 0 looks better than it is; in the
        metric's units. None where the model predicts nothing of that configuration.
        """
        best = self.best_observed
        return None if best.sd is None else self.sign * (best.value - best.observed)

    @property
    def noise(self) -> float | None:
        """Standard deviation of one training around what is expected of it."""
        return None if self.model is None else self.model.noise

    def chance_worse(self, config_id: str) -> float | None:
        """How probable it is that a configuration is worse than the default on valid.

        By the model and, once there are any, by confirm's pairs of seeds.

        Args:
            config_id: Another than the default.

        Returns:
            None without a trusted model, or where one of the two lies outside the space.
        """
        if self.model is None or self.default is None or config_id == self.default:
            return None
        pairs = self.fresh_pairs(config_id)
        fresh = [own - default for own, default in pairs]
        return self.model.chance_worse(config_id, self.default, fresh)

    def fresh_pairs(self, config_id: str) -> list[tuple[float, float]]:
        """What a configuration and the default reached on valid, by seed of confirm."""
        own = self.confirmed.get(config_id, {})
        default = self.confirmed.get(self.default, {}) if self.default is not None else {}
        return [(own[seed], default[seed]) for seed in own if seed in default]

    def to_dict(self, config_id: str | None) -> dict[str, Any]:
        """Plain values for JSON.

        Args:
            config_id: Whose chance of being worse than the default is told; None: nobody's.
        """
        predicted, observed = self.best_predicted, self.best_observed
        chance = None if config_id is None else self.chance_worse(config_id)
        return {
            "split": "valid",
            "trusted": self.ranking.trusted,
            "decides": self.ranking.note,
            "left_out_error_ratio": self.error_ratio,
            "noise_sd": self.noise,
            "best_predicted": None if predicted is None else self._plain(predicted),
            "best_observed": self._plain(observed),
            "winners_curse": self.winners_curse,
            "configuration": None if config_id is None else self.names.get(config_id),
            "config_id": config_id,
            "chance_worse_than_default": chance,
            "confirm_pairs": 0 if config_id is None else len(self.fresh_pairs(config_id)),
            "prefers_default": self.ranking.prefers_default,
            "next_training": None if self.model is None else dict(self.model.next_point()),
            "valid_utterances": self.valid_utterances,
            "valid_videos": self.valid_videos,
        }

    @property
    def _all(self) -> tuple[Expected, ...]:
        default = self.ranking.default
        return (*self.ranking.others, *(() if default is None else (default,)))

    def _plain(self, one: Expected) -> dict[str, Any]:
        told: dict[str, Any] = {"config_id": one.config_id}
        told |= {"configuration": self.names[one.config_id]}
        known = one.sd is not None
        told |= {"predicted": one.value if known else None, "sd": one.sd}
        return told | {"observed": one.observed, "complete": one.complete}


def what_was_learnt(history: History, predictions: pa.Table) -> Learnt | None:
    """Fit the model to all that ran, and say what it knows.

    Args:
        history: The study's rows.
        predictions: Its table of predictions, which tells how large valid is.

    Returns:
        None where no training of a search is complete (yet): a list and a grid have none. None,
        too, where each branch has a model of its own.
    """
    if history.spec.sampler.per is not None:
        return None
    learnt = learn(history)
    ranking = rank_by(learnt, history)
    if not ranking.others and (ranking.default is None or not ranking.default.complete):
        return None
    ratio = None if learnt is None else learnt.model.error_ratio
    utterances, videos = _valid_size(predictions)
    return Learnt(
        metric=history.spec.study.metric,
        sign=history.sign,
        names={
            config_id: config_label(record.number, record.name, "the default")
            for config_id, record in history.configs.items()
        },
        default=None if history.default is None else history.default.config_id,
        ranking=ranking,
        model=learnt if ranking.trusted else None,
        error_ratio=ratio if ratio == ratio else None,  # noqa: PLR0124 - NaN: too few to tell
        valid_utterances=utterances,
        valid_videos=videos,
        confirmed=_confirmed(history),
    )


def _confirmed(history: History) -> dict[str, dict[int, float]]:
    """By configuration and seed, valid of confirm's complete trainings."""
    reached: dict[str, dict[int, float]] = {}
    for trial in history.trials.values():
        done = trial.phase is Phase.CONFIRM and trial.state is TrialState.DONE
        if done and trial.value is not None:
            reached.setdefault(trial.config_id, {})[trial.seed] = trial.value
    return reached


def _valid_size(predictions: pa.Table) -> tuple[int | None, int | None]:
    """Utterances and videos of valid, from the predictions of one run."""
    valid = predictions.filter(pc.equal(predictions["split"], "valid"))
    if not len(valid):
        return None, None
    one = valid.filter(pc.equal(valid["trial_id"], valid["trial_id"][0]))
    return len(one), pc.count_distinct(one["video"]).as_py() or None


def learnt_lines(learnt: Learnt, config_id: str | None) -> list[str]:
    """What the model knows and does not know, a sentence or two for each thing.

    Args:
        learnt: From `what_was_learnt`.
        config_id: Of which it is told what is expected, and how probable it is that it is worse
            than the default; None: of nobody.
    """
    return [
        *_best(learnt, config_id),
        *_fresh(learnt, config_id),
        *_chance(learnt, config_id),
        *_next(learnt),
        _trust(learnt),
        _not_known(learnt),
    ]


def _best(learnt: Learnt, config_id: str | None) -> list[str]:
    metric = METRIC[learnt.metric].name
    predicted, observed = learnt.best_predicted, learnt.best_observed
    lines = []
    if predicted is not None:
        stopped = "" if predicted.complete else " when it was stopped"
        lines.append(
            f"Best predicted on valid: {learnt.names[predicted.config_id]}, of which {metric} "
            f"{number(predicted.value, DIGITS)} ± {number(predicted.sd, DIGITS)} is expected "
            f"(its own training reached {number(predicted.observed, DIGITS)}{stopped})."
        )
        chosen = learnt.ranking.other(config_id)
        if chosen is not None and chosen.sd is not None and chosen is not predicted:
            lines[-1] += (
                f" Of {learnt.names[chosen.config_id]} {number(chosen.value, DIGITS)} ± "
                f"{number(chosen.sd, DIGITS)} is expected"
            )
            # The default doesn't compete, and a person may have asked for another.
            competed = predicted.config_id != learnt.default
            chose = competed and chosen is learnt.ranking.others[0]
            surest = "; among close ones the search chooses that of which it is surest"
            lines[-1] += f"{surest if chose else ''}."
    reached = (
        f"Best observed on valid: {learnt.names[observed.config_id]}, {metric} "
        f"{number(observed.observed, DIGITS)} in one training"
    )
    curse = learnt.winners_curse
    if curse is None:
        flatters = "; being the best of several, such a value flatters itself"
        lines.append(f"{reached}{flatters if len(learnt.complete) > 1 else ''}.")
    elif curse > 0.0:
        lines.append(
            f"{reached}; that flatters it by {number(curse, DIGITS)}, as the best of several does "
            f"(winner's curse): {number(observed.value, DIGITS)} is expected of it."
        )
    else:
        lines.append(
            f"{reached}; nothing of that is luck by the model, which expects "
            f"{number(observed.value, DIGITS)} of it."
        )
    return lines


def _fresh(learnt: Learnt, config_id: str | None) -> list[str]:
    """What confirm's seeds came to on valid, beside what was expected."""
    if config_id is None or config_id == learnt.default:
        return []
    pairs = learnt.fresh_pairs(config_id)
    if not pairs:
        return []
    own, default = (fmean(values) for values in zip(*pairs, strict=True))
    chosen = learnt.ranking.other(config_id)
    beside = f"the default {number(default, DIGITS)}"
    if chosen is not None and chosen.sd is not None:
        short = learnt.sign * (own - chosen.value)
        than = "worse" if short > 0.0 else "better"
        beside = f"{number(abs(short), DIGITS)} {than} than expected; {beside}"
    name, metric = learnt.names[config_id], METRIC[learnt.metric].name
    seeds = f"{count(len(pairs), 'seed')} of confirm that the search did not have"
    reached = f"{name} reached {metric} {number(own, DIGITS)} on valid in the mean"
    return [f"On {seeds}, {reached}, {beside}."]


def _chance(learnt: Learnt, config_id: str | None) -> list[str]:
    if config_id is None or config_id == learnt.default or learnt.model is None:
        return []
    name, chance = learnt.names.get(config_id, "it"), learnt.chance_worse(config_id)
    if chance is None:
        told = "the model cannot say: one of the two lies outside the space"
        return [f"How probable it is that {name} is worse than the default on valid, {told}."]
    by, pairs = "the model, which knows", len(learnt.fresh_pairs(config_id))
    if pairs:
        by = f"the model and confirm's {count(pairs, 'pair')}, which know"
    told = f"{_percent(chance)} by {by} nothing of test or new videos"
    return [f"Chance that {name} is worse than the default on valid: {told}."]


def _percent(chance: float) -> str:
    """A probability that never claims to be certain."""
    if chance < 0.01:
        return "below 1 %"
    return "above 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"


def _next(learnt: Learnt) -> list[str]:
    point: Mapping[str, Value] = {} if learnt.model is None else learnt.model.next_point()
    if not point:
        return []
    values = ", ".join(f"{parameter_name(name)} {setting(v)}" for name, v in point.items())
    return [f"One more training would tell most at {values}."]


def _trust(learnt: Learnt) -> str:
    if learnt.model is None:
        return f"No model is relied on; what decides is the {learnt.ranking.note}."
    scatter = f"one training scatters by {number(learnt.noise, DIGITS)} around what is expected"
    if learnt.error_ratio is None:
        why = "too few trainings are complete, or all are alike"
        return f"The model could not check itself, as {why}; by it {scatter}."
    return (
        "The model predicts complete trainings that it has not seen with "
        f"{learnt.error_ratio:.2f} of the error of the mean of the others; by it {scatter}."
    )


def _not_known(learnt: Learnt) -> str:
    size = ""
    if learnt.valid_utterances is not None and learnt.valid_videos is not None:
        utterances = count(learnt.valid_utterances, "utterance")
        size = f" of {utterances} from {count(learnt.valid_videos, 'video')}"
    return (
        f"What it does not know: valid itself is a sample{size}, and other videos could order the "
        "configurations differently; it has seen one training and valid split only, and mostly "
        "one seed, whose luck similar configurations may share."
    )
