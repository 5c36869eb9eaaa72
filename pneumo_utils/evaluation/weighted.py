"""Figures of weighted films: each bootstrap draw is a row of weights, and all rows are computed at once.

A row of ones gives the figures of the films as they are, so that a figure and its interval cannot come from
two formulas. For the ranking, films of the same probability are one step: ties are never broken by chance.
"""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import UsageError

NUM_BINS = 15


@dataclass(frozen=True)
class Ranking:
    """The weights of films, gathered by probability.

    Attributes:
        probs: float (K,), the different probabilities, from the lowest to the highest.
        positive: float (D, K), the weight of the PNEUMONIA films of each probability, row by row.
        negative: float (D, K), of the NORMAL films.
    """

    probs: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def sum_from_top(self) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives, (D, K) each, as the threshold falls from the highest probability."""
        return self.positive[:, ::-1].cumsum(1), self.negative[:, ::-1].cumsum(1)


def rank_films(labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> Ranking:
    """Gathers films by probability.

    Args:
        labels: int (N,), 0 or 1.
        probs: float (N,), P(pneumonia) in 0 to 1.
        weights: float (D, N), how often each film counts in each of D rows.
    """
    order = np.argsort(probs)
    distinct, starts = np.unique(np.asarray(probs)[order], return_index=True)
    ill = np.asarray(labels)[order] == 1
    drawn = weights[:, order]
    positive, negative = (np.add.reduceat(drawn * kept, starts, axis=1) for kept in (ill, ~ill))
    return Ranking(distinct, positive, negative)


def compute_weighted_figures(
    labels: np.ndarray, probs: np.ndarray, weights: np.ndarray, *, threshold: float
) -> dict[str, np.ndarray]:
    """The figures of each row of weights.

    Args:
        labels: int (N,), 0 or 1.
        probs: float (N,), P(pneumonia) in 0 to 1.
        weights: float (D, N), 0 or more, each row with a sum above 0.
        threshold: Call it pneumonia when prob >= threshold.

    Returns:
        By name, float (D,); NaN where a row leaves a figure undefined. All are 0 to 1; for brier and ece 0
        is best, for the others 1.

    Raises:
        UsageError: The threshold is not a number.

    Source:
        Brier, Monthly Weather Review 78, 1950 (brier); scikit-learn's average_precision_score (auprc).
    """
    if np.isnan(threshold):
        raise UsageError("The threshold is not a number; expected one, 0 to 1 as a rule.")
    ill, called = np.asarray(labels) == 1, np.asarray(probs) >= threshold
    tp, fn = weights @ (called & ill), weights @ (~called & ill)
    fp, tn = weights @ (called & ~ill), weights @ (~called & ~ill)
    total, ranking = tp + fn + fp + tn, rank_films(labels, probs, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        return {
            "accuracy": (tp + tn) / total,
            "auroc": _compute_auroc(ranking),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "npv": tn / (tn + fn),
            "auprc": _compute_auprc(ranking),
            "brier": weights @ (np.float64(probs) - ill) ** 2 / total,
            "ece": _compute_ece(ranking),
        }


def _compute_auroc(ranking: Ranking) -> np.ndarray:
    """Share of (pneumonia, normal) pairs ranked rightly, ties counting half."""
    below = ranking.negative.cumsum(1) - ranking.negative
    pairs = ranking.positive.sum(1) * ranking.negative.sum(1)
    return (ranking.positive * (below + ranking.negative / 2)).sum(1) / pairs


def _compute_auprc(ranking: Ranking) -> np.ndarray:
    """Average precision: the precision at each step down, weighted by the pneumonias that it adds."""
    tp, fp = ranking.sum_from_top()
    precision = tp / np.maximum(tp + fp, np.finfo(np.float64).tiny)  # 0 where nothing is called yet
    average = (ranking.positive[:, ::-1] * precision).sum(1) / tp[:, -1]
    return np.where(fp[:, -1] > 0, average, np.nan)  # without a normal film every ranking would score 1


def assign_bins(ranking: Ranking, num_bins: int) -> np.ndarray:
    """Equal-mass bins: a probability's bin follows from the share of films that have a lower one.

    Args:
        ranking: Of D rows and K probabilities.
        num_bins: 1 or more.

    Returns:
        int (D, K), 0 to num_bins - 1; films that tie share a bin, so that a bin can stay empty.
    """
    mass = ranking.positive + ranking.negative
    below = mass.cumsum(1) - mass
    bins = (num_bins * below / mass.sum(1, keepdims=True)).astype(np.int64)
    return np.minimum(bins, num_bins - 1)  # a weight of zero above all others would open a bin of its own


def _compute_ece(ranking: Ranking) -> np.ndarray:
    """Expected calibration error: mean over films of |mean prob - share of pneumonia| in a film's bin."""
    excess = ranking.probs * (ranking.positive + ranking.negative) - ranking.positive
    rows = np.arange(len(excess))[:, None] * NUM_BINS
    places = (rows + assign_bins(ranking, NUM_BINS)).ravel()
    sums = np.bincount(places, weights=excess.ravel(), minlength=len(excess) * NUM_BINS)
    total = (ranking.positive + ranking.negative).sum(1)
    return np.abs(sums.reshape(-1, NUM_BINS)).sum(1) / total
