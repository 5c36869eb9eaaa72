"""Bootstrap by patient: films of one patient are drawn together, for they are not independent."""

import numpy as np

from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.predictions import Predictions
from pneumo_utils.evaluation.weighted import compute_weighted_figures

NUM_DRAWS = 2000
BLOCK_CELLS = 200_000
"""Weights that are worked on at a time, 1.6 MB: they stay in the processor's cache, and a large test set does
not need gigabytes."""


def draw_patient_weights(patients: np.ndarray, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> np.ndarray:
    """Bootstrap draws: how often each film counts when patients are drawn with replacement.

    Args:
        patients: str (N,).
        num_draws: D, 1 or more.
        seed: The same seed gives the same draws, so that two models can be compared draw by draw.

    Returns:
        float64 (D, N), whole numbers; films of one patient share theirs.

    Raises:
        UsageError: `num_draws` is below 1.
    """
    if num_draws < 1:
        raise UsageError(f"num_draws is {num_draws}; expected 1 or more.")
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
    parts = [
        compute_weighted_figures(predictions.labels, predictions.probs, block, threshold=threshold)
        for block in np.array_split(weights, -(-weights.size // BLOCK_CELLS))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compute_interval(values: np.ndarray) -> tuple[float | None, float | None]:
    """95 % percentile interval of a figure.

    Args:
        values: float (D,), the figure in each draw; draws that leave it undefined (NaN) are left out.

    Returns:
        The 2.5 and the 97.5 percentile; None and None where no draw defines the figure.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
