"""Where the next training is worth most to the choice that follows: the knowledge gradient.

A training is worth what it is expected to take off the smallest *expected* loss among all that
may be chosen in the end. So trainings near the best are worth something even where they can't be
better themselves: they tell the best from its neighbours.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.spatial import distance

from tune.stats.model.run_model import RunModel

__all__ = ["knowledge_gradient", "most_promising", "safest"]

FloatArray = npt.NDArray[np.float64]
MayRun = Callable[[FloatArray], bool]
"""Whether a code (D,) may be trained."""

_CANDIDATES = 800
_CENTRES = 4  # best configurations so far, around which half of the candidates lie
_STEPS = np.array([0.03, 0.1, 0.25])  # standard deviations, in widths of a range
_ANSWERS = 60  # of the candidates, where nothing ran yet but something may be chosen
_CLOSER = (0.1, 0.05, 0.02)  # steps by which the best candidates are approached …
_BEST, _AROUND = 4, 30  # … so many of them, each so often
_OUTCOMES: FloatArray = special.ndtri((np.arange(16) + 0.5) / 16)
"""What a training may turn out to be, in standard deviations, each as probable as the next."""


def knowledge_gradient(
    model: RunModel, codes: FloatArray, answers: FloatArray | None = None
) -> FloatArray:
    """What one more complete training at codes (M, D) takes off the smallest expected loss.

    Sources: Frazier, Powell, Dayanik, "The knowledge-gradient policy for correlated normal
    beliefs" (2009), equations 2 to 4, over outcomes of equal probability; Scott, Frazier, Powell
    (2011) for a choice among what ran.

    Args:
        model: With at least one complete run.
        codes: Where to train.
        answers: (K, D) what may be chosen besides what ran to its end; nothing by default.

    Returns:
        (M,) expected gains, at least about 0, in units of the loss.
    """
    may_be_chosen = model.codes[model.complete]
    if answers is not None:
        may_be_chosen = np.vstack([may_be_chosen, answers])
    (mean, sd), (known, _), between = model.jointly(codes, may_be_chosen)
    # A run tells its own place and, by covariance, all others.
    told = np.sqrt(sd**2 + model.noise**2)
    moves = between / told[:, None]
    own = sd**2 / told
    after = np.zeros(len(codes))
    for outcome in _OUTCOMES:
        best_known = (known + outcome * moves).min(axis=1)
        after += np.minimum(best_known, mean + outcome * own)
    gain: FloatArray = known.min() - after / _OUTCOMES.size
    return gain


def most_promising(
    model: RunModel,
    rng: np.random.Generator,
    may_run: MayRun | None = None,
    *,
    anywhere: bool = False,
) -> Iterator[FloatArray]:
    """Codes worth training, the most promising first.

    Args:
        model: What is known, pending runs included.
        rng: The source of all draws.
        may_run: Whether a place may be trained, and chosen in the end; None: every one may.
        anywhere: The safest place of the whole space is chosen in the end, whether anything ran
            there or not; else one among what ran to its end.

    Yields:
        (D,) codes: from the whole space, around the best so far, and ever closer to the most
        promising of these.
    """
    codes, answers = _candidates(model, rng, may_run), None
    if anywhere:
        safe, losses = _closer(model, rng, codes, model.at_worst, may_run)
        answers = safe[np.argsort(losses, kind="stable")[:_ANSWERS]]

    def lost(at: FloatArray) -> FloatArray:
        return -knowledge_gradient(model, at, answers)

    yield from _in_order(*_closer(model, rng, codes, lost, may_run))


def safest(
    model: RunModel, rng: np.random.Generator, may_run: MayRun | None = None
) -> Iterator[FloatArray]:
    """Codes of the smallest expected loss plus its sd, the smallest first; none that ran already.

    Args:
        model: What is known, pending runs included.
        rng: The source of all draws.
        may_run: See `most_promising`.

    Yields:
        (D,) codes from the whole space, ever closer to the safest of these, but for those of
        complete and pending runs.
    """
    codes = _candidates(model, rng, may_run)
    codes, losses = _closer(model, rng, codes, model.at_worst, may_run)
    places = (model.encoding.places(some) for some in (codes, model.codes[model.complete]))
    new = distance.cdist(*places).min(axis=1) > 0.0
    yield from _in_order(codes[new], losses[new])


def _candidates(model: RunModel, rng: np.random.Generator, may_run: MayRun | None) -> FloatArray:
    """Half of them drawn from the whole space, half around the best so far."""
    encoding = model.encoding
    anywhere = encoding.draw(rng, _CANDIDATES // 2)
    known = model.codes[: model.known]
    order = np.argsort(model.predict(known)[0], kind="stable")[:_CENTRES]
    centres = known[order[rng.integers(len(order), size=_CANDIDATES // 2)]]
    near = encoding.step(rng, centres, rng.choice(_STEPS, size=len(centres)))
    return _that_may(may_run, np.vstack([anywhere, near]))


def _that_may(may_run: MayRun | None, codes: FloatArray) -> FloatArray:
    if may_run is None:
        return codes
    return codes[np.array([may_run(code) for code in codes], dtype=np.bool_)]


def _closer(
    model: RunModel,
    rng: np.random.Generator,
    codes: FloatArray,
    lost: Callable[[FloatArray], FloatArray],
    may_run: MayRun | None,
) -> tuple[FloatArray, FloatArray]:
    """Candidates, and more of them around the best in ever smaller steps; what each loses."""
    if not len(codes):
        return codes, np.empty(0)
    losses = lost(codes)
    for sd in _CLOSER:
        best = codes[np.argsort(losses, kind="stable")[:_BEST]]
        around = np.repeat(best, _AROUND, axis=0)
        near = model.encoding.step(rng, around, np.full(len(around), sd))
        near = _that_may(may_run, near)
        codes, losses = np.vstack([codes, near]), np.concatenate([losses, lost(near)])
    return codes, losses


def _in_order(codes: FloatArray, losses: FloatArray) -> Iterator[FloatArray]:
    for place in np.argsort(losses, kind="stable"):
        yield codes[place]
