"""What is chosen on validation after training: temperature, operating points, refer band (reject option)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score, roc_curve

from pneumo_utils.config import REFER_ALPHA, expect
from pneumo_utils.data.dataset import XrayDataset, check_both_classes
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.runtime import make_accelerator

SCREENING_SENSITIVITY = RULE_IN_SPECIFICITY = 0.95
"""What screening and ruling in promise, on validation films as they are and on their stressed copies."""
MIRROR_GAIN = 0.001  # of AUROC on stressed copies, for which each answer may take twice as long


def choose_operating_points(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    stress_labels: np.ndarray,
    stress_probs: np.ndarray,
    balanced: float | None = None,
    screening: float | None = None,
) -> dict[str, float]:
    """The thresholds of a model, from validation films as they are and from stressed copies of them.

    Nobody knows how far the films of tomorrow will lie from the plain ones: in the balanced threshold both
    kinds have half a say, and screening and rule-in keep their promise on either kind.

    Args:
        labels: int (N,), 0 or 1, of both classes, else a PneumoError is raised.
        probs: float (N,), P(pneumonia) in 0 to 1.
        stress_labels: int (V * N,), of V stressed copies of each film, view after view.
        stress_probs: float (V * N,).
        balanced, screening: A checkpoint's own, which stay; None chooses them.

    Returns by name rule_in (specificity of 95 % or more) >= balanced (where sensitivity and specificity are
    closest) >= screening (sensitivity of 95 % or more).
    """
    check_both_classes(labels, "An operating point")
    kinds = ((labels, probs), (stress_labels, stress_probs))
    if balanced is None:
        balanced = choose_threshold(_pool(labels, stress_labels), _pool(probs, stress_probs))
    if screening is None:
        screening = min(choose_screening_threshold(*kind) for kind in kinds)
    rule_in = max(choose_rule_in_threshold(*kind) for kind in kinds)
    # Where both promises are easily kept, screening would lie above rule-in. Neither passes the balanced
    # point: a lower screening threshold misses fewer, and a higher one for ruling in alarms fewer.
    return {"balanced": balanced, "screening": min(screening, balanced), "rule_in": max(rule_in, balanced)}


def _pool(plain: np.ndarray, stressed: np.ndarray) -> np.ndarray:
    """Values of films and of several stressed copies of each, so that both kinds count the same."""
    return np.concatenate([np.tile(plain, len(stressed) // len(plain)), stressed])


def choose_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """The balanced operating point, 0 to 1: where sensitivity and specificity are closest.

    It lies halfway between the two neighbouring probabilities, so that no single film decides. Call it
    pneumonia when prob >= threshold. `labels` are int (N,), both present; `probs` float (N,).
    """
    false_positive_rate, sensitivity, thresholds = roc_curve(labels, probs, drop_intermediate=False)
    gap = np.abs(sensitivity - (1 - false_positive_rate))
    best = np.flatnonzero(np.isclose(gap, gap.min()))
    best = best[np.argmax((sensitivity - false_positive_rate)[best])]
    return _move_between(thresholds[best], probs)


def choose_screening_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """The highest threshold that finds enough of the ill; all else as in `choose_threshold`."""
    _, reached, thresholds = roc_curve(labels, probs, drop_intermediate=False)
    return _move_between(thresholds[np.flatnonzero(reached >= SCREENING_SENSITIVITY)[0]], probs)


def choose_rule_in_threshold(labels: np.ndarray, probs: np.ndarray) -> float:
    """The lowest threshold that leaves enough of the healthy alone; all else as in `choose_threshold`.

    Where normal films of probability 1 leave no other, it is the next number above 1: nothing is called.
    """
    normal = np.sort(np.asarray(probs)[np.asarray(labels) == 0])
    candidates = np.append(np.unique(probs), np.inf)
    reached = np.searchsorted(normal, candidates) / len(normal)
    threshold = candidates[np.flatnonzero(reached >= RULE_IN_SPECIFICITY)[0]]
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


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 0.05 to 20, with which probabilities fit the labels best (calibration).

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv 1706.04599.
    """
    signed = np.where(np.asarray(labels) == 1, 1.0, -1.0) * np.asarray(logits, dtype=np.float64)

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    bounds = (np.log(0.05), np.log(20))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


