"""What a refer band (`training.refer_band`) does to films that it was not fitted on."""

import numpy as np

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.evaluation.bootstrap import NUM_DRAWS, compute_interval, draw_patient_weights
from pneumo_utils.evaluation.predictions import Predictions
from pneumo_utils.training.refer_band import ReferBand, predict_sets


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
