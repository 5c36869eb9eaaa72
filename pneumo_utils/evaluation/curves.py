"""Curves of a model: ROC and precision-recall with bands, reliability (calibration), decision curve."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.data.dataset import check_both_classes
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions, Ranking, draw_patient_weights, rank_films

# Quotients of whole numbers, unlike the steps of linspace, are the same floats as shares of films.
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
    """Sensitivity over false alarms (1 - specificity), 0, 0.01 ... 1; its top where it is vertical."""
    counts = _rank_draws(predictions, num_draws).sum_from_top()
    tp, fp = (np.pad(count, ((0, 0), (1, 0))) for count in counts)
    rows = zip(fp / fp[:, -1:], tp / tp[:, -1:], strict=True)
    return _make_band(FALSE_ALARM_GRID, [np.interp(FALSE_ALARM_GRID, *row) for row in rows])


def compute_precision_recall_band(predictions: Predictions, *, num_draws: int = NUM_DRAWS) -> Band:
    """Precision over recall (sensitivity), 0.01, 0.02 ... 1, at the highest threshold that reaches it.

    Nothing is interpolated, for precision does not run straight between two thresholds.

    Source: Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006.
    """
    tp, fp = _rank_draws(predictions, num_draws).sum_from_top()
    recall, precision = tp / tp[:, -1:], tp / np.maximum(tp + fp, 1)
    first = [np.searchsorted(row, RECALL_GRID) for row in recall]
    return _make_band(RECALL_GRID, np.take_along_axis(precision, np.stack(first), axis=1))


def _rank_draws(predictions: Predictions, num_draws: int) -> Ranking:
    """The films as they are, and in each draw of patients with both classes; a PneumoError without one."""
    check_both_classes(predictions.labels, "A curve")
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws)
    weights = np.vstack([np.ones(len(predictions)), weights])
    ranking = rank_films(predictions.labels, predictions.probs, weights)
    both = (ranking.positive.sum(1) > 0) & (ranking.negative.sum(1) > 0)
    if not both[1:].any():
        count = predictions.num_patients
        raise PneumoError(f"A band needs more than the films of {count} patient(s) to draw from.")
    return Ranking(ranking.probs, ranking.positive[both], ranking.negative[both])


def _make_band(grid: np.ndarray, curves: np.ndarray | list) -> Band:
    """The first curve is that of the films as they are, the others those of the draws."""
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return Band(grid, curves[0], low, high)


def compute_reliability(predictions: Predictions) -> Band:
    """Reliability diagram: share of PNEUMONIA over mean probability, a point for each bin that is not empty.

    The bins are those of the expected calibration error. The intervals, Wilson's, take films for independent.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from statsmodels.stats.proportion import proportion_confint

    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    ill, count = ranking.positive[0], (ranking.positive + ranking.negative)[0]
    _, bins = np.unique(ranking.assign_bins()[0], return_inverse=True)
    sizes, found, said = (np.bincount(bins, weights) for weights in (count, ill, count * ranking.probs))
    low, high = proportion_confint(found, sizes, method="wilson")
    return Band(said / sizes, found / sizes, low, high)


def compute_chance_ece(predictions: Predictions) -> float:
    """The expected calibration error that perfect probabilities would show on as many films, 0 to 1.

    If the probabilities of a bin are right, its pneumonias scatter around their sum with the variance
    sum of p (1 - p), and a normal deviate is off by sqrt(2 / pi) standard deviations on average. An ece near
    this value is no sign of bad calibration. Films are taken for independent.
    """
    ranking = rank_films(predictions.labels, predictions.probs, np.ones((1, len(predictions))))
    count = (ranking.positive + ranking.negative)[0]
    variance = np.bincount(ranking.assign_bins()[0], weights=count * ranking.probs * (1 - ranking.probs))
    return float(np.sqrt(2 / np.pi * variance).sum() / len(predictions))


def compute_decision_curve(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit of the model's decisions and of treating all, float (99,) each, at `THRESHOLD_GRID`.

    Who treats from a probability t on holds one found pneumonia worth (1 - t) / t needless treatments: it is
    TP / N - FP / N * t / (1 - t), and 0 for treating none, at the films' own share of pneumonia.

    Source: Vickers and Elkin, Medical Decision Making 26, 2006.
    """
    called = predictions.probs[:, None] >= THRESHOLD_GRID
    ill = np.asarray(predictions.labels)[:, None] == 1
    odds = THRESHOLD_GRID / (1 - THRESHOLD_GRID)
    model = (called & ill).mean(0) - (called & ~ill).mean(0) * odds
    return model, ill.mean() - (~ill).mean() * odds
