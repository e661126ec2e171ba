"""Where the next training is worth most to the choice that follows: the knowledge gradient.

A training is worth what it is expected to take off the smallest *expected* loss among complete
runs, by which the search decides in the end. So trainings near the best are worth something even
where they can't be better themselves: they tell the best from its neighbours.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import special

from tune.stats.model.run_model import RunModel

__all__ = ["knowledge_gradient", "most_promising"]

FloatArray = npt.NDArray[np.float64]

_CANDIDATES = 1_200
_CENTRES = 4  # best configurations so far, around which half of the candidates lie
_STEPS = np.array([0.03, 0.1, 0.25])  # standard deviations, in widths of a range
_OUTCOMES: FloatArray = special.ndtri((np.arange(16) + 0.5) / 16)
"""What a training may turn out to be, in standard deviations, each as probable as the next."""


def knowledge_gradient(model: RunModel, codes: FloatArray) -> FloatArray:
    """What one more complete training at codes (M, D) takes off the smallest expected loss.

    Sources: Frazier, Powell, Dayanik, "The knowledge-gradient policy for correlated normal
    beliefs" (2009), equations 2 to 4, over outcomes of equal probability; Scott, Frazier, Powell
    (2011) for a choice among what ran.

    Args:
        model: With at least one complete run.
        codes: Where to train.

    Returns:
        (M,) expected gains, at least about 0, in units of the loss.
    """
    ran = model.codes[model.complete]
    known, _ = model.predict(ran)
    mean, sd = model.predict(codes)
    # A run tells its own place and, by covariance, all others.
    told = np.sqrt(sd**2 + model.noise**2)
    moves = model.covariance(codes, ran) / told[:, None]
    own = sd**2 / told
    after = np.zeros(len(codes))
    for outcome in _OUTCOMES:
        best_known = (known + outcome * moves).min(axis=1)
        after += np.minimum(best_known, mean + outcome * own)
    gain: FloatArray = known.min() - after / _OUTCOMES.size
    return gain


def most_promising(model: RunModel, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Codes worth training, the most promising first.

    Args:
        model: What is known, pending runs included.
        rng: The source of all draws.

    Yields:
        (D,) codes: half of them drawn from the whole space, half around the best so far.
    """
    encoding = model.encoding
    anywhere = encoding.draw(rng, _CANDIDATES // 2)
    known = model.codes[: model.known]
    order = np.argsort(model.predict(known)[0], kind="stable")[:_CENTRES]
    centres = known[order[rng.integers(len(order), size=_CANDIDATES // 2)]]
    near = encoding.step(rng, centres, rng.choice(_STEPS, size=len(centres)))
    candidates = np.vstack([anywhere, near])
    gain = knowledge_gradient(model, candidates)
    for place in np.argsort(-gain, kind="stable"):
        yield candidates[place]
