"""Each run's metric as a mean over utterances, so that every metric has differences to analyse.

MAE and the accuracies are means already. Corr and F1 are not: there an utterance's value is the
metric plus that utterance's influence on it (the infinitesimal jackknife), whose mean is the
metric exactly. Metrics on the non-zero labels spread over all utterances in the same way.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hscl.metrics import METRIC, is_constant

__all__ = ["pseudo_values", "run_scores"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def pseudo_values(metric: str, labels: FloatArray, predictions: FloatArray) -> FloatArray:
    """Per-utterance values whose mean over utterances is the metric, one row per run.

    Args:
        metric: One of `hscl.metrics.METRIC`.
        labels: (U,) true labels.
        predictions: (n, U) predictions of n runs.

    Returns:
        (n, U). A row is NaN where the metric does not exist (Corr of a constant, no non-zero
        label) and where the run lacks a prediction.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 21 (influence);
    the metrics' definitions are those of MMSA and MMIM.
    """
    truth = np.asarray(labels, dtype=np.float64)
    guess = np.atleast_2d(np.asarray(predictions, dtype=np.float64))
    values = np.full(guess.shape, np.nan)
    # NaN compares as False: of a run without predictions an accuracy would be a number.
    complete = np.isfinite(guess).all(axis=1)
    if truth.size and complete.any():
        values[complete] = _VALUES[metric](truth, guess[complete])
    return values


def run_scores(values: FloatArray) -> FloatArray:
    """Each run's metric.

    Args:
        values: (n, U) from `pseudo_values`.

    Returns:
        (n,). NaN where the metric does not exist, so for all runs where there are no utterances.
    """
    if not values.shape[1]:  # numpy would warn of it
        return np.full(values.shape[0], np.nan)
    scores: FloatArray = values.mean(axis=1)
    return scores


def _mae(truth: FloatArray, guess: FloatArray) -> FloatArray:
    values: FloatArray = np.abs(guess - truth)
    return values


def _accuracy(bound: float) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Share of equal classes after clipping and rounding halves to even, as the field does."""

    def values(truth: FloatArray, guess: FloatArray) -> FloatArray:
        same: BoolArray
        same = np.rint(np.clip(guess, -bound, bound)) == np.rint(np.clip(truth, -bound, bound))
        return same.astype(np.float64)

    return values


def _corr(truth: FloatArray, guess: FloatArray) -> FloatArray:
    """ρ + z_x z_y − ρ (z_x² + z_y²) / 2, the influence function of Pearson's ρ."""
    if np.ptp(truth) == 0.0:
        return np.full(guess.shape, np.nan)
    x = (truth - truth.mean()) / truth.std()
    centred = guess - guess.mean(axis=1, keepdims=True)
    spread = np.where(is_constant(guess), np.nan, centred.std(axis=1))
    y = centred / spread[:, None]
    rho = (x * y).mean(axis=1, keepdims=True)
    values: FloatArray = rho + x * y - rho * (x**2 + y**2) / 2.0
    return values


def _accuracy_sims(metric: str) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Share of equal classes of CH-SIMS, each of which holds its upper end."""

    def values(truth: FloatArray, guess: FloatArray) -> FloatArray:
        cuts = METRIC[metric].cuts
        same: BoolArray
        same = np.digitize(guess, cuts, right=True) == np.digitize(truth, cuts, right=True)
        return same.astype(np.float64)

    return values


def _f1_weighted(truth: BoolArray, guess: BoolArray) -> FloatArray:
    """Weighted F1 plus influence.

    With n, q, t the shares of truth, guess and both in a class, F1 = Σ 2 n t / (n + q) is
    homogeneous of degree 1, so that the gradient along an utterance is its value; the mean of
    these is F1 again.
    """
    values = np.zeros(guess.shape)
    for positive in (False, True):
        true = truth == positive
        guessed = guess == positive
        both = guessed & true
        n = true.mean()
        q = guessed.mean(axis=1, keepdims=True)
        t = both.mean(axis=1, keepdims=True)
        total = np.where(n + q > 0.0, n + q, 1.0)
        by_truth = 2.0 * t / total - 2.0 * n * t / total**2
        by_guess = -2.0 * n * t / total**2
        by_both = 2.0 * n / total
        values += by_truth * true + by_guess * guessed + by_both * both
    return values


def _accuracy_has0(truth: FloatArray, guess: FloatArray) -> FloatArray:
    same: BoolArray = (guess >= 0) == (truth >= 0)
    return same.astype(np.float64)


def _f1_has0(truth: FloatArray, guess: FloatArray) -> FloatArray:
    return _f1_weighted(truth >= 0, guess >= 0)


def _accuracy_non0(truth: FloatArray, guess: FloatArray) -> FloatArray:
    same: BoolArray = (guess > 0) == (truth > 0)
    return same.astype(np.float64)


def _f1_non0(truth: FloatArray, guess: FloatArray) -> FloatArray:
    return _f1_weighted(truth > 0, guess > 0)


def _spread(
    part: Callable[[FloatArray, FloatArray], FloatArray],
) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """The metric on non-zero labels alone, as a mean over all utterances.

    An utterance with label 0 takes the metric itself; the others deviate from it U / U_nonzero
    times as far, which leaves the mean and makes sums over videos those of the ratio mean.
    """

    def values(truth: FloatArray, guess: FloatArray) -> FloatArray:
        keep = truth != 0
        if not keep.any():
            return np.full(guess.shape, np.nan)
        inner = part(truth[keep], guess[:, keep])
        mean = inner.mean(axis=1, keepdims=True)
        result = np.repeat(mean, truth.size, axis=1)
        result[:, keep] += (truth.size / np.count_nonzero(keep)) * (inner - mean)
        return result

    return values


_VALUES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "mae": _mae,
    "corr": _corr,
    "acc7": _accuracy(METRIC["acc7"].bound),
    "acc5": _accuracy(METRIC["acc5"].bound),
    "acc2_has0": _accuracy_has0,
    "acc2_non0": _spread(_accuracy_non0),
    "f1_has0": _f1_has0,
    "f1_non0": _spread(_f1_non0),
    **{metric: _accuracy_sims(metric) for metric in ("acc5_sims", "acc3_sims", "acc2_sims")},
    "f1_sims": _f1_non0,  # on all utterances: a class above 0, and one that holds 0
}
