"""Can probabilities be taken at their word, and are they of use? Reliability diagram and decision curve."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.evaluation.predictions import Predictions
from pneumo_utils.evaluation.weighted import NUM_BINS, assign_bins, rank_films

THRESHOLD_GRID = np.arange(1, 100) / 100


@dataclass(frozen=True)
class ReliabilityBin:
    """Films of like probability.

    Attributes:
        mean_prob: What the model says of them on average, 0 to 1.
        share: How many of them are PNEUMONIA, 0 to 1.
        low: Lower end of the 95 % Wilson interval of the share.
        high: Upper end.
        count: Films, 1 or more.
    """

    mean_prob: float
    share: float
    low: float
    high: float
    count: int


def compute_reliability(predictions: Predictions, *, num_bins: int = NUM_BINS) -> list[ReliabilityBin]:
    """The bins of a reliability diagram, those of the expected calibration error if there are 15.

    Args:
        predictions: Of N films.
        num_bins: Bins of about equally many films, 1 or more.

    Returns:
        From the lowest probability to the highest; a bin that ties leave empty is left out. The intervals
        take films for independent, which films of one patient are not.

    Source:
        Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from statsmodels.stats.proportion import proportion_confint

    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    bins, positive = assign_bins(ranking, num_bins)[0], ranking.positive[0]
    count = positive + ranking.negative[0]
    found = []
    for number in np.unique(bins):
        inside = bins == number
        n, ill = int(count[inside].sum()), int(positive[inside].sum())
        low, high = proportion_confint(ill, n, method="wilson")
        mean_prob = float((ranking.probs * count)[inside].sum() / n)
        found.append(ReliabilityBin(mean_prob, ill / n, float(low), float(high), n))
    return found


def compute_chance_ece(predictions: Predictions) -> float:
    """The expected calibration error that perfect probabilities would show on as many films.

    If the probabilities of a bin are right, its pneumonias scatter around their sum with the variance
    sum of p (1 - p), and a normal deviate is off by sqrt(2 / pi) standard deviations on average. An ece near
    this value is no sign of bad calibration.

    Args:
        predictions: Of N films; only the probabilities are used, and films are taken for independent.

    Returns:
        0 to 1.
    """
    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    count = (ranking.positive + ranking.negative)[0]
    bins = assign_bins(ranking, NUM_BINS)[0]
    variance = np.bincount(bins, weights=count * ranking.probs * (1 - ranking.probs))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(predictions))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per film examined, in found pneumonias; treating none has 0 everywhere.

    Attributes:
        thresholds: float (T,), the probability from which on one would treat, above 0 and below 1.
        model: float (T,), of treating whom the model calls ill.
        treat_all: float (T,), of treating everyone.
    """

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def compute_decision_curve(predictions: Predictions) -> DecisionCurve:
    """Whether a decision by the model beats treating all and treating none.

    Who treats from a probability t on holds one found pneumonia worth (1 - t) / t needless treatments, so
    the net benefit is TP / N - FP / N * t / (1 - t). It rests on calibrated probabilities and on the share
    of pneumonia among these films.

    Args:
        predictions: Of N films.

    Returns:
        At the thresholds 0.01, 0.02 ... 0.99.

    Source:
        Vickers and Elkin, Medical Decision Making 26, 2006.
    """
    called = predictions.probs[:, None] >= THRESHOLD_GRID
    ill = np.asarray(predictions.labels)[:, None] == 1
    odds = THRESHOLD_GRID / (1 - THRESHOLD_GRID)
    model = (called & ill).mean(0) - (called & ~ill).mean(0) * odds
    return DecisionCurve(THRESHOLD_GRID, model, ill.mean() - (~ill).mean() * odds)