def choose_settings(
    labels: np.ndarray, logits: np.ndarray, *, stress_labels: np.ndarray, stress_logits: np.ndarray
) -> dict[str, float]:
    """Temperature, threshold and screening_threshold of a checkpoint, from logits of validation films.

    Both kinds have half a say in the temperature, as in the thresholds of `choose_operating_points`.
    """
    temperature = fit_temperature(_pool(logits, stress_logits), _pool(labels, stress_labels))
    probs, stress_probs = (compute_probs(kind, temperature) for kind in (logits, stress_logits))
    points = choose_operating_points(labels, probs, stress_labels=stress_labels, stress_probs=stress_probs)
    thresholds = {"threshold": points["balanced"], "screening_threshold": points["screening"]}
    return {"temperature": temperature} | thresholds


def calibrate(checkpoint: Checkpoint, val: XrayDataset, stressed: XrayDataset) -> Checkpoint:
    """Settles everything about a trained model that is neither weight nor recipe, on validation films.

    Mirror images are averaged in where the films of `make_stress_films` are then ranked better by
    `MIRROR_GAIN`. Temperature and thresholds are from `choose_settings`; the refer band is fitted on the
    plain films. `val_metrics` gets the AUROC on both kinds of films and the accuracy.
    """
    model = checkpoint.build_model().to(make_accelerator().device).to(memory_format=torch.channels_last)

    def predict(films: XrayDataset, flip: bool) -> np.ndarray:
        return predict_logits(model, films.images, transform=checkpoint.transform, flip_average=flip)

    found = {flip: predict(stressed, flip) for flip in (False, True)}
    stress_auroc = {flip: float(roc_auc_score(stressed.labels, found[flip])) for flip in found}
    flip = stress_auroc[True] >= stress_auroc[False] + MIRROR_GAIN
    logits = predict(val, flip)
    chosen = choose_settings(val.labels, logits, stress_labels=stressed.labels, stress_logits=found[flip])
    probs = compute_probs(logits, chosen["temperature"])
    figures = {
        "auroc": float(roc_auc_score(val.labels, logits)),
        "stress_auroc": stress_auroc[flip],
        "accuracy": float(np.mean((probs >= chosen["threshold"]) == val.labels)),
    }
    limits = fit_refer_band(val.labels, probs).limits
    settled: dict = {**chosen, "flip_average": flip, "refer_limits": limits}
    return replace(checkpoint, val_metrics=checkpoint.val_metrics | figures, **settled)


@dataclass(frozen=True)
class ReferBand:
    """What makes sets of classes (split-conformal prediction); no set of one class: a person decides."""

    alpha: float  # the error rate that was asked for in each class, 0 to 1
    # For NORMAL and PNEUMONIA, how much probability the other class may have at most for the class to stay
    # in the set, 0 to 1; 1 where validation had too few films to leave any out.
    limits: tuple[float, float]


def fit_refer_band(labels: np.ndarray, probs: np.ndarray, *, alpha: float = REFER_ALPHA) -> ReferBand:
    """Sets the limits so that a new film's set lacks its true class with a chance of `alpha` at most.

    It is promised to each class (class-conditional, or Mondrian), so that it also holds where pneumonia is
    rarer, on average over validation sets and new films. These have to be exchangeable with the validation
    films: films of one patient are not quite, and films of another hospital not at all.

    `labels`, int (N,), and `probs`, float (N,), are of films that the model was not trained on and will not
    be judged on. A class without a film is a PneumoError, an `alpha` not between 0 and 1 a UsageError.
    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates,
    arXiv 2107.07511, sections 1 and 4.1 to 4.3.
    """
    expect(0 < alpha < 1, "alpha", alpha, "above 0 and below 1")
    probs, is_ill = np.asarray(probs), np.asarray(labels) == 1
    check_both_classes(is_ill, "A refer band")
    return ReferBand(alpha, (_find_limit(probs[~is_ill], alpha), _find_limit(1 - probs[is_ill], alpha)))


def _find_limit(scores: np.ndarray, alpha: float) -> float:
    """The k-th smallest score, k = (n + 1) (1 - alpha) rounded up, so that the new film counts as well."""
    k = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))  # 0.95 x 60 may come out a hair above 57
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else 1.0


def predict_sets(band: ReferBand, probs: np.ndarray) -> np.ndarray:
    """bool (N, 2), whether NORMAL and whether PNEUMONIA is in the set, for P(pneumonia), float (N,)."""
    probs = np.asarray(probs)
    return np.stack([probs <= band.limits[0], 1 - probs <= band.limits[1]], axis=1)
