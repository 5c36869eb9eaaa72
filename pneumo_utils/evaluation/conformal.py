"""A refer band: films on which a model may not answer alone, chosen so that a stated error rate holds.

Split-conformal prediction gives each film a set of classes: {NORMAL}, {PNEUMONIA}, both (the film looks like
either) or none (like neither). A film whose set is not one class goes to a person.
"""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS, compute_interval, draw_patient_weights
from pneumo_utils.evaluation.predictions import Predictions, check_both_classes


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


def fit_refer_band(validation: Predictions, *, alpha: float = 0.05, by_class: bool = True) -> ReferBand:
    """Sets the limits so that a new film's set lacks its true class with a chance of `alpha` at most.

    The promise is an average over validation sets and new films. It needs new films that are exchangeable
    with the validation films: films of one patient are not quite, and films of another hospital not at all.

    Args:
        validation: Films that the model was not trained on and will not be judged on.
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
    check_both_classes(validation.labels, "A refer band")
    ill = np.asarray(validation.labels) == 1
    scores = np.where(ill, 1 - validation.probs, validation.probs)
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


def describe_refer_band(judged: dict) -> str:
    """What a band did, in one sentence.

    Args:
        judged: From `judge_refer_band`.
    """
    wrong = judged["error_among_answered"]
    rest = "none is answered" if wrong is None else f"{wrong:.1%} of the answered are wrong"
    return (
        f"{judged['alpha']:.0%} stated, {1 - judged['coverage']:.1%} lack the truth, "
        f"{judged['share_referred']:.1%} are referred, {rest}"
    )


def judge_refer_band(
    band: ReferBand, predictions: Predictions, *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict:
    """What the band does to films that it was not fitted on.

    Args:
        band: From `fit_refer_band`.
        predictions: Of N films.
        num_draws: Bootstrap draws of patients, 1 or more.
        seed: Of the draws.

    Returns:
        n, alpha, by_class, limits; as shares, 0 to 1 or None where no film counts: coverage (the set has the
        true class) of all films and of each class, share_referred and its parts share_both and share_none,
        error_among_answered; and intervals, 95 % by patient, of these.
    """
    sets, labels = predict_sets(band, predictions.probs), np.asarray(predictions.labels)
    sizes, covered = sets.sum(1), sets[np.arange(len(labels)), labels]
    every, answered = np.ones(len(labels), dtype=bool), sizes == 1
    shares = {
        "coverage": (covered, every),
        **{f"coverage_{name.lower()}": (covered, labels == i) for i, name in enumerate(CLASS_NAMES)},
        "share_referred": (~answered, every),
        "share_both": (sizes == 2, every),
        "share_none": (sizes == 0, every),
        "error_among_answered": (~covered, answered),
    }
    weights = draw_patient_weights(predictions.patients, num_draws=num_draws, seed=seed)
    weights = weights[: num_draws * (predictions.num_patients > 1)]  # one patient tells nothing of others
    with np.errstate(invalid="ignore"):
        draws = {name: weights @ (hit & of) / (weights @ of) for name, (hit, of) in shares.items()}
    return {
        "n": len(labels),
        "alpha": band.alpha,
        "by_class": band.by_class,
        "limits": band.limits,
        **{name: float(hit[of].mean()) if of.any() else None for name, (hit, of) in shares.items()},
        "intervals": {name: compute_interval(values) for name, values in draws.items()},
    }
