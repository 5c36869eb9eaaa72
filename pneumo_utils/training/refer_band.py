"""A refer band: films on which a model may not answer alone, chosen so that a stated error rate holds.

Split-conformal prediction gives each film a set of classes: {NORMAL}, {PNEUMONIA}, both (the film looks like
either) or none (like neither). A film whose set is not one class goes to a person.
"""

from dataclasses import dataclass

import numpy as np

from pneumo_utils.errors import PneumoError, UsageError

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
