"""Operating points chosen on validation, and what becomes of them where pneumonia is rarer or more common."""

import numpy as np

from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS
from pneumo_utils.evaluation.metrics import compute_intervals, compute_metrics, compute_predictive_values
from pneumo_utils.evaluation.predictions import Predictions, check_both_classes
from pneumo_utils.training.calibration import (
    choose_rule_in_threshold,
    choose_screening_threshold,
    choose_threshold,
)


def choose_points(validation: Predictions) -> dict[str, float]:
    """The three operating points of a model.

    Args:
        validation: Films that the model was not trained on and will not be judged on.

    Returns:
        Thresholds by name: balanced (sensitivity and specificity are closest), screening (sensitivity of
        at least 95 %) and rule_in (specificity of at least 95 %).

    Raises:
        PneumoError: A class has no film.
    """
    labels, probs = validation.labels, validation.probs
    check_both_classes(labels, "An operating point")
    return {
        "balanced": choose_threshold(labels, probs),
        "screening": choose_screening_threshold(labels, probs),
        "rule_in": choose_rule_in_threshold(labels, probs),
    }


def judge_points(
    predictions: Predictions, points: dict[str, float], *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, dict]:
    """The figures of a model at each of its operating points.

    Args:
        predictions: Of films that the points were not chosen on.
        points: Thresholds by name, from `choose_points` or from a checkpoint.
        num_draws: Bootstrap draws, 1 or more.
        seed: Of the draws.

    Returns:
        By name: threshold, the figures of `compute_metrics`, and intervals as from `compute_intervals`.
    """
    return {
        name: {
            "threshold": threshold,
            **compute_metrics(predictions.labels, predictions.probs, threshold=threshold),
            "intervals": compute_intervals(predictions, threshold=threshold, num_draws=num_draws, seed=seed),
        }
        for name, threshold in points.items()
    }


def describe_points(judged: dict[str, dict]) -> str:
    """A line for each operating point.

    Args:
        judged: From `judge_points`.
    """
    lines = []
    for name, figures in judged.items():
        shown = ", ".join(_show_share(figures, share) for share in ("sensitivity", "specificity"))
        lines.append(f"{name.replace('_', '-'):<9} at {figures['threshold']:.3f}: {shown}")
    return "\n".join(lines)


def _show_share(figures: dict, name: str) -> str:
    if figures[name] is None:
        return f"{name} undefined"
    low, high = figures["intervals"][name]
    return f"{name} {figures[name]:.1%}" + (f" ({low:.1%} to {high:.1%})" if low is not None else "")


def describe_prevalence(row: dict, *, prevalence: float) -> str:
    """What an answer is worth where pneumonia is as common as stated, in one sentence.

    Args:
        row: With sensitivity and specificity, 0 to 1.
        prevalence: Share of pneumonia among those examined, 0 to 1.
    """
    ppv, npv = compute_predictive_values(row["sensitivity"], row["specificity"], prevalence=prevalence)
    return (
        f"where {prevalence:.0%} are ill, {ppv:.0%} of the alarms and {npv:.1%} of the all-clears are right"
    )


def shift_prior(probs, *, from_prevalence: float, to_prevalence: float):
    """Corrects probabilities for another share of pneumonia among those examined.

    The odds are multiplied by the ratio of the two prior odds. That is right if pneumonia looks the same in
    both places and only its share differs; another hospital, age group or machine breaks this. The ranking
    of the films, and with it the AUROC, stays.

    Args:
        probs: P(pneumonia) in 0 to 1, a number or an array.
        from_prevalence: Share of pneumonia among the films that the probabilities were calibrated on, above
            0 and below 1.
        to_prevalence: The share where the model is to be used, above 0 and below 1.

    Returns:
        Probabilities of the shape given; 0 and 1 stay what they are.

    Raises:
        UsageError: A prevalence is not above 0 and below 1, or a probability is not in 0 to 1.

    Source:
        Saerens, Latinne and Decaestecker, Neural Computation 14, 2002, section 2.2.
    """
    for name, value in (("from_prevalence", from_prevalence), ("to_prevalence", to_prevalence)):
        if not 0 < value < 1:
            raise UsageError(f"{name} is {value}; expected above 0 and below 1.")
    probs = np.asarray(probs, dtype=np.float64)
    if not np.all((probs >= 0) & (probs <= 1)):
        raise UsageError("A probability is outside 0 to 1 or not a number; expected P(pneumonia).")
    ill = probs * (to_prevalence / from_prevalence)
    well = (1 - probs) * ((1 - to_prevalence) / (1 - from_prevalence))
    return ill / (ill + well)


def shift_threshold(threshold: float, *, from_prevalence: float, to_prevalence: float) -> float:
    """Where a threshold on corrected probabilities lies among the uncorrected ones.

    At a prevalence of 10 % a film is to be called pneumonia once its corrected probability is 0.5, say. This
    is the threshold to give to a model that knows nothing of the correction.

    Args:
        threshold: On probabilities at `to_prevalence`, 0 to 1.
        from_prevalence: As for `shift_prior`.
        to_prevalence: As for `shift_prior`.

    Returns:
        The threshold on probabilities at `from_prevalence`; the same films are called pneumonia.

    Raises:
        UsageError: As from `shift_prior`.
    """
    return float(shift_prior(threshold, from_prevalence=to_prevalence, to_prevalence=from_prevalence))
