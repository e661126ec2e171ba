"""Simulated runs of paired configurations, for the very code that judges real ones.

One configuration's error on one utterance is its true value plus parts that belong to the seed,
the video, the utterance, and to that run on that utterance. The video's and the utterance's parts
are the same for all seeds: they are what a new test set would draw anew.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tune.evidence.pairing import Runs
from tune.states import TrialState

__all__ = [
    "Proportion",
    "RandomEffects",
    "draw_latent_runs",
    "draw_linear_runs",
    "uneven_layout",
    "video_layout",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOSI_VIDEOS = 31
MOSI_UTTERANCES = 686

_SHORTEST, _LONGEST = 10.0, 43.0  # utterances of MOSI's shortest and longest test video
_BASE_ERROR = 3.0  # so large that no error turns negative: |error| stays linear in its parts

Shape = Literal["normal", "heavy", "skewed"]


@dataclass(frozen=True)
class Proportion:
    """A share over simulated studies.

    Attributes:
        count: Studies in which it happened.
        studies: Studies in which it could.
    """

    count: int
    studies: int

    @property
    def value(self) -> float:
        """The share; NaN without studies."""
        return self.count / self.studies if self.studies else float("nan")

    @property
    def error(self) -> float:
        """Binomial standard error."""
        if not self.studies:
            return float("nan")
        return float((self.value * (1.0 - self.value) / self.studies) ** 0.5)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class RandomEffects:
    """Standard deviations of the parts of a *difference* between two configurations.

    Attributes:
        seed: Between seeds.
        video: Between videos, the same for all seeds.
        utterance: Between utterances of a video, the same for all seeds.
        error: Of one seed on one utterance, beyond all that.
        shape: Of seed and video parts: normal, heavy tails (t with 3 degrees of freedom), or
            skewed (exponential).
        failure_rate: Proportion of runs that fail.
        collapse: Of a's runs and of b's, the proportion that collapse.
        collapse_size: What a collapsed run's error has more: about as far as a constant
            prediction is from a trained model's on MOSI.
        worst_fail: Proportion of a's runs that fail, its worst ones; as many of b's at random.
        speakers: Whose videos they are, in turn; 0: each video has a speaker of its own.
        speaker: Between speakers, the same for all seeds and all of a speaker's videos.
    """

    seed: float = 0.02
    video: float = 0.05
    utterance: float = 0.1
    error: float = 0.3
    shape: Shape = "normal"
    failure_rate: float = 0.0
    collapse: tuple[float, float] = (0.0, 0.0)
    collapse_size: float = 0.7
    worst_fail: float = 0.0
    speakers: int = 0
    speaker: float = 0.0

    @property
    def gap_of_collapses(self) -> float:
        """What a's collapses add to its mean, less what b's add to b's."""
        return (self.collapse[0] - self.collapse[1]) * self.collapse_size


def video_layout(videos: int = MOSI_VIDEOS, utterances: int = MOSI_UTTERANCES) -> IntArray:
    """Each utterance's video: a few long videos and many short ones, as in MOSI's test set.

    Args:
        videos: K ≥ 1.
        utterances: U ≥ K.

    Returns:
        (U,) numbers 0 … K − 1 in order; with the defaults sizes run from 10 to 43.
    """
    rank = (np.arange(videos) + 0.5) / videos
    beyond_one = _SHORTEST - 1.0 + (_LONGEST - _SHORTEST) * rank**1.72
    beyond_one *= (utterances - videos) / beyond_one.sum()
    ends = np.rint(np.cumsum(beyond_one)).astype(np.int64)
    sizes = 1 + np.diff(ends, prepend=0)
    return np.repeat(np.arange(videos), sizes)


def uneven_layout(
    rng: np.random.Generator,
    sigma: float,
    videos: int = MOSI_VIDEOS,
    utterances: int = MOSI_UTTERANCES,
) -> IntArray:
    """Each utterance's video where lengths are lognormal: a few videos hold most of a test set.

    Args:
        rng: The source of the lengths.
        sigma: Standard deviation of their logarithm.
        videos: K ≥ 1.
        utterances: About how many in all; no video has fewer than one.

    Returns:
        (U,) numbers 0 … K − 1 in order.
    """
    lengths = rng.lognormal(0.0, sigma, videos)
    sizes = np.maximum(np.rint(lengths * (utterances / lengths.sum())), 1).astype(np.int64)
    return np.repeat(np.arange(videos), sizes)


def _draw(rng: np.random.Generator, shape: Shape, sd: float, size: tuple[int, ...]) -> FloatArray:
    """Values with mean 0 and the given standard deviation."""
    if shape == "heavy":
        return np.asarray(rng.standard_t(3, size) * (sd / 3.0**0.5))
    if shape == "skewed":
        return (rng.exponential(1.0, size) - 1.0) * sd
    return rng.normal(0.0, sd, size)


