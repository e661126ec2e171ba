"""Where the next training is worth most: log expected improvement over the model's own best.

The threshold is the smallest *expected* loss among complete runs, never the best observation, as
one lucky run would hide every real improvement.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import special

from tune.stats.model.run_model import RunModel

__all__ = ["log_expected_improvement", "most_promising"]

FloatArray = npt.NDArray[np.float64]

_CANDIDATES = 1_200
_CENTRES = 4  # best configurations so far, around which half of the candidates lie
_STEPS = np.array([0.03, 0.1, 0.25])  # standard deviations, in widths of a range
_FAR = -1e4  # standard deviations, below which the bracket would be rounding alone


def log_expected_improvement(mean: FloatArray, sd: FloatArray, best: float) -> FloatArray:
    """Logarithm of E[max(best − f, 0)] for f ~ N(mean, sd²), finite however small it is.

    Args:
        mean: (M,) expected losses.
        sd: (M,) their standard deviations, positive.
        best: The loss to improve on.

    Returns:
        (M,) by the stable form of Ament et al., "Unexpected improvements to expected improvement
        for Bayesian optimization" (NeurIPS 2023), equation 9.
    """
    z = (best - mean) / sd
    above, below = np.maximum(z, 0.0), np.minimum(z, 0.0)
    density = np.exp(-0.5 * above**2) / math.sqrt(2.0 * math.pi)
    reached = np.log(density + above * special.ndtr(above))
    # φ(z) + z Φ(z) = φ(z) (1 + z √(π/2) erfcx(−z/√2)), whose bracket falls as 1/z².
    bracket = below * math.sqrt(math.pi / 2.0) * special.erfcx(-below / math.sqrt(2.0))
    falls = np.where(below < _FAR, -2.0 * np.log(np.maximum(-below, 1.0)), np.log1p(bracket))
    missed = -0.5 * below**2 - 0.5 * math.log(2.0 * math.pi) + falls
    gain: FloatArray = np.where(z > 0.0, reached, missed) + np.log(sd)
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
    gain = log_expected_improvement(*model.predict(candidates), model.best)
    for place in np.argsort(-gain, kind="stable"):
        yield candidates[place]
