"""What is chosen on validation after training: temperature, operating points, refer band (reject option)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score, roc_curve

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.runtime import make_accelerator

REFER_ALPHA = 0.05
"""The error rate, in each class, that the band of a checkpoint is made for."""


@dataclass(frozen=True)
class ReferBand:
    """What a set of classes is made by.

    Attributes:
        alpha: The error rate that was asked for, above 0 and below 1.
        by_class: Whether it holds in each class (else over all films).
        limits: For NORMAL and PNEUMONIA, how much probability the other class may have at most for the class
            to stay in the set, 0 to 1; 1 where validation had too few films to leave any out.
    """

    alpha: float
    by_class: bool
    limits: tuple[float, float]


def fit_refer_band(
    labels: np.ndarray, probs: np.ndarray, *, alpha: float = REFER_ALPHA, by_class: bool = True
) -> ReferBand:
    """Sets the limits so that a new film's set lacks its true class with a chance of `alpha` at most.

    The promise is an average over validation sets and new films. It needs new films that are exchangeable
    with the validation films: films of one patient are not quite, and films of another hospital not at all.

    Args:
        labels: int (N,), 0 or 1, of films that the model was not trained on and will not be judged on.
        probs: float (N,), P(pneumonia) in 0 to 1.
        alpha: The error rate, above 0 and below 1.
        by_class: Promise it to each class, so that it also holds where pneumonia is rarer (class-conditional,
            or Mondrian); else over all films (marginal), where a rare class can pay for a common one.

    Returns:
        The band.

    Raises:
        UsageError: `alpha` is not above 0 and below 1.
        PneumoError: A class has no film.

    Source:
        Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates,
        arXiv 2107.07511, sections 1 and 4.1 to 4.3.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}; expected above 0 and below 1.")
    probs, ill = np.asarray(probs), np.asarray(labels) == 1
    if ill.all() or not ill.any():
        raise PneumoError(
            f"A refer band needs films of both classes; of {len(ill)} films {ill.sum()} are PNEUMONIA."
        )
    scores = np.where(ill, 1 - probs, probs)
    groups = (scores[~ill], scores[ill]) if by_class else (scores, scores)
    return ReferBand(alpha, by_class, tuple(_find_limit(group, alpha) for group in groups))


def _find_limit(scores: np.ndarray, alpha: float) -> float:
    """The k-th smallest score, k = (n + 1) (1 - alpha) rounded up, so that the new film counts as well."""
    k = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))  # 0.95 x 60 may come out a hair above 57
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else 1.0


def predict_sets(band: ReferBand, probs: np.ndarray) -> np.ndarray:
    """The set of classes of each film.

    Args:
        band: From `fit_refer_band`.
        probs: float (N,), P(pneumonia) in 0 to 1.

    Returns:
        bool (N, 2), whether NORMAL and whether PNEUMONIA is in the set.
    """
    probs = np.asarray(probs)
    return np.stack([probs <= band.limits[0], 1 - probs <= band.limits[1]], axis=1)


def find_refer_range(limits: tuple[float, float], threshold: float) -> tuple[float, float]:
    """From which probability to which a film goes to a person, if a threshold names the class otherwise.

    Outside of it the set is one class, and the same that the threshold names. The threshold counts because it
    was chosen by another rule: between it and the band, the set is one class and the threshold names the
    other. Fewer films are answered than by the sets alone, so their promise holds.

    Args:
        limits: Of a `ReferBand`.
        threshold: Call it pneumonia when prob >= threshold, 0 to 1.

    Returns:
        The lowest and the highest probability that is referred, both included.
    """
    ends = (limits[0], 1 - limits[1], threshold)
    return min(ends), max(ends)


SCREENING_SENSITIVITY = 0.95
"""What screening promises, on validation films as they are and on their stressed copies."""
RULE_IN_SPECIFICITY = 0.95
"""What ruling in promises, likewise."""