def draw_linear_runs(
    rng: np.random.Generator,
    effects: RandomEffects,
    *,
    seeds: int,
    layout: IntArray,
    gap: float = 0.0,
) -> tuple[Runs, float]:
    """Two configurations "a" and "b" whose MAE differs by a known amount.

    The absolute error is exactly linear in its parts, so that both truths are known. Where runs
    collapse, those that do not differ by `gap` less `effects.gap_of_collapses`.

    Args:
        rng: The source of all draws.
        effects: Of the difference a − b.
        seeds: Pairs of runs.
        layout: From `video_layout`.
        gap: True MAE of a minus that of b, over all seeds and videos, collapsed ones included.

    Returns:
        The runs, and the true difference on these very utterances (over all seeds).
    """
    utterances, videos = layout.size, int(layout[-1]) + 1
    fixed = _draw(rng, effects.shape, effects.video, (videos,))[layout]
    fixed = fixed + rng.normal(0.0, effects.utterance, utterances)
    if effects.speakers:
        of_speaker = _draw(rng, effects.shape, effects.speaker, (effects.speakers,))
        fixed = fixed + of_speaker[layout % effects.speakers]
    # Each side has half the variance of the difference in what is drawn anew for each run.
    halved = 0.5**0.5
    own = _draw(rng, effects.shape, effects.seed * halved, (2, seeds, 1))
    own = own + rng.normal(0.0, effects.error * halved, (2, seeds, utterances))
    if any(effects.collapse):
        falls = rng.random((2, seeds)) < np.array(effects.collapse)[:, None]
        own = own + effects.collapse_size * falls[:, :, None]
    side = np.array([0.5, -0.5])[:, None, None]
    error = _BASE_ERROR + side * (gap - effects.gap_of_collapses + fixed) + own
    labels = draw_labels(rng, layout)
    sign = np.where(labels > 0.0, -1.0, 1.0)
    predictions = labels + sign * error
    here = gap + float(fixed.mean())
    return _as_runs(rng, effects, layout, labels, predictions), here


def draw_labels(rng: np.random.Generator, layout: IntArray) -> FloatArray:
    """Labels like MOSI's: multiples of 0.2 in ±3, mean −0.3, sd 1.6, alike within a video."""
    videos = int(layout[-1]) + 1
    raw = -0.3 + rng.normal(0.0, 0.8, videos)[layout] + rng.normal(0.0, 1.4, layout.size)
    labels: FloatArray = np.rint(np.clip(raw, -3.0, 3.0) * 5.0) / 5.0
    return labels


def draw_latent_runs(
    rng: np.random.Generator,
    effects: RandomEffects,
    *,
    seeds: int,
    layout: IntArray,
    worse_by: float = 0.0,
) -> Runs:
    """Two configurations whose predictions are labels plus noise: any metric can be taken.

    The two are drawn alike, so that for new videos the true difference of *every* metric is 0
    where `worse_by` is 0.

    Args:
        rng: The source of all draws.
        effects: Parts of the difference of two predictions.
        seeds: Pairs of runs.
        layout: From `video_layout`.
        worse_by: Added to the noise of a alone, as a share of it.
    """
    utterances, videos = layout.size, int(layout[-1]) + 1
    halved = 0.5**0.5
    labels = draw_labels(rng, layout)
    common = rng.normal(0.0, 0.6, utterances)
    of_video = _draw(rng, effects.shape, effects.video * halved, (2, 1, videos))[..., layout]
    of_utterance = rng.normal(0.0, effects.utterance * halved, (2, 1, utterances))
    of_run = rng.normal(0.0, effects.error * halved, (2, seeds, utterances))
    # A seed shifts all predictions and stretches them: MAE, Corr and the accuracies feel it.
    shift = _draw(rng, effects.shape, effects.seed, (2, seeds, 1))
    stretch = 0.8 + _draw(rng, effects.shape, 2.0 * effects.seed, (2, seeds, 1))
    more = np.array([1.0 + worse_by, 1.0])[:, None, None]
    noise = more * (common + of_video + of_utterance + of_run)
    return _as_runs(rng, effects, layout, labels, stretch * labels + shift + noise)


def _as_runs(
    rng: np.random.Generator,
    effects: RandomEffects,
    layout: IntArray,
    labels: FloatArray,
    predictions: FloatArray,
) -> Runs:
    seeds = predictions.shape[1]
    failed = rng.random((2, seeds)) < effects.failure_rate
    if effects.worst_fail:
        score = np.abs(predictions - labels).mean(axis=2)
        lost = round(effects.worst_fail * seeds)
        failed[0, np.argsort(score[0])[seeds - lost :]] = True
        failed[1] |= rng.random(seeds) < effects.worst_fail
    predictions = np.where(failed[:, :, None], np.nan, predictions)
    states = tuple(
        tuple(TrialState.FAILED if lost else TrialState.DONE for lost in row) for row in failed
    )
    return Runs(
        split="test",
        config_ids=("a", "b"),
        seeds=tuple(range(seeds)),
        utterances=tuple(str(u) for u in range(layout.size)),
        videos=layout,
        labels=labels,
        predictions=predictions,
        states=states,
    )
