"""Curves of a model: ROC and precision-recall with bands, reliability (calibration), decision curve."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import (
    NUM_BINS,
    NUM_DRAWS,
    Predictions,
    Ranking,
    check_both_classes,
    draw_patient_weights,
    rank_films,
)

# Quotients of whole numbers, unlike the steps of linspace, are the same floats as the shares of films.
FALSE_ALARM_GRID = np.arange(101) / 100
RECALL_GRID = np.arange(1, 101) / 100
THRESHOLD_GRID = np.arange(1, 100) / 100


@dataclass(frozen=True)
class Band:
    """A curve, `value` over `x`, and its pointwise 95 % interval, `low` to `high`; float (G,), 0 to 1."""

    x: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def compute_roc_band(predictions: Predictions, *, num_draws: int = NUM_DRAWS) -> Band:
    """Sensitivity over the share of false alarms (1 - specificity), 0, 0.01 ... 1; where vertical, its top.

    Raises:
        PneumoError: A class has no film, or there is one patient only.
    """
    return _compute_band(predictions, _trace_roc, FALSE_ALARM_GRID, num_draws)


def compute_precision_recall_band(predictions: Predictions, *, num_draws: int = NUM_DRAWS) -> Band:
    """Precision over recall (sensitivity), 0.01, 0.02 ... 1, at the highest threshold that reaches it.

    Nothing is interpolated, for precision does not run straight between two thresholds.

    Raises:
        PneumoError: A class has no film, or there is one patient only.

    Source:
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006.
    """
    return _compute_band(predictions, _trace_precision_recall, RECALL_GRID, num_draws)


def _compute_band(
    predictions: Predictions, trace: Callable[[Ranking], np.ndarray], grid: np.ndarray, num_draws: int
) -> Band:
    check_both_classes(predictions.labels, "A curve")
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws)
    weights = np.vstack([np.ones(len(predictions)), weights])
    ranking = rank_films(predictions.labels, predictions.probs, weights)
    # A draw of few patients may lack a class.
    both = (ranking.positive.sum(1) > 0) & (ranking.negative.sum(1) > 0)
    if not both[1:].any():
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


@dataclass(frozen=True)
class ReliabilityBin:
    """`count` films of like probability, the share of PNEUMONIA among them and its 95 % interval."""

    mean_prob: float
    share: float
    low: float
    high: float
    count: int


def compute_reliability(predictions: Predictions, *, num_bins: int = NUM_BINS) -> list[ReliabilityBin]:
    """The bins of a reliability diagram from the lowest probability to the highest, less those left empty.

    With 15 they are those of the expected calibration error. The intervals, Wilson's, take films for
    independent, which films of one patient are not.

    Source:
        Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from statsmodels.stats.proportion import proportion_confint

    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    bins, positive = ranking.assign_bins(num_bins)[0], ranking.positive[0]
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
    """The expected calibration error that perfect probabilities would show on as many films, 0 to 1.

    If the probabilities of a bin are right, its pneumonias scatter around their sum with the variance
    sum of p (1 - p), and a normal deviate is off by sqrt(2 / pi) standard deviations on average. An ece near
    this value is no sign of bad calibration. Films are taken for independent.
    """
    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    count = (ranking.positive + ranking.negative)[0]
    bins = ranking.assign_bins(NUM_BINS)[0]
    variance = np.bincount(bins, weights=count * ranking.probs * (1 - ranking.probs))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(predictions))


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per film examined, in found pneumonias, float (T,); treating none has 0 everywhere.

    `model` treats whom the model gives the threshold, above 0 and below 1, or more; `treat_all` everyone.
    """

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def compute_decision_curve(predictions: Predictions) -> DecisionCurve:
    """Whether a decision by the model beats treating all and treating none, at thresholds of 0.01 ... 0.99.

    Who treats from a probability t on holds one found pneumonia worth (1 - t) / t needless treatments, so
    the net benefit is TP / N - FP / N * t / (1 - t). It rests on calibrated probabilities and on the share
    of pneumonia among these films.

    Source:
        Vickers and Elkin, Medical Decision Making 26, 2006.
    """
    called = predictions.probs[:, None] >= THRESHOLD_GRID
    ill = np.asarray(predictions.labels)[:, None] == 1
    odds = THRESHOLD_GRID / (1 - THRESHOLD_GRID)
    model = (called & ill).mean(0) - (called & ~ill).mean(0) * odds
    return DecisionCurve(THRESHOLD_GRID, model, ill.mean() - (~ill).mean() * odds)
