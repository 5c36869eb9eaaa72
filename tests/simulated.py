"""Films that never were: scores of two normal classes, whose true figures are known."""

import numpy as np
from scipy.stats import norm

from pneumo_utils.evaluation.metrics import Predictions


def simulate(
    num_patients: int,
    *,
    seed: int,
    separation: float = 2.0,
    max_films: int = 1,
    patient_spread: float = 0.0,
    decimals: int | None = None,
) -> Predictions:
    """One class a patient, half of them ill; scores of normal noise around +-separation / 2.

    Args:
        num_patients: 2 or more.
        seed: Of everything.
        separation: Between the class means, in standard deviations of a film's own noise.
        max_films: Each patient has 1 to this many films.
        patient_spread: Standard deviation of what the films of a patient share.
        decimals: Rounds the probabilities, so that many tie.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(num_patients), rng.integers(1, max_films + 1, num_patients))
    labels = rng.permutation(num_patients)[owner] % 2
    shared = patient_spread * rng.standard_normal(num_patients)
    scores = separation * (labels - 0.5) + shared[owner] + rng.standard_normal(len(owner))
    probs = 1 / (1 + np.exp(-scores))
    probs = probs if decimals is None else np.round(probs, decimals)
    return Predictions(labels, probs, owner.astype(str), np.arange(len(owner)).astype(str))


def true_figures(separation: float = 2.0, patient_spread: float = 0.0) -> dict[str, float]:
    """What endlessly many films would show at a threshold of 0.5.

    Scores have the variance 1 + spread^2. Accuracy: a score is off its mean by less than separation / 2.
    AUROC: the difference of an ill and a normal score, of twice that variance, is above 0.
    """
    spread = np.sqrt(1 + patient_spread**2)
    accuracy = norm.cdf(separation / 2 / spread)
    return {"accuracy": accuracy, "auroc": norm.cdf(separation / spread / np.sqrt(2))}
