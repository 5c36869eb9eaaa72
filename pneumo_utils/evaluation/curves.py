"""Curves of a model: ROC with its band, reliability (calibration), decision curve."""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.data.dataset import check_both_classes
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import NUM_DRAWS, Predictions, draw_patient_weights, rank_films

# Quotients of whole numbers, unlike the steps of linspace, are the same floats as shares of films.
FALSE_ALARM_GRID = np.arange(101) / 100
THRESHOLD_GRID = np.arange(1, 100) / 100


@dataclass(frozen=True)
class Band:
    """A curve, `value` over `x`, and its pointwise 95 % interval, `low` to `high`; float (G,), 0 to 1."""

    x: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def compute_roc_band(predictions: Predictions, *, num_draws: int = NUM_DRAWS) -> Band:
    """Sensitivity over false alarms (1 - specificity), 0, 0.01 ... 1; its top where it is vertical.

    A PneumoError is raised where a class has no film, or no draw of patients has films of both.
    """
    check_both_classes(predictions.labels, "A curve")
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws)
    weights = np.vstack([np.ones(len(predictions)), weights])
    ranking = rank_films(predictions.labels, predictions.probs, weights)
    tp, fp = (np.pad(count, ((0, 0), (1, 0))) for count in ranking.sum_from_top())
    both = (tp[:, -1] > 0) & (fp[:, -1] > 0)
    if not both[1:].any():
        count = predictions.num_patients
        raise PneumoError(f"A band needs more than the films of {count} patient(s) to draw from.")
    rows = zip(fp[both] / fp[both, -1:], tp[both] / tp[both, -1:], strict=True)
    curve, *drawn = [np.interp(FALSE_ALARM_GRID, *row) for row in rows]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Band(FALSE_ALARM_GRID, curve, low, high)


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
