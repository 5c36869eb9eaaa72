"""What is chosen on validation once the weights stand: the temperature and the threshold."""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_curve


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes validation probabilities fit the labels best.

    Args:
        logits: float (N,), of validation films.
        labels: int (N,), 0 or 1.

    Returns:
        0.05 to 20, the minimum of the negative log likelihood.

    Source:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv 1706.04599.
    """
    signed = np.where(np.asarray(labels) == 1, 1.0, -1.0) * np.asarray(logits, dtype=np.float64)

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    bounds = (np.log(0.05), np.log(20))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


def choose_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """The balanced operating point: where sensitivity and specificity are closest.

    It lies halfway between the two neighbouring probabilities, so that no single film decides.

    Args:
        labels: int (N,), 0 or 1, both present.
        probs: float (N,), P(pneumonia) in 0 to 1.

    Returns:
        A threshold in 0 to 1; call it pneumonia when prob >= threshold.
    """
    false_positive_rate, sensitivity, thresholds = roc_curve(labels, probs, drop_intermediate=False)
    gap = np.abs(sensitivity - (1 - false_positive_rate))
    best = np.flatnonzero(np.isclose(gap, gap.min()))
    best = best[np.argmax((sensitivity - false_positive_rate)[best])]
    below = np.asarray(probs)[np.asarray(probs) < thresholds[best]]
    upper = min(thresholds[best], 1.0)
    return float((upper + below.max()) / 2) if len(below) else float(upper)
