"""ROC and precision-recall curves with a band around them: pointwise 95 % intervals by patient."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS, draw_patient_weights
from pneumo_utils.evaluation.predictions import Predictions, check_both_classes
from pneumo_utils.evaluation.weighted import Ranking, rank_films

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
