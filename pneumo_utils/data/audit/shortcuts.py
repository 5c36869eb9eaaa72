"""How well facts that say nothing of the lungs predict the label: the shortcuts a model may take."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.data.audit.features import make_features, make_patient_groups, make_pixel_features
from pneumo_utils.data.audit.table import FilmFacts

NUM_FOLDS = 5
MIN_PATIENTS = 10  # of each class; below, a cross-validated figure is mostly chance
NUM_DRAWS = 500
PENALTY = 0.01  # C of the regression on pixels: 256 neighbours that all say much the same


@dataclass(frozen=True)
class Shortcut:
    """How well one kind of facts predicts the label.

    Attributes:
        auroc: 0 to 1; 0.5 is chance, 1 gives the label away. None where it is undefined.
        interval: Low and high end of the 95 % interval; None where `auroc` is.
        reason: Why it is undefined; empty where it is not.
    """

    auroc: float | None
    interval: tuple[float, float] | None
    reason: str = ""


def compute_shortcuts(films: list[FilmFacts]) -> dict[str, Shortcut]:
    """The shortcut scores, one a kind of facts.

    Each is the AUROC of a logistic regression on these facts alone, cross-validated in 5 folds; films of
    one patient, or with identical pixels, stay in one fold. A regression sees straight relations only,
    so a low score does not prove that there is no shortcut.

    Args:
        films: Readable ones, of one split.

    Returns:
        For size, aspect, colour mode, file bytes, compression, mean intensity, marks and borders, these
        together, and the film as 16 x 16 pixels: lungs covered, and whole, for comparison.
    """
    labels = np.array([film.file.label for film in films], dtype=np.int64)
    groups = make_patient_groups(films)
    facts = make_features(films)
    varying = {name: values for name, values in facts.items() if len(values) and np.ptp(values, axis=0).any()}
    scores = {
        name: compute_shortcut(values, labels, groups)
        if name in varying
        else Shortcut(None, None, "It is the same for all films, so it tells nothing.")
        for name, values in facts.items()
    }
    together = np.hstack([*varying.values(), np.zeros((len(films), 0))])
    scores["all of these"] = compute_shortcut(together, labels, groups)
    for name, pixels in make_pixel_features(films).items():
        scores[name] = compute_shortcut(pixels, labels, groups, penalty=PENALTY)
    return scores


def compute_shortcut(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, penalty: float = 1.0
) -> Shortcut:
    """The cross-validated AUROC of a logistic regression, with its 95 % interval.

    Args:
        features: float (N, K), brought to mean 0 and deviation 1 within each training part.
        labels: int (N,), 0 or 1.
        groups: int (N,); films of one group stay in one fold and are drawn together for the interval.
        penalty: C of the regression; smaller holds it back more.
    """
    patients = [len(np.unique(groups[labels == label])) for label in (0, 1)]
    if min(patients) < MIN_PATIENTS:
        got = f"{patients[0]} patients of class NORMAL and {patients[1]} of class PNEUMONIA"
        return Shortcut(None, None, f"There are {got}; {MIN_PATIENTS} of each are needed.")
    if not features.shape[1]:
        return Shortcut(None, None, "None of these facts differs between films.")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=1000))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0)
    probs = cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")[:, 1]
    return Shortcut(float(roc_auc_score(labels, probs)), _compute_interval(labels, probs, groups))


def _compute_interval(labels: np.ndarray, probs: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Percentile bootstrap over patients of the scores as they are; the folds are not drawn anew."""
    unique, index = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        len(unique), np.full(len(unique), 1 / len(unique)), NUM_DRAWS
    )
    aurocs = compute_weighted_aurocs(labels, probs, draws[:, index])
    low, high = np.quantile(aurocs[np.isfinite(aurocs)], [0.025, 0.975])
    return float(low), float(high)


def compute_weighted_aurocs(labels: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The AUROC of each row of weights, all rows at once.

    Args:
        labels: int (N,), 0 or 1.
        probs: float (N,); films that tie count half.
        weights: (D, N), how often each film counts, 0 or more.

    Returns:
        float (D,); NaN where a class has no weight.
    """
    order = np.argsort(probs, kind="stable")
    starts = np.flatnonzero(np.diff(probs[order], prepend=-np.inf))  # where each run of ties begins
    positive = np.add.reduceat((weights * labels)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - labels))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(invalid="ignore"):
        return (positive * (below + negative / 2)).sum(1) / (positive.sum(1) * negative.sum(1))
