"""Curves with bands: ROC, precision and recall, reliability (calibration), decision curve."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import (
    NUM_BINS,
    NUM_DRAWS,
    Predictions,
    Ranking,
    assign_bins,
    check_both_classes,
    draw_patient_weights,
    rank_films,
)

# Quotients of whole numbers, unlike the steps of linspace, are the same floats as the shares of films.
FALSE_ALARM_GRID = np.arange(101) / 100
RECALL_GRID = np.arange(1, 101) / 100


@dataclass(frozen=True)
class Band:
    """A curve with its pointwise 95 % interval: at each x, 95 % of the draws lie between low and high.

    Attributes:
        x: float (G,), rising, 0 to 1.
        value: float (G,), the curve of the films as they are, 0 to 1.
        low: float (G,), lower end.
        high: float (G,), upper end.
    """

    x: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def compute_roc_band(predictions: Predictions, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> Band:
    """Sensitivity over the share of false alarms (1 - specificity), as `plot_roc` draws it.

    Args:
        predictions: Of N films of both classes and of two patients or more.
        num_draws: Bootstrap draws of patients, 1 or more.
        seed: Of the draws.

    Returns:
        x is 0, 0.01 ... 1. Where the curve is vertical the value is its upper end.

    Raises:
        PneumoError: A class has no film, or there is one patient only.
    """
    return _compute_band(predictions, _trace_roc, FALSE_ALARM_GRID, num_draws=num_draws, seed=seed)


def compute_precision_recall_band(
    predictions: Predictions, *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> Band:
    """Precision over recall (sensitivity).

    Args:
        predictions: Of N films of both classes and of two patients or more.
        num_draws: Bootstrap draws of patients, 1 or more.
        seed: Of the draws.

    Returns:
        x is 0.01, 0.02 ... 1; value is the precision at the highest threshold that reaches that recall.
        Nothing is interpolated, for precision does not run straight between two thresholds.

    Raises:
        PneumoError: A class has no film, or there is one patient only.

    Source:
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006.
    """
    return _compute_band(predictions, _trace_precision_recall, RECALL_GRID, num_draws=num_draws, seed=seed)


def _compute_band(predictions: Predictions, trace, grid: np.ndarray, *, num_draws: int, seed: int) -> Band:
    check_both_classes(predictions.labels, "A curve")
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws, seed=seed)
    weights = np.vstack([np.ones(len(predictions)), weights])
    ranking = rank_films(predictions.labels, predictions.probs, weights)
    both = (ranking.positive.sum(1) > 0) & (
        ranking.negative.sum(1) > 0
    )  # not in every draw of a few patients
    if predictions.num_patients < 2 or not both[1:].any():
        raise PneumoError(
            f"A band needs more than the films of {predictions.num_patients} patient(s) to draw from."
        )
    curves = trace(Ranking(ranking.probs, ranking.positive[both], ranking.negative[both]))
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return Band(grid, curves[0], low, high)


def _trace_roc(ranking: Ranking) -> np.ndarray:
    tp, fp = (np.pad(count, ((0, 0), (1, 0))) for count in ranking.sum_from_top())
    rows = zip(fp / fp[:, -1:], tp / tp[:, -1:], strict=True)
    return np.stack([np.interp(FALSE_ALARM_GRID, false_alarms, found) for false_alarms, found in rows])


def _trace_precision_recall(ranking: Ranking) -> np.ndarray:
    tp, fp = ranking.sum_from_top()
    recall, called = tp / tp[:, -1:], tp + fp
    first = np.stack([np.searchsorted(row, RECALL_GRID) for row in recall])
    return np.take_along_axis(tp, first, axis=1) / np.take_along_axis(called, first, axis=1)


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