def calibrate(checkpoint: Checkpoint, val: XrayDataset, stressed: XrayDataset) -> Checkpoint:
    """Settles everything about a trained model that is neither weight nor recipe.

    Mirror images are averaged in where the stressed films are then ranked no worse. Temperature and
    thresholds follow from `choose_operating_points`; the refer band is fitted on the plain films.

    Args:
        checkpoint: A trained model.
        val: Validation films at the model's image size.
        stressed: Changed copies of them, from `make_stress_films`.

    Returns:
        The checkpoint with its choices, and in `val_metrics` the AUROC on both kinds of films and the
        accuracy on the plain ones.
    """
    model = checkpoint.build_model().to(make_accelerator().device, memory_format=torch.channels_last)
    logits = {
        flip: [
            predict_logits(model, films.images, transform=checkpoint.transform, flip_average=flip)
            for films in (val, stressed)
        ]
        for flip in (False, True)
    }
    stress_auroc = {flip: roc_auc_score(stressed.labels, pair[1]) for flip, pair in logits.items()}
    flip = bool(stress_auroc[True] >= stress_auroc[False])
    val_logits, stress_logits = logits[flip]
    points = choose_operating_points(val_logits, val.labels, stress_logits, stressed.labels)
    probs = compute_probs(val_logits, points["temperature"])
    band = fit_refer_band(val.labels, probs)
    figures = {
        "auroc": float(roc_auc_score(val.labels, val_logits)),
        "stress_auroc": float(stress_auroc[flip]),
        "accuracy": float(np.mean((probs >= points["threshold"]) == val.labels)),
    }
    chosen = points | {"flip_average": flip, "refer_limits": band.limits}
    return replace(checkpoint, val_metrics=checkpoint.val_metrics | figures, **chosen)


def choose_operating_points(
    logits: np.ndarray, labels: np.ndarray, stress_logits: np.ndarray, stress_labels: np.ndarray
) -> dict[str, float]:
    """Temperature from the plain validation films, thresholds from these and the stressed ones.

    Nobody knows how far the films of tomorrow will lie from the plain ones: in the balanced threshold both
    kinds have half a say, and the screening threshold keeps its promise on both.

    Args:
        logits: float (N,), of validation films.
        labels: int (N,), 0 or 1.
        stress_logits: float (V * N,), of V stressed copies of each, view after view.
        stress_labels: int (V * N,).

    Returns:
        temperature, threshold (balanced) and screening_threshold, named as in a checkpoint.
    """
    temperature, num_views = fit_temperature(logits, labels), len(stress_labels) // len(labels)
    both_labels = np.concatenate([np.tile(labels, num_views), stress_labels])
    both_logits = np.concatenate([np.tile(logits, num_views), stress_logits])
    screening = (
        choose_screening_threshold(films, compute_probs(scores, temperature))
        for films, scores in ((labels, logits), (stress_labels, stress_logits))
    )
    return {
        "temperature": temperature,
        "threshold": choose_threshold(both_labels, compute_probs(both_logits, temperature)),
        "screening_threshold": min(screening),
    }


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
    return _move_between(thresholds[best], probs)


def choose_screening_threshold(
    labels: np.ndarray, probs: np.ndarray, *, sensitivity: float = SCREENING_SENSITIVITY
) -> float:
    """The screening point: the highest threshold that still finds most pneumonias.

    Args:
        labels: int (N,), 0 or 1, both present.
        probs: float (N,), P(pneumonia) in 0 to 1.
        sensitivity: What is asked for, above 0 to 1.

    Returns:
        A threshold in 0 to 1, halfway between two neighbouring probabilities.
    """
    _, reached, thresholds = roc_curve(labels, probs, drop_intermediate=False)
    return _move_between(thresholds[np.flatnonzero(reached >= sensitivity)[0]], probs)


def choose_rule_in_threshold(
    labels: np.ndarray, probs: np.ndarray, *, specificity: float = RULE_IN_SPECIFICITY
) -> float:
    """The rule-in point: the lowest threshold that still leaves most of the healthy alone.

    Args:
        labels: int (N,), 0 or 1, both present.
        probs: float (N,), P(pneumonia) in 0 to 1.
        specificity: What is asked for, above 0 to 1.

    Returns:
        A threshold in 0 to 1, halfway between two neighbouring probabilities; the next number above 1,
        which calls nothing pneumonia, where normal films of probability 1 leave no other.
    """
    normal = np.sort(np.asarray(probs)[np.asarray(labels) == 0])
    candidates = np.append(np.unique(probs), np.inf)
    reached = np.searchsorted(normal, candidates) / len(normal)
    threshold = candidates[np.flatnonzero(reached >= specificity)[0]]
    if threshold == np.inf and np.max(probs) == 1:
        return float(np.nextafter(1.0, 2.0))
    return _move_between(threshold, probs)


def _move_between(threshold: float, probs: np.ndarray) -> float:
    """Halfway from a threshold to the next lower probability."""
    below, upper = np.asarray(probs)[np.asarray(probs) < threshold], min(threshold, 1.0)
    if not len(below):
        return float(upper)
    middle = (upper + below.max()) / 2
    return float(middle if middle > below.max() else upper)  # neighbouring floats have nothing between them
