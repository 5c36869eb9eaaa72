"""Figures from labels and probabilities, over all films at once, with 95 % intervals by patient."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from pneumo_utils.errors import PneumoError

NUM_DRAWS = 2000
METRICS = ("accuracy", "auroc", "sensitivity", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Predictions:
    """What a model said of N films, and what is known of them.

    Attributes:
        labels: int (N,), 0 or 1.
        probs: float (N,), P(pneumonia) in 0 to 1.
        patients: str (N,); films of one patient are drawn together.
        names: str (N,).
    """

    labels: np.ndarray
    probs: np.ndarray
    patients: np.ndarray
    names: np.ndarray

    def __post_init__(self):
        if not np.isfinite(self.probs).all() or self.probs.min() < 0 or self.probs.max() > 1:
            raise PneumoError("A probability is outside 0 to 1 or not a number; check the model's weights.")


def compute_metrics(labels: np.ndarray, probs: np.ndarray, *, threshold: float) -> dict:
    """Point figures at a threshold.

    Args:
        labels: int (N,), 0 or 1.
        probs: float (N,), P(pneumonia) in 0 to 1.
        threshold: Call it pneumonia when prob >= threshold.

    Returns:
        n, accuracy, auroc, sensitivity, specificity, precision, recall (the same as sensitivity), f1,
        each 0 to 1 or None where it is undefined (no film of a class, nothing called pneumonia), and
        confusion as {"tn", "fp", "fn", "tp"}.
    """
    labels, called = np.asarray(labels) == 1, np.asarray(probs) >= threshold
    tp, fn = int((called & labels).sum()), int((~called & labels).sum())
    fp, tn = int((called & ~labels).sum()), int((~called & ~labels).sum())
    both = labels.any() and not labels.all()
    return {
        "n": len(labels),
        "accuracy": _divide(tp + tn, len(labels)),
        "auroc": float(roc_auc_score(labels, probs)) if both else None,
        "sensitivity": _divide(tp, tp + fn),
        "specificity": _divide(tn, tn + fp),
        "precision": _divide(tp, tp + fp),
        "recall": _divide(tp, tp + fn),
        "f1": _divide(2 * tp, 2 * tp + fp + fn),
        "confusion": {"tn": tn, "fp": fp, "fn": fn, "tp": tp},
    }


def _divide(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def draw_patient_weights(patients: np.ndarray, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> np.ndarray:
    """Bootstrap draws: how often each film counts when patients are drawn with replacement.

    Args:
        patients: str (N,).
        num_draws: D, 1 or more.
        seed: The same seed gives the same draws, so that two models can be compared draw by draw.

    Returns:
        float64 (D, N), whole numbers; films of one patient share theirs.
    """
    unique, index = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=num_draws)
    return counts[:, index].astype(np.float64)


def compute_draws(
    predictions: Predictions, weights: np.ndarray, *, threshold: float
) -> dict[str, np.ndarray]:
    """The figures of each bootstrap draw, all draws at once.

    Args:
        predictions: Of N films.
        weights: float (D, N), from `draw_patient_weights`.
        threshold: Call it pneumonia when prob >= threshold.

    Returns:
        For each name in `METRICS`, float (D,); NaN where a draw leaves a figure undefined.
    """
    labels, called = predictions.labels == 1, predictions.probs >= threshold
    tp, fn = weights @ (called & labels), weights @ (~called & labels)
    fp, tn = weights @ (called & ~labels), weights @ (~called & ~labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (tp + tn) / (tp + tn + fp + fn),
            "auroc": _weighted_auroc(labels, predictions.probs, weights),
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }


def _weighted_auroc(labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of (pneumonia, normal) pairs ranked rightly, ties counting half, for each row of weights."""
    _, rank = np.unique(probs, return_inverse=True)
    steps = np.eye(rank.max() + 1)[rank]  # (N, K): which of the K different probabilities a film has
    positive, negative = (weights * labels) @ steps, (weights * ~labels) @ steps
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(1) * negative.sum(1)
    return (positive * (below + negative / 2)).sum(1) / pairs


def compute_intervals(
    predictions: Predictions, *, threshold: float, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, tuple[float | None, float | None]]:
    """95 % percentile intervals of the figures, by a bootstrap over patients.

    Args:
        predictions: Of N films.
        threshold: Call it pneumonia when prob >= threshold.
        num_draws: Bootstrap draws, 1 or more.
        seed: Of the draws.

    Returns:
        (low, high) for each name in `METRICS`; None and None where every draw leaves it undefined.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws, seed=seed)
    draws = compute_draws(predictions, weights, threshold=threshold)
    return {name: _interval(values) for name, values in draws.items()}


def _interval(values: np.ndarray) -> tuple[float | None, float | None]:
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
